"""Which candidates are kept: found in passes over their table, so that memory holds one block, however many there are.

Of two candidates the one with the lower score is preferred, of equal scores the earlier one. So "the n best of those
that show a hat" is a boundary (score, place) up to which those are taken, a selection is a few such cuts, and the
boundaries are found as radix sort finds them, 16 bits of the score at a time.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.errors import Problem, SamplingError
from core.sampling.candidates import Block, Candidates
from core.sampling.composition import Requirement

_BITS = 16

Wanted = Callable[[Block], NDArray[np.bool_]]
"""Which candidates of a block are meant, bool [B]."""


@dataclass(frozen=True)
class Cut:
    """Takes the candidates that ``demand`` counts (None: every one) up to ``score``, at equal score up to ``place``."""

    demand: Requirement | None
    score: float
    place: int

    def takes(self, block: Block) -> NDArray[np.bool_]:
        """bool [B]."""
        tied: NDArray[np.bool_] = (block.scores == self.score) & (block.places <= self.place)
        taken = (block.scores < self.score) | tied
        return taken if self.demand is None else taken & self.demand.counts(block)


@dataclass(frozen=True)
class Selection:
    """Keeps what one of its cuts takes."""

    cuts: tuple[Cut, ...]

    def keeps(self, block: Block) -> NDArray[np.bool_]:
        """bool [B]."""
        kept = np.zeros(len(block.scores), bool)
        for cut in self.cuts:
            kept |= cut.takes(block)
        return kept

    def places(self, candidates: Candidates) -> Iterator[int]:
        """Places of all that are kept, ascending, one at a time."""
        for block in candidates.blocks():
            yield from block.places[self.keeps(block)].tolist()


@dataclass(frozen=True)
class Dropped:
    """Candidates that a selection leaves out. ``uncertain`` and ``composition``: how many, by reason.

    ``worst``: places of the least certain ones among the uncertain, the least certain first. ``passed_over``: places of
    the most certain ones among those dropped for the composition, the most certain first.
    """

    uncertain: int
    composition: int
    worst: tuple[int, ...]
    passed_over: tuple[int, ...]


def dropped(candidates: Candidates, kept: Selection, certain: Selection | None, most: int) -> Dropped:
    """Count what ``kept`` leaves out: for the composition what ``certain`` keeps, for uncertainty the rest.

    ``certain``: the selection by uncertainty alone; None where there is no composition. ``most``: places returned for
    each reason.
    """
    counts = [0, 0]
    shown: tuple[list[tuple[float, int]], list[tuple[float, int]]] = ([], [])
    for block in candidates.blocks():
        out = ~kept.keeps(block)
        passed_over = out & certain.keeps(block) if certain is not None else np.zeros_like(out)
        for reason, (which, sign) in enumerate(((out & ~passed_over, -1.0), (passed_over, 1.0))):
            counts[reason] += int(which.sum())
            found = zip((sign * block.scores[which]).tolist(), block.places[which].tolist(), strict=True)
            shown[reason][:] = sorted([*shown[reason], *found])[:most]
    worst, passed = (tuple(place for _, place in one) for one in shown)
    return Dropped(counts[0], counts[1], worst, passed)


def select(
    candidates: Candidates,
    count: int,
    demands: Sequence[Requirement] = (),
    max_uncertainty: float = np.inf,
    quotas: Sequence[Requirement] = (),
) -> Selection:
    """Keep ``count`` candidates that meet every demand, the most certain that do, none above ``max_uncertainty``.

    Demands are served from the rarest class on, each by the most certain images that show it, those already chosen
    counted; the rest is filled up with the most certain of all. One demand is met at the least possible uncertainty;
    several are met greedily. Without demands these are the ``count`` lowest scores, as
    :func:`core.sampling.filtering.keep_most_certain` finds them.

    ``quotas`` come after the demands, from the rarest class on as well, and are met as far as ``count`` has room: what
    is full asks for nothing more.

    Raises :class:`SamplingError` naming everything that these candidates cannot meet, with the numbers.
    """

    def usable(block: Block) -> NDArray[np.bool_]:
        return block.scores <= max_uncertainty

    def showing(demand: Requirement) -> Wanted:
        return lambda block: usable(block) & demand.counts(block)

    total = _count(candidates, usable)
    shown = {demand: _count(candidates, showing(demand)) for demand in demands}
    problems = [
        Problem(f"{shown[demand]} of {total} candidates show it, and {demand.needed(count)} are needed", str(demand))
        for demand in demands
        if shown[demand] < demand.needed(count)
    ]
    if total < count:
        problems.append(Problem(f"{total} of which {count} shall be kept", "count"))
    if problems:
        raise SamplingError("the candidates cannot meet the composition", problems)
    chosen = Selection(())
    for demand in sorted(demands, key=lambda one: shown[one]):
        chosen = _with_more(candidates, chosen, showing(demand), demand, demand.needed(count), count)
    needed = _count(candidates, chosen.keeps)
    if needed > count:
        detail = f"together they need {needed} images, since few show several of them; {count} are asked for"
        raise SamplingError("contradictory class requirements", [Problem(detail, "composition")])
    for quota in sorted(quotas, key=lambda one: one.needed(count)):
        room = count - _count(candidates, chosen.keeps)
        chosen = _with_more(candidates, chosen, showing(quota), quota, quota.needed(count), room)
    return _with_more(candidates, chosen, usable, None, count, count)


def _with_more(
    candidates: Candidates, chosen: Selection, wanted: Wanted, demand: Requirement | None, number: int, most: int
) -> Selection:
    """`chosen` and the best of the others, `most` of them, until `number` of those that are `wanted` are in it."""
    missing = min(most, number - _count(candidates, lambda block: wanted(block) & chosen.keeps(block)))
    if missing <= 0:
        return chosen
    score, place = _boundary(candidates, lambda block: wanted(block) & ~chosen.keeps(block), missing)
    # Whatever else this cut takes was chosen before.
    return Selection((*chosen.cuts, Cut(demand, score, place)))


def _count(candidates: Candidates, wanted: Wanted) -> int:
    return sum(int(wanted(block).sum()) for block in candidates.blocks())


def _boundary(candidates: Candidates, wanted: Wanted, number: int) -> tuple[float, int]:
    """Score and place of the candidate that is number `number` (from 1) of the wanted ones in order of preference."""
    prefix, left = 0, number
    for shift in range(64 - _BITS, -1, -_BITS):
        histogram = np.zeros(1 << _BITS, np.int64)
        for block in candidates.blocks():
            keys = _keys(block.scores[wanted(block)])
            # The bits above this digit, in two steps: numpy does not shift by 64.
            above = keys >> np.uint64(shift) >> np.uint64(_BITS)
            digits = (keys[above == prefix] >> np.uint64(shift)) & np.uint64((1 << _BITS) - 1)
            np.add.at(histogram, digits, 1)
        reached = np.cumsum(histogram)
        digit = int(np.searchsorted(reached, left))
        left -= int(reached[digit - 1]) if digit else 0
        prefix = prefix << _BITS | digit
    for block in candidates.blocks():
        tied = wanted(block) & (_keys(block.scores) == prefix)
        if left <= tied.sum():
            row = int(np.flatnonzero(tied)[left - 1])
            return float(block.scores[row]), block.first + row
        left -= int(tied.sum())
    raise AssertionError("there were enough of them")


def _keys(scores: NDArray[np.float64]) -> NDArray[np.uint64]:
    """Unsigned integers in the order of the scores: the bits of a double, all turned for a negative one, else the sign
    alone (IEEE 754). Both zeros become one.
    """
    bits = (scores + 0.0).view(np.uint64)
    sign = np.uint64(1 << 63)
    return np.where(bits & sign, ~bits, bits | sign)
