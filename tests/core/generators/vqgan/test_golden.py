"""VQGAN against the outputs of the published code on small random weights: 1e-4 of a tensor's scale, tokens exactly."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import safetensors.torch
import torch
from torch import Tensor

from core.generators.vqgan.config import TransformerConfig, VQGANConfig
from core.generators.vqgan.first_stage import FirstStage, GumbelCode, NearestCode
from core.generators.vqgan.generator import drawn_tokens, token_states
from core.generators.vqgan.transformer import Cache, Transformer, filtered

FIRST_STAGE = VQGANConfig(64, 32, (1, 1, 1, 2, 1), 1, (4,), 8, 8, 24)
TRANSFORMER = TransformerConfig(layers=8, width=32, heads=4, positions=17)


def assert_close(found: Tensor, expected: Tensor) -> None:
    assert found.shape == expected.shape
    assert float((found - expected).abs().max()) <= 1e-4 * float(expected.abs().max())


@pytest.fixture(scope="module")
def golden(shared: Path) -> SimpleNamespace:
    folder = shared / "golden" / "vqgan"
    read = {name: safetensors.torch.load_file(folder / f"{name}.safetensors") for name in (
        "vq_f16_state", "vq_f16_io", "transformer_state", "transformer_io"
    )}  # fmt: skip
    first = FirstStage(FIRST_STAGE)
    first.load_state_dict(read["vq_f16_state"])
    transformer = Transformer(TRANSFORMER, 24)
    state = read["transformer_state"].items()
    transformer.load_state_dict({name: tensor for name, tensor in state if not name.endswith(".attn.mask")})
    return SimpleNamespace(
        first=first.eval().requires_grad_(False),
        transformer=transformer.eval().requires_grad_(False),
        images=read["vq_f16_io"],
        tokens=read["transformer_io"],
    )


def test_encoder_quantizer_and_decoder_equal_the_published_code(golden: SimpleNamespace) -> None:
    expected = golden.images
    latent = golden.first.latent(expected["in.x"])
    assert_close(latent, expected["eval.z_before_quant"])
    quantized = golden.first.quantize(latent)
    assert torch.equal(quantized.tokens.flatten(), expected["eval.indices"])
    assert torch.equal(golden.first.encode(expected["in.x"]), quantized.tokens)
    assert_close(quantized.codes, expected["eval.quant"])
    assert_close(quantized.loss, expected["eval.emb_loss"])
    assert_close(golden.first.quantize.vectors(quantized.tokens), expected["eval.codebook_entry"])
    image, _ = golden.first.decode(quantized.tokens)
    assert_close(image, expected["eval.decoded"])


def test_decoder_features_are_the_outputs_of_its_blocks(golden: SimpleNamespace) -> None:
    expected = golden.images
    _, features = golden.first.decode(expected["eval.indices"].reshape(2, 4, 4))
    names = ["mid.block_2"]
    names += [f"up.4.attn.{block}" for block in (0, 1)]
    names += [f"up.{level}.block.{block}" for level in (3, 2, 1, 0) for block in (0, 1)]
    for name, found in zip(names, features, strict=True):
        wanted = expected[f"eval.decoder.{name}"]
        stride = found.shape[-1] // wanted.shape[-1]
        assert_close(found[:1, :, ::stride, ::stride], wanted)


@pytest.mark.parametrize(("name", "beta_on"), [("legacy", "codebook"), ("fixed", "commitment")])
def test_gradients_pass_straight_through_the_quantizer(golden: SimpleNamespace, name: str, beta_on: str) -> None:
    expected = golden.images
    quantizer = NearestCode(24, 8)
    quantizer.load_state_dict({"embedding.weight": golden.first.quantize.embedding.weight})
    latent = expected["ste.z"].clone().requires_grad_()
    quantized = quantizer(latent, beta_on=beta_on)
    assert torch.equal(quantized.tokens, expected["ste.indices_sane_shape"])
    assert_close(quantized.codes.detach(), expected["ste.quant"])
    assert_close(quantized.loss.detach(), expected[f"ste.{name}.loss"])
    ((quantized.codes * expected["ste.upstream"]).sum() + 3 * quantized.loss).backward()
    assert latent.grad is not None
    assert quantizer.embedding.weight.grad is not None
    assert_close(latent.grad, expected[f"ste.{name}.grad_z"])
    assert_close(quantizer.embedding.weight.grad, expected[f"ste.{name}.grad_codebook"])


def test_gumbel_quantizer_equals_the_published_code_for_the_same_noise(golden: SimpleNamespace) -> None:
    expected = golden.images
    quantizer = GumbelCode(24, 8, 6)
    names = {"proj.weight", "proj.bias", "embed.weight"}
    quantizer.load_state_dict({name: expected[f"gumbel.{name}"] for name in names})
    with torch.no_grad():
        assert_close(quantizer.proj(expected["gumbel.in.z"]), expected["gumbel.logits"])
        quantized = quantizer(expected["gumbel.in.z"], noise=expected["gumbel.noise"])
    assert torch.equal(quantized.tokens, expected["gumbel.indices"])
    assert_close(quantized.codes, expected["gumbel.zq"])
    assert_close(quantized.loss, expected["gumbel.diff"])
    assert torch.equal(quantizer.tokens(expected["gumbel.in.z"]), expected["gumbel.logits"].argmax(1))


def test_transformer_states_and_logits_equal_the_published_code(golden: SimpleNamespace) -> None:
    expected = golden.tokens
    for number, state in enumerate(golden.transformer.states(expected["sequence"])):
        assert_close(state, expected[f"hidden.blocks.{number}"])
    assert_close(golden.transformer(expected["sequence"]), expected["logits"])
    grid = token_states(golden.transformer, expected["c_indices"][:, 0], expected["sequence"][:, 1:].reshape(2, 4, 4))
    for number, state in zip((3, 7), grid, strict=True):
        assert_close(state, expected[f"grid.blocks.{number}.position_i_predicts_token_i"])


def test_the_most_probable_tokens_are_drawn_with_and_without_cache(golden: SimpleNamespace) -> None:
    expected, classes = golden.tokens, golden.tokens["c_indices"][:, 0]
    settings = {"temperature": 1.0, "top_k": 1, "top_p": 1.0}
    drawn = drawn_tokens(golden.transformer, classes, torch.zeros(2, 16, dtype=torch.float64), settings)
    assert torch.equal(drawn, expected["greedy.tokens"])
    assert_close(golden.first.decode(drawn.reshape(2, 4, 4))[0], expected["greedy.decoded"])


def test_cached_probabilities_equal_those_of_the_published_sampler(golden: SimpleNamespace) -> None:
    expected, last = golden.tokens, golden.tokens["c_indices"][:, 0]
    cache = Cache.empty(TRANSFORMER, 2, 16, golden.transformer.pos_emb)
    for step in range(16):
        chance = filtered(golden.transformer.next_logits(last, cache), 1.0, 5, 0.9)
        assert_close(chance, expected["sampled.k5.p0.9.T1.step_probs"][:, step])
        last = expected["sampled.k5.p0.9.T1.tokens"][:, step]


@pytest.mark.parametrize("temperature", [0.8, 1.0])
@pytest.mark.parametrize(("top_k", "top_p"), [(None, 0.8), (1, 0.92), (24, 0.92), (5, 0.8), (5, 1.0), (None, 1.0)])
def test_filters_equal_the_published_ones(
    golden: SimpleNamespace, temperature: float, top_k: int | None, top_p: float
) -> None:
    named = "kNone.pNone" if top_k is None and top_p == 1 else f"k{top_k or 0}.p{top_p}"
    found = filtered(golden.tokens["filtered.input_logits"], temperature, top_k, top_p)
    assert_close(found, golden.tokens[f"filtered_probs.T{temperature}.{named}"])


@pytest.mark.parametrize("top_p", [0.5, 0.75, 0.8, 0.9, 1.0])
def test_the_token_that_crosses_the_share_is_kept(golden: SimpleNamespace, top_p: float) -> None:
    found = filtered(golden.tokens["filtered.hand_probs"].log(), 1.0, None, top_p)
    assert_close(found, golden.tokens[f"filtered.hand_probs.p{top_p}"])
