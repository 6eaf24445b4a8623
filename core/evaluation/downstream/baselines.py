"""Names of the arms that a dataset has to beat: the same labels without it.

``strong_augmentation``  a net on the labelled images; its augmentation is chosen on validation images
``from_scratch``         the same with the recipe's own augmentation, from random weights
``fine_tuned``           the same from a published trunk
``head_only``            the same with the published trunk kept frozen (transfer learning)
``frozen_features``      a small head on frozen features that were learnt without labels (DINOv3 or DINOv2)

All nets start alike: from the published trunk where the worker has it, else from random weights. An arm whose start is
missing is left out. DatasetGAN's way, labels on generated images, requires manual labels: :mod:`core.evaluation.arms`.
"""

from typing import Literal, get_args

Baseline = Literal["strong_augmentation", "from_scratch", "head_only", "fine_tuned", "frozen_features"]
BASELINES: tuple[Baseline, ...] = get_args(Baseline)
EVERY: Baseline = "strong_augmentation"
"""The baseline of every evaluation, whichever others are asked for."""
