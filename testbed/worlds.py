"""The worlds of the testbed behind one face: labelled scenes by stream, and what a latent means."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from testbed import examples, streets, world
from testbed.latents import normalise


class Scenes(Protocol):
    """N rendered scenes: images uint8 [N, S, S, 3], masks uint8 [N, S, S], depth float32 [N, S, S], 0 where unknown."""

    @property
    def images(self) -> NDArray[np.uint8]: ...
    @property
    def masks(self) -> NDArray[np.uint8]: ...
    @property
    def depth(self) -> NDArray[np.float32]: ...


@dataclass(frozen=True)
class World:
    """``things``: what its scenes are, in the plural. ``labelled(seed, count, start)``: scenes of a stream.
    ``meant(z)``: the scenes that latents mean to a generator taught by the renderer, which knows their truth. ``rare``:
    a class that few scenes show. ``keypoints``: their names, and float32 [N, K, 3] of scenes.
    """

    name: str
    things: str
    generator: str
    classes: tuple[str, ...]
    rare: str
    labelled: Callable[[int, int, int], Scenes]
    meant: Callable[[NDArray[np.float32]], Scenes]
    keypoints: tuple[str, ...] = ()
    points: Callable[[Scenes], NDArray[np.float32]] | None = None


def _head_points(heads: Scenes) -> NDArray[np.float32]:
    """x, y, and 2 where visible, else 1."""
    assert isinstance(heads, world.Rendering)
    seen = np.where(heads.visible, 2, 1).astype(np.float32)
    return np.concatenate([heads.keypoints, seen[..., None]], axis=2)


def _streets(seed: int, count: int, start: int) -> Scenes:
    return streets.render(streets.street_parameters(streets.draw_latents(seed, start, count)))


HEADS = World(
    "heads", "heads", "heads64", tuple(world.CLASS_NAMES), "hat", examples.labelled_heads,
    lambda z: world.render(world.head_parameters(normalise(z))), tuple(world.KEYPOINT_NAMES), _head_points,
)  # fmt: skip
STREETS = World(
    "streets", "street scenes", "streets64", tuple(streets.CLASS_NAMES), "person", _streets,
    lambda z: streets.render(streets.street_parameters(normalise(z))),
)  # fmt: skip
WORLDS = {one.name: one for one in (HEADS, STREETS)}
