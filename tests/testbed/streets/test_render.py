"""The renderer's truth, held against geometry that can be worked out by hand."""

import numpy as np
import pytest

from testbed.streets import CLASS_NAMES, LATENT_COUNT, StreetSettings, draw_latents, render, street_parameters
from testbed.streets.render import projected
from testbed.streets.scene import person_places

ROAD, SKY, VEHICLE = (CLASS_NAMES.index(name) for name in ("road", "sky", "vehicle"))


@pytest.fixture(scope="module")
def parameters():
    return street_parameters(draw_latents(7, 0, 64))


@pytest.fixture(scope="module")
def streets(parameters):
    return render(parameters)


def level_street(**places: float):
    """A straight, empty street of average parameters, seen along it from its middle, with what `places` puts there."""
    p = street_parameters(np.zeros((1, LATENT_COUNT), np.float32))
    for name in ("yaw", "pitch", "roll", "curve", "camera_x", "vehicle", "person", "sign", "lamp", "trees"):
        p[name] = np.zeros_like(p[name])
    for name, value in places.items():
        p[name] = np.full_like(p[name], value)
    return p


def rays_down(p, size: int = 64):
    """Depth at which each of a level camera's ray rows meets the ground, [2 · size]; infinite above the horizon."""
    v = 1 - (np.arange(2 * size) + 0.5) / size
    with np.errstate(divide="ignore"):
        return np.where(v < 0, p["camera_height"] / (-v * p["half_view"]), np.inf)


def test_a_street_depends_on_seed_and_index_alone():
    alone, among = draw_latents(3, 17, 1), draw_latents(3, 10, 20)
    assert alone.shape == (1, LATENT_COUNT)
    assert np.array_equal(alone[0], among[7])
    assert not np.array_equal(draw_latents(4, 17, 1), alone)


def test_rendering_twice_gives_equal_bytes_whatever_the_batch(streets):
    again = render(street_parameters(draw_latents(7, 5, 9)))
    for name, value in vars(again).items():
        assert np.array_equal(value, vars(streets)[name][5:14]), name


def test_shapes_and_types(streets):
    assert streets.images.shape == (64, 64, 64, 3)
    assert (streets.images.dtype, streets.masks.dtype, streets.depth.dtype) == (np.uint8, np.uint8, np.float32)
    assert streets.masks.shape == streets.depth.shape == (64, 64, 64)
    assert set(np.unique(streets.masks)) == set(range(len(CLASS_NAMES)))


def test_parts_come_as_often_as_asked():
    latents = draw_latents(11, 0, 400)
    p = street_parameters(latents, StreetSettings(vehicle=0.5, person=0.0, sign=1.0, lamp=0.0, trees=0.25))
    assert np.mean(p["vehicle"]) == pytest.approx(0.5, abs=0.05)
    assert np.mean(p["trees"]) == pytest.approx(0.25, abs=0.06)
    assert p["sign"].all()
    seen = render({name: value[:40] for name, value in p.items()}).masks
    shown = {name: (seen == i).any((1, 2)).mean() for i, name in enumerate(CLASS_NAMES)}
    assert shown["person"] == 0
    assert shown["vehicle"] > 0.7
    assert shown["sign"] > 0.7


def test_depth_of_the_road_is_that_of_a_plane():
    p = level_street(camera_height=2.0, half_view=0.5)
    seen = render(p)
    # Row 47 from above, its rays 15.25 / 32 and 15.75 / 32 of the half view below the horizon.
    by_hand = 0.5 * (2.0 / (0.5 * 15.25 / 32) + 2.0 / (0.5 * 15.75 / 32))
    assert seen.masks[0, 47, 32] == ROAD
    assert seen.depth[0, 47, 32] == pytest.approx(by_hand, rel=1e-6)


def test_the_back_of_a_bus_is_where_the_bus_stands():
    # The third vehicle drives ahead; a bus is 9.2 m long, and its back narrows by 3 % of half its length to the roof.
    p = level_street(vehicle_kind=2, vehicle_turn=0.0, vehicle_place=0.5)
    p["vehicle"][0, 2] = 1
    seen = render(p)
    back = seen.depth[0][seen.masks[0] == VEHICLE]
    assert len(back) > 60
    assert np.median(back) == pytest.approx(13.0, abs=0.14)
    assert back.min() >= 13.0 - 1e-6


def test_depth_is_zero_in_the_sky_and_nowhere_else(streets):
    assert np.array_equal(streets.depth == 0, streets.masks == SKY)
    assert streets.depth[streets.masks != SKY].min() > 1
    assert streets.depth.max() < 100 / np.cos(np.deg2rad(9)) * 1.05


def test_a_nearer_thing_hides_what_is_behind_it():
    bare, full = (render(level_street(vehicle=present, vehicle_place=0.2)) for present in (0.0, 1.0))
    hidden = full.masks[0] == VEHICLE
    inside = hidden.copy()
    for axis in (0, 1):
        for step in (-1, 1):
            inside &= np.roll(hidden, step, axis)
    behind = np.where(bare.depth[0] > 0, bare.depth[0], np.inf)
    assert inside.sum() > 50
    assert (full.depth[0][inside] < behind[inside]).all()
    same = full.masks[0] == bare.masks[0]
    assert np.array_equal(full.depth[0][same & (bare.masks[0] == SKY)], np.zeros((same & (bare.masks[0] == SKY)).sum()))


def test_every_pixel_of_the_road_lies_on_the_ground():
    p = level_street(camera_height=1.7)
    seen = render(p)
    rows = rays_down(p).reshape(64, 2)
    nearest, farthest = rows.min(1), rows.max(1)
    at = np.nonzero(seen.masks[0] == ROAD)
    assert len(at[0]) > 500
    assert (seen.depth[0][at] >= nearest[at[0]] - 1e-4).all()
    assert (seen.depth[0][at] <= farthest[at[0]] + 1e-4).all()


def test_normals_point_up_on_the_road_and_toward_the_camera_on_a_back():
    p = level_street(vehicle_kind=2, vehicle_turn=0.0, vehicle_place=0.5)
    p["vehicle"][0, 2] = 1
    seen = render(p)
    assert np.allclose(seen.normals[0][seen.masks[0] == ROAD], [0, 1, 0], atol=1e-6)
    assert np.median(seen.normals[0, ..., 2][seen.masks[0] == VEHICLE]) > 0.99
    assert np.all(seen.normals[0][seen.masks[0] == SKY] == 0)


def test_turning_the_view_to_the_right_moves_the_street_to_the_left():
    columns = np.arange(64)
    centres = []
    for yaw in (-12.0, 0.0, 12.0):
        road = render(level_street(yaw=yaw)).masks[0, 40] == ROAD
        centres.append(columns[road].mean())
    assert centres[0] > centres[1] > centres[2]
    assert centres[1] == pytest.approx(31.5, abs=0.5)


def test_a_larger_picture_shows_the_same_street(parameters, streets):
    few = {name: value[:4] for name, value in parameters.items()}
    shrunk = render(few, 128).images.reshape(4, 64, 2, 64, 2, 3).mean((2, 4))
    assert np.abs(shrunk - streets.images[:4]).mean() < 4


def test_latents_of_another_size_are_refused():
    with pytest.raises(ValueError, match=str(LATENT_COUNT)):
        street_parameters(np.zeros((1, 3), np.float32))


def test_a_point_is_projected_to_where_it_is_seen():
    p = level_street(yaw=5.0, pitch=-4.0, roll=3.0, person_across=0.3, person_place=0.1)
    p["person"][0, 2] = 1
    x, z, height = person_places(p)[0, 2]
    u, v, depth = projected(p, np.array([[[x, 0.64 * height, z]]]))[0, 0]
    seen = render(p)
    row, column = int((1 - v) * 32), int((1 + u) * 32)
    assert seen.masks[0, row, column] == CLASS_NAMES.index("person")
    assert seen.depth[0, row, column] == pytest.approx(depth - 0.22, abs=0.1)
