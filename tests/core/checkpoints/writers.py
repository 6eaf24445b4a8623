"""Writes checkpoints as other projects do: with their pickles' names and shapes, and without their code."""

from __future__ import annotations

import argparse
import pickle
import sys
import types
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from core.generators.stylegan2.config import StyleGAN2Config
from core.generators.stylegan2.network import Network

SMALL = StyleGAN2Config(
    resolution=(16, 16), channels={0: 8, 1: 6, 2: 4}, z_dim=5, w_dim=7, mapping_layers=3, conv_clamp=256.0
)

SOURCE = "raise AssertionError('the source in a checkpoint ran')\n"


def trained(config: StyleGAN2Config = SMALL, seed: int = 0) -> Network:
    """A generator whose every number is random, with the mean code that its mapping has."""
    torch.manual_seed(seed)
    network = Network(config).requires_grad_(False)
    for name, tensor in network.state_dict().items():
        if name.endswith(("bias", "noise_strength")):
            tensor.add_(torch.randn_like(tensor) * 0.3)
    c = torch.eye(config.c_dim)[torch.arange(4000) % config.c_dim] if config.c_dim else None
    network.w_avg.copy_(network.mapping(torch.randn(4000, config.z_dim), c).mean(0))
    return network.eval()


@contextmanager
def foreign_modules() -> Iterator[types.SimpleNamespace]:
    """The classes that pickles of NVIDIA's projects name, under their names, for as long as something is written."""

    def reconstruct(meta: Any) -> Any:
        raise AssertionError("nothing of a checkpoint may be called")

    class EasyDict(dict):
        pass

    class Network:
        pass

    reconstruct.__module__, reconstruct.__qualname__ = "torch_utils.persistence", "_reconstruct_persistent_obj"
    reconstruct.__name__ = "_reconstruct_persistent_obj"
    EasyDict.__module__, EasyDict.__qualname__ = "dnnlib.util", "EasyDict"
    Network.__module__, Network.__qualname__ = "dnnlib.tflib.network", "Network"
    made = {
        "torch_utils": {},
        "torch_utils.persistence": {"_reconstruct_persistent_obj": reconstruct},
        "dnnlib": {},
        "dnnlib.util": {"EasyDict": EasyDict},
        "dnnlib.tflib": {},
        "dnnlib.tflib.network": {"Network": Network},
    }
    for name, content in made.items():
        module = types.ModuleType(name)
        vars(module).update(content)
        sys.modules[name] = module
    try:
        yield types.SimpleNamespace(reconstruct=reconstruct, EasyDict=EasyDict, Network=Network)
    finally:
        for name in made:
            del sys.modules[name]


class _Persistent:
    """Pickles as NVIDIA's modules do: class name, source and attributes for a function to put together."""

    def __init__(self, reconstruct: Any, source: str, class_name: str, state: dict[str, Any]) -> None:
        self.parts = reconstruct, source, class_name, state

    def __reduce__(self) -> Any:
        reconstruct, source, class_name, state = self.parts
        meta = {"type": "class", "version": 6, "module_src": source, "class_name": class_name, "state": state}
        return reconstruct, (meta,)


def nvidia_state(network: Network) -> dict[str, Tensor]:
    """Our state under NVIDIA's names, with the filters that its blocks keep."""
    config, ours = network.config, network.state_dict()
    taps = torch.tensor([1.0, 3, 3, 1]) / 8
    fir = torch.outer(taps, taps)
    state = {"mapping.w_avg": ours["w_avg"], f"synthesis.b{config.const_size[0]}.const": ours["constant"]}
    for name, tensor in ours.items():
        parts = name.split(".")
        if parts[0] == "mapping":
            layer = "embed" if parts[1] == "embed" else f"fc{parts[2]}"
            state[f"mapping.{layer}.{parts[-1]}"] = tensor
        elif parts[0] == "blocks":
            prefix = f"synthesis.b{config.block_size(int(parts[1]))[0]}"
            layer = {"to_rgb": "torgb", "residual": "skip"}.get(parts[2], parts[2])
            state[f"{prefix}.resample_filter"] = fir
            if layer.startswith("conv"):
                state[f"{prefix}.{layer}.resample_filter"] = fir
            if parts[2] in ("to_rgb", "residual") and parts[-2] != "affine" and parts[-1] == "weight":
                tensor = tensor[:, :, None, None]
            rest = ".".join(parts[3:])
            state[f"{prefix}.{layer}.{'noise_const' if rest == 'noise' else rest}"] = tensor
    return state


def nvidia_pickle(
    state: Mapping[str, Tensor],
    *,
    clamp: float | None = 256,
    lr_multiplier: float = 0.01,
    architecture: str = "skip",
    protocol: int = 3,
    extra: Mapping[str, Any] | None = None,
    alone: bool = False,
    attributes: Mapping[str, Any] | None = None,
    noise: bool = True,
    source: str = SOURCE,
    settings: bool = True,
) -> bytes:
    """A snapshot as NVIDIA's training writes it, with ``state`` as ``G_ema``.

    attributes: attributes of every synthesis layer, over the usual ones. noise: False leaves noise out of the layers.
    settings: False leaves out every attribute that says how a layer computes.
    """
    with foreign_modules() as foreign:

        def module(class_name: str, prefix: str) -> _Persistent:
            tensors = {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
            if not noise:
                tensors = {k: v for k, v in tensors.items() if "noise" not in k}
            children = list(dict.fromkeys(k.split(".")[0] for k in tensors if "." in k))
            own = {k: v for k, v in tensors.items() if "." not in k}
            buffers = {k: v for k, v in own.items() if k in ("w_avg", "noise_const", "resample_filter")}
            inside = {
                "training": False,
                "_parameters": OrderedDict((k, nn.Parameter(v)) for k, v in own.items() if k not in buffers),
                "_buffers": OrderedDict(buffers),
                "_non_persistent_buffers_set": set(),
                "_backward_hooks": OrderedDict(),
                "_modules": OrderedDict((name, module(_class(name), f"{prefix}{name}.")) for name in children),
                "_init_args": (),
                "_init_kwargs": foreign.EasyDict(synthesis_kwargs=foreign.EasyDict(conv_clamp=clamp)),
            }
            return _Persistent(foreign.reconstruct, source, class_name, inside | attributes_of(prefix))

        def attributes_of(prefix: str) -> dict[str, Any]:
            if not settings:
                return {}
            place = prefix.removesuffix(".").split(".")
            if place[0] == "mapping" and place[-1].startswith("fc"):
                return {"activation": "lrelu", "weight_gain": np.float64(0.001), "bias_gain": lr_multiplier}
            if place[0] == "mapping" and place[-1] == "embed":
                return {"activation": "linear", "bias_gain": 1}
            if place[-1] in ("conv0", "conv1"):
                usual = {"activation": "lrelu", "conv_clamp": clamp, "act_gain": np.float64(2**0.5)}
                return usual | dict(attributes or {})
            if place[-1] == "torgb":
                return {"conv_clamp": clamp}
            if len(place) == 2 and place[0] == "synthesis":
                return {"architecture": architecture, "use_fp16": place[1] == "b16"}
            return {}

        network = module("Generator", "")
        snapshot = {"G": network, "D": None, "G_ema": network, "training_set_kwargs": foreign.EasyDict(path="a.zip")}
        return pickle.dumps(network if alone else snapshot | dict(extra or {}), protocol)


def _class(name: str) -> str:
    known = {"mapping": "MappingNetwork", "synthesis": "SynthesisNetwork", "torgb": "ToRGBLayer", "skip": "Conv2dLayer"}
    if name.startswith(("fc", "embed")):
        return "FullyConnectedLayer"
    return known.get(name) or ("SynthesisLayer" if name.startswith("conv") else "SynthesisBlock")


def rosinality_state(network: Network) -> OrderedDict[str, Tensor]:
    """Our state under rosinality's names, with the filters that its layers keep."""
    ours = network.state_dict()
    taps = torch.tensor([1.0, 3, 3, 1]) / 4
    state = OrderedDict({"input.input": ours["constant"][None]})
    for name, tensor in ours.items():
        parts = name.split(".")
        if parts[0] == "mapping":
            state[f"style.{int(parts[2]) + 1}.{parts[3]}"] = tensor
        elif parts[0] == "blocks":
            block, layer, rest = int(parts[1]), parts[2], ".".join(parts[3:])
            if layer == "to_rgb":
                prefix = f"to_rgbs.{block - 1}" if block else "to_rgb1"
                names = {"weight": "conv.weight", "bias": "bias"}
                shaped = {"weight": tensor[None, :, :, None, None] if tensor.dim() == 2 else tensor}
                shaped["bias"] = tensor.reshape(1, -1, 1, 1)
            else:
                number = 2 * block - 2 + int(layer[-1]) if block else -1
                prefix = f"convs.{number}" if block else "conv1"
                if rest == "noise":
                    state[f"noises.noise_{number + 1}"] = tensor[None, None]
                    continue
                names = {"weight": "conv.weight", "bias": "activate.bias", "noise_strength": "noise.weight"}
                shaped = {"weight": tensor[None], "noise_strength": tensor.reshape(-1)}
                if layer == "conv0":
                    state[f"{prefix}.conv.blur.kernel"] = torch.outer(taps, taps)
            if rest.startswith("affine."):
                state[f"{prefix}.conv.modulation.{rest.removeprefix('affine.')}"] = tensor
            else:
                state[f"{prefix}.{names[rest]}"] = shaped.get(rest, tensor)
    state._metadata = OrderedDict(version=1)  # type: ignore[attr-defined]
    return state


def save_rosinality(
    path: Path, state: Mapping[str, Tensor], latent_avg: Tensor | None = None, *, older: bool = False, **more: Any
) -> Path:
    """A checkpoint as conversion (with ``latent_avg``) or training (with arguments and optimiser) writes it."""
    content: dict[str, Any] = {"g_ema": state, "g": dict(state), "ada_aug_p": 0.25, **more}
    if latent_avg is None:
        content["args"] = argparse.Namespace(size=32, batch=4, path="data", channel_multiplier=2)
        content["g_optim"] = {"state": {0: {"step": 3, "exp_avg": torch.zeros(2)}}, "param_groups": [{"lr": 1e-3}]}
    else:
        content["latent_avg"] = latent_avg
    torch.save(content, path, _use_new_zipfile_serialization=not older)
    return path


def _as_session_returns(array: np.ndarray) -> np.ndarray | np.float32:
    """The value of a variable as ``tf.Session.run`` returns it: one without axes is a NumPy scalar, not an array."""
    return np.ascontiguousarray(array) if array.ndim else np.float32(array)


def tensorflow_pickle(
    network: Network,
    *,
    protocol: int = 4,
    kwargs: Mapping[str, Any] | None = None,
    scalars: Mapping[str, Any] | None = None,
    without: tuple[str, ...] = (),
    more: Sequence[tuple[str, Any]] = (),
) -> bytes:
    """A snapshot as NVIDIA's TensorFlow projects write it: (G, D, Gs).

    scalars: values of synthesis variables, over those of ``network``. without: names of variables to leave out.
    more: synthesis variables to add.
    """
    config, ours = network.config, network.state_dict()
    mapping: list[tuple[str, Any]] = []
    synthesis: list[tuple[str, Any]] = [("4x4/Const/const", ours["constant"][None].numpy())]
    for name, tensor in ours.items():
        parts = name.split(".")
        array = tensor.numpy()
        if parts[0] == "mapping":
            layer = "LabelEmbed" if parts[1] == "embed" else f"Dense{parts[2]}"
            mapping.append((f"{layer}/{parts[-1]}", array.T if array.ndim == 2 else array))
        elif parts[0] == "blocks":
            block, layer, rest = int(parts[1]), parts[2], ".".join(parts[3:])
            side = config.block_size(block)[0]
            scope = {"conv0": "Conv0_up", "conv1": "Conv1" if block else "Conv", "to_rgb": "ToRGB", "residual": "Skip"}
            if rest == "noise":
                number = 2 * block - 1 + int(layer[-1]) if block else 0
                synthesis.append((f"noise{number}", array[None, None]))
                continue
            if rest == "weight":
                array = array[:, :, None, None] if array.ndim == 2 else array
                array = array.transpose(2, 3, 1, 0)
                array = array[::-1, ::-1] if layer in ("conv0", "residual") else array
            names = {"affine.weight": "mod_weight", "affine.bias": "mod_bias"}
            array = array.T if rest == "affine.weight" else array - 1 if rest == "affine.bias" else array
            synthesis.append((f"{side}x{side}/{scope[layer]}/{names.get(rest, rest)}", _as_session_returns(array)))
    with foreign_modules() as foreign:

        def made(name: str, variables: list[tuple[str, Any]], components: dict[str, Any]) -> Any:
            one = foreign.Network()
            vars(one).update(
                version=4,
                name=name,
                static_kwargs={"resolution": config.resolution[0], **(kwargs or {})},
                components=components,
                build_module_src=SOURCE,
                build_func_name="G_main",
                variables=variables,
            )
            return one

        synthesis = [(name, (scalars or {}).get(name, value)) for name, value in synthesis if name not in without]
        synthesis += more
        parts = {"mapping": made("G_mapping", mapping, {}), "synthesis": made("G_synthesis", synthesis, {})}
        top = [("lod", np.float32(0)), ("dlatent_avg", ours["w_avg"].numpy())]
        top = [(name, value) for name, value in top if name not in without]
        whole = made("Gs", top, parts)
        return pickle.dumps((whole, made("D", [], {}), whole), protocol)
