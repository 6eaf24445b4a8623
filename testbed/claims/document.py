"""Write docs/measurements/claims.md from the results, failed claims included."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from core.generators.files import read_description, shipped_generators
from testbed.claims.claims import CLAIMS, Claim
from testbed.claims.trial import SIZES
from testbed.worlds import WORLDS

PREFACE = """\
# The papers' claims

Written by `python -m testbed.claims --document` from docs/measurements/claims/; do not edit. Each row is measured by
`python -m testbed.claims NAME` (the six main ones, five repeats each: `make claims`; an interrupted run continues):
rendered scenes with exact truth, paired repeats that share labelled scenes, seeds and test scenes, Student's t
intervals of 95 %. Scores are points of mIoU on held-out scenes, with 16 labels, unless named otherwise. "Holds": the
whole interval supports the claim. "Does not hold": the whole interval contradicts it. "Not shown": neither. Sizes and
repeats are those that were run; fewer repeats than planned are in bold; rows of 300 test images are made with `--size
short`. A row is valid for the weights whose digest it names; rows of weights that are no longer shipped are marked
**older weights**.
"""


def write_document(folder: Path, target: Path) -> list[str]:
    """Write ``target`` from the results below ``folder``; the names of claims that were not measured yet. What was
    measured at full size goes before what was measured at another.
    """
    parts, missing = [PREFACE], []
    for name, claim in CLAIMS.items():
        parts.append(f"## {claim.question}\n\nThe papers: {claim.papers}.\n")
        for world in claim.worlds:
            found = _result(folder, world, name)
            if found is None:
                missing.append(f"{name} ({world})")
                how = f"python -m testbed.claims {name}" + ("" if world == "heads" else f" --world {world}")
                parts.append(f"**{world}**: not measured yet; `{how}`.\n")
            else:
                parts.append(_section(claim, *found, folder))
    target.write_text("\n".join(parts).rstrip() + "\n")
    return missing


def results_folder(folder: Path, world: str, size: str) -> Path:
    """Where results of a world and size stand."""
    return folder / f"{world}-{size}"


def _result(folder: Path, world: str, name: str) -> tuple[Path, dict[str, Any]] | None:
    for size in ("full", "short"):
        path = results_folder(folder, world, size) / f"{name}.json"
        result = json.loads(path.read_text()) if path.exists() else {}
        if "contrasts" in result:
            return path, result
    return None


def _section(claim: Claim, path: Path, result: dict[str, Any], folder: Path) -> str:
    repeats = min(len(done) for done in result["runs"].values())
    planned = f"{repeats} of {claim.repeats} planned repeats"
    size = SIZES[result["size"]].words
    as_planned = repeats >= claim.repeats and result["size"] == "full"
    metrics = _metrics(result)
    shipped = _shipped_digest(result["world"])
    older = "" if result["generator"] == shipped else f" **Older weights**: `{shipped[:12]}` are shipped now."
    lines = [
        f"**{result['world']}**: {planned if as_planned else f'**{planned}**'}, {size}, generator "
        f"`{WORLDS[result['world']].generator}` `{result['generator'][:12]}`.{older}\n",
        f"![{claim.name}, {result['world']}]({path.with_suffix('.png').relative_to(folder.parent)})\n",
        "| arm | " + " | ".join(metrics) + " |",
        "|---" * (1 + len(metrics)) + "|",
    ]
    for arm, found in result["arms"].items():
        cells = [_interval(found.get(metric)) for metric in metrics]
        lines.append(f"| {arm} | " + " | ".join(cells) + " |")
    lines += ["", "| first | second | by | difference | wanted | |", "|---|---|---|---|---|---|"]
    for one in result["contrasts"]:
        wanted = f"above {one['bound']:g}" if one["wants"] == "above" else f"within ± {one['bound']:g}"
        difference = _interval(one["difference"], signed=True)
        row = (one["first"], one["second"], one["metric"], difference, wanted, _verdict(one))
        lines.append("| " + " | ".join(row) + " |")
    reason = path.with_suffix(".md")
    if reason.exists():
        lines += ["", reason.read_text().strip()]
    return "\n".join([*lines, ""])


def _shipped_digest(world: str) -> str:
    """SHA-256 of the weights that are shipped for a world."""
    return read_description(shipped_generators()[WORLDS[world].generator]).info.digest


def _verdict(contrast: dict[str, Any]) -> str:
    if contrast["holds"] is None:
        return "too few repeats"
    if contrast["holds"]:
        return "holds"
    gap, bound = contrast["difference"], contrast["bound"]
    apart = gap["high"] <= bound if contrast["wants"] == "above" else gap["low"] > bound or gap["high"] < -bound
    return "**does not hold**" if apart else "**not shown**"


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
