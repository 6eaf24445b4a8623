"""The encoder: shapes, sizes, iterations, storage."""

from pathlib import Path

import pytest
import torch

from core.errors import InversionError
from core.generators.stylegan2.generator import StyleGAN2Sampler
from core.inversion.encoder import Encoder, EncoderConfig, average_image, encode, load_encoder, save_encoder

SMALL = EncoderConfig((16, 16), rows=6, width=16, channels=(8, 12), head_channels=4, offset_rank=5, latent_scale=0.5)


def encoder_with_offsets(config: EncoderConfig = SMALL) -> Encoder:
    torch.manual_seed(2)
    encoder = Encoder(config)
    torch.nn.init.normal_(encoder.offsets.weight, std=0.1)
    return encoder.eval().requires_grad_(False)


def test_the_encoder_for_64_pixels_is_small() -> None:
    encoder = Encoder(EncoderConfig((64, 64), rows=10, width=256))
    assert sum(parameter.numel() for parameter in encoder.parameters()) <= 2_000_000


def test_encoding_is_the_sum_of_corrections_of_ever_newer_attempts(generator: StyleGAN2Sampler) -> None:
    encoder = encoder_with_offsets()
    images = torch.rand(3, 3, 16, 16) * 2 - 1
    codes = generator.centre.expand(3, generator.rows, -1)
    current = average_image(generator).expand(3, -1, -1, -1)
    for _ in range(3):
        codes = codes + encoder(images, current)
        current = generator.image_of(codes)
    torch.testing.assert_close(encode(generator, encoder, images, iterations=3), codes)


@pytest.mark.parametrize("size", [(16, 16), (64, 32), (9, 40)])
def test_targets_of_any_size_are_taken(generator: StyleGAN2Sampler, size: tuple[int, int]) -> None:
    codes = encode(generator, encoder_with_offsets(), torch.zeros(2, 3, *size), iterations=2)
    assert codes.shape == (2, generator.rows, generator.width)


def test_an_encoder_may_look_at_less_than_the_generator_draws(generator: StyleGAN2Sampler) -> None:
    encoder = encoder_with_offsets(EncoderConfig((7, 10), rows=6, width=16, channels=(8, 12)))
    assert encode(generator, encoder, torch.zeros(1, 3, 16, 16)).shape == (1, 6, 16)


def test_layers_are_unlocked_one_after_another() -> None:
    encoder = encoder_with_offsets()
    images = torch.rand(2, 3, 16, 16)
    everything = encoder(images, images)
    for unlocked in range(6):
        codes = encoder(images, images, unlocked=unlocked)
        assert torch.equal(codes[:, : unlocked + 1], everything[:, : unlocked + 1])
        assert all(torch.equal(codes[:, row], codes[:, 0]) for row in range(unlocked + 1, 6))
    assert not torch.equal(everything[:, 5], everything[:, 0])


def test_heads_of_psp_give_every_layer_a_code_of_its_own(generator: StyleGAN2Sampler, tmp_path: Path) -> None:
    torch.manual_seed(5)
    config = EncoderConfig((16, 16), rows=6, width=16, channels=(8, 12), head_channels=4, heads="psp")
    encoder = Encoder(config).eval().requires_grad_(False)
    images = torch.rand(2, 3, 16, 16)
    codes = encoder(images, images)
    assert codes.shape == (2, 6, 16)
    assert all(not torch.equal(codes[:, 0], codes[:, row]) for row in range(1, 6))
    assert torch.equal(encoder(images, images, unlocked=0), codes)
    assert encode(generator, encoder, torch.zeros(2, 3, 40, 24)).shape == (2, 6, 16)
    save_encoder(tmp_path, encoder)
    loaded = load_encoder(tmp_path)
    assert loaded is not None
    assert loaded.config == config
    with pytest.raises(InversionError) as caught:
        EncoderConfig((16, 16), rows=6, width=16, heads="other")  # type: ignore[arg-type]
    assert caught.value.problems[0].pointer == "heads"


def test_round_trip(tmp_path: Path) -> None:
    encoder = encoder_with_offsets()
    save_encoder(tmp_path, encoder, {"steps": 3})
    loaded = load_encoder(tmp_path)
    assert loaded is not None
    assert loaded.config == encoder.config
    assert not loaded.training
    for name, tensor in encoder.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor.half().float())


def test_no_encoder_is_none_and_a_damaged_one_is_an_error(tmp_path: Path) -> None:
    assert load_encoder(tmp_path) is None
    save_encoder(tmp_path, encoder_with_offsets())
    (tmp_path / "encoder.safetensors").write_bytes(b"")
    with pytest.raises(InversionError) as caught:
        load_encoder(tmp_path)
    assert caught.value.problems[0].pointer == "encoder.safetensors"
    (tmp_path / "encoder.json").write_text('{"config": {"image_size": [0, 4]}}')
    with pytest.raises(InversionError) as caught:
        load_encoder(tmp_path)
    assert caught.value.problems[0].pointer == "encoder.json"


def test_an_encoder_of_another_generator_is_refused(generator: StyleGAN2Sampler) -> None:
    other = Encoder(EncoderConfig((16, 16), rows=10, width=16, channels=(8,)))
    with pytest.raises(InversionError, match=r"codes \[10, 16\], the generator takes \[6, 16\]"):
        encode(generator, other, torch.zeros(1, 3, 16, 16))


def test_impossible_shapes_are_refused() -> None:
    with pytest.raises(InversionError) as caught:
        EncoderConfig((0, 16), rows=6, width=16, latent_scale=float("nan"))
    assert len(caught.value.problems) == 2
