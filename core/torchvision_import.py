"""The one door to torchvision, for machines where its compiled operators cannot be loaded.

torchvision's wheel links its operators against CUDA. Beside a CPU-only torch they do not load, and the import of the
whole package then dies while it registers shapes for ``torchvision::nms``; lpips, timm and torchmetrics die with it.
Declaring the two schemas it looks for lets everything work except the operators themselves (NMS, detection models,
``torchvision.io``).
"""

import importlib
import importlib.util
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

# What `import torchvision` looks up by name, as torchvision itself declares them.
_SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)
_declared: list[Any] = []  # a schema lives only as long as the library object that declared it
_torch: Any = torch  # torch.library and torch.ops are untyped


@cache
def import_torchvision() -> ModuleType:
    """Import torchvision; call this before importing it, or anything built on it, by name.

    Raises ImportError when torchvision is not installed.
    """
    if not _operators_load():
        library = _torch.library.Library("torchvision", "FRAGMENT")
        for schema in _SCHEMAS:
            library.define(schema)
        _declared.append(library)
    return importlib.import_module("torchvision")


def _operators_load() -> bool:
    """Whether torchvision's compiled operators can be loaded into this process. Loading them twice is harmless."""
    found = importlib.util.find_spec("torchvision")
    folders = found.submodule_search_locations if found else None
    for library in (path for folder in folders or () for path in sorted(Path(folder).glob("_C.*"))):
        try:
            _torch.ops.load_library(library)
        except (OSError, ImportError):
            continue
        return True
    return False
