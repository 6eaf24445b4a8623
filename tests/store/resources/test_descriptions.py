"""Facts of a generator that requests are checked against."""

from typing import Any

import pytest

from store.resources.descriptions import described


@pytest.mark.parametrize(
    ("labelled_by", "inverts", "reads_photographs", "draws"),
    [
        (["inversion", "encoder", "samples"], True, True, True),
        (["samples"], False, False, True),
        (["encoder", "samples"], False, True, True),
        (["encoder"], False, True, False),
    ],
)
def test_labelled_by_decides_what_requests_may_ask(
    labelled_by: list[str], inverts: bool, reads_photographs: bool, draws: bool
) -> None:
    info: dict[str, Any] = {
        "family": "some",
        "settings_schema": {},
        "labelled_by": labelled_by,
        "code": {"parts": {"tokens": {"shape": [4, 4], "dtype": "int16"}}, "classes": 0},
    }
    found = described(info)
    assert (found.inverts, found.reads_photographs, found.draws) == (inverts, reads_photographs, draws)
