import json
from copy import deepcopy
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from core.errors import CheckpointError, GeneratorError
from core.generators.stylegan2.checkpoints.states import from_nvidia_state, from_rosinality_state
from core.generators.stylegan2.config import StyleGAN2Config
from core.generators.stylegan2.network import Network

GOLDEN = Path(__file__).resolve().parents[5] / "shared" / "golden"
CASES = ["uncond", "cond", "clamp", "resnet", "orig"]
SMALL = StyleGAN2Config(
    resolution=(16, 8), channels={0: 8, 1: 6, 2: 4}, const_size=(4, 2), z_dim=5, w_dim=7, mapping_layers=2
)


def golden(*parts):
    path = GOLDEN.joinpath(*parts)
    if not path.exists():
        pytest.skip(f"golden vectors are not beside this checkout: {path.name}")
    return load_file(path) if path.suffix == ".safetensors" else json.loads(path.read_text())


def built(config, state):
    network = Network(config)
    network.load_state_dict(state)
    return network.eval().requires_grad_(False)


def nvidia(case):
    facts = golden("stylegan2_nvidia", f"{case}.json")["kwargs"]
    config = StyleGAN2Config(
        resolution=(32, 32),
        channels={0: 64, 1: 64, 2: 32, 3: 16},
        z_dim=64,
        w_dim=64,
        mapping_layers=2,
        c_dim=facts["c_dim"],
        conv_clamp=facts["synthesis_kwargs"].get("conv_clamp"),
        architecture=facts["synthesis_kwargs"].get("architecture", "skip"),
    )
    network = built(config, from_nvidia_state(golden("stylegan2_nvidia", f"{case}_state.safetensors"), config))
    return network, golden("stylegan2_nvidia", f"{case}_io.safetensors")


@pytest.mark.parametrize("case", CASES)
def test_equals_nvidia(case):
    network, io = nvidia(case)
    z, c = io["z"], io.get("c")
    w_plus = network.map(z, c)
    torch.testing.assert_close(w_plus, io["ws_psi1"], atol=1e-4, rtol=1e-4)
    if "ws_psi0.7" in io:
        torch.testing.assert_close(network.map(z, c, truncation_psi=0.7), io["ws_psi0.7"], atol=1e-4, rtol=1e-4)
    if "ws_psi0.5_cutoff4" in io:
        cut = network.map(z, c, truncation_psi=0.5, truncation_cutoff=4)
        torch.testing.assert_close(cut, io["ws_psi0.5_cutoff4"], atol=1e-4, rtol=1e-4)
    images = [name.removeprefix("img_").split("_noise-") for name in io if name.startswith("img_")]
    assert images
    for code, noise in images:
        expected = io[f"img_{code}_noise-{noise}"]
        actual = network.synthesize(io[f"ws_{code}"][: len(expected)], noise=noise).image
        torch.testing.assert_close(actual, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("case", CASES)
def test_features_equal_nvidia(case):
    network, io = nvidia(case)
    features = network.synthesize(io["ws_psi1"], with_features=True).features
    compared = 0
    for layer, actual in zip(network.feature_layers, features, strict=True):
        assert actual.shape[1:] == layer[1:]
        if layer.name == "constant":
            continue
        _, block, conv = layer.name.split(".")
        expected = io[f"act.b{4 << int(block)}.{conv}"]
        torch.testing.assert_close(actual[: len(expected)], expected, atol=1e-4, rtol=1e-4)
        compared += 1
    assert compared == 7


def rosinality():
    config = StyleGAN2Config(
        resolution=(32, 32), channels={0: 64, 1: 64, 2: 48, 3: 32}, z_dim=64, w_dim=64, mapping_layers=2
    )
    io = golden("stylegan2_rosinality", "io.safetensors")
    state = golden("stylegan2_rosinality", "state.safetensors")
    return built(config, from_rosinality_state(state, config, io["truncation_latent"])), io


def test_equals_rosinality():
    network, io = rosinality()
    mapped, other = network.map(io["z"]), network.map(io["z2"])
    codes = {
        "psi1": mapped,
        "psi0.7": network.map(io["z"], truncation_psi=0.7),
        "mix_inject3": torch.cat([mapped[:, :3], other[:, 3:]], dim=1),
    }
    for name, w_plus in codes.items():
        torch.testing.assert_close(w_plus, io[f"wplus_{name}"], atol=1e-4, rtol=1e-4)
        image = network.synthesize(io[f"wplus_{name}"]).image
        torch.testing.assert_close(image, io[f"img_{name}"], atol=1e-4, rtol=1e-4)
    silent = network.synthesize(io["wplus_psi1"], noise="none").image
    torch.testing.assert_close(silent, io["img_psi1_zero_noise"], atol=1e-4, rtol=1e-4)


def test_features_equal_rosinality():
    network, io = rosinality()
    order = golden("stylegan2_rosinality", "info.json")["handsoff_feature_order"]
    features = network.synthesize(io["wplus_psi1"], with_features=True).features
    for name, actual in zip(order, features, strict=True):
        torch.testing.assert_close(actual, io[name], atol=1e-4, rtol=1e-4)


def test_every_wrong_tensor_is_named():
    config = StyleGAN2Config(resolution=(8, 8), channels={0: 4, 1: 4}, z_dim=4, w_dim=4, mapping_layers=1)
    state = {"synthesis.b4.const": torch.zeros(4, 4, 3), "mapping.w_avg": torch.full((4,), torch.nan)}
    state["extra"] = torch.ones(1)
    with pytest.raises(CheckpointError) as caught:
        from_nvidia_state(state, config)
    told = {problem.pointer: problem.detail for problem in caught.value.problems}
    assert told["synthesis.b4.const"].startswith("shape")
    assert "finite" in told["mapping.w_avg"]
    assert told["extra"] == "nothing in this generator takes it"
    assert told["synthesis.b8.conv0.weight"] == "missing"


def test_non_square_constant_and_its_feature_shapes():
    network = Network(SMALL)
    image, features, _ = network.synthesize(network.map(torch.randn(3, 5)), with_features=True)
    assert image.shape == (3, 3, 16, 8)
    assert [tuple(f.shape[1:]) for f in features] == [layer[1:] for layer in network.feature_layers]
    assert [layer.name for layer in network.feature_layers] == [
        "constant",
        "blocks.0.conv1",
        "blocks.1.conv0",
        "blocks.1.conv1",
        "blocks.2.conv0",
        "blocks.2.conv1",
    ]


def modulated_per_sample(conv, x, w):
    """Equations 1 and 3 as they are printed: one weight a sample, zeros inserted, filtered, no folded gain."""
    style = conv.affine(w)
    weight = conv.weight[None] * style[:, None, :, None, None]
    weight = weight * (weight.square().sum((2, 3, 4), keepdim=True) + 1e-8).rsqrt()
    rows = []
    for sample, kernel in zip(x, weight, strict=True):
        if conv.up:
            spread = sample.new_zeros(len(sample), 2 * sample.shape[1], 2 * sample.shape[2])
            spread[:, ::2, ::2] = sample
            spread = torch.nn.functional.pad(spread, (2, 1, 2, 1))
            wide = torch.nn.functional.conv2d(spread[None], kernel.flip(2, 3))
            taps = torch.tensor([1.0, 3, 3, 1], dtype=wide.dtype) / 4
            fir = torch.outer(taps, taps).expand(len(kernel), 1, 4, 4)
            rows.append(torch.nn.functional.conv2d(wide, fir, groups=len(kernel), padding=1)[0])
        else:
            rows.append(torch.nn.functional.conv2d(sample[None], kernel, padding=1)[0])
    y = torch.stack(rows) + conv.noise * conv.noise_strength + conv.bias[:, None, None]
    return torch.nn.functional.leaky_relu(y, 0.2) * 2**0.5


@pytest.mark.parametrize("name", ["conv0", "conv1"])
def test_shared_weight_equals_one_weight_a_sample_in_value_and_gradient(name):
    torch.manual_seed(0)
    network = Network(SMALL).double()
    conv = getattr(network.blocks[1], name)
    conv.bias.data.normal_()
    conv.noise_strength.data.fill_(0.3)
    x = torch.randn(3, conv.weight.shape[1], 4 if conv.up else 8, 2 if conv.up else 4, dtype=torch.double)
    w = torch.randn(3, 7, dtype=torch.double)
    actual, expected = conv(x, w, "const"), modulated_per_sample(conv, x, w)
    torch.testing.assert_close(actual, expected)
    weights = list(conv.parameters())
    push = torch.randn_like(actual)
    slopes, wanted = (torch.autograd.grad(y, weights, push) for y in (actual, expected))
    for a, b in zip(slopes, wanted, strict=True):
        torch.testing.assert_close(a, b)


def test_gradients_reach_codes_and_every_weight_and_go_to_second_order():
    network = Network(SMALL)
    w_plus = network.map(torch.randn(2, 5))
    image = network.synthesize(w_plus).image
    (slope,) = torch.autograd.grad((image * torch.randn_like(image)).sum(), w_plus, create_graph=True)
    assert slope.abs().sum((0, 2)).gt(0).all()  # each row of w+ matters
    (slope.square().sum() + image.square().sum()).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() and p.grad.any() for p in network.parameters())


def test_noise_modes():
    network = Network(SMALL).requires_grad_(False)
    w_plus = network.map(torch.randn(2, 5))
    quiet = network.synthesize(w_plus, noise="none").image
    assert torch.equal(network.synthesize(w_plus).image, quiet)  # strengths are zero
    for block in network.blocks:
        block.conv1.noise_strength.fill_(0.5)
    constant = network.synthesize(w_plus).image
    assert torch.equal(network.synthesize(w_plus).image, constant)
    assert not torch.equal(constant, quiet)
    assert not torch.equal(network.synthesize(w_plus, noise="random").image, constant)


def test_noise_maps_of_ones_own_take_the_place_of_the_stored_ones():
    network = Network(SMALL).eval()
    w_plus = torch.randn(2, 6, 7)
    convs = [conv for block in network.blocks for conv in (block.conv0, block.conv1) if conv is not None]
    with torch.no_grad():
        for conv in convs:
            conv.noise_strength.fill_(0.5)
    stored = [conv.noise[None, None] for conv in convs]
    torch.testing.assert_close(network.synthesize(w_plus, stored).image, network.synthesize(w_plus, "const").image)
    zeros = [torch.zeros_like(map_).expand(2, -1, -1, -1) for map_ in stored]
    torch.testing.assert_close(network.synthesize(w_plus, zeros).image, network.synthesize(w_plus, "none").image)
    other = [map_.clone().requires_grad_() for map_ in zeros]
    gradients = torch.autograd.grad(network.synthesize(w_plus, other).image.square().sum(), other)
    assert all(gradient.abs().amax((1, 2, 3)).min() > 0 for gradient in gradients)


def test_truncation_goes_from_the_code_to_the_mean():
    network = Network(SMALL).requires_grad_(False)
    network.w_avg.normal_()
    z = torch.randn(2, 5)
    full, half, none = (network.map(z, truncation_psi=psi) for psi in (1.0, 0.5, 0.0))
    torch.testing.assert_close(none, network.w_avg.expand_as(none))
    torch.testing.assert_close(half, (full + none) / 2)
    cut = network.map(z, truncation_psi=0.5, truncation_cutoff=2)
    assert torch.equal(cut[:, :2], half[:, :2])
    assert torch.equal(cut[:, 2:], full[:, 2:])


def test_what_does_not_fit_is_told():
    network = Network(SMALL)
    conditional = Network(StyleGAN2Config(resolution=(4, 4), channels={0: 4}, z_dim=5, w_dim=7, c_dim=3))
    with pytest.raises(GeneratorError, match="class vectors"):
        network.map(torch.randn(2, 5), torch.ones(2, 3))
    with pytest.raises(GeneratorError, match="needs class vectors"):
        conditional.map(torch.randn(2, 5))
    with pytest.raises(GeneratorError, match=r"\[N, 5\]"):
        network.map(torch.randn(2, 6))
    with pytest.raises(GeneratorError, match="w_plus"):
        network.synthesize(torch.randn(2, 7))


def test_batch_does_not_change_an_image_beyond_rounding():
    network = Network(SMALL).requires_grad_(False)
    w_plus = network.map(torch.randn(4, 5))
    whole = network.synthesize(w_plus).image
    parts = torch.cat([network.synthesize(rows).image for rows in w_plus.split([1, 3])])
    torch.testing.assert_close(whole, parts)


def test_gradients_after_inference_mode_equal_those_of_an_unused_network():
    config = StyleGAN2Config(resolution=(8, 8), channels={0: 3, 1: 11}, z_dim=4, w_dim=4, mapping_layers=1)
    used, z = Network(config), torch.randn(1, 4)
    unused = deepcopy(used)
    with torch.inference_mode():
        used.synthesize(used.map(z))
    for network in (used, unused):
        network.synthesize(network.map(z)).image.sum().backward()
    for (name, ours), theirs in zip(used.named_parameters(), unused.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad, msg=name)
    assert all(block.conv1.weight.grad.abs().sum() > 0 for block in used.blocks)


def test_what_is_kept_of_frozen_weights_follows_them():
    torch.manual_seed(0)
    network = Network(SMALL).eval().requires_grad_(False)
    w_plus = torch.randn(2, network.num_ws, 7)

    def drawn_anew():
        fresh = Network(network.config).requires_grad_(False)
        fresh.load_state_dict(network.state_dict())
        return fresh.double().synthesize(w_plus.double()).image.float()

    torch.testing.assert_close(network.synthesize(w_plus).image, drawn_anew())
    network.blocks[1].conv0.weight.mul_(3)
    network.blocks[1].conv1.weight[0].add_(1)
    torch.testing.assert_close(network.synthesize(w_plus).image, drawn_anew())
    network.load_state_dict({name: tensor + 0.1 for name, tensor in network.state_dict().items()})
    torch.testing.assert_close(network.synthesize(w_plus).image, drawn_anew())
    network.load_state_dict({name: tensor * 0.9 for name, tensor in network.state_dict().items()}, assign=True)
    torch.testing.assert_close(network.synthesize(w_plus).image, drawn_anew())
    torch.testing.assert_close(deepcopy(network).double().synthesize(w_plus.double()).image.float(), drawn_anew())
    with torch.inference_mode():
        network.blocks[0].conv1.weight.mul_(2)
        network.synthesize(w_plus)
    codes = w_plus.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(network.synthesize(codes).image.sum(), codes)
    assert gradient.isfinite().all()
    torch.testing.assert_close(network.synthesize(w_plus).image, drawn_anew())


def test_autocast_reaches_what_follows_a_convolution():
    torch.manual_seed(0)
    network = Network(SMALL).eval().requires_grad_(False)
    w_plus = torch.randn(2, network.num_ws, 7)
    exact = network.synthesize(w_plus, with_features=True)
    with torch.autocast("cpu", torch.bfloat16):
        halved = network.synthesize(w_plus, with_features=True)
    assert all(feature.dtype == torch.bfloat16 for feature in halved.features[1:])
    for ours, theirs in zip((halved.image, *halved.features), (exact.image, *exact.features), strict=True):
        assert (ours.float() - theirs).square().mean() < 1e-3 * theirs.square().mean()
