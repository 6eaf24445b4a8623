"""The class collapses of HandsOff (appendix B.2, table 3) by name, with the ids that the data sets really have.

The printed tables misprint some: CelebAMask-HQ's glasses are 3 and its eyes 4 and 5, Car-Parts' back glass is 2, and
the rows of face and skin of DeepFashion-MultiModal are shifted. Cityscapes' licence plates have no id in its label
images (they show the vehicle behind), so they need no entry. Ids without an entry in the table are not in the data set.
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Collapse:
    """Many classes become few: ``names`` of the target classes by position, and the source ids of each."""

    names: tuple[str, ...]
    sources: tuple[frozenset[int], ...]

    @property
    def targets(self) -> Mapping[int, int]:
        """Source id → target id, as :func:`core.tasks.segmentation.collapse` takes it."""
        return {source: target for target, ids in enumerate(self.sources) for source in sorted(ids)}


def _collapse(**classes: set[int]) -> Collapse:
    return Collapse(tuple(classes), tuple(frozenset(ids) for ids in classes.values()))


_BODY = {
    "dress": {3, 4, 21},
    "bottoms": {5, 6, 10},
    "face": {8, 14, 22},
    "skin": {9, 15, 16, 17, 19, 20},
    "footwear": {11, 18},
}

COLLAPSES = {
    "celebamask_hq_8": _collapse(
        background={0, 14, 15, 16, 17, 18},
        skin={1},
        nose={2},
        eyes={3, 4, 5},
        eyebrows={6, 7},
        ears={8, 9},
        mouth={10, 11, 12},
        hair={13},
    ),
    "car_parts_10": _collapse(
        background={0},
        bumper={1, 7},
        back_window={2},
        doors={3, 5, 9, 11},
        lights={4, 6, 10, 12},
        windshield={8},
        hood={13},
        mirror={14, 15},
        trunk={16, 17},
        wheel={18},
    ),
    "deepfashion_mm_10": _collapse(background={0}, top={1, 23}, outerwear={2}, **_BODY, bags={12}, hair={7, 13}),
    "deepfashion_mm_8": _collapse(background={0, 12}, top={1, 2, 23}, **_BODY, hair={7, 13}),
    "cityscapes_8": _collapse(
        void={0, 1, 2, 3, 4, 5, 6, 8, 9, 10},
        road={7},
        construction={11, 12, 13, 14, 15, 16},
        object={17, 18, 19, 20},
        nature={21, 22},
        sky={23},
        human={24, 25},
        vehicle={26, 27, 28, 29, 30, 31, 32, 33},
    ),
}
"""By name."""
