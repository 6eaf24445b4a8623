"""The contract that every generator family keeps, run for each family and for the awkward one of the tests."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from core.datasets.code_files import code_arrays, code_files, read_code
from core.errors import GeneratorError
from core.generators import families
from core.generators.files import description_json, load_generator, read_description, save_generator
from core.generators.interface import Codes, CodeSpec, Generator, GeneratorInfo, Sampler, settings_with_defaults
from core.generators.stylegan2.config import StyleGAN2Config
from core.generators.stylegan2.generator import StyleGAN2Generator
from core.generators.stylegan2.network import Network
from core.generators.vqgan.config import TransformerConfig, VQGANConfig
from core.generators.vqgan.generator import Network as VQGANNetwork
from core.generators.vqgan.generator import VQGANGenerator
from core.image_arrays import pictures
from core.run import Run
from core.visualization.generator_preview import preview
from store.resources.descriptions import described
from tests.core.generators.biggan import small
from tests.families.awkward.family import AWKWARD, random_generator


def stylegan2(classes: int = 0) -> StyleGAN2Generator:
    torch.manual_seed(3)
    config = StyleGAN2Config(
        resolution=(8, 16), channels={0: 8, 1: 6}, const_size=(4, 8), z_dim=5, w_dim=7, mapping_layers=2, c_dim=classes
    )
    network = Network(config).eval().requires_grad_(False)
    network.w_avg.normal_()
    return StyleGAN2Generator(network, GeneratorInfo("small", options={"noise": "none"}))


def vqgan() -> VQGANGenerator:
    torch.manual_seed(3)
    transformer = TransformerConfig(layers=4, width=16, heads=2, positions=16)
    config = VQGANConfig(8, 32, (1, 1), 1, (1,), 4, 4, 20, classes=3, transformer=transformer)
    return VQGANGenerator(VQGANNetwork(config).eval().requires_grad_(False), GeneratorInfo("small"))


GENERATORS: dict[str, Callable[[], Generator]] = {
    "stylegan2": stylegan2,
    "stylegan2-conditional": lambda: stylegan2(classes=3),
    "biggan": lambda: small.generator(),
    "biggan-deep": lambda: small.generator(small.deep()),
    "vqgan": vqgan,
    "awkward": random_generator,
}


@pytest.fixture(params=sorted(GENERATORS))
def generator(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Generator:
    monkeypatch.setattr(families, "FAMILIES", {**families.FAMILIES, AWKWARD.name: AWKWARD})
    return GENERATORS[request.param]()


def bound(generator: Generator, **settings: float) -> Sampler:
    prepared = generator.prepare(settings, Run())
    return generator.bind(settings, None if prepared is None else prepared.to_bytes())


def classes_of(generator: Generator, count: int) -> list[int] | None:
    return [index % generator.code.classes for index in range(count)] if generator.code.classes else None


def equal(one: Codes, other: Codes) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one.tensors(), other.tensors(), strict=True))


def close(one: Codes, other: Codes) -> bool:
    """Equal to rounding: the last bit of a float may depend on how many codes are drawn together."""
    return all(
        torch.allclose(a.float(), b.float(), atol=1e-5) for a, b in zip(one.tensors(), other.tensors(), strict=True)
    )


def test_described_size_of_a_code_is_that_of_the_stored_files(generator: Generator) -> None:
    drawn = bound(generator).draw(1, range(1), classes_of(generator, 1))
    files = code_files(code_arrays(drawn))
    headers = sum(content.index(b"\n") + 1 for content in files.values())
    stored = sum(map(len, files.values())) - headers
    assert described(description_json(generator, generator.info)).code_bytes == stored


def test_a_draw_depends_on_seed_index_and_class_alone(generator: Generator) -> None:
    sampler = bound(generator)
    classes = classes_of(generator, 6)
    whole = sampler.draw(9, range(6), classes)
    part = sampler.draw(9, [4, 2], None if classes is None else [classes[4], classes[2]])
    assert close(part, whole[[4, 2]])
    assert not close(sampler.draw(10, range(6), classes), whole)
    sampler.check_codes(whole)
    assert set(whole.parts) == set(generator.code.parts)


def test_synthesis_has_the_declared_shapes_and_features_on_request_only(generator: Generator) -> None:
    sampler = bound(generator)
    codes = sampler.draw(0, range(3), classes_of(generator, 3))
    plain, full = sampler.synthesize(codes), sampler.synthesize(codes, with_features=True)
    assert plain.features == ()
    assert torch.equal(plain.image, full.image)
    assert plain.image.shape == (3, generator.channels, *generator.resolution)
    assert [tuple(x.shape[1:]) for x in full.features] == [layer[1:] for layer in sampler.layers]
    assert (0 if full.condition is None else full.condition.shape[1]) == sampler.condition_dim
    assert pictures(plain.image).shape == (3, *generator.resolution, 3)


def test_a_generator_comes_back_from_disk_with_the_same_samples(generator: Generator, tmp_path: Path) -> None:
    info = save_generator(tmp_path, generator)
    stored = read_description(tmp_path)
    assert stored.description.family == generator.family
    assert stored.description.code.to_json() == generator.code.to_json()
    assert stored.description.layers == generator.layers
    loaded = load_generator(tmp_path)
    assert loaded.info == info
    ours, theirs = bound(generator), bound(loaded)
    codes = ours.draw(5, range(2), classes_of(generator, 2))
    assert equal(codes, theirs.draw(5, range(2), classes_of(generator, 2)))
    assert torch.equal(ours.synthesize(codes).image, theirs.synthesize(codes).image)
    assert theirs.digest == bound(load_generator(tmp_path)).digest
    document = json.loads(json.dumps(description_json(loaded, info)))
    assert CodeSpec.from_json(document["code"]).to_json() == generator.code.to_json()
    assert set(document) == {
        "format", "family", "config", "info", "resolution", "code", "settings_schema", "labelled_by",
    }  # fmt: skip


def test_settings_come_from_the_schema_and_change_the_digest(generator: Generator) -> None:
    (name, rule), *_ = [
        (name, rule) for name, rule in generator.settings_schema["properties"].items() if rule["type"] == "number"
    ]
    assert bound(generator).settings[name] == rule["default"]
    other = (rule["minimum"] + rule["default"]) / 2
    assert bound(generator, **{name: other}).digest != bound(generator).digest
    with pytest.raises(GeneratorError) as caught:
        settings_with_defaults(generator.settings_schema, {name: rule["maximum"] + 1, "volume": 3})
    assert {problem.pointer for problem in caught.value.problems} == {name, "volume"}
    for wrong in (float("nan"), "0.7", True, [1]):
        with pytest.raises(GeneratorError):
            settings_with_defaults(generator.settings_schema, {name: wrong})


def test_a_generator_can_have_defaults_of_its_own(generator: Generator, tmp_path: Path) -> None:
    rules = generator.settings_schema["properties"].items()
    name, rule = next((name, rule) for name, rule in rules if rule["type"] == "number")
    own = generator.with_info(replace(generator.info, sampling={name: rule["minimum"]}))
    assert own.settings_schema["properties"][name]["default"] == rule["minimum"]
    save_generator(tmp_path, own)
    assert read_description(tmp_path).description.settings_schema == own.settings_schema
    assert bound(load_generator(tmp_path)).settings[name] == rule["minimum"]
    with pytest.raises(GeneratorError):
        generator.with_info(replace(generator.info, sampling={name: rule["maximum"] + 1}))


def test_codes_that_do_not_fit_are_refused_part_by_part(generator: Generator) -> None:
    sampler = bound(generator)
    codes = sampler.draw(0, range(2), classes_of(generator, 2))
    name = sorted(codes.parts)[0]
    for parts in ({}, {**codes.parts, "more": torch.zeros(2, 1)}, {**codes.parts, name: codes.parts[name][:, :1]}):
        with pytest.raises(GeneratorError):
            sampler.check_codes(Codes(parts, codes.class_index))
    if generator.code.needs_class:
        with pytest.raises(GeneratorError, match="class_index"):
            sampler.check_codes(Codes(codes.parts))
    if generator.code.classes:
        outside = torch.full((2,), generator.code.classes)
        with pytest.raises(GeneratorError, match="class_index"):
            sampler.check_codes(Codes(codes.parts, outside))


def test_the_code_of_a_sample_survives_storage_to_the_bit(generator: Generator) -> None:
    sampler = bound(generator)
    classes = classes_of(generator, 3)
    codes = sampler.draw(1, range(3), classes)
    for index in range(3):
        files = code_files(code_arrays(codes[index : index + 1]))
        back = read_code(files, generator.code, None if classes is None else classes[index])
        assert equal(back, codes[index : index + 1])
        assert {name: part.dtype for name, part in back.parts.items()} == {
            name: part.torch_dtype for name, part in generator.code.parts.items()
        }


def test_the_preview_shows_every_setting(generator: Generator) -> None:
    calls: list[tuple[int, int]] = []
    picture = preview(generator, title="a preview", run=Run(progress=lambda *now: calls.append(now)))
    assert picture.startswith(b"\x89PNG")
    total = 6 * len(generator.preview_settings)
    assert calls[-1] == (total, total)
