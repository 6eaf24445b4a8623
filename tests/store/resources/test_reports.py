"""Reports of what steps made, also of older releases and of measurements that JSON cannot hold."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import ValidationError

from store.resources.artifacts import Kind, Made
from store.resources.reports import inversion_report, label_set_report, labeler_report

ROW = {"name": "a", "psnr": 21.5, "perceptual": 0.2, "flagged": True, "flags": ["below 20 dB"], "steps": 300}
INVERSION = {"images": 1, "flagged": 1, "median_psnr": 21.5, "median_perceptual": 0.2, "perceptual_name": "lpips"}


def made(kind: Kind, **info: Any) -> Made:
    return Made(kind, "id_1", "d" * 64, info, datetime.now(UTC), {})


def test_report_of_an_inversion_names_each_image() -> None:
    report = inversion_report(made("inversion", **INVERSION, per_image=[ROW], start="encoder"))
    (image,) = report.per_image
    assert (image.name, image.psnr, image.flagged, image.flags) == ("a", 21.5, True, ("below 20 dB",))
    assert report.mirrored == (), "of a release that inverted no mirror images"


def test_null_psnr_of_equal_images_is_above_every_limit() -> None:
    info = INVERSION | {"median_psnr": None, "median_perceptual": None}
    report = inversion_report(made("inversion", **info, per_image=[ROW | {"psnr": None, "perceptual": None}]))
    assert report.median_psnr == report.per_image[0].psnr == math.inf
    assert math.isnan(report.per_image[0].perceptual)


def test_report_without_what_every_release_stored_is_refused() -> None:
    with pytest.raises(ValidationError, match="per_image"):
        inversion_report(made("inversion", **INVERSION))


def test_request_of_a_labeler_is_read_where_older_releases_stored_null() -> None:
    asked = {"fit": "pad", "align": None, "labeler": {"members": 2}, "truncation_psi": None}
    report = labeler_report(made("labeler", settings={}, asked=asked, held_out={}))
    assert report.asked is not None
    assert (report.asked.fit, report.asked.align.by, report.asked.labeler.members) == ("pad", None, 2)
    assert report.held_out is None
    assert labeler_report(made("labeler", settings={})).asked is None


def test_report_of_labels_without_masks_has_no_classes() -> None:
    assert label_set_report(made("label_set", images=3, classes=[], ignore_index=255)).classes == ()
