"""The dataset's card as it goes with an export: what it says of files is said of the export's."""

import re

from core.formats.facts import ExportFacts
from core.formats.hf.write import HF_NAMES

_READING = {
    "coco": "`annotations/instances_PART.json` holds one annotation for each class in each image (compressed run "
    "lengths; `pycocotools.coco.COCO` reads it). Categories have the ids of the table above, 0 included. Keypoints, "
    "where the dataset has them, are in `annotations/keypoints_PART.json`; an image's box is the image.",
    "yolo": "`data.yaml` names the classes; each line in `labels/` is a class id and a polygon (parts of width "
    "and height). Filled by pixel centres, even-odd, the polygons give the masks back exactly.",
    "voc": "The folders of Pascal VOC; images are PNG, so that nothing is lost. A mask's value is the class id, its "
    "colour stands in `labelmap.txt`; ignored pixels are 255.",
    "masks": "`masks/NAME.png` belongs to `images/NAME.png`; its values are class ids, which `classes.json` names. "
    "Where the dataset has them, keypoints are in `keypoints.json` and depth in `depth/NAME.npy`.",
    "hf": '`datasets.load_dataset(FOLDER)`; `numpy.array(row["mask"])` are class ids, which '
    '`dataset.features["classes"].feature.names` and `classes.json` name. Where the dataset has them, `keypoints` is '
    "a list of [x, y, visibility] and `depth` a list of rows.",
    "cvat": "`annotations.xml` is CVAT's own format for images, version 1.1, with a mask for each class in each image.",
}
_HF_CONFIG = "configs:\n- config_name: default\n  data_files:\n"
_HF_FILES = {part: f'  - split: {name}\n    path: "data/{name}-*.parquet"\n' for part, name in HF_NAMES.items()}


def export_card(card: str, format: str, facts: ExportFacts) -> str:
    """Return the dataset's card with the front matter and the section on reading that this format needs."""
    front, _, rest = card.removeprefix("---\n").partition("\n---\n")
    front = front.replace("- webdataset", f"- {format}")
    configs = _HF_CONFIG + "".join(_HF_FILES[part] for part in facts.parts) if format == "hf" else ""
    front, found = re.subn(r"configs:\n(?:[- ].*\n?)+", lambda _: configs, front + "\n")
    assert found, "every card begins with front matter that names its files"
    body = rest[: rest.rindex("## Reading it")]
    sums = "`SHA256SUMS` covers every file (`sha256sum -c SHA256SUMS`)."
    # A picture beside the native dataset is not in here.
    body = re.sub(r"^!\[.*\]\(.*\)\n\n", "", body, flags=re.MULTILINE)
    return f"---\n{front}---\n{body}## Reading it\n\n{_READING[format]} {_parts(facts)} {sums}\n"


def _parts(facts: ExportFacts) -> str:
    validation = len(facts.split.validation(facts.count)) if facts.split else 0
    if not facts.split or not validation:
        return "All images are in the part `train`."
    seed = facts.split.seed
    return f"{facts.count - validation} images are in the part `train`, {validation} in `val`, drawn by seed {seed}."
