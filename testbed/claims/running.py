"""Paired repeats of claims' arms, each kept as soon as it is there; then differences with intervals, and a plot.

Claims of one run share their trials, so that what several of them need is made once.
"""

import hashlib
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from core.evaluation.intervals import mean_interval, paired_interval
from core.generators.files import load_generator, shipped_generators
from testbed.claims.claims import Claim, Contrast
from testbed.claims.trial import SIZES, Scores, Trial
from testbed.worlds import World

Runs = dict[str, dict[str, Scores]]


def run_claims(
    claims: Sequence[Claim], repeats: int | None, size: str, world: World, folder: Path
) -> dict[str, dict[str, Any]]:
    """Train what is missing of ``repeats`` repeats (None: as each claim plans); results by name, written to ``folder``
    after every arm.
    """
    folder.mkdir(parents=True, exist_ok=True)
    identity = _identity(size, world)
    wanted = {claim.name: repeats or claim.repeats for claim in claims}
    results: dict[str, dict[str, Any]] = {}
    kept = {claim.name: _kept({"claim": claim.name} | identity, folder) for claim in claims}
    for repeat in range(max(wanted.values())):
        trial = Trial(world, repeat, SIZES[size])
        for claim in claims:
            if repeat >= wanted[claim.name]:
                continue
            document = kept[claim.name]
            for arm, run in claim.arms.items():
                done = document["runs"].setdefault(arm, {})
                if str(repeat) not in done:
                    started = time.monotonic()
                    done[str(repeat)] = run(trial)
                    seconds = time.monotonic() - started
                    _say(f"{world.name} {claim.name}: {arm}, repeat {repeat + 1} in {seconds:.0f} s")
                    _write(folder / f"{claim.name}.json", document | summary(claim, document["runs"]))
            results[claim.name] = document | summary(claim, document["runs"])
            _write(folder / f"{claim.name}.json", results[claim.name])
            plot(results[claim.name], folder / f"{claim.name}.png")
    return results


def _identity(size: str, world: World) -> dict[str, str]:
    """What results have to share to be of one experiment. ``inversion``: of the files that it works with; ``sizes``:
    of the numbers behind the size's name.
    """
    folder = shipped_generators()[world.generator]
    inversion = hashlib.sha256()
    for path in sorted([*folder.glob("encoder.*"), *folder.glob("perceptual.*")]):
        inversion.update(path.read_bytes())
    return {
        "world": world.name,
        "size": size,
        "generator": load_generator(folder).info.digest,
        "inversion": inversion.hexdigest(),
        "sizes": hashlib.sha256(repr(SIZES[size]).encode()).hexdigest(),
    }


def _kept(identity: dict[str, str], folder: Path) -> dict[str, Any]:
    """What an earlier run has left of this claim, or a beginning."""
    path = folder / f"{identity['claim']}.json"
    if path.exists():
        found: dict[str, Any] = json.loads(path.read_text())
        if {name: found.get(name) for name in identity} == identity:
            return identity | {"runs": found["runs"]}
        _say(f"{path} was made with another generator, encoder or size; starting again")
    return identity | {"runs": {}}


def summary(claim: Claim, runs: Runs) -> dict[str, Any]:
    """Means by arm, and what each contrast shows, as JSON values; empty before every arm has run once."""
    if set(runs) != set(claim.arms):
        return {}
    arms = {
        arm: {
            metric: mean_interval([one[metric] for one in done.values() if metric in one]).to_json()
            for metric in next(iter(done.values()))
        }
        for arm, done in runs.items()
    }
    return {"arms": arms, "contrasts": [_contrast(one, runs) for one in claim.contrasts]}


def _contrast(contrast: Contrast, runs: Runs) -> dict[str, Any]:
    """The paired difference and whether it is as wanted. "within" holds when the whole interval lies within."""
    first, second = runs[contrast.first], runs[contrast.second]
    pairs = [
        (first[key][contrast.metric], second[key][contrast.metric])
        for key in sorted(first.keys() & second.keys(), key=int)
        if contrast.metric in first[key] and contrast.metric in second[key]
    ]
    described = vars(contrast)
    if not pairs:
        return {**described, "difference": None, "holds": None}
    gap = paired_interval([one for one, _ in pairs], [other for _, other in pairs])
    within = contrast.wants == "within"
    sure = np.isfinite(gap.low)
    holds = bool((max(abs(gap.low), abs(gap.high)) <= contrast.bound) if within else gap.low > contrast.bound)
    return {**described, "difference": gap.to_json(), "holds": holds if sure else None}


def plot(result: dict[str, Any], path: Path) -> None:
    """Every arm's repeats as dots, its mean as a line; pairs share a grey line."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    arms = list(result["arms"])
    metric = result["contrasts"][0]["metric"]
    figure, axes = pyplot.subplots(figsize=(max(5, 1.3 * len(arms)), 3.6), layout="constrained")
    keys = sorted({key for done in result["runs"].values() for key in done}, key=int)
    for key in keys:
        values = [result["runs"][arm].get(key, {}).get(metric, np.nan) for arm in arms]
        axes.plot(range(len(arms)), values, color="0.8", linewidth=0.8, marker="o", markersize=3, markerfacecolor="C0")
    means = [result["arms"][arm].get(metric, {}).get("mean", np.nan) for arm in arms]
    axes.plot(range(len(arms)), means, "_", color="C3", markersize=26, markeredgewidth=2.5)
    axes.set_xticks(range(len(arms)), arms, rotation=20, ha="right")
    axes.set_ylabel(metric)
    axes.set_title(f"{result['claim']}, {result['world']} ({len(keys)} repeats)", fontsize=9)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def _write(path: Path, document: dict[str, Any]) -> None:
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(document, indent=1) + "\n")
    partial.replace(path)


def _say(line: str) -> None:
    print(f"[{time.strftime('%H:%M:%S')}] {line}", file=sys.stderr, flush=True)
