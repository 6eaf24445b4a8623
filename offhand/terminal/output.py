"""Output of a command: lines for people, or one JSON document for programs; and how it ends."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from offhand.errors import ClientError

INTERRUPTED = 130


@dataclass(frozen=True)
class Output:
    """Results go to stdout; progress and notes go to stderr, so that a pipe gets the result alone."""

    as_json: bool

    def result(self, document: Any, text: str) -> None:
        """Print the result: ``document`` as JSON for programs, ``text`` for people."""
        print(json.dumps(document, indent=2) if self.as_json else text, flush=True)

    def note(self, text: str) -> None:
        """Something worth knowing that is not the result."""
        if not self.as_json:
            print(text, file=sys.stderr, flush=True)

    @property
    def live(self) -> bool:
        """Whether moving progress can be shown."""
        return not self.as_json and sys.stderr.isatty()


@contextmanager
def ending(as_json: bool) -> Iterator[Output]:
    """Run a command's body; an error becomes clear lines (or JSON) and its exit code, never a traceback."""
    output = Output(as_json)
    try:
        yield output
    except ClientError as error:
        if as_json:
            print(json.dumps(error.document(), indent=2), flush=True)
        else:
            print("\n".join([f"offhand: {error.detail}", *(f"  {line}" for line in error.lines)]), file=sys.stderr)
        raise SystemExit(error.exit_code) from error
    except KeyboardInterrupt as error:
        output.note("offhand: interrupted")
        raise SystemExit(INTERRUPTED) from error
    except BrokenPipeError as error:  # `offhand jobs | head`
        sys.stderr.close()
        raise SystemExit(0) from error
