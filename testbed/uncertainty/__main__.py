"""`python -m testbed.uncertainty`: see the package."""

import argparse
import json
import sys
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import numpy as np

from core.evaluation.intervals import paired_interval
from testbed.uncertainty.trials import OUT, SIZES, Trials
from testbed.worlds import WORLDS

Row = tuple[str, ...]
_RANKINGS = ("worst quarter", "worst tenth", "by pixel accuracy", "rank correlation")


def main(arguments: list[str] | None = None) -> int:
    """Measure what is missing and print Markdown tables, or JSON; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m testbed.uncertainty", description="Which score finds bad labels?")
    parser.add_argument("--world", choices=sorted(WORLDS), help="default: all")
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--size", choices=sorted(SIZES), default="small")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args(arguments)
    if given.repeats < 1:
        parser.error("--repeats is at least 1")
    for name in [given.world] if given.world else list(WORLDS):
        cells = Trials(WORLDS[name], SIZES[given.size], OUT / given.size).run(given.repeats)
        if given.json:
            print(json.dumps(cells, indent=1))
        else:
            print(page(cells))
    return 0


def page(cells: list[dict[str, Any]]) -> str:
    """Tables of a world's cells in Markdown: means over the repeats."""
    drawn = [one for one in cells if one["part"] == "candidates"]
    inverted = [one for one in cells if one["part"] == "inverted"]
    seconds = sum(one["seconds"] for one in cells)
    head = (
        f"### {cells[0]['world']}\n\nGenerator `{cells[0]['generator'][:12]}`, {len(drawn)} repeats, {seconds:.0f} s."
    )
    return "\n\n".join([head, _scores(drawn), _protection(drawn), _inverted(inverted)]) + "\n"


def _scores(cells: list[dict[str, Any]]) -> str:
    """Rankings of each arm and score; the last column is paired with the product's."""
    columns = ["members", "image score", *_RANKINGS, "labels, mIoU", "a tenth dropped", "AUROC over plain, class_mean"]
    rows: list[Row] = []
    usual = [cell["scores"]["plain"]["scores"]["class_mean"]["worst quarter"] for cell in cells]
    for arm, first in cells[0]["scores"].items():
        for score in first["scores"]:
            found = [cell["scores"][arm]["scores"][score] for cell in cells]
            kept = [one.get("miou kept", np.nan) for one in found]
            gap = paired_interval([one["worst quarter"] for one in found], usual)
            spread = "" if not np.isfinite(gap.low) else f" ({gap.low:+.3f} to {gap.high:+.3f})"
            rows.append(
                (
                    arm, score, *(_mean(one[name] for one in found) for name in _RANKINGS),
                    _mean(cell["scores"][arm]["miou"] for cell in cells), _mean(kept), f"{gap.mean:+.3f}{spread}",
                )
            )  # fmt: skip
    return _table(columns, rows)


def _protection(cells: list[dict[str, Any]]) -> str:
    """Effect of the filter on the rare class."""
    columns = ["", "quotas by", "labels, mIoU", "rare class, IoU", "rare images kept"]
    rows = [
        (drop, quotas, *(_mean(cell["protection"][drop][quotas][name] for cell in cells) for name in one))
        for drop, found in cells[0]["protection"].items()
        for quotas, one in found.items()
    ]
    return _table(columns, rows)


def _inverted(cells: list[dict[str, Any]]) -> str:
    """AUROC on inverted scenes beside drawn ones."""
    found: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for cell in cells:
        for score, values in (*cell["scores"].items(), ("inversion error", cell["inversion error"])):
            for name, value in values.items():
                found[score][name].append(value)
    names = list(dict.fromkeys(name for values in found.values() for name in values))
    rows = [(score, *(_mean(values.get(name, [])) for name in names)) for score, values in found.items()]
    psnr, miou = _mean(one["psnr"] for one in cells), [one["miou"] for one in cells]
    words = f"Median PSNR {psnr} dB; mean image mIoU {_mean(one['inverted'] for one in miou)} of inverted scenes, "
    return words + f"{_mean(one['drawn'] for one in miou)} of drawn ones.\n\n" + _table(["score", *names], rows)


def _mean(values: Iterable[float | None]) -> str:
    known = [one for one in values if one is not None and np.isfinite(one)]
    return f"{np.mean(known):.3f}" if known else "–"


def _table(columns: Iterable[str], rows: Iterable[Row]) -> str:
    lines = [list(columns), *rows]
    rule = "|" + "---|" * len(lines[0])
    return "\n".join([f"| {' | '.join(lines[0])} |", rule, *(f"| {' | '.join(row)} |" for row in lines[1:])])


if __name__ == "__main__":
    sys.exit(main())
