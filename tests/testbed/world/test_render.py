"""The renderer's truth, held against geometry that can be worked out by hand."""

import numpy as np
import pytest

from testbed.world import (
    CLASS_NAMES,
    KEYPOINT_NAMES,
    LATENT_COUNT,
    WorldSettings,
    draw_latents,
    head_parameters,
    render,
)


@pytest.fixture(scope="module")
def heads():
    return render(head_parameters(draw_latents(7, 0, 48)))


def without_extras(count: int):
    """Heads of all-average parameters: no glasses, no hat, no occluder, looking at the camera."""
    return head_parameters(np.zeros((count, LATENT_COUNT), np.float32))


def test_a_head_depends_on_seed_and_index_alone():
    alone = draw_latents(3, 17, 1)
    among = draw_latents(3, 10, 20)
    assert np.array_equal(alone[0], among[7])
    assert not np.array_equal(draw_latents(4, 17, 1), alone)


def test_rendering_twice_gives_equal_bytes_whatever_the_batch(heads):
    again = render(head_parameters(draw_latents(7, 5, 9)))
    assert np.array_equal(again.images, heads.images[5:14])
    assert np.array_equal(again.masks, heads.masks[5:14])
    assert np.array_equal(again.depth, heads.depth[5:14])


def test_every_class_and_keypoint_is_there(heads):
    assert set(np.unique(heads.masks)) == set(range(len(CLASS_NAMES)))
    assert len(KEYPOINT_NAMES) >= 15
    assert heads.keypoints.shape == (48, len(KEYPOINT_NAMES), 2)


def test_rare_parts_come_as_often_as_asked():
    latents = draw_latents(11, 0, 400)
    parameters = head_parameters(latents, WorldSettings(glasses=0.5, hat=0.0, occluder=1.0))
    assert np.mean(parameters["glasses"] > 0) == pytest.approx(0.5, abs=0.08)
    assert not parameters["hat"].any()
    assert parameters["occluder"].all()


def test_turning_the_head_moves_the_nose_and_hides_an_ear():
    turned = without_extras(2)
    turned["yaw"] = np.array([-45.0, 45.0])
    turned["hair_style"] = np.zeros(2)
    seen = render(turned)
    nose = KEYPOINT_NAMES.index("nose_tip")
    assert seen.keypoints[0, nose, 0] < 32 < seen.keypoints[1, nose, 0]
    left, right = KEYPOINT_NAMES.index("left_ear"), KEYPOINT_NAMES.index("right_ear")
    assert list(seen.visible[0, [left, right]]) == [True, False]
    assert list(seen.visible[1, [left, right]]) == [False, True]


def test_the_average_head_is_symmetric():
    seen = render(without_extras(1))
    face = np.isin(seen.masks[0], [CLASS_NAMES.index(name) for name in ("eyes", "nose", "mouth", "ears")])
    assert face.sum() > 50
    assert np.array_equal(face, face[:, ::-1])


def test_keypoints_lie_on_their_parts(heads):
    for name, part in (("mouth_centre", "mouth"), ("left_eye", "eyes"), ("nose_tip", "nose")):
        k = KEYPOINT_NAMES.index(name)
        bare = [i for i in range(48) if heads.visible[i, k] and not (heads.masks[i] == 8).any()]
        on = [
            heads.masks[i][int(heads.keypoints[i, k, 1]), int(heads.keypoints[i, k, 0])] == CLASS_NAMES.index(part)
            for i in bare
        ]
        assert np.mean(on) > 0.85, name


def test_depth_is_nearest_at_the_nose_and_absent_behind_the_head():
    seen = render(without_extras(1))
    assert np.all(seen.depth[0][:4, :4] == 0)
    nearest = np.where(seen.depth[0] > 0, seen.depth[0], np.inf)
    row, column = np.unravel_index(nearest.argmin(), nearest.shape)
    assert seen.masks[0, row, column] == CLASS_NAMES.index("nose")
    assert 2.0 < nearest.min() < 3.0


def test_normals_are_unit_where_a_pixel_sees_one_surface_and_face_the_camera():
    seen = render(without_extras(1))
    assert np.all(seen.normals[0][seen.depth[0] == 0] == 0)
    length = np.linalg.norm(seen.normals[0, 30:34, 26:38], axis=-1)
    assert length.max() <= 1 + 1e-5
    assert seen.normals[0, 30:34, 26:38, 2].min() > 0


def test_conventions_differ_in_neck_and_nose_alone(heads):
    parameters = head_parameters(draw_latents(7, 0, 48))
    narrow = render(parameters, convention="b")
    assert np.array_equal(narrow.images, heads.images)
    changed = narrow.masks != heads.masks
    assert changed.any()
    pairs = set(zip(heads.masks[changed].tolist(), narrow.masks[changed].tolist(), strict=True))
    skin, nose, background = (CLASS_NAMES.index(name) for name in ("skin", "nose", "background"))
    assert {(nose, skin), (skin, background)} <= pairs
    with pytest.raises(ValueError, match="convention"):
        render(parameters, convention="c")


def test_a_larger_picture_shows_the_same_head():
    parameters = head_parameters(draw_latents(7, 0, 4))
    small, large = render(parameters, 64), render(parameters, 128)
    shrunk = large.images.reshape(4, 64, 2, 64, 2, 3).mean((2, 4))
    assert np.abs(shrunk - small.images).mean() < 2
    assert np.allclose(large.keypoints, 2 * small.keypoints, atol=1e-3)


def test_latents_of_another_size_are_refused():
    with pytest.raises(ValueError, match=str(LATENT_COUNT)):
        head_parameters(np.zeros((1, 3), np.float32))


def test_the_wall_runs_from_colour_to_colour_and_no_label_tells_of_it() -> None:
    parameters = without_extras(1)
    for place in range(9):
        parameters[f"wall_{place}_colour"] = np.full((1, 3), place / 8)
    seen = render(parameters)
    levels = 255 * np.arange(9) / 8
    corners = [seen.images[0, row, column, 0] for row, column in ((0, 0), (0, 63))]
    assert np.allclose(corners, levels[[0, 2]], atol=2)
    assert np.isclose(seen.images[0, 0, 31, 0], levels[1], atol=2)
    assert np.all(np.diff(seen.images[0, 0, :, 0].astype(int)) >= 0)  # nothing but a slide from colour to colour
    assert np.array_equal(seen.masks, render(without_extras(1)).masks)
