"""Published encoders: equal to the official code, read safely, refused with what was expected and found."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import Tensor

from core.errors import CheckpointError, InversionError
from core.generators.importing import import_checkpoint
from core.generators.interface import Invertible
from core.inversion.encoder import attempts, check_match, load_encoder, save_encoder
from core.inversion.published.importing import ImportedEncoder, import_encoder
from core.inversion.published.network import PublishedConfig, PublishedEncoder

RESTYLE = ["restyle_psp_irse50", "restyle_e4e_irse50", "restyle_psp_resnet34"]
SMALL = PublishedConfig("ir_se50", "e4e", 6, 20, (4, 4, 5, 6, 7), (1, 1, 1, 1))


@pytest.fixture
def golden(shared: Path) -> Path:
    return shared / "golden" / "encoders"


def enlarged(small: Tensor) -> Tensor:
    """Each pixel repeated 8 x 8."""
    return small.repeat_interleave(8, 2).repeat_interleave(8, 3)


def sampler_of(path: Path) -> Invertible:
    """The decoder in the same file."""
    sampler = import_checkpoint(path).generator.bind({"truncation_psi": 1.0})
    assert isinstance(sampler, Invertible)
    return sampler


@pytest.mark.parametrize("name", RESTYLE)
def test_each_iteration_equals_the_official_code(golden: Path, name: str) -> None:
    encoder, report = import_encoder(golden / f"{name}.pt")
    io = safetensors.torch.load_file(golden / f"{name}_io.safetensors")
    sampler = sampler_of(golden / f"{name}.pt")
    target = enlarged(io["in.y_small"])
    torch.testing.assert_close(encoder.first_image(sampler)[0], io["avg_image_unpooled"], atol=1e-4, rtol=1e-4)
    found = list(attempts(sampler, encoder, target))
    assert len(found) == report.iterations == 5
    torch.testing.assert_close(torch.cat(found), io["loop.latents"], atol=1e-4, rtol=1e-4)
    images = torch.cat([sampler.image_of(codes) for codes in found])
    torch.testing.assert_close(images, io["loop.images"], atol=1e-4, rtol=1e-4)


def test_single_pass_with_joined_maps_equals_the_official_code(golden: Path) -> None:
    encoder, report = import_encoder(golden / "e4e_encoder4editing.pt")
    io = safetensors.torch.load_file(golden / "e4e_encoder4editing_io.safetensors")
    target = enlarged(io["in.x_small"])
    torch.testing.assert_close(encoder.rows_of(target), io["enc.out"], atol=1e-4, rtol=1e-4)
    found = encoder.start_code + encoder.correction(target, target)
    torch.testing.assert_close(found, io["codes_plus_latent_avg"], atol=1e-4, rtol=1e-4)
    assert encoder.most_iterations == 1
    assert (report.iterations, report.heads, report.rows, report.resolution) == (1, "e4e", 8, 32)


def test_stored_encoder_is_equal(golden: Path, tmp_path: Path) -> None:
    imported = import_encoder(golden / "restyle_psp_resnet34.pt")
    save_encoder(tmp_path, imported.encoder, {"encoder_type": imported.report.encoder_type})
    read = load_encoder(tmp_path)
    assert isinstance(read, PublishedEncoder)
    assert read.config == imported.encoder.config
    wanted = imported.encoder.state_dict()
    assert all(torch.equal(tensor, wanted[name]) for name, tensor in read.state_dict().items())


def test_encoder_of_another_generator_is_refused_with_both_shapes(golden: Path) -> None:
    encoder = import_encoder(golden / "e4e_encoder4editing.pt").encoder
    with pytest.raises(InversionError, match=r"\[8, 20\], the generator takes \[6, 20\]"):
        check_match(sampler_of(golden / "restyle_psp_irse50.pt"), encoder)


def state(config: PublishedConfig = SMALL) -> dict[str, Tensor]:
    """Tensors of an encoder under its project's names."""
    torch.manual_seed(0)
    tensors = PublishedEncoder(config, None).state_dict()
    return {"encoder." + name.removeprefix("backbone."): tensor for name, tensor in tensors.items()}


def read(path: Path, value: Any, heads: str | None = None) -> ImportedEncoder:
    torch.save(value, path)
    return import_encoder(path, heads)


def test_type_that_the_file_does_not_state_is_asked_for(tmp_path: Path) -> None:
    average = torch.arange(20.0)
    with pytest.raises(CheckpointError) as caught:
        read(tmp_path / "e.pt", {"state_dict": state(), "latent_avg": average})
    assert [problem.pointer for problem in caught.value.problems] == ["heads"]
    imported = read(tmp_path / "e.pt", {"state_dict": state(), "latent_avg": average}, "e4e")
    assert imported.encoder.config == SMALL
    assert torch.equal(imported.encoder.start_code, average.expand(6, -1)), "one row serves all"
    safetensors.torch.save_file(state() | {"latent_avg": average}, tmp_path / "e.safetensors")
    assert import_encoder(tmp_path / "e.safetensors", "psp").encoder.config.heads == "psp"


def test_codes_begin_at_the_generators_mean_code_where_the_file_has_none(tmp_path: Path) -> None:
    opts = {"encoder_type": "ProgressiveBackboneEncoder", "output_size": 16, "dataset_type": "cars_encode"}
    encoder, report = read(tmp_path / "e.pt", {"state_dict": state(), "opts": opts})
    assert (encoder.start_code, report.start, report.resolution) == (None, "generator", 16)
    assert any("latent_avg" in note for note in report.notes)
    assert encoder.config.image_size == (192, 256), "encoders for cars see a part of the rows"
    images = torch.zeros(1, 3, 512, 512)
    assert encoder.correction(images, images).shape == (1, 6, 20)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"encoder_type": "SingleStyleCodeEncoder"}, "SingleStyleCodeEncoder"),
        ({"encoder_type": "GradualStyleEncoder"}, "disagree"),
        ({"encoder_type": "ResNetBackboneEncoder"}, "disagree"),
    ],
)
def test_type_that_does_not_fit_the_tensors_is_refused(tmp_path: Path, change: dict[str, str], words: str) -> None:
    with pytest.raises(CheckpointError) as caught:
        read(tmp_path / "e.pt", {"state_dict": state(), "opts": change})
    assert words in str(caught.value)


def test_damaged_and_foreign_files_are_refused(tmp_path: Path) -> None:
    whole = state()
    opts = {"encoder_type": "ProgressiveBackboneEncoder"}
    missing = {name: tensor for name, tensor in whole.items() if name != "encoder.body.5.res_layer.1.weight"}
    broken = whole | {"encoder.styles.0.linear.bias": torch.full((20,), torch.nan)}
    cases: list[tuple[Any, str]] = [
        ({"state_dict": missing, "opts": opts}, "body.5.res_layer.1.weight"),
        ({"state_dict": broken, "opts": opts}, "not finite"),
        ({"state_dict": whole, "opts": opts, "latent_avg": torch.zeros(7, 20)}, "expected [6, 20] or [20]"),
        ({"state_dict": {"decoder.x": torch.zeros(1)}}, "no known encoder"),
        ({"state_dict": {k: v for k, v in whole.items() if "body.23." not in k}, "opts": opts}, "found 23"),
    ]
    for value, words in cases:
        with pytest.raises(CheckpointError) as caught:
            read(tmp_path / "e.pt", value)
        assert words in str(caught.value), words
