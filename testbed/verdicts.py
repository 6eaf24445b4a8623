"""Do evaluations find out which datasets are better, equal and worse than the labels alone?

    python -m testbed.verdicts [--size full] [--only better] [--json]

Three datasets of rendered heads are prepared, each five times with other scenes, and evaluated as the service evaluates
a dataset:

better  1,000 heads with true labels; 16 labelled heads to beat
worse   the same heads, each with the label of another
equal   the same, with only a share of such labels, which was searched before on other scenes: where networks trained on
        the dataset score as those trained on the labels alone

The verdicts are right where "use", "do not use" and "not shown" come out in at least four of five tries. Every
evaluation continues where it was interrupted (out/verdicts/); delete the folder to restart.
"""

import argparse
import hashlib
import json
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from core.evaluation.arms import EvaluationConfig, EvaluationData
from core.evaluation.downstream.config import PRESETS, DownstreamConfig
from core.evaluation.downstream.images import ArrayImages
from core.evaluation.gates import Regeneration
from core.evaluation.quality import evaluate
from core.evaluation.scoring import MaskScoring
from core.label_sets.classes import ClassMap
from core.run import Run
from testbed.examples import TEST_SEED
from testbed.worlds import HEADS

Kind = Literal["better", "equal", "worse"]
KINDS: tuple[Kind, ...] = get_args(Kind)
RIGHT = {"better": "use", "equal": "not shown", "worse": "do not use"}
OUT = Path("out/verdicts")
_LABELS, _DATASET, _SPOILT = 7_000, 8_000, 9_000
"""Streams of the labelled scenes and of the datasets, one for each try, and of the labels that are exchanged."""
_SEARCHED = 500
"""First try of those that the share for `equal` is searched on."""
_REDRAWN = 16


@dataclass(frozen=True)
class Sizes:
    """Sizes of everything. ``search``: halvings of the share for `equal`."""

    labels: int
    generated: int
    held_out: int
    net: DownstreamConfig
    repeats: int
    tries: int
    search: int


SIZES = {
    "full": Sizes(16, 1000, 60, PRESETS["small"], EvaluationConfig.repeats, 5, 5),
    "small": Sizes(16, 400, 60, replace(PRESETS["small"], steps=200, batch=16), EvaluationConfig.repeats, 5, 4),
    "tiny": Sizes(4, 16, 12, DownstreamConfig(steps=2, batch=2, width=4), 2, 1, 1),
}
"""``full``: as the service evaluates by default. ``small``: a fifth of the work. ``tiny``: does every line run?"""


def dataset(size: Sizes, number: int, share: float) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.float64]]:
    """Heads of try ``number``: images, masks, of which a share belongs to other images, and an uncertainty of each,
    which is higher for those.
    """
    scenes = HEADS.labelled(_DATASET + number, size.generated, 0)
    random = np.random.default_rng([_SPOILT, number])
    spoilt = np.sort(random.permutation(size.generated)[: round(share * size.generated)])
    masks = scenes.masks.copy()
    masks[spoilt] = masks[np.roll(spoilt, 1)]
    uncertainty = random.random(size.generated)
    uncertainty[spoilt] += 0.5
    return scenes.images, masks, uncertainty


def evaluated(size: Sizes, number: int, share: float, state: Path, repeats: int | None = None) -> dict[str, Any]:
    """The report of one evaluation, continued from ``state`` where that is there."""
    images, masks, uncertainty = dataset(size, number, share)
    images_again, masks_again, _ = dataset(size, number, share)
    redrawn = Regeneration(_REDRAWN, _differ(images[..., 0], images_again[..., 0]), _differ(masks, masks_again))
    labelled = HEADS.labelled(_LABELS + number, size.labels, 0)
    held_out = HEADS.labelled(TEST_SEED, size.held_out, number * size.held_out)
    classes = ClassMap(dict(enumerate(HEADS.classes)))
    data = EvaluationData(
        MaskScoring(classes), classes, ArrayImages(images, masks), uncertainty,
        ArrayImages(labelled.images, labelled.masks), ArrayImages(held_out.images, held_out.masks),
    )  # fmt: skip
    config = EvaluationConfig(size.net, repeats or size.repeats, seed=number)
    run = Run(checkpoint=lambda content: _write(state, content), resume_from=_read(state))
    found = evaluate(data, config, regeneration=redrawn, run=run).document
    state.unlink(missing_ok=True)
    return found


def _differ(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> int:
    """The number of the first images of [N, H, W] that differ."""
    return int((one[:_REDRAWN] != other[:_REDRAWN]).any(axis=(1, 2)).sum())


def searched(size: Sizes, found: dict[str, Any], folder: Path) -> float:
    """The share of exchanged labels with which a dataset is as good as the labels alone, by halving from 0 to 1 on
    scenes that no try uses, with two repeats each. ``found["search"]`` holds what is done.
    """
    low, high = 0.0, 1.0
    rows: list[list[float]] = found.setdefault("search", [])
    for step in range(size.search):
        share = (low + high) / 2
        if step == len(rows):
            report = evaluated(size, _SEARCHED + step, share, folder / "search.state", repeats=2)
            rows.append([share, report["gates"][0]["numbers"]["difference"]["mean"]])
            _save(folder, found)
        low, high = (share, high) if rows[step][1] > 0 else (low, share)
    return (low + high) / 2


def measure(name: str, kinds: tuple[Kind, ...]) -> dict[str, Any]:
    """Every try of these kinds, as JSON values."""
    size = SIZES[name]
    digest = hashlib.sha256(repr(size).encode()).hexdigest()[:12]
    folder = OUT / f"{name}-{digest}"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "verdicts.json"
    found: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {"tries": {}}
    shares = {"better": 0.0, "worse": 1.0}
    for kind in kinds:
        share = shares[kind] if kind != "equal" else searched(size, found, folder)
        for number in range(size.tries):
            key = f"{kind} {number}"
            if key in found["tries"]:
                continue
            began = time.monotonic()
            report = evaluated(size, number, share, folder / f"{kind}-{number}.state")
            gate = report["gates"][0]
            found["tries"][key] = {
                "kind": kind, "share": share, "verdict": report["verdict"], "right": RIGHT[kind],
                "difference": gate["numbers"]["difference"], "recommended": report["recommended"]["arm"],
                "failed": [one["name"] for one in report["gates"] if one["state"] == "failed"],
                "minutes": round((time.monotonic() - began) / 60, 1),
            }  # fmt: skip
            _save(folder, found)
            print(f"{key}: {report['sentence']} {gate['words']}", flush=True)
    return found


def summary(found: dict[str, Any]) -> dict[str, Any]:
    """By kind: tries, and those with the right verdict; ``holds``: at least four in five."""
    rows: dict[str, Any] = {}
    for kind in KINDS:
        verdicts = [one["verdict"] for one in found["tries"].values() if one["kind"] == kind]
        right = verdicts.count(RIGHT[kind])
        if verdicts:
            rows[kind] = {"tries": len(verdicts), "right": right, "holds": 5 * right >= 4 * len(verdicts)}
    return rows


def _save(folder: Path, found: dict[str, Any]) -> None:
    _write(folder / "verdicts.json", json.dumps(found, indent=1).encode())


def _write(path: Path, content: bytes) -> None:
    """Replace the file as a whole, so that an interruption leaves the older one."""
    new = path.with_suffix(".new")
    new.write_bytes(content)
    new.replace(path)


def _read(path: Path) -> bytes | None:
    return path.read_bytes() if path.exists() else None


def main() -> None:
    """Run what is missing and print the result; exit code 1 where a kind has fewer than four right verdicts of five."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=sorted(SIZES), default="full")
    parser.add_argument("--only", choices=KINDS, nargs="+", default=KINDS)
    parser.add_argument("--json", action="store_true", help="print one JSON document at the end")
    given = parser.parse_args()
    found = measure(given.size, tuple(given.only))
    rows = summary(found)
    if given.json:
        print(json.dumps({**found, "summary": rows}, indent=1))
    else:
        for kind, row in rows.items():
            print(f"{kind}: {row['right']} of {row['tries']} are '{RIGHT[kind]}'")
    raise SystemExit(not all(row["holds"] for row in rows.values()))


if __name__ == "__main__":
    main()
