"""How much do labels matter in a world? A small net trained on few and on many true labels, without any generator.

    python -m testbed.hardness --world streets [--steps 600] [--seed 0]

(c) 50 labelled scenes with ordinary augmentation; (d) 5,000; both tested on 500 held-out scenes, as in `testbed.score`.
Below both stands what needs no net: the commonest class of each pixel in the 50 masks. A trained net is kept in
out/score/ and not trained twice.
"""

import argparse
import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.evaluation.downstream.config import DownstreamConfig
from core.evaluation.downstream.training import predict_masks
from core.evaluation.overlap import image_confusions, pooled_iou
from testbed.examples import EXAMPLE_SEED, TEST_SEED
from testbed.score import FULL_LABELS, TRUE_STREAM, trained_net
from testbed.worlds import WORLDS, World

FEW, TEST = 50, 500


def measure(
    world: World, recipe: DownstreamConfig, seed: int, few: int = FEW, full: int = FULL_LABELS
) -> dict[str, Any]:
    """IoU by class and its mean, for the layout, (c) and (d)."""
    test = world.labelled(TEST_SEED, TEST, 0)
    labelled = world.labelled(EXAMPLE_SEED, few, 0)
    layout = np.broadcast_to(commonest(labelled.masks, len(world.classes)), test.masks.shape)
    found = {"layout of the few": _iou(world, test.masks, layout)}
    for arm, scenes in (("c", labelled), ("d", world.labelled(TRUE_STREAM, full, 0))):
        net = trained_net(arm, scenes.images, scenes.masks, recipe, seed, len(world.classes))
        found[f"{arm}: {len(scenes.images)} labels"] = _iou(world, test.masks, predict_masks(net, test.images))
        print(json.dumps({arm: found[f"{arm}: {len(scenes.images)} labels"]}), flush=True)
    return found


def commonest(masks: NDArray[np.uint8], classes: int) -> NDArray[np.uint8]:
    """The commonest id of each pixel: uint8 [N, H, W] → [H, W]; of equals the smallest."""
    commonest: NDArray[np.uint8] = np.stack([(masks == i).sum(0) for i in range(classes)]).argmax(0).astype(np.uint8)
    return commonest


def _iou(world: World, truth: NDArray[np.uint8], predicted: NDArray[np.uint8]) -> dict[str, float]:
    values = pooled_iou(image_confusions(truth, predicted, len(world.classes)))
    named = {name: round(float(one), 3) for name, one in zip(world.classes, values, strict=True)}
    return {"miou": round(float(np.nanmean(values)), 4), **named}


def main() -> None:
    """Print a line for each arm, and at last how far of the way from the layout to (d) the few labels lead."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--world", choices=sorted(WORLDS), default="heads")
    parser.add_argument("--steps", type=int, default=DownstreamConfig.steps)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    found = measure(WORLDS[given.world], DownstreamConfig(steps=given.steps), given.seed)
    low, few, full = (one["miou"] for one in found.values())
    print(json.dumps({"world": given.world, "layout": low, "way": round((few - low) / (full - low), 3)}))


if __name__ == "__main__":
    main()
