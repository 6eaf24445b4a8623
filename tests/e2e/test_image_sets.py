"""`offhand images`: a folder of photographs becomes an image set through the real service."""

from __future__ import annotations

import json
from pathlib import Path

from tests.core.training.test_images import encoded, picture
from tests.e2e.conftest import Undisturbed
from tests.e2e.processes import offhand


def test_from_a_folder_to_an_image_set(undisturbed: Undisturbed, tmp_path: Path) -> None:
    url, folder = ("--url", undisturbed.up.url), tmp_path / "Photos 2"
    for index in range(12):
        path = folder / ("cat", "dog")[index % 2] / f"{index:02d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded(picture(index, 30 + index, 40)))
    (folder / "cat" / "broken.jpg").write_bytes(b"no picture")
    (folder / "LICENSE").write_text("CC0 1.0 Universal\nmore")
    fits = tmp_path / "fits.png"
    offhand("images", "add", str(folder), "--resolution", "16x24", "--preview", str(fits), *url)
    assert fits.read_bytes().startswith(b"\x89PNG")
    made = json.loads(
        offhand("images", "add", str(folder), "--resolution", "16x24", "--fit", "pad", "--json", *url).stdout
    )
    assert (made["name"], made["images"], made["height"], made["width"]) == ("photos-2", 12, 16, 24)
    assert (made["classes"], made["fit"], made["flips"]) == ({"cat": 6, "dog": 6}, "pad", True)
    assert made["licence"] == "CC0 1.0 Universal\nmore"
    assert made["details"]["unreadable"][0]["file"] == "cat/broken.jpg"
    sheet = tmp_path / "sheet.png"
    shown = offhand("images", "show", "photos-2", "--sheet", str(sheet), *url).stdout
    assert "cat/broken.jpg: " in shown
    assert "licence     CC0 1.0 Universal\n" in shown
    assert sheet.read_bytes().startswith(b"\x89PNG")
    offhand("images", "rm", "photos-2", *url)
    assert offhand("images", *url).stdout.startswith("no image sets")
