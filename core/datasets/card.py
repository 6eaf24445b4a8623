"""The dataset's card: a README.md that people read, with the front matter that the Hugging Face hub reads."""

import json
from collections.abc import Iterable, Mapping, Sequence

from core.datasets.quality_warnings import DatasetFacts, inversion_verdict, plain_warnings
from core.datasets.statistics import BINS_PER_DECADE, DatasetStatistics
from core.datasets.training_script import TRAINING_SCRIPT
from core.labeling.config import Score

# SPDX identifiers that the hub knows, in its lower case. Any other licence is "other" and named.
_HUB_LICENCES = frozenset(
    {"apache-2.0", "mit", "bsd-3-clause", "cc0-1.0", "cc-by-4.0", "cc-by-sa-4.0", "cc-by-nc-4.0", "cc-by-nc-sa-4.0"}
)
_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"), (10**7, "1M<n<10M"))
_BAR = 40
_SCORES: Mapping[Score, str] = {
    "sum": "sum over its pixels",
    "top10_mean": "mean of the highest tenth",
    "class_mean": "mean over the classes that it shows",
}


def write_card(facts: DatasetFacts) -> str:
    """The text of ``README.md``; equal facts give equal text."""
    parts = [
        _front_matter(facts),
        f"# {_inline(facts.name)}",
        _summary(facts),
        _warnings(facts),
        *(f"![{_inline(title)}]({path})" for title, path in facts.pictures.items()),
        "## Classes\n\n" + _class_table(facts),
        _composition(facts),
        _quality(facts),
        "## Reconstruction of the labelled images\n\n" + inversion_verdict(facts) + _worst(facts),
        "## Uncertainty\n\n" + _uncertainty(facts),
        _training(facts),
        "## Provenance\n\n" + _provenance(facts),
        "## Reading it\n\n" + _reading(facts),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _front_matter(facts: DatasetFacts) -> str:
    licence = facts.generator.licence.strip().lower()
    count = facts.statistics.count
    size = next((name for most, name in _SIZES if count < most), "n>10M")
    lines = ["---", f"pretty_name: {json.dumps(facts.name, ensure_ascii=False)}"]
    if licence in _HUB_LICENCES:
        lines.append(f"license: {licence}")
    else:
        lines += [
            "license: other",
            f"license_name: {json.dumps(facts.generator.licence or 'unknown', ensure_ascii=False)}",
        ]
    lines += [
        "task_categories:",
        "- image-segmentation",
        "size_categories:",
        f'- "{size}"',
        "tags:",
        "- synthetic",
        "- webdataset",
        "configs:",
        "- config_name: default",
        "  data_files:",
        "  - split: train",
        '    path: "shards/*.tar"',
        "---",
    ]
    return "\n".join(lines)


def _summary(facts: DatasetFacts) -> str:
    height, width = facts.size
    dropped = dropped_in_words(facts)
    return (
        f"{facts.statistics.count:,} generated images of {width} × {height} pixels with a class for every pixel. "
        f"The images are drawn by the generator {_inline(facts.generator.name)} ({_inline(facts.generator.domain)}); "
        f"the labels are predicted by an ensemble that was trained on {facts.label_count} labelled images."
        f"{' ' + dropped if dropped else ''} No person has checked these labels."
    )


def dropped_in_words(facts: DatasetFacts) -> str:
    """How many drawn images were dropped, by reason; empty where none were."""
    uncertain, composition = facts.dropped.uncertain, facts.dropped.composition
    parts = []
    if uncertain:
        parts.append(f"{uncertain:,} as the most uncertain (image score {facts.score})")
    if composition:
        parts.append(f"{composition:,} for the composition, in favour of images that show the classes asked for")
    return f"Of {facts.candidates:,} drawn images these were dropped: {'; '.join(parts)}." if parts else ""


def _composition(facts: DatasetFacts) -> str:
    if not facts.steered:
        return ""
    rows = ["| class | asked for in at least | with at least this share of predicted pixels |", "|---|---|---|"]
    rows += [
        f"| {_inline(facts.classes.name(one.class_id))} | {_percent(one.min_fraction)} of the images "
        f"| {_percent(one.min_area)} |"
        for one in facts.steered
    ]
    words = "The balance of classes was steered: it is not how often the generator draws them."
    return f"## Composition\n\n{words} {dropped_in_words(facts)}".rstrip() + "\n\n" + "\n".join(rows)


def _warnings(facts: DatasetFacts) -> str:
    lines = plain_warnings(facts)
    if not lines:
        return ""
    return "## Before you use it\n\n" + "\n".join(f"- **{_inline(line)}**" for line in lines)


def _quality(facts: DatasetFacts) -> str:
    score = facts.held_out
    if score is None or score.mean_iou is None:
        words = "No labelled image was kept aside, so nothing was measured."
    else:
        accuracy = "" if score.accuracy is None else f", pixel accuracy {score.accuracy:.3f}"
        words = f"Mean IoU {score.mean_iou:.3f}{accuracy}, on {score.images} labelled images that were kept aside."
        if score.trained_on_all:
            words += " Then the labeler was trained again on all labelled images."
    return f"## Held-out quality of the labels\n\n{words}"


def _class_table(facts: DatasetFacts) -> str:
    rows = [
        "| id | class | of all pixels | images that show it | labelled images that show it |",
        "|---|---|---|---|---|",
    ]
    for class_id in facts.classes.ids:
        shown, labelled = facts.statistics.images[class_id], facts.label_shares[class_id].images
        rows.append(
            f"| {class_id} | {_inline(facts.classes.name(class_id))} | {_percent(facts.share_of_pixels(class_id))} "
            f"| {shown:,} ({_percent(facts.share_of_images(class_id))}) "
            f"| {labelled} ({_percent(facts.share_of_labels(class_id))}) |"
        )
    ignored = f"The id {facts.classes.ignore_index} marks pixels to ignore. Ids are those of the labelled images."
    return "\n".join(rows) + "\n\n" + ignored


def _worst(facts: DatasetFacts, most: int = 5) -> str:
    rows = sorted(facts.inversion, key=lambda row: (row.psnr, row.name))[:most]
    if not rows:
        return ""
    lines = ["| labelled image, worst first | PSNR, dB | perceptual | |", "|---|---|---|---|"]
    for row in rows:
        state = "left out" if row.dropped else "flagged" if row.flagged else ""
        lines.append(f"| {_inline(row.name)} | {row.psnr:.1f} | {row.perceptual:.3f} | {state} |")
    return "\n\n" + "\n".join(lines)


def _uncertainty(facts: DatasetFacts) -> str:
    statistics = facts.statistics
    if not statistics.count:
        return "Nothing was counted."
    mean = statistics.score_sum / statistics.count
    return (
        f"Disagreement of the ensemble's members over each kept image: {_SCORES[facts.score]} of the Jensen-Shannon "
        f"divergence, nats (image score `{facts.score}`); "
        f"smallest {statistics.score_min:.4g}, mean {mean:.4g}, largest {statistics.score_max:.4g}.\n\n"
        + _fenced(histogram_lines(statistics))
    )


def histogram_lines(statistics: DatasetStatistics) -> list[str]:
    """The uncertainty histogram as text, one line a bin."""
    bins = {bin_: statistics.histogram[bin_] for bin_ in sorted(statistics.histogram)}
    if not bins and not statistics.zeros:
        return []
    most = max([*bins.values(), statistics.zeros])
    rows = [("0", statistics.zeros)] if statistics.zeros else []
    if bins:
        for number in range(min(bins), max(bins) + 1):
            rows.append((f"{10 ** (number / BINS_PER_DECADE):.3g}", bins.get(number, 0)))
    return [f"{low:>8} ≤  {'█' * round(_BAR * count / most):<{_BAR}}  {count:,}" for low, count in rows]


def _provenance(facts: DatasetFacts) -> str:
    rows = [
        ("generator", f"{_inline(facts.generator.name)}, `{facts.generator.digest}`"),
        ("generator's licence", _inline(facts.generator.licence or "unknown")),
        *((_inline(name.replace("_", " ")), f"`{_inline(digest)}`") for name, digest in facts.digests.items()),
    ]
    table = "| | |\n|---|---|\n" + "\n".join(f"| {name} | {value} |" for name, value in rows)
    settings = json.dumps(dict(facts.settings), indent=1, sort_keys=True, ensure_ascii=False)
    return (
        f"{table}\n\nDigests are SHA-256. Every sample carries its code (`code.*.npy`), from which the generator "
        "named above draws the same image again. Settings:\n\n" + _fenced(settings.splitlines(), "json")
    )


def _training(facts: DatasetFacts) -> str:
    if not facts.classes.names:
        return ""
    return (
        f"## Training on it\n\nTrain on these images first, then fine-tune on the {facts.label_count} labelled images "
        f"at a lower rate: `python {TRAINING_SCRIPT} --labels LABELLED_IMAGES --test HELD_OUT_IMAGES` does both. "
        "It needs torch, numpy and pillow, and stands in the native dataset and in the export `masks`. "
        "`offhand evaluate DATASET --against HELD_OUT_IMAGES` measures whether this beats the labelled images alone, "
        "with strong augmentation, and recommends what won."
    )


def _reading(facts: DatasetFacts) -> str:
    last = facts.classes.ids[-1] if facts.classes.ids else facts.classes.ignore_index
    code = [
        "import io",
        "import numpy as np, webdataset as wds",
        "from PIL import Image",
        "",
        'for sample in wds.WebDataset("shards/shard-000000.tar", shardshuffle=False):',
        '    image = np.array(Image.open(io.BytesIO(sample["image.png"])))  # uint8 [H, W, 3]',
        '    mask = np.array(Image.open(io.BytesIO(sample["mask.png"])))  # uint8 [H, W]'
        f", {last} is {facts.classes.name(last)!r}",
    ]
    return (
        "`manifest.json` lists the shards with their sizes and SHA-256; it was written last. Decode masks as above: "
        'webdataset\'s `decode("rgb8")` would turn class ids into colours.\n\n' + _fenced(code, "python")
    )


def _fenced(lines: Iterable[str] | Sequence[str], language: str = "") -> str:
    # Text from elsewhere (a setting, a class name) must not end the block.
    content = "\n".join(lines).replace("```", "'''")
    return f"```{language}\n{content}\n```"


def _inline(text: str) -> str:
    """Text from elsewhere, in which Markdown and HTML mean nothing."""
    escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return " ".join("".join("\\" + one if one in r"\`*_[]|#!" else one for one in escaped).split())


def _percent(share: float) -> str:
    return f"{100 * share:.2f} %" if share >= 0.0001 or not share else "< 0.01 %"
