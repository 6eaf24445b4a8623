"""Which part of which stream to draw. Torch-free."""

from dataclasses import dataclass

from core.errors import Problem, SamplingError


@dataclass(frozen=True)
class SamplingConfig:
    """Samples ``start`` ≤ index < ``stop`` of the stream that ``seed`` names.

    Every problem is found at construction and told in one :class:`SamplingError`.
    """

    seed: int
    start: int
    stop: int
    batch: int = 16
    """Images synthesised at once. Batches begin at multiples of it, whatever ``start`` is; it is part of the stream's
    identity, since the last bit of a sum may depend on how many images are made together."""
    size: tuple[int, int] | None = None
    """(height, width) of the labels; None for the image's."""
    with_divergence: bool = False
    """Hand out each pixel's divergence as well."""
    classes: tuple[int, ...] = ()
    """Classes to draw from a conditional generator, which take turns: sample ``index`` has the class
    ``classes[index % len(classes)]``. Empty for all of them."""

    def __post_init__(self) -> None:
        problems = []
        limits = {"seed": (0, 1 << 64), "start": (0, 1 << 62), "stop": (0, 1 << 62), "batch": (1, 4096)}
        for name, (least, most) in limits.items():
            if not _is_count(getattr(self, name), least, most):
                problems.append(Problem(f"not a whole number from {least} to {most}", name))
        if not problems and self.stop < self.start:
            problems.append(Problem("before start", "stop"))
        if not all(_is_count(one, 0, 1 << 20) for one in self.classes):
            problems.append(Problem("not a list of whole numbers", "classes"))
        size = self.size
        if size is not None and not (len(size) == 2 and all(_is_count(side, 1, 1 << 16) for side in size)):
            problems.append(Problem("neither null nor (height, width)", "size"))
        if problems:
            raise SamplingError("invalid sampling settings", problems)


def _is_count(value: object, least: int, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most
