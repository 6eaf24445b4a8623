"""The quality report as one HTML page that needs nothing else: verdict, gates, tables, curves, pictures."""

import html
from collections.abc import Sequence
from typing import Any

import numpy as np

from core.evaluation.arms import EvaluationData
from core.evaluation.downstream.images import LabelledImages
from core.evaluation.quality import Evaluation
from core.evaluation.report import page
from core.visualization.contact_sheets import SheetCell, contact_sheet

_TITLES = {
    "useful": "Better than the same labels alone",
    "classes": "Nothing left behind",
    "uncertainty": "Uncertainty finds bad labels",
    "copies": "No copies of labelled images",
    "regeneration": "Drawn again exactly",
}
_STATES = {"use": "passed", "do not use": "failed", "not shown": "unknown"}


def report_html(evaluation: Evaluation, data: EvaluationData, title: str) -> str:
    """The page. Pictures of samples and copies are read from ``data`` and stand inside."""
    document = evaluation.document
    parts = [
        f'<p class="verdict {_STATES[document["verdict"]]}">{_sentence(document)}</p>',
        f"<p><b>Recommended:</b> {html.escape(document['recommended']['words'])}</p>",
        "<h2>Gates</h2>", _gates(document["gates"]), _changes(document),
    ]  # fmt: skip
    if document["warnings"]:
        words = "".join(f"<li>{html.escape(one)}</li>" for one in document["warnings"])
        parts += ["<h2>Warnings</h2>", f"<ul>{words}</ul>"]
    parts += [
        "<h2>What a net learns from it</h2>", _arms(document["arms"], document["settings"], document["metric"]),
        "<h2>Does uncertainty find the bad labels?</h2>", _labels(document["labels"]),
        "<h2>Labels, real against generated</h2>", _statistics(document),
        "<h2>Images, real against generated</h2>", *map(_distribution, document["distributions"]),
        "<h2>Samples</h2>", _pictures(evaluation, data),
    ]  # fmt: skip
    return page.html_page(title, parts)


def _sentence(document: dict[str, Any]) -> str:
    """The verdict in bold, in its own sentence where that begins with it."""
    word, sentence = str(document["verdict"]).capitalize(), str(document["sentence"])
    begins = sentence.startswith(word)
    return (
        f"<b>{word}</b>{html.escape(sentence.removeprefix(word))}"
        if begins
        else f"<b>{word}.</b> {html.escape(sentence)}"
    )


def _gates(gates: Sequence[dict[str, Any]]) -> str:
    rows = [
        (
            html.escape(_TITLES[gate["name"]]),
            f'<b class="{gate["state"]}">{gate["state"]}</b>',
            html.escape(gate["words"]),
        )
        for gate in gates
    ]
    return page.table(("gate", "", "what was found"), rows, words={2})


def _changes(document: dict[str, Any]) -> str:
    """The interval of every part: best arm of the dataset minus strongest baseline."""
    useful, classes = document["gates"][:2]
    change, parts = classes["numbers"]["change"], document["arms"][0]["parts"]
    rows = []
    for name, gap in zip(parts, change.values(), strict=True):
        if gap is None:
            rows.append((html.escape(name), "–", ""))
            continue
        known = gap["low"] is not None and gap["high"] is not None
        bounds = f"{100 * gap['low']:+.1f} to {100 * gap['high']:+.1f}" if known else "not known"
        rows.append((html.escape(name), f"{100 * gap['mean']:+.1f}", bounds))
    note = (
        f"Points of '{useful['numbers']['winner']}' over '{useful['numbers']['baseline']}', with simultaneous 95 % "
        "intervals over training seeds and test images."
    )
    return page.table(("part", "difference", "interval"), rows) + page.note(note)


def _arms(arms: Sequence[dict[str, Any]], settings: dict[str, Any], metric: str) -> str:
    parts, more = list(arms[0]["parts"]), list(arms[0]["more"])
    rows = [
        (
            html.escape(arm["name"]),
            f"<b>{arm['mean']:.3f}</b>{_range(arm['interval'])}",
            *(page.number(arm["more"][name]) for name in more),
            *(page.number(arm["parts"][name]) for name in parts),
        )
        for arm in arms
    ]
    note = (
        f"{metric} on held-out images; repeats: {settings['repeats']}; {settings['downstream']['network']}, "
        f"{settings['downstream']['steps']} steps an arm. Every net starts from {settings['start']}. Augmentation of "
        f"the labelled images: {settings['augmentation']['chosen']}."
    )
    return page.table(("trained on", metric, *more, *parts), rows) + page.note(note) + _bars(arms)


def _range(interval: dict[str, Any]) -> str:
    if interval["low"] is None:
        return ""
    return f" <small>{interval['low']:.3f} to {interval['high']:.3f}</small>"


def _bars(arms: Sequence[dict[str, Any]]) -> str:
    """Each arm a line: a dot for every repeat on a scale from 0 to 1."""
    width, line = 640, 26
    lines = []
    for row, arm in enumerate(arms):
        y = row * line + line / 2
        dots = "".join(
            f'<circle cx="{220 + 400 * one:.1f}" cy="{y}" r="4" fill="#0087c3" fill-opacity=".6"/>'
            for one in arm["repeats"]
        )
        lines.append(
            f'<text x="210" y="{y + 5}" text-anchor="end" font-size="13" fill="currentColor">{html.escape(arm["name"])}'
            f'</text><line x1="220" x2="620" y1="{y}" y2="{y}" stroke="#999" stroke-opacity=".4"/>{dots}'
        )
    return f'<svg viewBox="0 0 {width} {line * len(arms)}" width="{width}" role="img">{"".join(lines)}</svg>'


def _labels(labels: dict[str, Any]) -> str:
    curve = labels["curve"]
    auroc = "not known" if labels["auroc"] is None else f"{labels['auroc']:.3f}"
    words = (
        f"Label quality: {labels['measured_by']}. AUROC of bad labels ({labels['bad']}): {auroc}. "
        f"AUGRC: {labels['augrc']:.4f}. Gain over random rejection: {100 * curve['gain']:+.2f} points."
    )
    return f"<p>{html.escape(words)}</p>" + page.rejection_plot(curve, "agreement of what is kept")


def _statistics(document: dict[str, Any]) -> str:
    if "classes" in document:
        return _classes(document["classes"]) + _together(document["together"])
    if "points" in document:
        what, found = "share of images that show the keypoint", document["points"]
    else:
        what, found = "depth", document["depth"]
    rows = [(html.escape(one["name"]), page.number(one["real"]), page.number(one["generated"])) for one in found]
    return page.table((what, "real", "generated"), rows)


def _classes(rows: Sequence[dict[str, Any]]) -> str:
    shapes = (
        ("instances", "IN"), ("mask_image", "MI"), ("box_image", "BI"), ("mask_box", "MB"), ("length", "PL"),
        ("complexity", "SC"), ("diversity", "SD"),
    )  # fmt: skip
    head = ("class", "images", "95 % of the generated", "pixels", "not background", *(short for _, short in shapes))
    lines = []
    for row in rows:
        pair = row["geometry"]["real"], row["geometry"]["generated"]
        low, high = row["generated_range"]
        lines.append(
            (
                html.escape(row["name"]),
                f"{row['real_images']:.1%} → {row['generated_images']:.1%}",
                f"{low:.1%} to {high:.1%}",
                f"{row['real_pixels']:.2%} → {row['generated_pixels']:.2%}",
                _pair(row["real_foreground"], row["generated_foreground"]),
                *(f"{page.number(pair[0][name])} → {page.number(pair[1][name])}" for name, _ in shapes),
            )
        )
    note = (
        "Real → generated. Images that show the class (and the range that their share in all that is drawn may have), "
        "its share of pixels, and of those that are not background. IN: instances an image. MI, BI: mask and box over "
        "image. MB: mask over box. PL: the outline's length. SC: its corners. SD: how much outlines differ."
    )
    return page.table(head, lines) + page.note(note)


def _pair(real: float | None, generated: float | None) -> str:
    return "–" if real is None or generated is None else f"{real:.2%} → {generated:.2%}"


def _together(rows: Sequence[dict[str, Any]]) -> str:
    lines = [
        (html.escape(" and ".join(row["classes"])), f"{row['real']:.1%}", f"{row['generated']:.1%}") for row in rows
    ]
    note = "Images that show both of two classes: the pairs that differ most."
    return page.table(("together", "real", "generated"), lines) + page.note(note)


def _distribution(found: dict[str, Any]) -> str:
    names = {
        "fid": "Fréchet distance", "fid_real_against_real": "the same, real against real", "kid": "kernel distance",
        "precision": "precision", "recall": "recall", "density": "density", "coverage": "coverage",
    }  # fmt: skip
    masked = found.get("background_masked")
    sides = [found] if masked is None else [found, masked]
    rows = [(words, *(page.digits(side[name]) for side in sides)) for name, words in names.items()]
    head = ("whole images",) if masked is None else ("whole images", "background masked")
    spec = found["spec"]
    note = page.note(
        f"Features: {spec['extractor']}; resized by: {spec['resize']}; {spec['real']} real and {spec['generated']} "
        f"generated images; {spec['neighbours']} neighbours. {' '.join(found['notes'])}"
    )
    return page.table(("", *head), rows) + _distances_by_class(sides, head) + note


def _distances_by_class(sides: Sequence[dict[str, Any]], head: Sequence[str]) -> str:
    """Distances of the images that show each class."""
    rows = [
        (
            html.escape(found[0]["name"]), str(found[0]["real"]), str(found[0]["generated"]),
            *(page.digits(one[name]) for one in found for name in ("fid", "kid")),
        )
        for found in zip(*(side["by_class"] for side in sides), strict=True)
    ]  # fmt: skip
    names = [f"{name}, {side}" for side in head for name in ("Fréchet", "kernel")]
    return page.table(("images that show", "real", "generated", *names), rows) if rows else ""


def _pictures(evaluation: Evaluation, data: EvaluationData) -> str:
    sections = []
    for one in evaluation.shown:
        source = data.dropped if one.dropped and data.dropped is not None else data.generated
        sections.append((one.heading, _cells(data, source, one.places, one.captions)))
    copies = evaluation.copies.copies[:8]
    if copies:
        cells: list[SheetCell] = []
        for place in copies:
            name = data.labelled_names[place] if place < len(data.labelled_names) else str(place)
            cells += _cells(data, data.labelled, (place,), (f"labelled: {name}",))
            nearest = int(evaluation.copies.nearest[place])
            cells += _cells(data, data.generated, (nearest,), ("nearest in the dataset",))
        sections.insert(0, ("Labelled images that the dataset repeats", cells))
    sheet = contact_sheet(sections, data.classes, "Samples", "image | label over image")
    return page.picture(sheet, "samples")


def _cells(
    data: EvaluationData, source: LabelledImages, places: Sequence[int], captions: Sequence[str]
) -> list[SheetCell]:
    images, labels = source.take(np.array(places, np.int64))
    cells = []
    for image, label, caption in zip(images, labels, captions, strict=True):
        picture = data.scoring.picture(image, label)
        mask = np.asarray(label, np.uint8) if picture is None else np.zeros((0, 0), np.uint8)
        cells.append(SheetCell(image, mask, None, caption, picture))
    return cells
