"""Composition that a `generate` job asks of its dataset, as objects of the library."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import inf
from typing import Self

from core.errors import Problem, SamplingError
from core.label_sets.classes import ClassMap
from core.sampling.candidates import Candidates
from core.sampling.composition import (
    Demand,
    ImageClassDemand,
    Prevalence,
    Requirement,
    candidates_wanted,
    prevalence,
)
from core.sampling.filtering import candidates_needed, class_quotas
from core.sampling.selection import Selection, select
from store.job_kinds.generate import CANDIDATES_PER_IMAGE, GenerateSpec
from store.requests.composition import ClassDemandSpec


@dataclass(frozen=True)
class CompositionRequest:
    """`count` images: the best of `usual` candidates, or of up to `most` for `demands` and `max_uncertainty`."""

    count: int
    usual: int
    most: int
    demands: tuple[Demand, ...]
    max_uncertainty: float
    per_class: bool
    """No class loses a larger part than the whole does."""
    image_classes: tuple[ImageClassDemand, ...] = ()
    """Classes of the generator in equal parts: required where the request names a number, else as far as possible."""
    images_per_class: int | None = None

    @classmethod
    def of(cls, asked: GenerateSpec, classes: ClassMap) -> Self:
        """Read from a request. Raises SamplingError as `demands_of` does."""
        limit = asked.max_uncertainty
        usual = candidates_needed(asked.count, asked.drop_fraction)
        most = asked.max_candidates or CANDIDATES_PER_IMAGE * asked.count
        return cls(
            asked.count,
            usual,
            max(usual, most),
            demands_of(asked.composition, classes),
            inf if limit is None else limit,
            asked.drop_per_class,
            images_per_class=asked.images_per_class,
        )

    def of_classes(self, names: Sequence[str], ranges: tuple[tuple[int, int], ...]) -> Self:
        """Return the request with the classes of the generator that take turns. names: theirs, in their order; ranges:
        indices of the candidates.
        """
        if len(names) < 2 or not (self.per_class or self.images_per_class):
            return self
        least = self.images_per_class or self.count // len(names)
        classes = (ImageClassDemand(at, len(names), least, ranges, name) for at, name in enumerate(names))
        return replace(self, image_classes=tuple(classes) if least else ())

    @property
    def _required(self) -> tuple[Requirement, ...]:
        return (*self.demands, *(self.image_classes if self.images_per_class else ()))

    def of_fewer(self, there: int) -> Self:
        """The same part of the candidates that are there, where not all can be had."""
        return replace(self, count=min(self.count, max(1, there * self.count // self.usual)))

    def look(self, candidates: Candidates) -> list[Prevalence]:
        """Return how often what is asked for was drawn; empty where nothing is."""
        return prevalence(candidates, self.count, self._required, self.max_uncertainty)

    def candidates_wanted(self, seen: list[Prevalence]) -> int:
        """Return how many candidates there should be, by what was seen. Raises SamplingError where none suffice."""
        return candidates_wanted(self.usual, seen, self.most)

    def select_by_uncertainty(self, candidates: Candidates) -> Selection | None:
        """The candidates that the filter alone would keep of all that were drawn: the same part of them as of the usual
        number, the most certain ones. None where no classes are asked for.
        """
        if not self._required:
            return None
        there = sum(len(block.scores) for block in candidates.blocks())
        usable = sum(int((block.scores <= self.max_uncertainty).sum()) for block in candidates.blocks())
        count = min(usable, max(self.count, there * self.count // self.usual))
        return replace(self, count=count, demands=(), image_classes=()).select(candidates)

    def select(self, candidates: Candidates) -> Selection:
        """Return which of them are delivered. Raises SamplingError when they cannot meet what is asked for."""
        shown = class_quotas(candidates, self.count, self.max_uncertainty) if self.per_class else ()
        equal = () if self.images_per_class else self.image_classes
        quotas: tuple[Requirement, ...] = (*shown, *equal)
        return select(candidates, self.count, self._required, self.max_uncertainty, quotas)


def demands_of(composition: Sequence[ClassDemandSpec], classes: ClassMap) -> tuple[Demand, ...]:
    """Return the `composition` of a request in the library's words. Raises SamplingError naming every class that the
    labels do not have.
    """
    ids = {name: class_id for class_id, name in classes.names.items()}
    problems = [
        Problem(f"no class {one.class_name!r}; there are {', '.join(ids) or 'none'}", f"/composition/{at}/class")
        for at, one in enumerate(composition)
        if one.class_name not in ids
    ]
    if problems:
        raise SamplingError("the composition cannot be met", problems)
    return tuple(Demand(ids[one.class_name], one.min_fraction, one.min_area, one.class_name) for one in composition)
