import json

import pytest

from core.errors import LabelSetError
from core.label_sets.classes import ClassMap


def problems(document):
    with pytest.raises(LabelSetError) as caught:
        ClassMap.from_bytes(
            document if isinstance(document, bytes) else json.dumps(document).encode(), "top/classes.json"
        )
    assert {problem.pointer for problem in caught.value.problems} == {"top/classes.json"}
    return [problem.detail for problem in caught.value.problems]


@pytest.mark.parametrize(
    "document",
    [
        {"classes": [{"id": 1, "name": "head"}, {"id": 0, "name": "background"}], "ignore_index": 7},
        {"classes": ["background", "head"], "ignore_index": 7, "size": [192, 256]},
        {"classes": {"0": "background", "1": "head"}, "ignore_index": 7},
        {"0": "background", "1": "head", "ignore_index": 7},
    ],
)
def test_every_accepted_form_is_the_same_map(document):
    classes = ClassMap.from_json(document)
    assert classes == ClassMap({0: "background", 1: "head"}, 7)
    assert ClassMap.from_json(classes.to_json()) == classes


def test_list_of_names_and_the_default_ignore_index():
    assert ClassMap.from_json(["sky", "road"]) == ClassMap({0: "sky", 1: "road"}, 255)


def test_ids_never_shift():
    classes = ClassMap.from_bytes(b'\xef\xbb\xbf{"4": "hat", "0": "background"}')
    assert (classes.ids, classes.count) == ((0, 4), 5)
    assert [classes.name(one) for one in (0, 2, 4, 255)] == ["background", "class 2", "hat", "ignored"]


@pytest.mark.parametrize(
    ("document", "words"),
    [
        (b"{", "not valid JSON"),
        (b"\xff\xfe", "UTF-16"),
        (b"[" * 100_000, "nested too deeply"),
        (b" " * (2 << 20), "at most"),
        (b'{"0": "a", "0": "b"}', "appears twice"),
        ("background", "holds no classes"),
        ({"classes": 3}, "holds no classes"),
        ([], "names 0 classes"),
        (["alone"], "names 1 class:"),
        ({"background": 0}, "class id 'background'"),
        ({"-1": "a", "1": "b"}, "class id '-1'"),
        (["a", "a"], "given to class 0 and to class 1"),
        (["a", ""], "class 1 has the name ''"),
        (["a", "b\n"], "class 1 has the name"),
        (["a", "b" * 81], "class 1 has the name"),
        (["a", None], "class 1 has the name None"),
        ([{"id": 0, "name": "a"}, {"id": 0, "name": "b"}], "class id 0 appears twice"),
        ([{"id": True, "name": "a"}, {"id": 1, "name": "b"}], "class id True"),
        ([{"id": 1.0, "name": "a"}, {"id": 2, "name": "b"}], "class id 1.0"),
        ([{"id": 255, "name": "a"}, {"id": 1, "name": "b"}], "class id 255"),
        ([{"name": "a"}, {"id": 1, "name": "b"}], "class id None"),
        ({"classes": ["a", "b"], "ignore_index": 1}, "also the id of the class 'b'"),
        ({"classes": ["a", "b"], "ignore_index": 256}, "ignore_index is 256"),
        ({"classes": ["a", "b"], "ignore_index": None}, "ignore_index is None"),
        ({"classes": ["a", "b"], "ignore_index": True}, "ignore_index is True"),
    ],
)
def test_what_is_refused(document, words):
    assert any(words in detail for detail in problems(document))


def test_all_problems_at_once():
    assert len(problems({"classes": [{"id": -1, "name": "a"}, {"id": 1, "name": 2}], "ignore_index": "x"})) == 3
