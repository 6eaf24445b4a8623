"""What a dataset holds, counted while its samples stream by."""

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

BINS_PER_DECADE = 8


@dataclass
class DatasetStatistics:
    """Counts over samples' records. Its size depends on the classes and never on the number of samples.

    ``pixels`` and ``images``: by class id, how many pixels have it and how many images show it.
    ``histogram``: uncertainty scores in logarithmic bins, 8 a decade: bin ``b`` holds scores in
    ``[10^(b/8), 10^((b+1)/8))``; scores of zero are counted in ``zeros``.
    """

    count: int = 0
    pixels: Counter[int] = field(default_factory=Counter)
    images: Counter[int] = field(default_factory=Counter)
    histogram: Counter[int] = field(default_factory=Counter)
    zeros: int = 0
    score_sum: float = 0.0
    score_min: float = math.inf
    score_max: float = -math.inf

    def add(self, record: Mapping[str, Any]) -> None:
        """Count one sample by its record (``pixels`` and ``uncertainty`` are read)."""
        self.count += 1
        for key, count in record["pixels"].items():
            self.pixels[int(key)] += count
            self.images[int(key)] += 1
        score = float(record["uncertainty"])
        if score > 0:
            self.histogram[math.floor(math.log10(score) * BINS_PER_DECADE)] += 1
        else:
            self.zeros += 1
        self.score_sum += score
        self.score_min = min(self.score_min, score)
        self.score_max = max(self.score_max, score)

    def to_json(self) -> dict[str, Any]:
        """JSON values; scores are absent while nothing was counted."""
        document: dict[str, Any] = {
            "count": self.count,
            "pixels": {str(key): self.pixels[key] for key in sorted(self.pixels)},
            "images": {str(key): self.images[key] for key in sorted(self.images)},
        }
        if self.count:
            document["uncertainty"] = {
                "min": self.score_min,
                "mean": self.score_sum / self.count,
                "max": self.score_max,
                "zeros": self.zeros,
                "bins_per_decade": BINS_PER_DECADE,
                "histogram": {str(key): self.histogram[key] for key in sorted(self.histogram)},
            }
        return document
