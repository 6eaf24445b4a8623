"""Where ImageNet weights for LPIPS are on this machine. Torch-free, so that a worker can look before it loads torch."""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal, get_args

Net = Literal["vgg", "alex", "squeeze"]
"""Trunks of LPIPS, best known first."""

# torchvision's names for its ImageNet weights; the part after the dash is the beginning of the file's SHA-256.
WEIGHT_FILES: Mapping[Net, str] = {
    "vgg": "vgg16-397923af.pth",
    "alex": "alexnet-owt-7be5be79.pth",
    "squeeze": "squeezenet1_1-b8a52dc0.pth",
}


def find_weights(net: Net, folder: Path) -> Path | None:
    """The file with the ImageNet weights of ``net`` in ``folder`` or where torch keeps them below it; None when
    absent.
    """
    published = Path(WEIGHT_FILES[net])
    short = published.stem.partition("-")[0]  # for files that others published, of another digest
    names = [published.name, f"{published.stem}.safetensors", f"{short}.safetensors", f"{short}.pth"]
    folders = [folder, folder / "checkpoints", folder / "hub" / "checkpoints"]
    return next((place / name for place in folders for name in names if (place / name).is_file()), None)


def best_weights(folder: Path | None) -> tuple[Net, Path] | None:
    """Return the best known trunk whose weights are in ``folder``, with their file; None where there are none."""
    for net in get_args(Net):
        found = find_weights(net, folder) if folder is not None else None
        if found is not None:
            return net, found
    return None
