"""BigGAN checkpoints of every layout: what is read, assumed, asked for and refused."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from core.errors import CheckpointError
from core.generators.answers import Answers
from core.generators.biggan.checkpoints import ajbrock
from core.generators.biggan.generator import BigGANGenerator
from core.generators.biggan.importing import class_names
from core.generators.importing import Imported, import_checkpoint
from tests.core.generators.biggan import small


def state_of(generator: BigGANGenerator, ported: bool = False) -> dict[str, Tensor]:
    """The state dictionary as ajbrock/BigGAN-PyTorch names it."""
    found = {}
    for ours, tensor in generator.network.state_dict().items():
        theirs = ajbrock._names(ours)[0]
        found[theirs] = (
            tensor[None] if ours.endswith(".u") else tensor[0] if ours.endswith((".mean", ".var")) else tensor
        )
        if ours.endswith(".u") and not ported:
            found[theirs.removesuffix("u0") + "sv0"] = torch.ones(1)
    return {name: tensor.clone() for name, tensor in found.items()}


def saved(content: Any, folder: Path, name: str = "G.pth") -> Path:
    torch.save(content, folder / name)
    return folder / name


def read(content: Any, folder: Path, **answers: Any) -> Imported:
    return import_checkpoint(saved(content, folder), Answers(**answers))


@pytest.mark.parametrize(
    "config",
    [
        small.config(),
        small.config(chunked=False, shared_dim=0),
        small.config(chunked=False),
        small.config(spectral_norm="none"),
        small.config(architecture="biggan-deep", chunked=False),
    ],
    ids=["hierarchical", "own embeddings", "flat", "no spectral norm", "deep"],
)
def test_a_file_of_ajbrock_draws_what_its_generator_draws(config: Any, tmp_path: Path) -> None:
    generator = small.generator(config)
    imported = read(state_of(generator), tmp_path, others={"depth": 1} if config.deep else {})
    assert imported.report.family == "biggan"
    assert imported.generator.config_json() == generator.config_json()
    codes = generator.bind().draw(3, range(3), [0, 1, 2])
    assert torch.equal(imported.generator.bind().synthesize(codes).image, generator.bind().synthesize(codes).image)


def test_the_eps_of_norm_layers_is_assumed_with_a_note_and_can_be_answered(tmp_path: Path) -> None:
    state = state_of(small.generator())
    imported = read(state, tmp_path)
    assert imported.report.config["norm_eps"] == 1e-5
    assert any("norm_eps; 1e-05 is assumed" in note for note in imported.report.notes)
    answered = read(state, tmp_path, others={"norm_eps": 1e-3, "spectral_eps": 1e-4})
    assert (answered.report.config["norm_eps"], answered.report.notes) == (1e-3, ())
    ported = read(state_of(small.generator(), ported=True), tmp_path)
    assert (ported.report.format, ported.report.config["norm_eps"], ported.report.notes) == ("tfhub-port", 1e-4, ())


def test_the_configuration_of_a_run_is_read_and_contradictions_are_refused(tmp_path: Path) -> None:
    run = {"itr": 7, "config": {"G_ch": 4, "BN_eps": 1e-4}}
    state = state_of(small.generator())
    with zipfile.ZipFile(tmp_path / "run.zip", "w") as archive:
        for name, content in (("G", state), ("G_ema", state), ("state_dict", run)):
            archive.write(saved(content, tmp_path, f"{name}.pth"), f"weights/{name}.pth")
    report = import_checkpoint(tmp_path / "run.zip").report
    assert (report.network, report.config["norm_eps"], report.notes) == ("G_ema", 1e-4, ())
    assert import_checkpoint(tmp_path / "run.zip", Answers("G")).report.network == "G"
    with pytest.raises(CheckpointError, match="contradict") as caught:
        import_checkpoint(tmp_path / "run.zip", Answers(others={"norm_eps": 1e-3}))
    assert [problem.pointer for problem in caught.value.problems] == ["norm_eps"]


def test_sums_of_standing_statistics_are_divided_by_their_counter(tmp_path: Path) -> None:
    generator = small.generator()
    state = state_of(generator)
    for name in [name for name in state if name.endswith(("stored_mean", "stored_var"))]:
        stem, _, part = name.rpartition(".")
        state[f"{stem}.bn.{part}"] = state.pop(name) * 5
        state[f"{stem}.bn.accumulation_counter"] = torch.tensor([5.0])
    imported = read(state, tmp_path)
    assert any("standing_statistics=false" in note for note in imported.report.notes)
    ours, theirs = generator.network.state_dict(), imported.generator.state()
    torch.testing.assert_close(theirs["blocks.1.bn2.var"], ours["blocks.1.bn2.var"])
    as_averages = read(state, tmp_path, others={"standing_statistics": False}).generator.state()
    torch.testing.assert_close(as_averages["output_norm.mean"], ours["output_norm.mean"] * 5)


def test_the_depth_of_biggan_deep_is_found_from_widths_or_asked_for(tmp_path: Path) -> None:
    blocks = ((32, 32, False), (32, 32, True)) * 3  # 32 pixels, two blocks a resolution, as that project builds them
    deep = small.config(architecture="biggan-deep", chunked=False, blocks=blocks, attention=())
    assert read(state_of(small.generator(deep)), tmp_path).report.resolution == (32, 32)
    odd = small.config(architecture="biggan-deep", chunked=False)
    with pytest.raises(CheckpointError, match="needs answers: depth"):
        read(state_of(small.generator(odd)), tmp_path)


def test_missing_left_over_and_unfit_tensors_are_named_as_in_the_file(tmp_path: Path) -> None:
    state = state_of(small.generator())
    del state["blocks.0.1.g.u0"]
    state["blocks.0.0.conv1.extra"] = torch.zeros(2)
    state["output_layer.0.stored_var"] = torch.full((8,), torch.nan)
    state["shared.weight"] = torch.zeros(3, 4).long()
    with pytest.raises(CheckpointError, match="no complete BigGAN generator") as caught:
        read(state, tmp_path)
    assert {(one.pointer, one.detail.partition(" ")[0]) for one in caught.value.problems} == {
        ("blocks.0.1.g.u0", "missing"),
        ("blocks.0.0.conv1.extra", "unexpected"),
        ("output_layer.0.stored_var", "not"),
        ("shared.weight", "torch.int64"),
    }


def test_answers_to_questions_of_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError) as caught:
        read(state_of(small.generator()), tmp_path, conv_clamp=256, others={"heads": 16})
    assert [problem.pointer for problem in caught.value.problems] == ["conv_clamp", "heads"]


def test_weights_of_hugging_face_without_their_configuration_are_refused(tmp_path: Path) -> None:
    state = {"generator.gen_z.weight_orig": torch.zeros(4, 4), "embeddings.weight": torch.zeros(2, 3)}
    with pytest.raises(CheckpointError, match="needs its configuration") as caught:
        read(state, tmp_path)
    assert caught.value.problems[0].pointer == "config.json"
    path = saved(state, tmp_path, "pytorch_model.bin")
    for document in ({"z_dim": 4}, [1], {"layers": [[1, 2]], "channel_width": "x"}):
        with zipfile.ZipFile(tmp_path / "folder.zip", "w") as archive:
            archive.write(path, "pytorch_model.bin")
            archive.writestr("config.json", json.dumps(document))
        with pytest.raises(CheckpointError, match="configuration cannot be"):
            import_checkpoint(tmp_path / "folder.zip")


def test_a_generator_inside_a_larger_model_is_found_by_its_prefix(tmp_path: Path) -> None:
    state = state_of(small.generator(), ported=True)
    model = {f"module.biggan_model.{name}": one for name, one in state.items()} | {"out.weight": torch.zeros(1)}
    imported = read({"state_dict": model}, tmp_path)
    assert (imported.report.network, imported.report.format) == ("biggan_model", "tfhub-port")


def test_a_thousand_classes_are_named_as_those_of_imagenet() -> None:
    names, (note,) = class_names(1000)
    assert (len(names), names[0], names[207], names[999]) == (1000, "tench", "golden retriever", "toilet tissue")
    assert "ImageNet" in note
    assert class_names(10) == ((), ())
