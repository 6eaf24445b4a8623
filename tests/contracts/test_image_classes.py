"""Classes of a generator in a request, by index or name."""

from contracts.image_classes import class_indices

NAMES = ("ant", "crane", "bee", "crane")


def test_indices_and_names_are_found_in_the_order_of_the_request() -> None:
    assert class_indices([2, "ant"], NAMES, 4) == ((2, 0), ())
    assert class_indices([], NAMES, 4).indices == (0, 1, 2, 3)
    assert class_indices([1], (), 2).indices == (1,)


def test_unknown_ambiguous_and_repeated_classes_are_named_by_their_place() -> None:
    found = class_indices(["wasp", 4, "crane", 0, "ant", -1], NAMES, 4)
    assert found.indices == (0,)
    assert [(one.at, one.detail.partition(";")[0]) for one in found.wrong] == [
        (0, "no class is named 'wasp'"),
        (1, "expected 0 to 3, found 4"),
        (2, "several classes are named 'crane'"),
        (4, "the class is listed twice"),
        (5, "expected 0 to 3, found -1"),
    ]
    assert class_indices(["ant"], (), 4).wrong[0].detail == "the classes have no names"
