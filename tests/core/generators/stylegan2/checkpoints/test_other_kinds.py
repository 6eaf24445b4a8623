"""Networks that are not read: refused by the name of their kind, before any question."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.package
from safetensors.torch import save_file

from core.errors import CheckpointError
from core.generators.answers import Answers
from core.generators.importing import import_checkpoint
from tests.core.checkpoints import writers
from tests.core.checkpoints.writers import SMALL, trained
from tests.core.generators.test_importing import written


def stylegan3(kernel: int) -> dict[str, torch.Tensor]:
    names = {"synthesis.L0_36_16.weight": (4, 4, kernel, kernel), "synthesis.input.freqs": (4, 2)}
    names |= {"synthesis.L0_36_16.up_filter": (12,), "mapping.fc0.weight": (7, 5), "mapping.w_avg": (7,)}
    return {name: torch.zeros(shape) for name, shape in names.items()}


EG3D = {"backbone.synthesis.b4.const": (4, 4, 4), "backbone.mapping.fc0.weight": (7, 5), "decoder.net.0.weight": (2, 2)}
KINDS: list[tuple[str, dict[str, tuple[int, ...]]]] = [
    ("StyleGAN-XL", {"mapping.embed_proj.weight": (7, 3), "synthesis.L0_36_16.weight": (4, 4, 3, 3)}),
    ("EG3D", EG3D),
    ("StyleGAN2 of lucidrains", {"G.initial_block": (4, 4), "G.blocks.0.to_style1.weight": (4, 4)}),
    ("NVIDIA's discriminator", {"b4.out.weight": (1, 4), "b16.fromrgb.weight": (4, 3, 1, 1)}),
    ("an encoder without its generator", {"input_layer.0.weight": (4, 3), "styles.0.convs.0.weight": (4, 4)}),
    ("a diffusion model", {"model.diffusion_model.input_blocks.0.0.weight": (4, 3)}),
]


@pytest.mark.parametrize(("kernel", "name"), [(1, "r"), (3, "t")])
def test_stylegan3_is_named_before_any_question(kernel: int, name: str, tmp_path: Path) -> None:
    state = stylegan3(kernel)
    torch.save(state, tmp_path / "g.pt")
    save_file(state, tmp_path / "g.safetensors")
    paths = [written(tmp_path, writers.nvidia_pickle(state, settings=False)), tmp_path / "g.pt"]
    for path in (*paths, tmp_path / "g.safetensors"):
        for answers in (Answers(), Answers(conv_clamp=256)):
            with pytest.raises(CheckpointError, match=rf"this is StyleGAN3 \(configuration {name}\)"):
                import_checkpoint(path, answers)


@pytest.mark.parametrize(("kind", "shapes"), KINDS, ids=[kind for kind, _ in KINDS])
def test_known_kinds_that_are_not_read_are_named(kind: str, shapes: dict[str, Any], tmp_path: Path) -> None:
    state = {name: torch.zeros(shape) for name, shape in shapes.items()}
    for content in (state, {"state_dict": state, "epoch": 1}):
        torch.save(content, tmp_path / "g.pt")
        with pytest.raises(CheckpointError, match=f"this is {kind}"):
            import_checkpoint(tmp_path / "g.pt")
    save_file(state, tmp_path / "g.safetensors")
    with pytest.raises(CheckpointError, match=f"this is {kind}"):
        import_checkpoint(tmp_path / "g.safetensors")
    with pytest.raises(CheckpointError, match=f"this is {kind}"):
        import_checkpoint(written(tmp_path, writers.nvidia_pickle(state)))


@pytest.mark.filterwarnings("ignore")
def test_zips_that_are_no_checkpoint_are_named(tmp_path: Path) -> None:
    with torch.package.PackageExporter(tmp_path / "package.pt") as package:
        package.save_pickle("model", "g.pkl", {"x": torch.zeros(1)})
    torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), tmp_path / "script.pt")
    with zipfile.ZipFile(tmp_path / "other.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("readme.txt", b"x")
    for name, told in (
        ("package.pt", "torch.package"),
        ("script.pt", "TorchScript"),
        ("other.zip", "it holds readme.txt"),
    ):
        with pytest.raises(CheckpointError) as caught:
            import_checkpoint(tmp_path / name)
        assert told in str(caught.value)


def test_pickle_without_layers_holds_no_generator(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="this file holds no generator") as caught:
        import_checkpoint(written(tmp_path, writers.nvidia_pickle({})))
    assert caught.value.problems[0].pointer == "G_ema"


def test_modules_of_another_network_are_shown_by_their_names(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="not a StyleGAN2 generator") as caught:
        import_checkpoint(written(tmp_path, writers.nvidia_pickle({"layer1.weight": torch.zeros(2)})))
    assert "layer1.weight" in caught.value.problems[0].detail


def test_nvidia_mapping_widths_that_are_not_supported_are_named(tmp_path: Path) -> None:
    state = writers.nvidia_state(trained())
    state["mapping.fc0.weight"], state["mapping.fc0.bias"] = torch.zeros(9, 5), torch.zeros(9)
    state["mapping.fc1.weight"] = torch.zeros(7, 9)
    with pytest.raises(CheckpointError, match="not supported") as caught:
        import_checkpoint(written(tmp_path, writers.nvidia_pickle(state)))
    assert [problem.pointer for problem in caught.value.problems] == ["mapping.fc0.weight"]
    assert "layer_features is 9 where w_dim is 7" in caught.value.problems[0].detail
    state["mapping.embed.weight"], state["mapping.embed.bias"] = torch.zeros(3, 2), torch.zeros(3)
    with pytest.raises(CheckpointError) as caught:
        import_checkpoint(written(tmp_path, writers.nvidia_pickle(state)))
    assert {problem.pointer for problem in caught.value.problems} == {"mapping.fc0.weight", "mapping.embed.weight"}
    assert any("embed_features is 3" in problem.detail for problem in caught.value.problems)


def test_tensorflow_mapping_widths_that_are_not_supported_are_named(tmp_path: Path) -> None:
    network = trained(SMALL)
    network.mapping.layers[0].weight = torch.nn.Parameter(torch.zeros(9, 5))
    with pytest.raises(CheckpointError, match="not supported") as caught:
        import_checkpoint(written(tmp_path, writers.tensorflow_pickle(network.requires_grad_(False))))
    assert [problem.pointer for problem in caught.value.problems] == ["mapping/Dense0/weight"]
    assert "mapping_fmaps is 9" in caught.value.problems[0].detail


def test_first_tensorflow_stylegan_is_named(tmp_path: Path) -> None:
    content = writers.tensorflow_pickle(trained(SMALL), more=[("4x4/Const/StyleMod/weight", torch.zeros(2).numpy())])
    with pytest.raises(CheckpointError, match="this is StyleGAN1"):
        import_checkpoint(written(tmp_path, content))
