"""Features with a name, and clear words where weights are missing."""

import numpy as np
import pytest
import safetensors.torch
import torch

from core.digests import sha256_of
from core.errors import EvaluationError
from core.evaluation.metrics.extractors import domain_extractor, named_extractor, pixel_extractor
from core.evaluation.metrics.vision_transformers import VisionTransformer
from core.torchvision_import import import_torchvision


def test_domain_features_are_means_of_the_two_deepest_maps():
    def trunk(images):
        return [images, images[:, :1] * 2, images[:, :2]]

    images = np.random.default_rng(0).integers(0, 256, (5, 4, 4, 3), np.uint8)
    extractor = domain_extractor(trunk, "test")
    found = extractor(images, batch=2)
    mean = images.astype(np.float64).mean((1, 2)) / 127.5 - 1
    assert found == pytest.approx(np.stack([2 * mean[:, 0], mean[:, 0], mean[:, 1]], 1), abs=1e-6)
    assert extractor.name == "domain (test)"


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(EvaluationError) as caught:
        named_extractor("inception", tmp_path / "pt_inception.pth")
    assert "pt_inception.pth" in str(caught.value)


def test_a_file_that_holds_something_else_is_named(tmp_path):
    import_torchvision()  # timm asks for it by name
    pytest.importorskip("timm", exc_type=ImportError)
    path = tmp_path / "dino.pth"
    torch.save({"nothing": torch.zeros(1)}, path)
    with pytest.raises(EvaluationError) as caught:
        named_extractor("dinov2", path)
    assert "dino.pth" in str(caught.value)


@pytest.mark.slow
def test_files_of_the_original_projects_are_read(tmp_path):
    """DINOv2 has a mask token and positions of 37 x 37 patches; OpenCLIP has OpenAI's names and a text tower."""
    import_torchvision()
    pytest.importorskip("timm", exc_type=ImportError)
    dino = VisionTransformer("dinov2", None).network
    state = dict(dino.state_dict()) | {"mask_token": torch.zeros(1, 384), "pos_embed": torch.zeros(1, 1 + 37 * 37, 384)}
    torch.save(state, tmp_path / "dinov2.pth")
    images = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), np.uint8)
    assert named_extractor("dinov2", tmp_path / "dinov2.pth")(images).shape == (2, 384)
    clip = VisionTransformer("clip", None).network.eval()
    names = {"patch_embed.proj": "conv1", "pos_embed": "positional_embedding", "blocks.": "transformer.resblocks."}
    names |= {"norm_pre": "ln_pre", "attn.qkv.": "attn.in_proj_", "attn.proj": "attn.out_proj", "mlp.fc1": "mlp.c_fc"}
    names |= {
        "mlp.fc2": "mlp.c_proj",
        "norm1": "ln_1",
        "norm2": "ln_2",
        "norm.": "ln_post.",
        "cls_token": "class_embedding",
    }
    state = {"logit_scale": torch.zeros(())}
    for name, tensor in clip.state_dict().items():
        for ours, theirs in names.items():
            name = name.replace(ours, theirs)
        if name in ("class_embedding", "positional_embedding"):
            tensor = tensor.flatten(0, 1).squeeze(0)
        if name == "head.weight":
            name, tensor = "proj", tensor.T.contiguous()
        if name != "head.bias":
            state["visual." + name] = tensor.clone()
    safetensors.torch.save_file(state, tmp_path / "clip.safetensors")
    read = VisionTransformer("clip", tmp_path / "clip.safetensors").network
    clip.head.bias.data.zero_()
    assert all(torch.equal(tensor, clip.state_dict()[name]) for name, tensor in read.state_dict().items())
    assert "QuickGELU" in str(read.blocks[0].mlp.act)


@pytest.fixture(scope="module")
def inception(tmp_path_factory):
    """A weights file of the published network with random weights, and the network of the package itself."""
    import_torchvision()
    module = pytest.importorskip("torch_fidelity.feature_extractor_inceptionv3", exc_type=ImportError)

    class Fresh(module.FeatureExtractorInceptionV3):
        def load_state_dict(self, state_dict):
            assert not state_dict

    folder = tmp_path_factory.mktemp("weights")
    torch.save({}, folder / "none.pth")
    torch.manual_seed(0)
    network = Fresh("inception-v3-compat", ["2048"], str(folder / "none.pth"))
    for weight in (one for one in network.parameters() if one.dim() == 4):
        torch.nn.init.kaiming_normal_(weight, nonlinearity="relu")
    torch.save(network.state_dict(), folder / "inception.pth")
    return folder / "inception.pth", network


def test_inception_features_equal_those_of_the_package_and_depend_on_the_resize_rule(inception):
    path, network = inception
    images = torch.randint(0, 256, (2, 3, 40, 60), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    extractor = named_extractor("inception", path)
    found = extractor.features(images)
    assert found.max() > 0.1
    assert found == pytest.approx(network(images)[0].numpy(), rel=1e-4, abs=1e-4)
    assert (extractor.name, extractor.resize, extractor.digest) == ("inception", "tf_bilinear", sha256_of(path))
    clean = named_extractor("inception", path, resize="clean")
    assert clean.resize == "clean"
    assert np.abs(clean.features(images) - found).max() > 0.02


def test_a_weights_file_that_would_run_code_is_refused(tmp_path):
    pytest.importorskip("torch_fidelity", exc_type=ImportError)
    torch.save({"weight": print}, tmp_path / "inception.pth")
    with pytest.raises(EvaluationError, match="unusable weights"):
        named_extractor("inception", tmp_path / "inception.pth")


def test_unknown_resize_rules_are_named_with_the_other_problems(tmp_path):
    with pytest.raises(EvaluationError) as caught:
        named_extractor("inception", tmp_path / "inception.pth", resize="nearest")
    assert [one.pointer for one in caught.value.problems] == ["resize", str(tmp_path / "inception.pth")]


def test_pixel_features_are_root_mean_squared_differences():
    images = torch.zeros(2, 3, 32, 32, dtype=torch.uint8)
    images[1] = 51
    first, second = pixel_extractor().features(images)
    assert np.linalg.norm(first - second) == pytest.approx(0.2, rel=1e-6)
