"""From a Gaussian vector to the named parameters of a street.

Every parameter is a smooth function of its own latents, through the normal distribution function Φ; kinds and presence
are cut from one latent by thresholds. Colours are chosen so that colour alone tells little: the pavement may have the
road's colour, walls the sky's, leaves, clothes and cars any; both lights are coloured, and haze takes the horizon's
colour.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from testbed.colours import along, blend, ramp
from testbed.latents import draw_stream

SIDES = 2  # left, right
HOUSES = 3  # on each side, the nearest first
TREES = 3  # on each side, the nearest first
VEHICLES = 4  # parked left, parked right, driving ahead, oncoming
PEOPLE = 3  # left pavement, right pavement, crossing
VEHICLE_KINDS = ("car", "van", "bus")
SIGN_KINDS = ("disc", "plate", "lights")
CROWN_KINDS = ("round", "tall", "fir")


@dataclass(frozen=True)
class StreetSettings:
    """How often the parts stand in their places, as shares in [0, 1].

    A place is one of `VEHICLES`, `PEOPLE`, `SIDES`; ``trees`` is the share of sides that have a row of them.
    """

    vehicle: float = 0.55
    person: float = 0.45
    sign: float = 0.6
    lamp: float = 0.6
    trees: float = 0.65


# (name, places, low, high): uniform in [low, high] through Φ of one latent a place; 0 places: one for the street.
_UNIFORM: tuple[tuple[str, int, float, float], ...] = (
    ("yaw", 0, -16.0, 16.0),  # degrees, positive turns the view to the right
    ("pitch", 0, -9.0, 3.0),  # positive looks up
    ("roll", 0, -5.0, 5.0),
    ("half_view", 0, 0.58, 0.82),  # tangent of half the angle of view
    ("camera_x", 0, -0.9, 0.9),  # across, in half widths of the road
    ("camera_height", 0, 1.3, 3.0),  # metres, as all that follow
    ("curve", 0, -0.0045, 0.0045),  # 1 / metres: the middle of the road is at x = curve · z²
    ("half_road", 0, 2.9, 5.0),
    ("pavement_width", 0, 1.8, 3.6),
    ("mark_phase", 0, 0.0, 6.0),
    ("mark_contrast", 0, 0.25, 0.8),
    ("zebra", 0, -14.0, 22.0),  # below 6: none
    ("road_tone", 0, 0.0, 1.0),
    ("road_paint", 0, -1.0, 1.0),  # above 0.2 toward a freely chosen colour
    ("pavement_match", 0, -1.0, 1.0),  # above -0.2 toward the road's colour
    ("lawn_match", 0, -1.0, 1.0),  # above 0 toward the pavement's colour
    ("house_height", HOUSES * SIDES, 3.5, 15.0),
    ("house_tint", HOUSES * SIDES, 0.0, 1.0),
    ("house_length", SIDES, 9.0, 16.0),
    ("house_start", SIDES, -3.0, 9.0),
    ("house_gap", SIDES, -2.0, 6.0),
    ("setback", SIDES, 0.3, 5.0),
    ("window_tone", SIDES, -1.0, 1.0),  # below 0 darker than the wall, above brighter
    ("window_share", SIDES, 0.35, 0.65),
    ("roof", SIDES, -1.0, 1.0),  # below 0 flat
    ("roof_tone", SIDES, 0.2, 1.0),
    ("tree_start", SIDES, 4.0, 11.0),
    ("tree_spacing", SIDES, 6.0, 14.0),
    ("tree_height", SIDES, 4.0, 8.0),
    ("tree_width", SIDES, 1.0, 2.1),
    ("leaf_tone", SIDES, 0.0, 1.0),
    ("leaf_paint", SIDES, -1.0, 1.0),  # above 0.3 toward a freely chosen colour
    ("leaf_waves", SIDES, 0.05, 0.35),
    ("vehicle_place", VEHICLES, 0.0, 1.0),  # along the road
    ("vehicle_turn", VEHICLES, -9.0, 9.0),  # degrees
    ("person_place", PEOPLE, 0.0, 1.0),
    ("person_across", PEOPLE, -0.8, 0.8),
    ("person_height", PEOPLE, 1.45, 1.95),
    ("person_tone", PEOPLE, 0.0, 1.0),
    ("person_trousers", PEOPLE, 0.1, 1.1),
    ("sign_place", SIDES, 5.0, 15.0),
    ("sign_size", SIDES, 0.42, 0.75),
    ("sign_height", SIDES, 2.1, 3.2),
    ("lamp_place", SIDES, 6.0, 20.0),
    ("lamp_height", SIDES, 4.5, 7.5),
    ("pole_tone", 0, 0.08, 0.85),
    ("sun_azimuth", 0, -180.0, 180.0),
    ("sun_elevation", 0, 14.0, 62.0),
    ("sun_strength", 0, 0.25, 1.1),
    ("ambient", 0, 0.2, 0.6),
    ("shadow", 0, 0.0, 0.65),
    ("daylight", 0, 0.5, 1.15),
    ("sky_tone", 0, 0.0, 1.0),
    ("sky_fade", 0, 0.0, 1.0),
    ("sky_paint", 0, -1.0, 1.0),  # above 0.2 toward a freely chosen colour
    ("cloud", 0, 0.0, 0.16),
    ("cloud_phase", 0, 0.0, 6.3),
    ("wall_match", 0, -1.0, 1.0),  # above 0.3 toward the sky's colour
    ("haze", 0, 0.0, 1.0),
    ("hill_height", 0, 4.0, 22.0),
    ("hill_phase", 0, 0.0, 6.3),
    ("hill_paint", 0, -1.0, 1.0),  # above 0.4 toward a freely chosen colour
)
# (name, places): each channel uniform in [0, 1].
_COLOURS: tuple[tuple[str, int], ...] = (
    ("road", 0),
    ("pavement", 0),
    ("lawn", 0),
    ("house", 2 * SIDES),  # the houses of a side lie between its two colours
    ("leaf", SIDES),
    ("vehicle", VEHICLES),
    ("person", PEOPLE),
    ("sign", SIDES),
    ("sky", 0),
    ("hill", 0),
    ("light", 0),
    ("ambient", 0),
)
# (name, places): one latent each, cut by thresholds.
_CUTS: tuple[tuple[str, int], ...] = (
    ("vehicle", VEHICLES),
    ("vehicle_kind", VEHICLES),
    ("person", PEOPLE),
    ("sign", SIDES),
    ("sign_kind", SIDES),
    ("lamp", SIDES),
    ("trees", SIDES),
    ("crown", SIDES),
    ("marks", 0),
    ("hill", 0),
)


def _columns() -> dict[str, slice]:
    """Which latents belong to which number (`name`), colour (`name.colour`) or cut (`name.cut`)."""
    widths = [(name, max(1, places)) for name, places, _, _ in _UNIFORM]
    widths += [(f"{name}.colour", 3 * max(1, places)) for name, places in _COLOURS]
    widths += [(f"{name}.cut", max(1, places)) for name, places in _CUTS]
    ends = np.cumsum([width for _, width in widths]).tolist()
    return {name: slice(end - width, end) for (name, width), end in zip(widths, ends, strict=True)}


_COLUMNS = _columns()
LATENT_COUNT = max(columns.stop for columns in _COLUMNS.values())

_ASPHALT = np.array(
    [[0.12, 0.12, 0.13], [0.30, 0.30, 0.31], [0.50, 0.48, 0.46], [0.62, 0.45, 0.36], [0.75, 0.73, 0.70]]
)
_LEAVES = np.array([[0.10, 0.26, 0.09], [0.28, 0.47, 0.16], [0.62, 0.58, 0.16], [0.66, 0.32, 0.10], [0.80, 0.66, 0.70]])
_SKY = np.array([[0.10, 0.12, 0.25], [0.25, 0.45, 0.80], [0.50, 0.68, 0.90], [0.72, 0.74, 0.77], [0.90, 0.62, 0.45]])
_SKIN = np.array([[0.22, 0.13, 0.09], [0.55, 0.36, 0.25], [0.92, 0.75, 0.64]])

Parameters = dict[str, NDArray[np.float64]]


def draw_latents(seed: int, start: int, count: int) -> NDArray[np.float32]:
    """Streets `start … start + count - 1` of stream `seed` as latents, float32 [count, LATENT_COUNT]."""
    return draw_stream(seed, start, count, LATENT_COUNT)


def street_parameters(latents: NDArray[np.floating], settings: StreetSettings | None = None) -> Parameters:
    """Turn latents into named parameters.

    Args:
        latents: [N, LATENT_COUNT], each column standard normal.
        settings: frequencies of the parts.

    Returns:
        name → float64 [N] for what a street has once, [N, places] for what it has in several places; colours with a
        last axis of 3, linear in [0, 1]. Presence (`vehicle`, `person`, `sign`, `lamp`, `trees`) is 0 or 1,
        kinds are whole numbers, indices of the names above; `marks` 0 none, 1 dashes, 2 a line;
        `hill` 0 trees, 1 houses.

    Raises:
        ValueError: the latents have another number of columns.
    """
    if latents.ndim != 2 or latents.shape[1] != LATENT_COUNT:
        raise ValueError(f"latents must be [N, {LATENT_COUNT}], got {list(latents.shape)}")
    settings = settings or StreetSettings()
    share = ndtr(latents.astype(np.float64))  # [N, LATENT_COUNT], uniform in [0, 1]
    p: Parameters = {}
    for name, places, low, high in _UNIFORM:
        values = low + (high - low) * share[:, _COLUMNS[name]]
        p[name] = values if places else values[:, 0]
    for name, places in _COLOURS:
        values = share[:, _COLUMNS[f"{name}.colour"]]
        p[f"{name}_colour"] = values.reshape(len(values), places, 3) if places else values
    cut = {name: share[:, _COLUMNS[f"{name}.cut"]] for name, _ in _CUTS}
    for name in ("vehicle", "person", "sign", "lamp", "trees"):
        p[name] = (cut[name] > 1 - getattr(settings, name)).astype(np.float64)
    p["vehicle_kind"] = _kind(cut["vehicle_kind"], (0.55, 0.25, 0.20))
    p["sign_kind"] = _kind(cut["sign_kind"], (0.4, 0.3, 0.3))
    p["crown"] = _kind(cut["crown"], (0.45, 0.3, 0.25))
    p["marks"] = _kind(cut["marks"][:, 0], (0.25, 0.45, 0.30))
    p["hill"] = _kind(cut["hill"][:, 0], (0.5, 0.5))
    _mix_colours(p)
    return p


def _kind(share: NDArray[np.float64], shares: tuple[float, ...]) -> NDArray[np.float64]:
    return np.searchsorted(np.cumsum(shares)[:-1], share).astype(np.float64)


def _mix_colours(p: Parameters) -> None:
    """The colours that depend on one another: ground, sky, walls, leaves, skin."""
    road = blend(along(_ASPHALT, p["road_tone"]), p["road_colour"], 0.7 * ramp(p["road_paint"], 0.2, 0.8))
    pavement = 0.15 + 0.7 * p["pavement_colour"]
    pavement = blend(pavement, 0.12 + 0.9 * road, 0.85 * ramp(p["pavement_match"], -0.2, 0.3))
    lawn = blend(0.2 + 0.5 * p["lawn_colour"], pavement, 0.8 * ramp(p["lawn_match"], 0.0, 0.5))
    zenith = blend(along(_SKY, p["sky_tone"]), p["sky_colour"], 0.7 * ramp(p["sky_paint"], 0.2, 0.8))
    horizon = blend(zenith, np.full_like(zenith, 0.9), 0.25 + 0.4 * p["sky_fade"])
    walls = blend(
        0.1 + 0.8 * p["house_colour"], horizon[:, None], 0.75 * ramp(p["wall_match"], 0.3, 0.7)[:, None] * np.ones(4)
    )
    near, far = walls[:, 0::2], walls[:, 1::2]  # [N, SIDES, 3]
    tint = p["house_tint"].reshape(-1, SIDES, HOUSES)
    leaf = blend(along(_LEAVES, p["leaf_tone"]), p["leaf_colour"], 0.85 * ramp(p["leaf_paint"], 0.3, 0.7))
    built = blend(np.mean(walls, axis=1), horizon, np.full(len(road), 0.3))
    hill = np.where(p["hill"][:, None] > 0, built, 0.8 * np.mean(leaf, axis=1))
    p.update(
        road_colour=road, pavement_colour=pavement, lawn_colour=lawn, zenith_colour=zenith, horizon_colour=horizon,
        leaf_colour=leaf, house_colour=blend(near[:, :, None], far[:, :, None], tint),
        hill_colour=blend(hill, p["hill_colour"], 0.8 * ramp(p["hill_paint"], 0.4, 0.8)),
        skin_colour=along(_SKIN, p["person_tone"]),
    )  # fmt: skip
