"""Train a segmentation network on generated images, then fine-tune it on your labelled images.

    python train.py --labels MY_LABELS --test MY_TEST_LABELS --out model.pt

Phase 1 learns from the generated dataset (the folder of this script, or --dataset). Phase 2 continues on your labelled
images at a lower rate, with strong augmentation. Each folder has images/ and masks/ of the same names (PNG masks, one
class id a pixel); the dataset may be shards/*.tar (WebDataset) as well. --test prints IoU before and after phase 2.

Needs torch, numpy and pillow. Replace `UNet` by your own network: it gets float32 [N, 3, H, W] in [-1, 1] and returns
logits [N, classes, H, W].
"""

import argparse
import io
import json
import re
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

BATCH, RATE, FINE_TUNE_STEPS, FINE_TUNE_RATE = 32, 3e-3, 1 / 3, 0.15
Arrays = tuple[NDArray[np.uint8], NDArray[np.uint8]]


class UNet(nn.Module):
    """Three halvings, about 0.4 million parameters; for images of about 64 to 256 pixels."""

    def __init__(self, classes: int, width: int = 24) -> None:
        super().__init__()
        widths = [width, 2 * width, 4 * width, 6 * width]
        self.down = nn.ModuleList(_block(i, o) for i, o in zip([3, *widths[:-1]], widths, strict=True))
        self.up = nn.ModuleList(_block(a + b, b) for a, b in zip(widths[:0:-1], widths[-2::-1], strict=True))
        self.head = nn.Conv2d(width, classes, 1)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits [N, classes, H, W] of images [N, 3, H, W] in [-1, 1]."""
        height, width = images.shape[2:]
        x, skips = F.pad(images, (0, -width % 8, 0, -height % 8), mode="replicate"), []
        for number, block in enumerate(self.down):
            x = block(F.max_pool2d(x, 2) if number else x)
            skips.append(x)
        for block, skip in zip(self.up, skips[-2::-1], strict=True):
            x = block(torch.cat([F.interpolate(x, scale_factor=2.0), skip], 1))
        result: Tensor = self.head(x)[:, :, :height, :width]
        return result


def _block(inputs: int, outputs: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for channels in (inputs, outputs):
        layers += [nn.Conv2d(channels, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]
    return nn.Sequential(*layers)


def read_folder(folder: Path, size: tuple[int, int] | None = None) -> Arrays:
    """Read a folder: images uint8 [N, H, W, 3] and masks uint8 [N, H, W], brought to ``size`` (height, width) or to
    that of the first image.
    """
    images, masks = [], []
    for name, image, mask in _pairs(folder):
        size = size or (image.height, image.width)
        if image.size != mask.size:
            raise SystemExit(f"{folder}: the mask of {name} is {mask.size}, its image {image.size}")
        images.append(np.asarray(image.convert("RGB").resize(size[::-1], Image.Resampling.BOX)))
        masks.append(np.asarray(mask.resize(size[::-1], Image.Resampling.NEAREST), np.uint8))
    if not images:
        raise SystemExit(f"{folder} has neither images/ with masks/ nor shards/*.tar")
    return np.stack(images), np.stack(masks)


def _pairs(folder: Path) -> Iterator[tuple[str, Image.Image, Image.Image]]:
    """Yield the name, image and mask of each sample."""
    for shard in sorted(folder.glob("shards/*.tar")):
        with tarfile.open(shard) as archive:
            for name in archive.getnames():
                stem, found, _ = name.partition(".image.png")
                if found:
                    yield stem, _member(archive, name), _member(archive, f"{stem}.mask.png")
    masks = {path.stem: path for path in folder.glob("masks/*.png")}
    for path in sorted(folder.glob("images/*")):
        if path.stem in masks:
            yield path.stem, Image.open(path), Image.open(masks[path.stem])


def _member(archive: tarfile.TarFile, name: str) -> Image.Image:
    file = archive.extractfile(name)
    assert file is not None
    return Image.open(io.BytesIO(file.read()))


def read_classes(folder: Path) -> dict[str, Any]:
    """Return ``classes`` (names by id) and ``ignore_index`` of a folder; empty where it names none."""
    for name in ("classes.json", "manifest.json"):
        if (folder / name).is_file():
            document = json.loads((folder / name).read_text())
            names = {one["id"]: one["name"] for one in document["classes"]}
            return {"classes": names, "ignore_index": document.get("ignore_index", 255)}
    return {}


def augment(images: Tensor, masks: Tensor, strength: float, flips: bool, ignored: int) -> tuple[Tensor, Tensor]:
    """Move, turn, scale and recolour a batch; from ``strength`` 0 on also shear, noise and copy-paste.

    images: float32 [N, 3, H, W] in [-1, 1]. masks: int64 [N, H, W].
    """
    count = len(images)

    def uniform(low: float, high: float, channels: int = 1) -> Tensor:
        return low + (high - low) * torch.rand(count, channels, 1, 1)

    if strength:
        paste = torch.rand(count) < 0.5 * strength
        order = torch.randperm(count)
        donors = masks[order]
        # One class of the other image, but not the one that covers most of it.
        chosen = torch.stack([_small_class(one, ignored) for one in donors])
        where = paste[:, None, None] & (donors == chosen[:, None, None])
        images = torch.where(where[:, None], images[order], images)
        masks = torch.where(where, donors, masks)
    angle, scale = uniform(-0.26, 0.26)[:, 0, 0, 0], uniform(0.8, 1.2)[:, 0, 0, 0]
    sign = torch.where(torch.rand(count) < 0.5, -1.0, 1.0) if flips else torch.ones(count)
    shear = uniform(-0.2, 0.2)[:, 0, 0, 0] * strength
    across, down = uniform(-0.2, 0.2)[:, 0, 0, 0], uniform(-0.2, 0.2)[:, 0, 0, 0]
    cos, sin = scale * angle.cos(), scale * angle.sin()
    rows = [torch.stack([cos * sign, shear - sin, across], 1), torch.stack([sin * sign, cos, down], 1)]
    grid = F.affine_grid(torch.stack(rows, 1), list(images.shape), align_corners=False)
    images = F.grid_sample(images, grid, padding_mode="reflection", align_corners=False)
    labels = F.grid_sample(masks[:, None].float(), grid, "nearest", "reflection", align_corners=False)[:, 0].long()
    grey = images.mean(1, keepdim=True)
    images = (grey + (images - grey) * uniform(0.5, 1.5)) * uniform(0.7, 1.3) + uniform(-0.25, 0.25)
    images = images * (1 + strength * uniform(-0.2, 0.2, 3))
    return (images + strength * uniform(0, 0.1) * torch.randn_like(images)).clamp(-1, 1), labels


def _small_class(mask: Tensor, ignored: int) -> Tensor:
    counts = torch.bincount(mask[mask != ignored], minlength=1)
    present = counts.nonzero()[:, 0]
    present = present[present != counts.argmax()]
    return present[torch.randint(len(present), (1,))][0] if len(present) else torch.tensor(-1)


def train(network: nn.Module, data: Arrays, steps: int, rate: float, strength: float, settings: dict[str, Any]) -> None:
    """Train a network in place; classes weigh by the root of their frequency. Prints the loss ten times."""
    images, masks = (torch.from_numpy(one) for one in data)
    device, ignored = settings["device"], settings["ignore_index"]
    counts = torch.bincount(masks[masks != ignored].long(), minlength=settings["classes"]).double()
    weights = torch.where(counts > 0, (counts / counts.sum()).clamp_min(1e-6) ** -0.5, 0.0)
    weights = (weights / weights[counts > 0].mean()).float().to(device)
    optimizer = torch.optim.AdamW(network.parameters(), lr=rate, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps + 1)
    network.train()
    for step in range(1, steps + 1):
        pick = torch.randint(len(images), (BATCH,))
        x, y = images[pick].permute(0, 3, 1, 2).float() / 127.5 - 1, masks[pick].long()
        x, y = augment(x, y, strength, settings["flips"], ignored)
        loss = F.cross_entropy(network(x.to(device)), y.to(device), weights, ignore_index=ignored)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
        if step % max(1, steps // 10) == 0:
            print(f"  step {step} of {steps}, loss {loss.item():.3f}", flush=True)


@torch.no_grad()
def iou(network: nn.Module, data: Arrays, settings: dict[str, Any]) -> list[float]:
    """Return the IoU of each class, pooled over the images; NaN where a class does not occur."""
    network.eval()
    classes, confusion = settings["classes"], torch.zeros(settings["classes"] ** 2)
    for start in range(0, len(data[0]), BATCH):
        x = torch.from_numpy(data[0][start : start + BATCH]).permute(0, 3, 1, 2).float() / 127.5 - 1
        truth = torch.from_numpy(data[1][start : start + BATCH]).long()
        found = network(x.to(settings["device"])).argmax(1).cpu()
        known = (truth != settings["ignore_index"]) & (truth < classes)
        confusion += torch.bincount(truth[known] * classes + found[known], minlength=classes**2)
    table = confusion.reshape(classes, classes)
    hits = table.diag()
    return [float(one) for one in hits / (table.sum(0) + table.sum(1) - hits)]


def main() -> None:
    """Run both phases."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", type=Path, default=Path(__file__).parent, help="generated dataset")
    parser.add_argument("--labels", type=Path, required=True, help="your labelled images")
    parser.add_argument("--test", type=Path, help="labelled images that had no part in either")
    parser.add_argument("--steps", type=int, default=600, help="of phase 1; phase 2 takes a third as many")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("model.pt"), help="weights of the network")
    given = parser.parse_args()
    torch.manual_seed(given.seed)
    named = read_classes(given.dataset)
    if not named.get("classes"):
        raise SystemExit(f"{given.dataset} names no classes in classes.json or manifest.json")
    for folder in filter(None, (given.labels, given.test)):
        if read_classes(folder) not in ({}, named):
            raise SystemExit(f"the classes of {folder} are not those of {given.dataset}")
    generated = read_folder(given.dataset)
    size = generated[0].shape[1:3]
    labelled, test = read_folder(given.labels, size), read_folder(given.test, size) if given.test else None
    sides = re.compile(r"(^|[^a-z])(left|right|l|r)([^a-z]|$)")
    settings = {
        "classes": 1 + max(named["classes"]),
        "ignore_index": named["ignore_index"],
        # In a mirrored image, left and right would have to change places.
        "flips": not any(sides.search(name.lower()) for name in named["classes"].values()),
        "device": "cuda" if torch.cuda.is_available() else "cpu",
    }
    network = UNet(settings["classes"]).to(settings["device"])
    print(f"phase 1: {len(generated[0])} generated images", flush=True)
    train(network, generated, given.steps, RATE, 0.0, settings)
    before = iou(network, test, settings) if test else []
    print(f"phase 2: {len(labelled[0])} labelled images", flush=True)
    train(network, labelled, max(1, round(FINE_TUNE_STEPS * given.steps)), FINE_TUNE_RATE * RATE, 0.5, settings)
    torch.save(network.state_dict(), given.out)
    if test:
        after = iou(network, test, settings)
        for one, name in named["classes"].items():
            print(f"  {name:20} IoU {before[one]:.3f} -> {after[one]:.3f}")
        print(f"mIoU {np.nanmean(before):.3f} -> {np.nanmean(after):.3f} on {len(test[0])} images")
    print(f"weights: {given.out}")


if __name__ == "__main__":
    main()
