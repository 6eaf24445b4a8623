"""Label sets, inversions, encoders and labelers, and the images that inversions are found by."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import event

from store.database.database import Database
from store.resources.artifacts import NewMade, add_made, find_inverted


def digest_of(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


IMAGE = {"psnr": 21.5, "perceptual": 0.2, "flagged": False}
SUMMARY = {"images": 3, "flagged": 0, "median_psnr": 21.5, "perceptual_name": "lpips"}


def add_inversion(db: Database, name: str, images: int, tenant: str = "local") -> list[str]:
    """Record an inversion of `images` images and their mirror images; their digests."""
    digests = tuple(digest_of(f"{name} {index}") for index in range(2 * images))
    info = {
        "per_image": [IMAGE | {"name": f"{name} {index}"} for index in range(images)],
        **SUMMARY,
        "mirrored": [IMAGE | {"name": f"{name} {index}"} for index in range(images, 2 * images)],
    }
    parents = {"label_set_id": "ls_1", "generator_id": "gen_1"}
    with db.write() as connection:
        add_made(connection, tenant, NewMade("inversion", f"inv_{name}", digest_of(name), info, parents, digests))
    return list(digests)


@contextmanager
def statements_run(db: Database) -> Iterator[list[str]]:
    """The statements that run meanwhile."""
    statements: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_rest: object) -> None:
        statements.append(statement)

    event.listen(db.engine, "before_cursor_execute", note)
    yield statements
    event.remove(db.engine, "before_cursor_execute", note)


def test_images_are_found_with_their_own_reports(db: Database) -> None:
    digests = add_inversion(db, "a", 3) + add_inversion(db, "b", 2)
    add_inversion(db, "c", 1, tenant="other")
    found = find_inverted(db, [*digests, digest_of("c 0"), digest_of("unknown")], tenant="local")
    assert set(found) == set(digests)
    for name, images in (("a", 3), ("b", 2)):
        for position in range(2 * images):
            one = found[digest_of(f"{name} {position}")]
            assert (one.inversion_id, one.position) == (f"inv_{name}", position)
            assert one.report.name == f"{name} {position}"


def test_no_images_are_found_among_none(db: Database) -> None:
    assert find_inverted(db, [], tenant="local") == {}


@pytest.mark.parametrize("images", [10, 300])
def test_each_report_is_read_once_however_many_of_its_images_are_found(db: Database, images: int) -> None:
    digests = add_inversion(db, "a", images) + add_inversion(db, "b", images)
    with statements_run(db) as statements:
        assert len(find_inverted(db, digests, tenant="local")) == len(digests)
    (with_reports,) = (one for one in statements if "inversions.info" in one)
    assert "inverted_images" not in with_reports  # a join would return a report with each of its images
