"""Log lines that cannot be written are lost, and nothing else."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import logging, sys, traceback
from store.logs import make_output_optional
{guard}
logging.basicConfig(stream=sys.stderr)
for _ in range(3):
    print("x" * 20_000, flush=True)
    print("x", file=sys.stderr, flush=True)
    sys.stderr.buffer.write(b"x" * 20_000)
    sys.stderr.buffer.flush()
    logging.error("x")
try:
    raise ValueError("x")
except ValueError:
    traceback.print_exc()
assert not sys.stderr.isatty() and sys.stderr.fileno() == 2
"""


def test_program_goes_on_when_its_output_takes_no_more() -> None:
    def status(guard: str) -> int:
        with open("/dev/full", "wb") as full:
            command = [sys.executable, "-c", PROGRAM.format(guard=guard)]
            return subprocess.run(command, stdout=full, stderr=full, check=False, timeout=60).returncode

    assert status("make_output_optional(); make_output_optional()") == 0
    assert status("") != 0, "without it the program ends"


def test_output_that_is_taken_arrives_unchanged() -> None:
    program = "from store.logs import make_output_optional\nmake_output_optional()\nprint('a\\u00e4')"
    result = subprocess.run([sys.executable, "-X", "utf8", "-c", program], capture_output=True, check=True, timeout=60)
    assert result.stdout.decode() == "aä\n"
