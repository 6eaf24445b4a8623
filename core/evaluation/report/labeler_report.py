"""The quality report of a labeler as a picture and as one HTML page: scores, curves, and the labels that went worst."""

import html
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from core.evaluation.labeler_quality import ALPHAS, LabelerQuality
from core.evaluation.report import page
from core.evaluation.scoring import DepthScoring, PointScoring
from core.label_sets.label_set import LabelSet
from core.labeling.cross_validation import HeldOutLabel
from core.tasks.keypoints import with_visibility
from core.visualization import charts
from core.visualization.charts import BLUE, GREY, RED
from core.visualization.contact_sheets import SHEET_WIDTH, ComparedLabel, comparison_sheet

SHOWN = 12
_METRIC = {"segmentation": "mIoU", "keypoints": f"PCK-{ALPHAS[0]:g}", "depth": "1 - mNMSE"}


def report_png(quality: LabelerQuality, labels: LabelSet, found: Sequence[HeldOutLabel], title: str) -> bytes:
    """Bars of every class or keypoint, curves, and the worst labels beside the truth."""
    document = quality.document
    subtitle = (
        f"Each of the {document['images']} labelled images was labelled by a labeler that had not seen it "
        f"({document['folds']} folds). {_headline(document)}."
    )
    rows = _worst(quality, labels, found)
    return comparison_sheet(rows, labels.classes, title, subtitle, _charts(document))


def report_html(quality: LabelerQuality, labels: LabelSet, found: Sequence[HeldOutLabel], title: str) -> str:
    """The page. Pictures stand inside."""
    document = quality.document
    parts = [
        f'<p class="verdict">{html.escape(_headline(document))}.</p>',
        page.note(
            f"Each of the {document['images']} labelled images was labelled by a labeler that had not seen it: "
            f"{document['folds']} labelers, each trained as this one was, on the others."
        ),
    ]
    rare = document["rare_classes"]
    for heading, lines in (("Rare classes", rare), ("Warnings", [w for w in document["warnings"] if w not in rare])):
        if lines:
            words = "".join(f"<li>{html.escape(one)}</li>" for one in lines)
            parts += [f"<h2>{heading}</h2>", f"<ul>{words}</ul>"]
    parts += _scores(document)
    if document["uncertainty"]:
        parts += ["<h2>Does uncertainty find the bad labels?</h2>", _uncertainty(document["uncertainty"])]
    if document["reliability"]:
        parts += ["<h2>Can its probabilities be believed?</h2>", _reliability(document["reliability"])]
    sheet = comparison_sheet(_worst(quality, labels, found), labels.classes, "Labels of images that were not seen")
    parts += ["<h2>The worst of them</h2>", page.picture(sheet, "the worst labels beside the truth")]
    parts += ["<h2>Labelled images that the generator cannot redraw</h2>", _failures(document["inversion"])]
    return page.html_page(title, parts)


def _headline(document: dict[str, Any]) -> str:
    words = []
    if "segmentation" in document:
        found = document["segmentation"]
        words.append(f"mIoU {page.number(found['mean_iou'])}, {_percent(found['pixel_accuracy'])} of the pixels right")
    if "keypoints" in document:
        pck = ", ".join(f"PCK-{alpha} {page.number(share)}" for alpha, share in document["keypoints"]["pck"].items())
        words.append(pck)
    if "depth" in document:
        found = document["depth"]
        words.append(
            f"depth: mNMSE {page.number(found['mnmse'], 4)}, RMSE {page.number(found['rmse'])} {found['unit']}"
        )
    return "; ".join(words)


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{value:.1%}"


def _charts(document: dict[str, Any]) -> list[Image.Image]:
    drawn = []
    if "segmentation" in document:
        rows = [
            (row["name"], row["iou"], f"{row['images']} images, {row['pixels']:.1%} of the pixels")
            for row in document["segmentation"]["classes"]
        ]
        drawn.append(charts.bar_chart("IoU of each class", rows, SHEET_WIDTH))
    if "keypoints" in document:
        rows = [
            (row["name"], next(iter(row["pck"].values())), f"visible in {row['visible']} images")
            for row in document["keypoints"]["points"]
        ]
        alpha = next(iter(document["keypoints"]["pck"]))
        drawn.append(charts.bar_chart(f"PCK-{alpha} of each keypoint", rows, SHEET_WIDTH))
    curves = []
    if document["uncertainty"]:
        curve = document["uncertainty"]["curve"]
        x = curve["fractions"]
        curves.append(
            charts.line_chart(
                f"quality of what is kept: {document['uncertainty']['measured_by']}",
                [
                    ("worst first (ideal)", list(zip(x, curve["ideal"], strict=True)), GREY),
                    ("most uncertain first", list(zip(x, curve["by_uncertainty"], strict=True)), BLUE),
                    ("any order", [(x[0], curve["random"]), (x[-1], curve["random"])], RED),
                ],
                "part dropped",
            )
        )
    if document["reliability"]:
        lines = [("perfect calibration", [(0.0, 0.0), (1.0, 1.0)], GREY), ("this labeler", _bins(document), BLUE)]
        curves.append(charts.line_chart("pixels that are right, by confidence", lines, "confidence"))
    return [*drawn, *([charts.beside(curves)] if curves else [])]


def _bins(document: dict[str, Any]) -> list[tuple[float, float]]:
    found = document["reliability"]
    return [pair for pair in zip(found["confidence"], found["accuracy"], strict=True) if None not in pair]


def _scores(document: dict[str, Any]) -> list[str]:
    parts: list[str] = []
    rows: list[tuple[str, ...]]
    if "segmentation" in document:
        rows = [
            (
                html.escape(row["name"]), f"<b>{page.number(row['iou'])}</b>", _bar(row["iou"]), str(row["images"]),
                f"{row['pixels']:.2%}",
            )
            for row in document["segmentation"]["classes"]
        ]  # fmt: skip
        parts += ["<h2>Classes</h2>", page.table(("class", "IoU", "", "images", "pixels"), rows)]
    if "keypoints" in document:
        alphas = list(document["keypoints"]["pck"])
        rows = [
            (html.escape(row["name"]), *(page.number(row["pck"][alpha]) for alpha in alphas), str(row["visible"]))
            for row in document["keypoints"]["points"]
        ]
        head = ("keypoint", *(f"PCK-{alpha}" for alpha in alphas), "visible")
        parts += ["<h2>Keypoints</h2>", page.table(head, rows)]
    if "depth" in document:
        found = document["depth"]
        rows = [
            ("squared error over squared depth (mNMSE)", page.number(found["mnmse"], 4)),
            (f"RMSE of the middle, {html.escape(found['unit'])}", page.number(found["rmse"])),
            ("RMSE of its logarithm", page.number(found["rmse_log"])),
        ]
        parts += ["<h2>Depth</h2>", page.table(("", ""), rows)]
    return parts


def _bar(value: float | None) -> str:
    width = 200 * min(max(value or 0.0, 0.0), 1.0)
    return (
        '<svg width="200" height="12"><rect width="200" height="12" fill="#999" fill-opacity=".2"/>'
        f'<rect width="{width:.0f}" height="12" fill="#0087c3"/></svg>'
    )


def _uncertainty(found: dict[str, Any]) -> str:
    curve = found["curve"]
    words = (
        f"Quality of an image: {found['measured_by']}. AUGRC {found['augrc']:.4f} (lower is better); gain over "
        f"dropping any image: {100 * curve['gain']:+.2f} points."
    )
    drawn = page.rejection_plot(curve, "quality of what is kept")
    return f"<p>{html.escape(words)}</p>{drawn}"


def _reliability(found: dict[str, Any]) -> str:
    bins = [
        (low, accuracy) for low, accuracy in zip(found["confidence"], found["accuracy"], strict=True) if low is not None
    ]
    words = (
        f"Expected calibration error {found['error']:.4f}: by so much, on average, the confidence in a pixel and the "
        "share of such pixels that are right lie apart."
    )
    x = [low for low, _ in bins]
    lines = (("perfect calibration", x, "#888"), ("this labeler", [accuracy for _, accuracy in bins], "#0087c3"))
    drawn = page.plot(x, lines, "confidence", "share that is right") if len(bins) > 1 else ""
    return f"<p>{html.escape(words)}</p>{drawn}"


def _failures(inversion: dict[str, Any]) -> str:
    rows = [
        (
            html.escape(row["name"]), f"{row['psnr']:.1f} dB", page.number(row["perceptual"]),
            html.escape(row["why"]),
        )
        for row in inversion["failures"]
    ]  # fmt: skip
    if not rows:
        return f"<p>None of {inversion['images']}.</p>"
    return page.table(("image", "PSNR", "perceptual distance", "why"), rows, words={3})


def _worst(quality: LabelerQuality, labels: LabelSet, found: Sequence[HeldOutLabel]) -> list[ComparedLabel]:
    rows = []
    for at in quality.worst[:SHOWN]:
        item, label, row = labels.items[at], found[at], quality.document["per_image"][at]
        scores = ", ".join(f"{_METRIC[task]} {page.number(value)}" for task, value in row["quality"].items())
        truth, said = _pictures(labels, at, label)
        rows.append(
            ComparedLabel(item.image, truth, said, label.uncertainty.astype(np.float32), f"{item.name}   {scores}")
        )
    return rows


def _pictures(labels: LabelSet, at: int, label: HeldOutLabel) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """The true and the said label of the task that ranks images, as they are shown."""
    item = labels.items[at]
    if labels.classes.names:
        return item.mask, label.mask
    if labels.keypoints is not None and item.keypoints is not None:
        scoring = PointScoring(labels.keypoints.names, item.size)
        truth, said = (scoring.picture(item.image, one) for one in (item.keypoints, with_visibility(label.keypoints)))
    else:
        assert item.depth is not None
        depths = DepthScoring(np.stack([one.depth for one in labels.items if one.depth is not None]))
        truth, said = (depths.picture(item.image, one) for one in (item.depth, label.depth))
    assert truth is not None
    assert said is not None
    return truth, said
