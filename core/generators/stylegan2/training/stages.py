"""Sizes that a training goes through, and the share of the budget that each gets."""

from dataclasses import dataclass, replace

from core.generators.stylegan2.training.config import GanConfig

SMALLEST = 16
"""Pixels of the longer side of the first size."""
SHARES = (0.75, 0.2, 0.05)
"""Of the full size, of half of it, and of all smaller ones together."""
SMALL_BATCH = 2
"""Sizes below the full one have the batch times it."""


@dataclass(frozen=True)
class Stage:
    """A size: that of the images divided by ``factor``, a power of two."""

    factor: int
    share: float


def stages(resolution: tuple[int, int], progressive: bool, start_height: int = 0) -> tuple[Stage, ...]:
    """Return the sizes in order, the full one last. start_height: of a generator to begin with, whose own size is the
    first; 0 without one.
    """
    factors = [1]
    while progressive and not any(side % (2 * factors[-1]) for side in resolution):
        factor = 2 * factors[-1]
        if max(resolution) // factor < SMALLEST or resolution[0] // factor < start_height:
            break
        factors.append(factor)
    shares = list(SHARES[: len(factors)])
    if len(factors) > len(SHARES):
        small = len(factors) - len(SHARES) + 1
        shares = [*SHARES[:-1], *[SHARES[-1] / small] * small]
    shares[-1] += 1 - sum(shares)
    return tuple(Stage(factor, share) for factor, share in reversed(list(zip(factors, shares, strict=True))))


def stage_config(config: GanConfig, stage: Stage, kimg: float, ada_p: float) -> GanConfig:
    """Return the settings of a size. R1's weight falls with the number of pixels; its default does so by itself."""
    if stage.factor == 1:
        return replace(config, kimg=kimg, ada_p=ada_p)
    gamma = config.r1_gamma
    if gamma:
        gamma = max(min(0.1, gamma), gamma / stage.factor**2)
    return replace(config, kimg=kimg, ada_p=ada_p, r1_gamma=gamma, batch=SMALL_BATCH * config.batch)
