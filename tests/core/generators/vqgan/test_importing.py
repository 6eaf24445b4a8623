"""Checkpoints of taming-transformers become generators; what a file does not state is asked for."""

from pathlib import Path

import pytest
import safetensors.torch
import torch

from core.errors import CheckpointError, GeneratorError
from core.generators.answers import Answers
from core.generators.importing import import_checkpoint
from core.generators.interface import Codes
from core.generators.vqgan.generator import VQGANGenerator

ANSWERS = Answers(others={"heads": "4", "classes": 10})


@pytest.fixture(scope="module")
def folder(shared: Path) -> Path:
    return shared / "golden" / "vqgan"


def test_a_class_conditional_checkpoint_draws_encodes_and_decodes(folder: Path) -> None:
    imported = import_checkpoint(folder / "net2net_f16_last.ckpt", ANSWERS)
    generator, report = imported.generator, imported.report
    assert isinstance(generator, VQGANGenerator)
    assert (report.family, report.format, report.classes) == ("vqgan", "taming-transformers", 10)
    assert report.to_json()["grid"] == [4, 4]
    expected = safetensors.torch.load_file(folder / "vq_f16_io.safetensors")
    sampler = generator.bind()
    codes = sampler.encode(expected["in.x"], [1, 2])
    assert torch.equal(codes.parts["tokens"].flatten().long(), expected["eval.indices"])
    image = sampler.synthesize(codes).image
    assert float((image - expected["eval.decoded"]).abs().max()) <= 1e-4 * float(expected["eval.decoded"].abs().max())
    drawn = sampler.draw(0, [5], [3])
    assert torch.equal(drawn.parts["tokens"], sampler.draw(0, [4, 5], [1, 3]).parts["tokens"][1:])


def test_heads_and_classes_are_asked_for_together(folder: Path) -> None:
    with pytest.raises(CheckpointError) as caught:
        import_checkpoint(folder / "net2net_f16_last.ckpt")
    assert [problem.pointer for problem in caught.value.problems] == ["heads", "classes"]


@pytest.mark.parametrize(
    ("others", "pointer"),
    [
        ({"heads": "four", "classes": 10}, "heads"),
        ({"heads": 5, "classes": 10}, "transformer.heads"),
        ({"heads": 4, "classes": 25}, "classes"),
        ({"heads": 4, "classes": 10, "resolution": 128}, "transformer.positions"),
        ({"heads": 4, "classes": 10, "psi": 1}, "psi"),
    ],
)
def test_an_answer_that_does_not_fit_is_named(folder: Path, others: dict[str, int | str], pointer: str) -> None:
    with pytest.raises(CheckpointError) as caught:
        import_checkpoint(folder / "net2net_f16_last.ckpt", Answers(others=others))
    assert [problem.pointer for problem in caught.value.problems] == [pointer]


def test_a_first_stage_encodes_and_decodes_and_refuses_to_draw(folder: Path) -> None:
    imported = import_checkpoint(folder / "vq_f1_small_last.ckpt", Answers(others={"resolution": 8}))
    assert any("cannot draw samples" in note for note in imported.report.notes)
    assert imported.generator.labelled_by == {"encoder"}
    expected = safetensors.torch.load_file(folder / "vq_f1_small_io.safetensors")
    assert isinstance(imported.generator, VQGANGenerator)
    sampler = imported.generator.bind()
    codes = sampler.encode(expected["in.x"])
    assert torch.equal(codes.parts["tokens"].flatten().long(), expected["indices"])
    image = sampler.synthesize(codes).image
    assert float((image - expected["decoded"]).abs().max()) <= 1e-4 * float(expected["decoded"].abs().max())
    with pytest.raises(GeneratorError, match="cannot draw samples"):
        sampler.draw(0, [0])


def test_a_first_stage_without_its_resolution_asks_for_it(folder: Path) -> None:
    with pytest.raises(CheckpointError) as caught:
        import_checkpoint(folder / "vq_f1_small_last.ckpt")
    assert [problem.pointer for problem in caught.value.problems] == ["resolution"]


def test_tokens_outside_of_the_codebook_are_refused(folder: Path) -> None:
    sampler = import_checkpoint(folder / "net2net_f16_last.ckpt", ANSWERS).generator.bind()
    tokens = torch.full((1, 4, 4), 24, dtype=torch.int16)
    with pytest.raises(GeneratorError) as caught:
        sampler.synthesize(Codes({"tokens": tokens}, torch.tensor([0])))
    assert [problem.pointer for problem in caught.value.problems] == ["tokens"]


def test_a_safetensors_file_of_the_same_tensors_is_read(folder: Path, tmp_path: Path) -> None:
    tensors = safetensors.torch.load_file(folder / "vq_f16_state.safetensors")
    safetensors.torch.save_file(tensors, tmp_path / "first.safetensors")
    imported = import_checkpoint(tmp_path / "first.safetensors", Answers(others={"resolution": 64}))
    assert imported.report.config["multipliers"] == [1, 1, 1, 2, 1]
    assert imported.report.config["attention"] == [4]
