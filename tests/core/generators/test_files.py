import hashlib
import json
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file

from core.errors import GeneratorError
from core.generators.files import load_generator, read_description, save_generator, shipped_generators
from core.generators.interface import GeneratorInfo
from core.generators.stylegan2.config import StyleGAN2Config
from core.generators.stylegan2.generator import StyleGAN2Generator
from core.generators.stylegan2.network import Network

CONFIG = StyleGAN2Config(resolution=(8, 8), channels={0: 6, 1: 4}, z_dim=5, w_dim=7, mapping_layers=2)
INFO = GeneratorInfo(name="tiny", licence="CC0-1.0", domain="nothing", options={"noise": "none"}, classes=("a", "b"))


@pytest.fixture
def stored(tmp_path):
    network = Network(CONFIG)
    return tmp_path, network, save_generator(tmp_path, StyleGAN2Generator(network, INFO))


def test_round_trip(stored):
    folder, network, info = stored
    loaded = load_generator(folder)
    assert loaded.info == info
    assert len(info.digest) == 64
    assert loaded.network.config == CONFIG
    assert not loaded.network.training
    assert all(not p.requires_grad for p in loaded.network.parameters())
    network.requires_grad_(False)
    w_plus = network.map(torch.randn(2, 5))
    assert torch.equal(loaded.network.synthesize(w_plus).image, network.synthesize(w_plus).image)


def test_a_generator_has_its_own_defaults_of_sampling_settings(tmp_path):
    plain = StyleGAN2Generator(Network(CONFIG), INFO)
    own = plain.with_info(replace(INFO, sampling={"truncation_psi": 0.9}))
    save_generator(tmp_path, own)
    document = json.loads((tmp_path / "generator.json").read_text())
    assert document["settings_schema"]["properties"]["truncation_psi"]["default"] == 0.9
    described = read_description(tmp_path)
    assert described.info.sampling == {"truncation_psi": 0.9}
    assert described.description.settings_schema == document["settings_schema"]
    loaded = load_generator(tmp_path)
    assert loaded.bind().settings["truncation_psi"] == 0.9
    assert loaded.bind({"truncation_psi": 0.5}).settings["truncation_psi"] == 0.5
    assert plain.bind().settings["truncation_psi"] == 0.7, "the family's, where the generator has none of its own"
    with pytest.raises(GeneratorError) as caught:
        plain.with_info(replace(INFO, sampling={"truncation_psi": 2, "volume": 3}))
    assert {problem.pointer for problem in caught.value.problems} == {
        "info.sampling.truncation_psi", "info.sampling.volume",
    }  # fmt: skip


@pytest.mark.parametrize("name", shipped_generators())
def test_shipped_generators_draw_without_truncation(name):
    described = read_description(shipped_generators()[name])
    assert described.info.sampling == {"truncation_psi": 1.0}
    stored = json.loads((shipped_generators()[name] / "generator.json").read_text())
    assert stored["settings_schema"] == described.description.settings_schema


def test_half_precision_on_disk_is_float32_in_memory(tmp_path):
    network = Network(CONFIG)
    save_generator(tmp_path, StyleGAN2Generator(network, INFO), dtype=torch.float16)
    loaded = load_generator(tmp_path).network
    for name, tensor in loaded.state_dict().items():
        assert tensor.dtype == torch.float32
        assert torch.equal(tensor, network.state_dict()[name].half().float())


def test_what_overflows_half_precision_is_not_stored(tmp_path):
    network = Network(CONFIG)
    network.constant.data[0] = 1e6
    with pytest.raises(GeneratorError) as caught:
        save_generator(tmp_path, StyleGAN2Generator(network, INFO), dtype=torch.float16)
    assert [problem.pointer for problem in caught.value.problems] == ["constant"]


def test_an_empty_folder_holds_no_generator(tmp_path):
    with pytest.raises(GeneratorError, match=r"generator\.json: missing"):
        load_generator(tmp_path)


def test_changed_weights_are_refused(stored):
    folder, _, _ = stored
    weights = bytearray((folder / "generator.safetensors").read_bytes())
    weights[-1] ^= 1
    (folder / "generator.safetensors").write_bytes(weights)
    with pytest.raises(GeneratorError, match="damaged"):
        load_generator(folder)
    (folder / "generator.safetensors").unlink()
    with pytest.raises(GeneratorError, match="cannot be read"):
        load_generator(folder)


def test_weights_that_do_not_fit_are_named(stored):
    folder, _, _ = stored
    state = load_file(folder / "generator.safetensors")
    del state["constant"]
    state |= {"w_avg": torch.zeros(8), "blocks.0.conv1.bias": torch.full((6,), torch.inf), "more": torch.zeros(1)}
    save_file(state, folder / "generator.safetensors")
    description = json.loads((folder / "generator.json").read_text())
    description["info"]["digest"] = hashlib.sha256((folder / "generator.safetensors").read_bytes()).hexdigest()
    (folder / "generator.json").write_text(json.dumps(description))
    with pytest.raises(GeneratorError) as caught:
        load_generator(folder)
    assert {p.pointer for p in caught.value.problems} == {"constant", "w_avg", "blocks.0.conv1.bias", "more"}


@pytest.mark.parametrize("text", ["{", "[]", '{"format": "else"}', '{"format": "offhand-generator/1"}'])
def test_a_broken_description_is_told(stored, text):
    folder, _, _ = stored
    (folder / "generator.json").write_text(text)
    with pytest.raises(GeneratorError):
        load_generator(folder)


def test_wrong_facts_are_all_named(stored):
    folder, _, _ = stored
    description = json.loads((folder / "generator.json").read_text())
    description["info"] |= {"name": 3, "classes": "ab", "more": 1}
    (folder / "generator.json").write_text(json.dumps(description))
    with pytest.raises(GeneratorError) as caught:
        load_generator(folder)
    assert {p.pointer for p in caught.value.problems} == {
        "info.name", "info.classes", "info.more",
    }  # fmt: skip
    description["info"] = {**vars(INFO), "classes": [], "options": {"noise": "loud", "space": "z", "more": 1}}
    description["info"]["digest"] = hashlib.sha256((folder / "generator.safetensors").read_bytes()).hexdigest()
    (folder / "generator.json").write_text(json.dumps(description))
    with pytest.raises(GeneratorError) as caught:
        load_generator(folder)
    assert {p.pointer for p in caught.value.problems} == {
        "info.options.noise", "info.options.space", "info.options.more",
    }  # fmt: skip


def test_a_description_of_the_first_release_is_a_stylegan2(stored):
    folder, network, info = stored
    facts = {"name": "tiny", "licence": "", "domain": "", "digest": info.digest, "noise": "none", "classes": []}
    first = {"format": "offhand-generator/1", "config": CONFIG.to_json(), "info": facts}
    (folder / "generator.json").write_text(json.dumps(first))
    loaded = load_generator(folder)
    assert loaded.family == "stylegan2"
    assert loaded.info.options == {"noise": "none"}
    assert not loaded.bind().one_row
    assert torch.equal(loaded.network.constant, network.constant)
    first["info"]["space"] = "w"
    (folder / "generator.json").write_text(json.dumps(first))
    assert load_generator(folder).bind().one_row


def test_an_unknown_family_is_refused_with_the_known_ones(stored):
    folder, _, _ = stored
    description = json.loads((folder / "generator.json").read_text()) | {"family": "stylegan9"}
    (folder / "generator.json").write_text(json.dumps(description))
    with pytest.raises(GeneratorError, match=r"unknown generator family 'stylegan9'\n.*expected one of .*stylegan2"):
        load_generator(folder)
