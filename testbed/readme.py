"""The figures of README, made by its own commands.

    python -m testbed.readme [--draws 5] [--count 1000] [--set inversion.steps=300 …] [--steps N] [--json]

For each draw: 50 freshly rendered, labelled heads, `offhand generate` and `offhand evaluate` against 500 others,
through a service of its own. Printed are the arms of the evaluations, mean and 95 % interval (Student's t) over the
draws: labels, labeler, generated images and training all differ from draw to draw. Finished draws are kept in
out/readme/ and not made twice; delete the folder to restart. A draw takes about half an hour on two cores.
"""

import argparse
import hashlib
import json
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from core.evaluation.intervals import mean_interval
from core.generators.files import read_description, shipped_generators
from testbed.claims.trial import TRAIN_SEED
from testbed.demo import OFFHAND, service
from testbed.examples import TEST_SEED, labelled_heads, write_archive

GENERATOR = "heads64"
OUT = Path("out/readme")
DRAWS, COUNT, LABELS, HELD_OUT = 5, 1000, 50, 500

Draw = Mapping[str, float]
"""Mean IoU, 0..1, by arm."""


def measured_draw(draw: int, facts: Mapping[str, Any], url: str, folder: Path) -> Draw:
    """Make and evaluate a dataset from the labels of a draw through the service at ``url``. ``facts``: see `main`."""
    labels, held_out = folder / f"labels-{draw}.zip", folder / "held_out.zip"
    write_archive(labels, labelled_heads(TRAIN_SEED + draw, facts["labels"]))
    write_archive(held_out, labelled_heads(TEST_SEED, facts["held_out"]))
    settings = [part for one in facts["set"] for part in ("--set", one)]
    made = _offhand(
        "generate", str(labels), "--generator", GENERATOR, "--count", str(facts["count"]), "--seed", str(draw),
        "--out", str(folder / f"dataset-{draw}"), "--overwrite", *settings, "--url", url,
    )  # fmt: skip
    steps = [] if facts["steps"] is None else ["--set", f"steps={facts['steps']}"]
    report = _offhand(
        "evaluate", made["dataset"]["id"], "--against", str(held_out), "--repeats", "1", *steps, "--url", url
    )
    return {arm["name"]: arm["mean"] for arm in report["arms"] if arm["mean"] is not None}


def table(draws: Sequence[Draw]) -> str:
    """The arms that every draw has, best first, as Markdown."""
    names = [name for name in draws[0] if all(name in draw for draw in draws)]
    rows = {name: mean_interval([draw[name] for draw in draws]) for name in names}
    lines = ["| trained on | mIoU | 95 % interval over label draws |", "|---|---|---|"]
    for name, found in sorted(rows.items(), key=lambda row: -row[1].mean):
        spread = f"{found.low:.3f} to {found.high:.3f}" if found.repeats > 1 else "–"
        lines.append(f"| {name} | {found.mean:.3f} | {spread} |")
    return "\n".join(lines)


def _offhand(*arguments: str) -> Any:
    """Run a command with ``--json``, progress on stderr; its document. Raises SystemExit where it fails."""
    finished = subprocess.run(
        [*OFFHAND, *arguments, "--json"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, check=False
    )
    if finished.returncode:
        raise SystemExit(f"offhand {arguments[0]} ended with status {finished.returncode}: {finished.stdout}")
    return json.loads(finished.stdout)


def main(arguments: list[str] | None = None) -> int:
    """Measure the draws that are missing and print the table; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m testbed.readme", description="The figures of README.")
    parser.add_argument("--draws", type=int, default=DRAWS)
    parser.add_argument("--count", type=int, default=COUNT)
    parser.add_argument("--labels", type=int, default=LABELS)
    parser.add_argument("--held-out", type=int, default=HELD_OUT)
    parser.add_argument("--steps", type=int, help="training steps of the evaluation's networks [its default]")
    parser.add_argument("--set", action="append", default=[], help="further settings of `offhand generate`")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args(arguments)
    if given.draws < 1:
        parser.error("--draws is at least 1")
    facts = {name: getattr(given, name) for name in ("count", "labels", "held_out", "steps", "set")}
    facts["generator"] = read_description(shipped_generators()[GENERATOR]).info.digest
    key = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:12]
    paths = [OUT / f"{key}-{draw}.json" for draw in range(given.draws)]
    if not all(path.is_file() for path in paths):
        OUT.mkdir(parents=True, exist_ok=True)
        with service(OUT / "service") as url:
            for draw, path in enumerate(paths):
                if not path.is_file():
                    begun = time.monotonic()
                    found = measured_draw(draw, facts, url, OUT)
                    path.write_text(json.dumps({**facts, "draw": draw, "arms": found}, indent=1) + "\n")
                    print(f"draw {draw} in {time.monotonic() - begun:.0f} s", file=sys.stderr, flush=True)
    documents = [json.loads(path.read_text()) for path in paths]
    print(json.dumps(documents, indent=1) if given.json else table([one["arms"] for one in documents]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
