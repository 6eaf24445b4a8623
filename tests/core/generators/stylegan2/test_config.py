import json

import pytest

from core.errors import GeneratorError
from core.generators.stylegan2.config import StyleGAN2Config


def test_round_trip_through_json():
    channels = {0: 24, 1: 20, 2: 9, 3: 5}
    config = StyleGAN2Config(resolution=(32, 16), channels=channels, const_size=(4, 2), c_dim=3, conv_clamp=256.0)
    assert StyleGAN2Config.from_json(json.loads(json.dumps(config.to_json()))) == config
    assert (config.num_ws, config.block_size(2)) == (8, (16, 8))


def test_all_problems_at_once():
    values = {
        "resolution": [32],
        "channels": {"0": 8, "1": 0},
        "z_dim": 0,
        "w_dim": True,
        "mapping_layers": 2.0,
        "mapping_lr_multiplier": float("nan"),
        "conv_clamp": -1,
        "architecture": "unet",
    }
    with pytest.raises(GeneratorError) as caught:
        StyleGAN2Config.from_json(values)
    assert {problem.pointer for problem in caught.value.problems} == {
        "resolution",
        "channels.1",
        "z_dim",
        "w_dim",
        "mapping_layers",
        "mapping_lr_multiplier",
        "conv_clamp",
        "architecture",
    }


@pytest.mark.parametrize(
    ("values", "pointer"),
    [
        ([], "config"),
        ({"resolution": [8, 8]}, "channels"),
        ({"resolution": [8, 8], "channels": {"0": 4, "1": 4}, "depth": 3}, "depth"),
        ({"resolution": [8, 8], "channels": {"0": 4, "2": 4}}, "channels"),
        ({"resolution": [8, 8], "channels": {"0": 4, "x": 4}}, "channels"),
        ({"resolution": [8, 8], "channels": [4, 4]}, "channels"),
        ({"resolution": [16, 8], "channels": {"0": 4, "1": 4}}, "resolution"),
        ({"resolution": "ab", "channels": {"0": 4}}, "resolution"),
        ({"resolution": [4, 4], "channels": {"0": 4}, "architecture": ["skip"]}, "architecture"),
    ],
)
def test_the_wrong_field_is_named(values, pointer):
    with pytest.raises(GeneratorError) as caught:
        StyleGAN2Config.from_json(values)
    assert pointer in {problem.pointer for problem in caught.value.problems}
