"""A generator and a label set small enough that a whole job takes seconds."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from core.generators.files import save_generator
from core.generators.interface import GeneratorInfo
from core.generators.stylegan2.config import StyleGAN2Config
from core.generators.stylegan2.generator import StyleGAN2Generator
from core.generators.stylegan2.network import Network
from core.inversion.perceptual.domain import DomainPerceptual, PerceptualTrunk, save_perceptual

NAME = "tiny"
SIZE = (16, 16)


def write_generator(shipped: Path) -> Network:
    """A 16×16 generator of random but fixed weights, with a perceptual trunk, in `shipped/tiny`."""
    torch.manual_seed(0)
    config = StyleGAN2Config(
        resolution=SIZE, channels={0: 16, 1: 16, 2: 8}, z_dim=16, w_dim=16, mapping_layers=2, mapping_lr_multiplier=0.1
    )
    generator = Network(config).eval().requires_grad_(False)
    folder = shipped / NAME
    info = GeneratorInfo(name=NAME, licence="CC0-1.0", domain="coloured noise")
    save_generator(folder, StyleGAN2Generator(generator, info))
    save_perceptual(folder, DomainPerceptual("tiny-trunk", PerceptualTrunk(((8,), (8,)))))
    return generator


def write_labels(archive: Path, generator: Network, count: int = 6, seed: int = 1) -> None:
    """`count` of the generator's own images; a pixel is of class 1 where it is brighter than its image's mean."""
    torch.manual_seed(seed)
    w_plus = generator.map(torch.randn(count, generator.config.z_dim))
    images = generator.synthesize(w_plus).image  # [N, 3, 16, 16]
    pixels = ((images.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
    grey = images.mean(1)  # [N, 16, 16]
    masks = (grey > grey.mean((1, 2), keepdim=True)).to(torch.uint8)
    classes = {"classes": [{"id": 0, "name": "dark"}, {"id": 1, "name": "bright"}], "ignore_index": 255}
    with zipfile.ZipFile(archive, "w") as zipped:
        zipped.writestr("classes.json", json.dumps(classes))
        for index in range(count):
            zipped.writestr(f"images/{index:02}.png", _png(pixels[index].permute(1, 2, 0).numpy()))
            zipped.writestr(f"masks/{index:02}.png", _png(masks[index].numpy()))


def write_photographs(archive: Path, labels: Path, *, boxes: bool = True, keypoints: bool = False) -> None:
    """The labelled images of the archive `labels`, each somewhere else in a larger picture, and where they are: boxes,
    or the keypoints `top_left` and `bottom_right`.
    """
    rows: dict[str, list[float]] = {}
    with zipfile.ZipFile(labels) as whole, zipfile.ZipFile(archive, "w") as zipped:
        zipped.writestr("classes.json", whole.read("classes.json"))
        names = sorted(Path(name).stem for name in whole.namelist() if name.startswith("images/"))
        for number, name in enumerate(names):
            rows[name] = [3 + number, 9 - number, SIZE[1], SIZE[0]]
            for folder, mode in (("images", "RGB"), ("masks", "L")):
                picture = Image.new(mode, (40, 30))
                picture.paste(Image.open(io.BytesIO(whole.read(f"{folder}/{name}.png"))), (3 + number, 9 - number))
                zipped.writestr(f"{folder}/{name}.png", _png(np.asarray(picture)))
        corners = {name: [[x, y, 2], [x + width, y + height, 2]] for name, (x, y, width, height) in rows.items()}
        if boxes:
            zipped.writestr("boxes.json", json.dumps({"boxes": rows}))
        if keypoints:
            points = {"keypoints": ["top_left", "bottom_right"], "images": corners}
            zipped.writestr("keypoints.json", json.dumps(points))


def _png(array: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, "PNG")  # type: ignore[arg-type]
    return buffer.getvalue()
