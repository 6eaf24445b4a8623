"""Discriminators of checkpoints."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from core.callbacks import never_stop
from core.checkpoints.content import opened
from core.checkpoints.limits import Limits
from core.errors import CheckpointError
from core.generators.stylegan2.training.discriminator import Discriminator, DiscriminatorConfig
from core.generators.stylegan2.training.discriminator_files import discriminator_from_state, read_discriminator


def test_discriminator_of_an_nvidia_snapshot_gives_its_logits(shared: Path) -> None:
    folder = shared / "golden" / "stylegan2_training"
    with opened(folder / "network-snapshot-000000.pkl", Limits(), never_stop) as content:
        discriminator = read_discriminator(content)
    assert discriminator is not None
    assert discriminator.config.stddev_group == 4
    assert discriminator.config.c_dim == 4
    io = load_file(folder / "network-snapshot_io.safetensors")
    logits = discriminator(io["in.real"], io["in.real_c"])
    torch.testing.assert_close(logits, io["D.logits_real"], atol=1e-4, rtol=1e-4)


def test_file_without_a_discriminator_gives_none(shared: Path) -> None:
    path = shared / "golden" / "stylegan2_training" / "D_state.safetensors"
    with opened(path, Limits(), never_stop) as content:
        assert read_discriminator(content) is None


def nvidia_names(discriminator: Discriminator) -> dict[str, torch.Tensor]:
    """The state of a discriminator under NVIDIA's names."""
    named = {}
    for name, tensor in discriminator.state_dict().items():
        parts = name.split(".")
        height = discriminator.config.const_size[0]
        if parts[0] == "blocks":
            layer = parts[2].replace("shortcut", "skip")
            named[f"b{height << int(parts[1])}.{layer}.{parts[3]}"] = tensor
        elif parts[0] == "from_rgb":
            named[f"b{discriminator.config.resolution[0]}.fromrgb.{parts[1]}"] = tensor
        elif parts[0] == "mapping":
            named[name.replace("layers.", "fc")] = tensor
        else:
            named[f"b{height}.{parts[0].replace('dense', 'fc')}.{parts[1]}"] = tensor
    return named


@pytest.mark.parametrize("architecture", ["resnet", "orig"])
@pytest.mark.parametrize("classes", [0, 3])
def test_shape_is_read_from_tensors_also_of_images_that_are_not_square(architecture: str, classes: int) -> None:
    config = DiscriminatorConfig(
        resolution=(16, 24), channels={0: 6, 1: 5, 2: 4}, const_size=(4, 6), c_dim=classes, image_channels=1,
        architecture=architecture, mapping_layers=2 if classes else 1,
    )  # fmt: skip
    torch.manual_seed(0)
    discriminator = Discriminator(config)
    read = discriminator_from_state(nvidia_names(discriminator))
    assert read.config == config
    image, c = torch.randn(4, 1, 16, 24), torch.eye(3)[[0, 1, 2, 0]] if classes else None
    assert torch.equal(read(image, c), discriminator(image, c))


def test_every_wrong_tensor_is_named() -> None:
    torch.manual_seed(0)
    state = nvidia_names(Discriminator(DiscriminatorConfig((8, 8), {0: 4, 1: 4})))
    del state["b4.out.bias"]
    state["b8.conv1.bias"] = torch.full((4,), float("nan"))
    state["b4.extra"] = torch.zeros(1)
    with pytest.raises(CheckpointError) as caught:
        discriminator_from_state(state)
    assert {problem.pointer for problem in caught.value.problems} == {"b4.out.bias", "b8.conv1.bias", "b4.extra"}
    with pytest.raises(CheckpointError, match="not a StyleGAN2 discriminator"):
        discriminator_from_state({"layer.weight": torch.zeros(1)})
