"""The dataset's card as it goes with an export: what it says of files is said of the export's."""

import re

_READING = {
    "coco": "`annotations/instances_train.json` holds one annotation for each class in each image (compressed run "
    "lengths; `pycocotools.coco.COCO` reads it). Categories have the ids of the table above, 0 included. Keypoints, "
    "where the dataset has them, are in `annotations/keypoints_train.json`; an image's box is the image.",
    "yolo": "`data.yaml` names the classes; each line in `labels/train` is a class id and a polygon (parts of width "
    "and height). Filled by pixel centres, even-odd, the polygons give the masks back exactly. There is no validation "
    "part: `val` names the same images.",
    "voc": "The folders of Pascal VOC; images are PNG, so that nothing is lost. A mask's value is the class id, its "
    "colour stands in `labelmap.txt`.",
    "masks": "`masks/NAME.png` belongs to `images/NAME.png`; its values are class ids, which `classes.json` names. "
    "Where the dataset has them, keypoints are in `keypoints.json` and depth in `depth/NAME.npy`.",
    "hf": '`datasets.load_dataset("parquet", data_files="data/*.parquet")`; `numpy.array(row["mask"])` are class ids, '
    "which `classes.json` names. Where the dataset has them, `keypoints` is a list of [x, y, visibility] and `depth` "
    "a list of rows.",
    "cvat": "`annotations.xml` is CVAT's own format for images, version 1.1, with a mask for each class in each image.",
}
_HF_CONFIGS = 'configs:\n- config_name: default\n  data_files:\n  - split: train\n    path: "data/*.parquet"\n'


def export_card(card: str, format: str) -> str:
    """The dataset's card with the front matter and the section on reading that this format needs."""
    front, _, rest = card.removeprefix("---\n").partition("\n---\n")
    front = front.replace("- webdataset", f"- {format}")
    front, found = re.subn(r"configs:\n(?:[- ].*\n?)+", _HF_CONFIGS if format == "hf" else "", front + "\n")
    assert found, "every card begins with front matter that names its files"
    body = rest[: rest.rindex("## Reading it")]
    sums = "`SHA256SUMS` covers every file (`sha256sum -c SHA256SUMS`)."
    # A picture beside the native dataset is not in here.
    body = re.sub(r"^!\[.*\]\(.*\)\n\n", "", body, flags=re.MULTILINE)
    return f"---\n{front}---\n{body}## Reading it\n\n{_READING[format]} {sums}\n"
