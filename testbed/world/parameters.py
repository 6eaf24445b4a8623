"""From a Gaussian vector to the named parameters of a head.

Every parameter is a smooth function of its own latents, through the normal distribution function Φ; kinds (hair style,
hat style) are cut from one latent by thresholds. Colours are chosen so that colour alone tells little: skin may be
painted, as may brows, lips and eyes, hair may match the skin, both lights are coloured, and behind the head nine
colours run into one another, out of focus, which may all lie near the skin's or the hair's.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from testbed.colours import along, blend, ramp

HAIR_STYLES = ("bald", "short", "bob", "long", "bun", "ponytail", "afro")
HAIR_SHARES = (0.10, 0.24, 0.16, 0.18, 0.10, 0.10, 0.12)
HAT_STYLES = ("cap", "brim", "beanie")
GLASSES_STYLES = ("round", "square", "dark")


@dataclass(frozen=True)
class WorldSettings:
    """How often the rare parts appear, as shares of all heads in [0, 1]."""

    glasses: float = 0.12
    hat: float = 0.12
    occluder: float = 0.15


# (name, low, high): uniform in [low, high] through Φ of one latent each.
_UNIFORM: tuple[tuple[str, float, float], ...] = (
    ("yaw", -45.0, 45.0),  # degrees, positive turns the face to the picture's right
    ("pitch", -14.0, 14.0),
    ("roll", -26.0, 26.0),
    ("zoom", 0.80, 1.14),
    ("shift_x", -0.13, 0.13),
    ("shift_y", -0.10, 0.10),
    ("head_width", 0.90, 1.12),
    ("head_height", 0.94, 1.08),
    ("jaw_width", 0.82, 1.15),
    ("jaw_length", 0.88, 1.12),
    ("neck_width", 0.8, 1.2),
    ("skin_tone", 0.0, 1.0),
    ("skin_hue", -1.0, 1.0),
    ("skin_paint", -1.0, 1.0),  # above 0 toward a freely chosen colour
    ("blush", 0.0, 1.0),
    ("hair_volume", 0.0, 1.0),
    ("hair_length", 0.75, 1.2),
    ("hairline", 0.17, 0.31),
    ("hairline_slant", -0.35, 0.35),
    ("hair_tone", 0.0, 1.0),
    ("hair_stripes", 0.0, 0.25),
    ("eye_size", 0.85, 1.25),
    ("eye_white", 0.35, 1.0),  # below 1 toward the skin's colour
    ("eye_spacing", 0.118, 0.150),
    ("eye_open", 0.55, 1.15),
    ("gaze_x", -1.0, 1.0),
    ("gaze_y", -0.6, 0.6),
    ("brow_thickness", 0.7, 1.7),
    ("brow_angle", -0.32, 0.32),
    ("brow_raise", -0.02, 0.05),
    ("brow_contrast", 0.05, 1.0),
    ("nose_length", 0.85, 1.2),
    ("nose_width", 0.8, 1.35),
    ("nose_height", 0.75, 1.3),
    ("mouth_width", 0.75, 1.3),
    ("mouth_open", 0.0, 1.0),
    ("smile", -0.45, 0.55),
    ("lip_paint", -0.4, 1.0),
    ("ear_size", 0.8, 1.3),
    ("glasses_size", 0.88, 1.18),
    ("glasses_tone", 0.0, 1.0),
    ("glasses_hue", 0.0, 1.0),
    ("hat_height", 0.85, 1.2),
    ("hat_depth", 0.16, 0.27),
    ("hat_stripes", 0.0, 0.3),
    ("light_azimuth", -75.0, 75.0),
    ("light_elevation", -10.0, 60.0),
    ("light_strength", 0.45, 1.0),
    ("light_ambient", 0.16, 0.55),
    ("wall_match", -1.0, 1.0),  # below -0.3 toward the hair's colour, above 0.3 toward the skin's
    ("hair_match", -1.0, 1.0),  # above 0.4 toward the skin's colour
    ("hair_dye", -1.0, 1.0),  # above 0.3 a freely chosen colour
    ("brow_paint", -1.0, 1.0),  # above 0 toward a freely chosen colour
    ("eye_paint", -1.0, 1.0),
    ("occluder_x", -0.55, 0.55),
    ("occluder_y", -0.75, -0.20),
    ("occluder_size", 0.13, 0.24),
)
# (name, channels): each channel uniform in [0, 1].
_COLOURS = (
    "dye",
    "paint",
    "cloth",
    "hat",
    *(f"wall_{place}" for place in range(9)),  # what stands behind, out of focus: three rows of three, from above
    "occluder",
    "brow",
    "lip",
    "eye_white",
    "iris",
    "light",
    "ambient",
)
# One latent each, cut by thresholds.
_KINDS = ("hair_style", "glasses", "hat", "occluder", "glasses_style", "hat_style")

_LATENT_NAMES: tuple[str, ...] = (
    *(name for name, _, _ in _UNIFORM),
    *(f"{colour}_{channel}" for colour in _COLOURS for channel in "rgb"),
    *_KINDS,
)
LATENT_COUNT = len(_LATENT_NAMES)
_COLUMN = {name: i for i, name in enumerate(_LATENT_NAMES)}

_SKIN = np.array([[0.20, 0.12, 0.085], [0.42, 0.26, 0.17], [0.70, 0.49, 0.36], [0.87, 0.68, 0.56], [0.97, 0.84, 0.76]])
_HAIR = np.array([[0.05, 0.045, 0.05], [0.25, 0.15, 0.09], [0.55, 0.24, 0.10], [0.84, 0.66, 0.36], [0.78, 0.78, 0.80]])

Parameters = dict[str, NDArray[np.float64]]


def head_parameters(latents: NDArray[np.floating], settings: WorldSettings | None = None) -> Parameters:
    """Turn latents into named parameters.

    Args:
        latents: [N, LATENT_COUNT], each column standard normal.
        settings: frequencies of the rare parts.

    Returns:
        name → float64 [N] for scalars and kinds, [N, 3] for linear colours in [0, 1]. Kinds are whole numbers; a kind
        that may be absent (`glasses`, `hat`) is 0 when absent and 1 + style when present; `occluder` is 0 or 1.

    Raises:
        ValueError: the latents have another number of columns.
    """
    if latents.ndim != 2 or latents.shape[1] != LATENT_COUNT:
        raise ValueError(f"latents must be [N, {LATENT_COUNT}], got {list(latents.shape)}")
    settings = settings or WorldSettings()
    share = ndtr(latents.astype(np.float64))  # [N, LATENT_COUNT], uniform in [0, 1]

    def uniform(name: str, low: float = 0.0, high: float = 1.0) -> NDArray[np.float64]:
        values: NDArray[np.float64] = low + (high - low) * share[:, _COLUMN[name]]
        return values

    p: Parameters = {name: uniform(name, low, high) for name, low, high in _UNIFORM}
    for colour in _COLOURS:
        p[colour + "_colour"] = np.stack([uniform(f"{colour}_{channel}") for channel in "rgb"], axis=1)
    p["hair_style"] = np.searchsorted(np.cumsum(HAIR_SHARES)[:-1], uniform("hair_style")).astype(np.float64)
    for name, styles, frequency in (
        ("glasses", GLASSES_STYLES, settings.glasses),
        ("hat", HAT_STYLES, settings.hat),
    ):
        style = np.minimum(np.floor(uniform(name + "_style") * len(styles)), len(styles) - 1)
        p[name] = np.where(uniform(name) > 1 - frequency, 1 + style, 0.0)
    p["occluder"] = (uniform("occluder") > 1 - settings.occluder).astype(np.float64)
    _mix_colours(p)
    return p


def _mix_colours(p: Parameters) -> None:
    """Add the colours that depend on one another: skin, hair, brows, lips, iris, wall."""
    skin = along(_SKIN, p["skin_tone"]) + p["skin_hue"][:, None] * np.array([0.05, -0.015, -0.04])
    skin = blend(np.clip(skin, 0.03, 1.0), p["paint_colour"], 0.85 * ramp(p["skin_paint"], 0.0, 0.8))
    hair = along(_HAIR, p["hair_tone"])
    hair = blend(hair, p["dye_colour"], ramp(p["hair_dye"], 0.3, 0.6))
    hair = blend(hair, 0.9 * skin, 0.8 * ramp(p["hair_match"], 0.4, 0.8))
    dark = 0.45 * np.minimum(hair, skin)
    brow = blend(0.85 * skin, dark, p["brow_contrast"])
    brow = blend(brow, p["brow_colour"], 0.9 * ramp(p["brow_paint"], 0.0, 0.6))
    redder = np.clip(skin * np.array([0.95, 0.62, 0.62]), 0, 1)
    lip = blend(redder, p["lip_colour"], 0.9 * ramp(p["lip_paint"], 0.0, 0.6))
    p.update(skin_colour=skin, hair_colour=hair, brow_colour=brow, lip_colour=np.clip(lip, 0, 1))
    like_skin, like_hair = ramp(p["wall_match"], 0.3, 0.7), ramp(-p["wall_match"], 0.3, 0.7)
    for place in range(9):
        wall = blend(p[f"wall_{place}_colour"], skin, 0.75 * like_skin)
        p[f"wall_{place}_colour"] = blend(wall, hair, 0.75 * like_hair)
    eye = blend(np.full((len(skin), 3), 0.93), p["eye_white_colour"], 0.9 * ramp(p["eye_paint"], 0.0, 0.6))
    p["eye_white_colour"] = blend(skin, eye, p["eye_white"])
    grey = p["glasses_tone"][:, None] ** 2 * np.ones(3)
    gold = np.array([0.75, 0.55, 0.2])
    p["glasses_colour"] = blend(grey, gold, 0.6 * ramp(p["glasses_hue"], 0.5, 0.8))
