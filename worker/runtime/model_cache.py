"""Models of the child, loaded once and kept while they fit."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import TypeVar, cast

from store.settings import Settings

#: Models kept at once: a generator with its encoder, its perceptual distance and a labeler or two.
_KEPT = 8
T = TypeVar("T")


class Models:
    """Whatever is costly to load, by a key that names its content (a digest, an id that never changes its meaning)."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._loaded: OrderedDict[str, object] = OrderedDict()

    def get(self, key: str, load: Callable[[], T]) -> T:
        """The model of `key`, loaded by `load` unless it is here already; the longest unused one makes room."""
        if key not in self._loaded:
            self._loaded[key] = load()
        self._loaded.move_to_end(key)
        while len(self._loaded) > _KEPT:
            self._loaded.popitem(last=False)
        return cast(T, self._loaded[key])

    @property
    def device(self) -> str:
        """`cuda` or `cpu`: the settings', or what is there."""
        if self._settings.worker.device != "auto":
            return self._settings.worker.device
        # Imported here: steps without torch, in tests, should not wait for it.
        import torch

        return "cuda" if torch.cuda.is_available() else "cpu"
