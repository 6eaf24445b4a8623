"""Task-specific parts of a comparison of networks: training targets, predictions, and scores against the truth.

Labels are as they stand in shards: masks uint8 [N, H, W], points float32 [N, K, 3], or depths float32 [N, H, W]. Scores
are 0..1 (depth may fall below 0), higher is better, one for each part: a class, a keypoint, or the depth as a whole.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.evaluation.downstream.images import LabelledImages, Targets
from core.evaluation.downstream.training import Trained, predict, predict_masks
from core.evaluation.overlap import image_confusions, image_miou, pooled_f1, pooled_iou
from core.label_sets.classes import ClassMap
from core.tasks.depth import depth_sums
from core.tasks.keypoints import VISIBLE, heatmaps, keypoint_hits, peaks
from core.tasks.task import Task
from core.visualization import canvas

_ALPHA = 0.1
_SIGMA, _SIGMA_AT = 5.0, 256
"""Standard deviation of a keypoint's Gaussian, in pixels at that size (HandsOff appendix B.6, faces)."""
_BATCH = 64


class Scoring(ABC):
    """``parts``: names by channel. ``metric``: what the score of a part is called, ``mean`` its mean over parts.
    ``heat``: the height of the peaks where a net learns heatmaps, else 0.
    """

    task: Task
    metric: str
    mean: str
    parts: Mapping[int, str]
    channels: int
    ignore_index: int = 255
    heat: float = 0.0

    @abstractmethod
    def taught(self, labels: Targets) -> Targets:
        """What a net learns of labels: ids [N, H, W], or float32 maps [N, channels, H, W], NaN where unknown."""

    @abstractmethod
    def said(self, trained: Trained, images: NDArray[np.uint8]) -> Targets:
        """The labels that a net gives to uint8 [N, H, W, 3]."""

    @abstractmethod
    def scores(self, truth: Targets, said: Targets) -> NDArray[np.float64]:
        """float64 [channels], pooled over the images; NaN for a part that does not occur."""

    @abstractmethod
    def shown(self, truth: Targets) -> NDArray[np.int64]:
        """int64 [channels]: how many of the images show each part."""

    def resampled(self, truth: Targets, said: Targets, picks: NDArray[np.int64]) -> NDArray[np.float64]:
        """float64 [D, channels]: :meth:`scores` of the images that each row of ``picks`` [D, N] names."""
        return np.stack([self.scores(truth[pick], said[pick]) for pick in picks])

    @abstractmethod
    def each(self, truth: Targets, said: Targets) -> NDArray[np.float64]:
        """float64 [N]: every image by itself, NaN where nothing can be said."""

    @abstractmethod
    def more(self, truth: Targets, said: Targets) -> dict[str, float]:
        """Further scores by name, pooled over the images."""

    def picture(self, image: NDArray[np.uint8], label: Targets) -> NDArray[np.uint8] | None:  # noqa: ARG002
        """What a label looks like, uint8 [H, W, 3]; None for a mask, which speaks for itself."""
        return None


class MaskScoring(Scoring):
    """Classes of pixels, by IoU."""

    task: Task = "segmentation"
    metric, mean = "IoU", "mIoU"

    def __init__(self, classes: ClassMap) -> None:
        self.parts = {one: classes.name(one) for one in classes.ids}
        self.channels, self.ignore_index = classes.count, classes.ignore_index

    def taught(self, labels: Targets) -> Targets:
        """The ids themselves."""
        return labels

    def said(self, trained: Trained, images: NDArray[np.uint8]) -> Targets:
        """The likeliest class of each pixel."""
        return predict_masks(trained, images)

    def scores(self, truth: Targets, said: Targets) -> NDArray[np.float64]:
        """Intersection over union by class."""
        return pooled_iou(self._confusions(truth, said))

    def shown(self, truth: Targets) -> NDArray[np.int64]:
        """Images with a pixel of each class."""
        return np.array([(truth == one).any(axis=(1, 2)).sum() for one in range(self.channels)], np.int64)

    def resampled(self, truth: Targets, said: Targets, picks: NDArray[np.int64]) -> NDArray[np.float64]:
        """The same from one confusion matrix an image."""
        confusions = self._confusions(truth, said)
        times = np.stack([np.bincount(pick, minlength=len(confusions)) for pick in picks])
        return pooled_iou(np.tensordot(times, confusions, 1)[:, None])

    def each(self, truth: Targets, said: Targets) -> NDArray[np.float64]:
        """mIoU of the image by itself."""
        return image_miou(self._confusions(truth, said))

    def more(self, truth: Targets, said: Targets) -> dict[str, float]:
        """F1, the mean over classes."""
        return {"F1": pooled_f1(self._confusions(truth, said))}

    def _confusions(self, truth: Targets, said: Targets) -> NDArray[np.int64]:
        return image_confusions(truth, said, self.channels, self.ignore_index)


class PointScoring(Scoring):
    """Named points, by PCK-0.1; a net learns heatmaps of images of ``size`` (height, width)."""

    task: Task = "keypoints"
    metric, mean = "PCK-0.1", "mean PCK-0.1"
    heat = 10.0

    def __init__(self, names: tuple[str, ...], size: tuple[int, int]) -> None:
        self.parts, self.channels = dict(enumerate(names)), len(names)
        self.size, self.std = size, _SIGMA * max(size) / _SIGMA_AT

    def taught(self, labels: Targets) -> Targets:
        """Heat around every labelled point."""
        return heatmaps(labels, self.size, self.std, self.heat)

    def said(self, trained: Trained, images: NDArray[np.uint8]) -> Targets:
        """Places of the highest heat; the third number is its height."""
        starts = range(0, len(images), _BATCH)
        return np.concatenate([peaks(predict(trained, images[start : start + _BATCH])) for start in starts])

    def scores(self, truth: Targets, said: Targets) -> NDArray[np.float64]:
        """PCK-0.1 by point."""
        return np.asarray(keypoint_hits(truth, said, (_ALPHA,)).per_point[0])

    def shown(self, truth: Targets) -> NDArray[np.int64]:
        """Images in which each point is visible."""
        return np.asarray((truth[..., 2] >= VISIBLE).sum(0), np.int64)

    def each(self, truth: Targets, said: Targets) -> NDArray[np.float64]:
        """PCK-0.1 of the image by itself."""
        pairs = zip(truth, said, strict=True)
        return np.array([keypoint_hits(one[None], other[None], (_ALPHA,)).pck[_ALPHA] for one, other in pairs])

    def more(self, truth: Targets, said: Targets) -> dict[str, float]:
        """PCK over all visible points, at three thresholds."""
        return {f"PCK-{alpha:g}": share for alpha, share in keypoint_hits(truth, said).pck.items()}

    def picture(self, image: NDArray[np.uint8], label: Targets) -> NDArray[np.uint8] | None:
        """A coloured square on every visible point of the grey image."""
        height, width = image.shape[:2]
        reach = max(height, width) // 128
        shown = np.repeat(image.mean(2, keepdims=True), 3, axis=2).astype(np.uint8) // 2 + 64
        for number, (x, y, seen) in enumerate(np.asarray(label)[:, :3]):
            if seen >= VISIBLE and 0 <= x < width and 0 <= y < height:
                top, left = max(0, int(y) - reach), max(0, int(x) - reach)
                shown[top : int(y) + reach + 1, left : int(x) + reach + 1] = _COLOURS[number % len(_COLOURS)]
        return shown


class DepthScoring(Scoring):
    """Depth, by 1 - mNMSE; a net learns it with zero mean and unit variance, those of ``labelled`` depths [N, H, W]."""

    task: Task = "depth"
    metric, mean = "1 - mNMSE", "1 - mNMSE"
    parts: Mapping[int, str] = {0: "depth"}
    channels = 1

    def __init__(self, labelled: NDArray[np.float32]) -> None:
        known = labelled[labelled > 0].astype(np.float64)
        self._mean, self._std = (float(known.mean()), max(float(known.std()), 1e-6)) if known.size else (0.0, 1.0)
        self._top = float(known.max(initial=1.0))

    def taught(self, labels: Targets) -> Targets:
        """Normalised, NaN where nothing was measured."""
        normal = (labels - self._mean) / self._std
        return np.where(labels > 0, normal, np.nan)[:, None].astype(np.float32)

    def said(self, trained: Trained, images: NDArray[np.uint8]) -> Targets:
        """Depth in the labels' unit."""
        return np.asarray(predict(trained, images)[:, 0] * self._std + self._mean, np.float32)

    def scores(self, truth: Targets, said: Targets) -> NDArray[np.float64]:
        """The one number."""
        return np.array([1 - depth_sums(truth, said).mnmse])

    def shown(self, truth: Targets) -> NDArray[np.int64]:
        """Images with a measured depth."""
        return np.array([(truth > 0).any(axis=(1, 2)).sum()], np.int64)

    def each(self, truth: Targets, said: Targets) -> NDArray[np.float64]:
        """1 - mNMSE of the image by itself."""
        return np.array([1 - depth_sums(one, other).mnmse for one, other in zip(truth, said, strict=True)])

    def more(self, truth: Targets, said: Targets) -> dict[str, float]:
        """The three errors of HandsOff."""
        sums = depth_sums(truth, said)
        return {"mNMSE": sums.mnmse, "RMSE": sums.rmse, "RMSE-log": sums.rmse_log}

    def picture(self, image: NDArray[np.uint8], label: Targets) -> NDArray[np.uint8] | None:  # noqa: ARG002
        """Near is dark, far is bright."""
        return canvas.heat(np.asarray(label), self._top)


_COLOURS: Any = np.array(
    [(255, 80, 80), (80, 220, 80), (90, 140, 255), (255, 210, 60), (240, 100, 240), (80, 230, 230)], np.uint8
)


class Taught:
    """Labelled images with their labels turned into what a net learns, as they are asked for."""

    def __init__(self, images: LabelledImages, scoring: Scoring) -> None:
        self._images, self._scoring = images, scoring

    def __len__(self) -> int:
        return len(self._images)

    def take(self, indices: NDArray[np.int64]) -> tuple[NDArray[np.uint8], Targets]:
        """uint8 [B, H, W, 3] and ids or maps."""
        images, labels = self._images.take(indices)
        return images, self._scoring.taught(labels)
