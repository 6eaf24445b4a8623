"""Text of strangers is made printable: nothing in it breaks a database, an answer or a terminal."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.text import name, printable, printable_json

ANY_TEXT = st.text(st.characters(exclude_categories=()))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("conv0.weight", "conv0.weight"),
        ("Größe 日本 🙂", "Größe 日本 🙂"),
        ("\ud800os.system", "\\ud800os.system"),
        ("a\0b", "a\\x00b"),
        ("\x1b[2Jgone", "\\x1b[2Jgone"),
        ("\u202egnp.exe", "\\u202egnp.exe"),
        ("one\ntwo\tthree\r", "one\ntwo\tthree\\r"),
    ],
)
def test_unprintable_characters_are_escaped(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_names_stay_on_one_line() -> None:
    assert name("a\nb: all is well\tc") == "a\\nb: all is well\\tc"


def test_long_text_is_cut() -> None:
    assert printable("x" * 10**6) == "x" * 3999 + "…"
    assert len(name("\0" * 10**6)) == 200
    assert printable("x" * 4000) == "x" * 4000


@given(ANY_TEXT)
def test_every_text_can_be_stored_sent_and_printed(text: str) -> None:
    for shown in (printable(text), name(text)):
        assert "\0" not in shown
        assert "\x1b" not in shown
        shown.encode("utf-8")
        assert (printable(shown), name(name(text))) == (shown, name(text)), "text that passes twice stays as it is"


@given(st.recursive(ANY_TEXT | st.integers() | st.none(), lambda one: st.lists(one) | st.dictionaries(ANY_TEXT, one)))
def test_every_json_value_can_be_stored_and_sent(value: object) -> None:
    json.dumps(printable_json(value), ensure_ascii=False).encode("utf-8")
