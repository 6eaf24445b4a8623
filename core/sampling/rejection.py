"""Classifier rejection: of several codes drawn for a sample, the one whose image a classifier is most confident in.

BigDatasetGAN (section 3.3) ranks samples of a class by the confidence of a classifier and rejects 90 % of them. Here
each sample of the stream is the best of ``tries`` codes of its class, so that it depends on (seed, index) alone and the
share that is kept is 1 / tries in every class. Features are computed for the chosen code only.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from core.errors import Problem, SamplingError
from core.generators.interface import Codes, Sampler
from core.sampling.classifier import Classifier

MOST_TRIES = 100


def tries_of(rate: float) -> int:
    """Return how many codes are drawn for a sample so that the share ``rate`` of them is rejected: 0.9 → 10.

    Raises :class:`SamplingError` unless 0 <= rate <= 0.99.
    """
    if not 0 <= rate <= 1 - 1 / MOST_TRIES:
        raise SamplingError("invalid rejection", [Problem(f"not from 0 to {1 - 1 / MOST_TRIES:g}", "rate")])
    return round(1 / (1 - rate))


@dataclass(frozen=True)
class Rejection:
    """Draws ``tries`` codes for each sample and keeps one."""

    classifier: Classifier
    tries: int

    @torch.inference_mode()
    def draw(
        self, sampler: Sampler, seed: int, indices: Sequence[int], class_index: Sequence[int]
    ) -> tuple[Codes, Tensor]:
        """Return the chosen codes of samples ``indices`` and the classifier's confidence in them, float [N].

        Sample i is chosen among the codes ``i * tries`` to ``(i + 1) * tries - 1`` of the stream. Of equal confidences
        the first wins. Raises :class:`SamplingError` where no confidence is a number.
        """
        classes = torch.tensor(list(class_index), device=sampler.device)
        codes: list[Codes] = []
        confidences = []
        for number in range(self.tries):
            drawn = sampler.draw(seed, [index * self.tries + number for index in indices], class_index)
            codes.append(drawn)
            confidences.append(self.classifier.confidence(sampler.synthesize(drawn).image, classes))
        table = torch.stack(confidences)  # [tries, N]
        if table.isnan().any():
            raise SamplingError("the classifier's confidence is not a number", [Problem(self.classifier.name, "")])
        best, chosen = table.max(0)
        rows = [codes[number][row : row + 1] for row, number in enumerate(chosen.tolist())]
        return Codes.cat(rows), best
