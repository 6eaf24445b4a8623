"""Paired repeats of a claim's arms, each kept as soon as it is there; then differences with intervals, and a plot."""

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from core.evaluation.intervals import mean_interval, paired_interval
from testbed.claims.claims import Claim, Contrast
from testbed.claims.heads import SIZES, Heads, Scores

Runs = dict[str, dict[str, Scores]]


def run_claim(claim: Claim, repeats: int, size: str, folder: Path) -> dict[str, Any]:
    """Train what is missing of ``repeats`` repeats; the results, also written to ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{claim.name}.json"
    identity = {"claim": claim.name, "size": size, "generator": _generator_digest()}
    runs: Runs = {}
    if path.exists():
        kept = json.loads(path.read_text())
        if {name: kept.get(name) for name in identity} == identity:
            runs = kept["runs"]
        else:
            _say(f"{path} was made with another generator or size; starting anew")
    for repeat in range(repeats):
        heads = Heads(repeat, SIZES[size])
        for arm, run in claim.arms.items():
            done = runs.setdefault(arm, {})
            if str(repeat) not in done:
                started = time.monotonic()
                done[str(repeat)] = run(heads)
                _say(f"{claim.name}: {arm}, repeat {repeat + 1} of {repeats} in {time.monotonic() - started:.0f} s")
                _write(path, {**identity, "runs": runs})
    result = {**identity, "question": claim.question, "papers": claim.papers, "planned_repeats": claim.repeats}
    result |= {"runs": runs, "arms": _arms(runs), "contrasts": [_contrast(one, runs) for one in claim.contrasts]}
    _write(path, result)
    plot(result, folder / f"{claim.name}.png")
    return result


def _arms(runs: Runs) -> dict[str, dict[str, Any]]:
    return {
        arm: {
            metric: mean_interval([one[metric] for one in done.values()]).to_json()
            for metric in next(iter(done.values()))
        }
        for arm, done in runs.items()
    }


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
    axes.set_title(f"{result['question']} ({len(keys)} repeats)", fontsize=9)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def _generator_digest() -> str:
    from core.generators.files import load_generator, shipped_generators

    return load_generator(shipped_generators()["heads64"]).info.digest


def _write(path: Path, document: dict[str, Any]) -> None:
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(document, indent=1) + "\n")
    partial.replace(path)


def _say(line: str) -> None:
    print(f"[{time.strftime('%H:%M:%S')}] {line}", file=sys.stderr, flush=True)
