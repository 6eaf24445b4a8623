"""From parameters to solids: every part of a head is an ellipsoid in the head's own frame.

The head's frame: x to the face's left (the picture's right when yaw is 0), y up, z out of the face; the skull is about
0.8 units wide and 1 unit high. One row of `Scene.solids` is one ellipsoid; a row whose class is negative is absent.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from testbed.world.parameters import HAIR_STYLES, Parameters

BACKGROUND, SKIN, HAIR, EYES, BROWS, NOSE, MOUTH, EARS, GLASSES, HAT = range(10)
CLASS_NAMES = ("background", "skin", "hair", "eyes", "brows", "nose", "mouth", "ears", "glasses", "hat")

Number = float | NDArray[np.float64]
"""One value for all heads, or one for each: float64 [N]."""

# Columns of a solid: centre, radii, turn in the face plane (cos, sin), class, surface, colour, two numbers of the rule.
(CX, CY, CZ, RX, RY, RZ, COS, SIN, CLASS, SURFACE, RED, GREEN, BLUE, RULE_A, RULE_B) = range(15)
SOLID_FIELDS = 15

# How a surface is coloured and cut; the numbers RULE_A and RULE_B mean what the line says.
PLAIN, SKIN_SURFACE, HAIR_SURFACE, HAIR_CAP, EYE_SURFACE, LIP_SURFACE, HAT_DOME, HAT_BRIM, OCCLUDER, NECK = range(10)
# HAIR_CAP: front hairline height, its slant.  HAT_DOME: lowest height.  EYE_SURFACE: gaze x, y.  LIP_SURFACE: openness.

KEYPOINT_NAMES = (
    "left_eye", "left_eye_inner", "left_eye_outer", "right_eye", "right_eye_inner", "right_eye_outer",
    "left_brow", "right_brow", "nose_bridge", "nose_tip", "mouth_left", "mouth_right", "mouth_centre",
    "chin", "left_ear", "right_ear", "crown",
)  # fmt: skip


@dataclass(frozen=True)
class Scene:
    """Solids and flat parts of N heads, ready for the ray caster.

    Attributes:
        solids: float64 [N, S, SOLID_FIELDS].
        keypoints: float64 [N, K, 3], in the head's frame.
        glasses: float64 [N, 8]: style (0 none), eye spacing, eye height, lens radius, plane z, colour.
    """

    solids: NDArray[np.float64]
    keypoints: NDArray[np.float64]
    glasses: NDArray[np.float64]


def build_scene(p: Parameters) -> Scene:
    """Lay out the solids of N heads."""
    count = len(p["yaw"])
    rows: list[NDArray[np.float64]] = []

    def add(
        centre: tuple[Number, Number, Number],
        radii: tuple[Number, Number, Number],
        class_id: int,
        surface: int,
        colour: NDArray[np.float64],
        *,
        turn: Number = 0.0,
        rule: tuple[Number, Number] = (0.0, 0.0),
        present: bool | NDArray[np.bool_] = True,
    ) -> None:
        row = np.empty((count, SOLID_FIELDS))
        for column, value in zip((CX, CY, CZ, RX, RY, RZ), (*centre, *radii), strict=True):
            row[:, column] = value
        row[:, COS], row[:, SIN] = np.cos(turn), np.sin(turn)
        row[:, CLASS] = np.where(present, class_id, -1)
        row[:, SURFACE] = surface
        row[:, RED : BLUE + 1] = colour
        row[:, RULE_A], row[:, RULE_B] = rule
        rows.append(row)

    skull = _Skull(p)
    skin = p["skin_colour"]
    add(skull.cranium[0], skull.cranium[1], SKIN, SKIN_SURFACE, skin)
    add(skull.jaw[0], skull.jaw[1], SKIN, SKIN_SURFACE, skin)
    add((0.0, -0.62, -0.07), (0.145 * p["neck_width"], 0.5, 0.15), SKIN, NECK, 0.93 * skin)
    add((0.0, -1.02, -0.09), (0.62, 0.36, 0.32), BACKGROUND, PLAIN, p["cloth_colour"])
    face = _add_face(add, p, skull)
    _add_hair(add, p, skull)
    _add_hat(add, p, skull)
    add((p["occluder_x"], p["occluder_y"], 0.9), (p["occluder_size"],) * 3, BACKGROUND, OCCLUDER, p["occluder_colour"],
        present=p["occluder"] > 0)  # fmt: skip
    lens = 0.098 * p["glasses_size"]
    glasses = np.stack(
        [p["glasses"], face["eye_x"], face["eye_y"] * np.ones(count), lens, face["eye_z"] + 0.055], axis=1
    )
    return Scene(np.stack(rows, axis=1), face["keypoints"], np.concatenate([glasses, p["glasses_colour"]], axis=1))


class _Add(Protocol):
    """Add one solid of each head."""

    def __call__(
        self,
        centre: tuple[Number, Number, Number],
        radii: tuple[Number, Number, Number],
        class_id: int,
        surface: int,
        colour: NDArray[np.float64],
        *,
        turn: Number = 0.0,
        rule: tuple[Number, Number] = (0.0, 0.0),
        present: bool | NDArray[np.bool_] = True,
    ) -> None: ...


class _Skull:
    """Cranium and jaw, and the height of the face's surface over a point of the face plane."""

    def __init__(self, p: Parameters) -> None:
        w, h = p["head_width"], p["head_height"]
        self.width, self.height = w, h
        self.cranium = ((0.0, 0.11 * h, -0.04), (0.315 * w, 0.385 * h, 0.37))
        self.jaw = ((0.0, -0.15 * h, 0.075), (0.235 * w * p["jaw_width"], 0.30 * h * p["jaw_length"], 0.262))
        self.chin_y = self.jaw[0][1] - self.jaw[1][1]

    def surface(self, x: Number, y: Number) -> NDArray[np.float64]:
        """Largest z of the skull at (x, y)."""
        heights = []
        for (cx, cy, cz), (rx, ry, rz) in (self.cranium, self.jaw):
            inside = 1 - ((x - cx) / rx) ** 2 - ((y - cy) / ry) ** 2
            heights.append(cz + rz * np.sqrt(np.maximum(inside, 0.0)))
        return np.maximum(*heights)


def _add_face(add: _Add, p: Parameters, skull: _Skull) -> dict[str, NDArray[np.float64]]:
    """Eyes, brows, nose, mouth, ears; returns where they are."""
    skin, h = p["skin_colour"], skull.height
    eye_x, eye_y = p["eye_spacing"] * skull.width, 0.045 * h
    eye_rx, eye_ry = 0.062 * p["eye_size"], 0.041 * p["eye_size"] * p["eye_open"]
    eye_z = skull.surface(eye_x, eye_y)
    white = p["eye_white_colour"]
    points: dict[str, tuple[Number, Number, Number]] = {}
    brow_y = eye_y + 0.088 * h + p["brow_raise"]
    for side, name in ((1.0, "left"), (-1.0, "right")):
        x = side * eye_x
        add(
            (x, eye_y, eye_z - 0.012),
            (eye_rx, eye_ry, 0.042),
            EYES,
            EYE_SURFACE,
            white,
            rule=(p["gaze_x"], p["gaze_y"]),
        )
        brow_z = skull.surface(x, brow_y)
        add((x, brow_y, brow_z - 0.012), (0.084, 0.0165 * p["brow_thickness"], 0.034), BROWS, PLAIN, p["brow_colour"],
            turn=-side * p["brow_angle"])  # fmt: skip
        ear_x = side * (skull.cranium[1][0] + 0.012)
        add((ear_x, 0.0, -0.03), (0.042, 0.092 * p["ear_size"], 0.064 * p["ear_size"]), EARS, PLAIN, 0.95 * skin)
        points[f"{name}_eye"] = (x, eye_y, eye_z + 0.02)
        points[f"{name}_eye_inner"] = (x - side * 0.95 * eye_rx, eye_y, eye_z)
        points[f"{name}_eye_outer"] = (x + side * 0.95 * eye_rx, eye_y, eye_z - 0.02)
        points[f"{name}_brow"] = (x, brow_y, brow_z + 0.02)
        points[f"{name}_ear"] = (ear_x + side * 0.04, 0.0, -0.03)
    nose_y = -0.085 * h * p["nose_length"]
    nose_z = skull.surface(0.0 * eye_x, nose_y)
    rise = p["nose_height"]
    add((0.0, nose_y + 0.055, nose_z - 0.005), (0.036 * p["nose_width"], 0.115 * p["nose_length"], 0.062 * rise),
        NOSE, PLAIN, skin)  # fmt: skip
    add((0.0, nose_y - 0.012, nose_z + 0.012), (0.056 * p["nose_width"], 0.044, 0.078 * rise), NOSE, PLAIN, skin)
    points["nose_bridge"] = (0.0, nose_y + 0.13, nose_z + 0.03 * rise)
    points["nose_tip"] = (0.0, nose_y - 0.01, nose_z + 0.09 * rise)
    mouth_y = -0.245 * h * (0.5 + 0.5 * p["jaw_length"])
    half = 0.066 * p["mouth_width"]
    lip_ry = 0.021 + 0.026 * p["mouth_open"]
    for side in (1.0, -1.0):
        x = side * 0.55 * half
        z = skull.surface(x, mouth_y)
        add((x, mouth_y, z - 0.018), (1.15 * half, lip_ry, 0.04), MOUTH, LIP_SURFACE, p["lip_colour"],
            turn=side * p["smile"] * 0.7, rule=(p["mouth_open"], 0.0))  # fmt: skip
    corner_x, corner_y = 1.6 * half, mouth_y + 0.75 * half * p["smile"]
    corner_z = skull.surface(corner_x, corner_y)
    points["mouth_left"] = (corner_x, corner_y, corner_z)
    points["mouth_right"] = (-corner_x, corner_y, corner_z)
    points["mouth_centre"] = (0.0, mouth_y, skull.surface(0.0 * half, mouth_y) + 0.02)
    points["chin"] = (0.0, skull.chin_y + 0.03, 0.19)
    points["crown"] = (0.0, skull.cranium[0][1] + skull.cranium[1][1], -0.04)
    count = len(eye_x)
    keypoints = np.stack(
        [np.stack([np.broadcast_to(v, count) for v in points[name]], axis=1) for name in KEYPOINT_NAMES], axis=1
    )
    return {"eye_x": eye_x, "eye_y": eye_y, "eye_z": eye_z, "keypoints": keypoints}


def _add_hair(add: _Add, p: Parameters, skull: _Skull) -> None:
    """A cap over the skull and, by style, curtains, a bun, a tail or a globe."""
    style, colour, length, w = p["hair_style"], p["hair_colour"], p["hair_length"], skull.width
    kind = {name: style == i for i, name in enumerate(HAIR_STYLES)}
    bare = p["hat"] == 0
    volume = np.where(bare, 0.035 + 0.06 * p["hair_volume"], 0.03)  # a hat presses the hair down
    (cx, cy, cz), (rx, ry, rz) = skull.cranium
    globe = np.where(kind["afro"] & bare, 0.10 + 0.08 * p["hair_volume"], 0.0)
    cap = (rx + volume + globe, ry + volume + 0.8 * globe, rz + volume + globe)
    add((cx, cy + 0.015, cz - 0.02), cap, HAIR, HAIR_CAP, colour,
        rule=(p["hairline"], p["hairline_slant"]), present=~kind["bald"])  # fmt: skip
    hanging = kind["bob"] | kind["long"]
    reach = np.where(kind["long"], 0.46, 0.29) * length
    for side in (1.0, -1.0):
        add((side * (0.262 * w + 0.02), 0.10 - reach, -0.06), (0.095 + volume, reach + 0.06, 0.20), HAIR, HAIR_SURFACE,
            colour, present=hanging)  # fmt: skip
    add((0.0, 0.08 - reach, -0.24), (0.30 * w, reach + 0.1, 0.16), HAIR, HAIR_SURFACE, colour, present=hanging)
    add(
        (0.0, cy + ry + 0.10, -0.14),
        (0.125 + 0.4 * volume, 0.12, 0.12),
        HAIR,
        HAIR_SURFACE,
        colour,
        present=kind["bun"] & bare,
    )
    tail_side = np.where(p["hairline_slant"] > 0, 1.0, -1.0)
    add((tail_side * 0.29 * w, 0.02 - 0.2 * length, -0.34), (0.10, 0.32 * length, 0.12), HAIR, HAIR_SURFACE, colour,
        turn=tail_side * 0.3, present=kind["ponytail"])  # fmt: skip


def _add_hat(add: _Add, p: Parameters, skull: _Skull) -> None:
    style, colour = p["hat"], p["hat_colour"]
    (cx, cy, cz), (rx, ry, rz) = skull.cranium
    low = p["hat_depth"] + 0.04
    room = 0.095
    add((cx, cy + 0.02, cz), (rx + room, (ry + room) * p["hat_height"], rz + room), HAT, HAT_DOME, colour,
        rule=(low, 0.0), present=style > 0)  # fmt: skip
    brim = 0.8 * colour + 0.02
    add((0.0, low, 0.30), (0.27, 0.03, 0.30), HAT, HAT_BRIM, brim, present=style == 1)
    add((0.0, low, cz), (rx + 0.27, 0.036, rz + 0.25), HAT, HAT_BRIM, brim, present=style == 2)
    add((0.0, low + 0.015, cz), (rx + 0.105, 0.058, rz + 0.105), HAT, HAT_BRIM, brim, present=style == 3)
