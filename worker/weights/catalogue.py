"""Published weights that the service uses: their source, digest and file name.

Digests are those that the publisher states, in the file's name or in its repository; a name holds the first eight
digits alone. Sizes are rounded and serve as the limit of a download.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from core.inversion.perceptual.weights import WEIGHT_FILES

_GITHUB = ("github.com", "objects.githubusercontent.com", "release-assets.githubusercontent.com")
_HUGGING_FACE = ("huggingface.co", "hf.co")
_CLIP = "https://huggingface.co/timm/vit_base_patch32_clip_224.openai/resolve/a6f597a30f7b82c51704746581f9a4e41421e878"
_MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class PublishedFile:
    """A file of weights. `sha256`: its digest (hex) or the beginning of it. `mib`: its size in MiB, rounded up.

    file: its name in the worker's folder. hosts: those that a download may ask.
    """

    name: str
    file: str
    url: str
    sha256: str
    mib: int
    licence: str
    used_for: str
    hosts: tuple[str, ...]

    @property
    def most_bytes(self) -> int:
        """Limit of a download, with room for other forms of the same tensors."""
        return 2 * self.mib * _MIB

    def other_file(self, suffix: str) -> str:
        """Name in the worker's folder of the same tensors in a file of another digest."""
        return Path(self.file).stem.partition("-")[0] + suffix


def _torchvision(name: str, published: str, file: str, mib: int, used_for: str) -> PublishedFile:
    url = f"https://download.pytorch.org/models/{published}"
    digest = Path(published).stem.rpartition("-")[2]
    return PublishedFile(name, file, url, digest, mib, "BSD-3-Clause (ImageNet)", used_for, ("download.pytorch.org",))


_LPIPS = "perceptual distance of inversion (LPIPS)"
_DISTANCES = "distances between sets of images (FID and others)"
_TRANSFER = "start of downstream networks in evaluations"
_ALL = (
    _torchvision("vgg", WEIGHT_FILES["vgg"], WEIGHT_FILES["vgg"], 528, _LPIPS),
    _torchvision("alex", WEIGHT_FILES["alex"], WEIGHT_FILES["alex"], 234, _LPIPS),
    _torchvision("squeeze", WEIGHT_FILES["squeeze"], WEIGHT_FILES["squeeze"], 5, _LPIPS),
    PublishedFile(
        "inception",
        "inception.pth",
        "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/weights-inception-2015-12-05-6726825d.pth",
        "6726825d",
        92,
        "Apache-2.0",
        _DISTANCES,
        _GITHUB,
    ),
    PublishedFile(
        "clip",
        "clip.safetensors",
        f"{_CLIP}/open_clip_model.safetensors",
        "e6d1bd7789aa45192b3bf90570a789b478bae1b74ebcce7eddd908e83a2b7c31",
        578,
        "MIT",
        _DISTANCES,
        _HUGGING_FACE,
    ),
    PublishedFile(
        "dinov2",
        "dinov2.pth",
        "https://dl.fbaipublicfiles.com/dinov2/dinov2_vits14/dinov2_vits14_pretrain.pth",
        "b938bf1bc15cd2ec0feacfe3a1bb553fe8ea9ca46a7e1d8d00217f29aef60cd9",
        85,
        "Apache-2.0",
        f"{_DISTANCES}; frozen features in evaluations",
        ("dl.fbaipublicfiles.com",),
    ),
    _torchvision("resnet18", "resnet18-f37072fd.pth", "resnet18.pth", 45, _TRANSFER),
    _torchvision("resnet50", "resnet50-0676ba61.pth", "resnet50.pth", 98, _TRANSFER),
    _torchvision("resnet101", "resnet101-63fe2227.pth", "resnet101.pth", 171, _TRANSFER),
    _torchvision("mobilenet_v3_large", "mobilenet_v3_large-8738ca79.pth", "mobilenet_v3_large.pth", 22, _TRANSFER),
)
#: Published weights by the name that `offhand weights pull` takes.
CATALOGUE: dict[str, PublishedFile] = {one.name: one for one in _ALL}
