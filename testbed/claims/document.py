"""docs/claims.md from what was measured. What does not hold is written as such."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from testbed.claims.claims import CLAIMS

PREFACE = """\
# The papers' claims, measured here

Written by `python -m testbed.claims --document` from docs/claims/*.json; do not edit. Each row is measured by
`python -m testbed.claims NAME` (all: `make claims`; an interrupted run goes on where it was): rendered heads with exact
truth, paired repeats that share labelled heads, seeds and test heads, Student's t intervals of 95 %. Scores are points
of mIoU on 500 held-out heads unless named otherwise. "Holds" means that the interval as a whole says so; "not shown"
that it does not, which is no proof of the contrary.
"""


def write_document(folder: Path, target: Path) -> list[str]:
    """Write ``target``; the names of claims that were not measured yet."""
    parts, missing = [PREFACE], []
    for name, claim in CLAIMS.items():
        path = folder / f"{name}.json"
        result = json.loads(path.read_text()) if path.exists() else {}
        if "contrasts" not in result:
            missing.append(name)
            how = f"Not measured yet: `python -m testbed.claims {name}`."
            parts.append(f"## {claim.question}\n\nThe papers: {claim.papers}. {how}\n")
            continue
        parts.append(_section(name, result, folder))
    target.write_text("\n".join(parts))
    return missing


def _section(name: str, result: dict[str, Any], folder: Path) -> str:
    repeats = max(len(done) for done in result["runs"].values())
    lines = [
        f"## {result['question']}\n",
        f"The papers: {result['papers']}. `python -m testbed.claims {name}`, {repeats} repeats of "
        f"{result['planned_repeats']} planned, generator `{result['generator'][:12]}`.\n",
        f"![{name}]({folder.name}/{name}.png)\n",
        "| arm | " + " | ".join(_metrics(result)) + " |",
        "|---" * (1 + len(_metrics(result))) + "|",
    ]
    for arm, found in result["arms"].items():
        cells = [_interval(found.get(metric)) for metric in _metrics(result)]
        lines.append(f"| {arm} | " + " | ".join(cells) + " |")
    lines += ["", "| first | second | by | difference | wanted | |", "|---|---|---|---|---|---|"]
    for one in result["contrasts"]:
        wanted = f"above {one['bound']:g}" if one["wants"] == "above" else f"within ± {one['bound']:g}"
        verdict = {True: "holds", False: "**not shown**", None: "too few repeats"}[one["holds"]]
        row = (one["first"], one["second"], one["metric"], _interval(one["difference"], signed=True), wanted, verdict)
        lines.append("| " + " | ".join(row) + " |")
    return "\n".join([*lines, ""])


def _metrics(result: dict[str, Any]) -> Sequence[str]:
    """What the contrasts ask for, mIoU first where there is one."""
    asked = list(dict.fromkeys(one["metric"] for one in result["contrasts"]))
    every = {metric for found in result["arms"].values() for metric in found}
    return [
        *(["miou"] if "miou" in every and "miou" not in asked else []),
        *asked,
        *(["AUROC"] if "AUROC" in every else []),
    ]


def _interval(found: dict[str, Any] | None, signed: bool = False) -> str:
    if found is None:
        return "–"
    sign = "+" if signed else ""
    mean = f"{found['mean']:{sign}.2f}"
    if found["low"] is None:
        return mean
    return f"{mean} ({found['low']:{sign}.2f} to {found['high']:{sign}.2f})"
