from core.evaluation.downstream.config import PRESETS
from core.evaluation.downstream.schedule import recipe_for


def test_steps_of_the_papers_recipe_are_twenty_epochs():
    assert recipe_for("handsoff", 9_000) == PRESETS["handsoff"]
    smaller = recipe_for("handsoff", 1_003)
    assert (smaller.steps, smaller.validate_every) == (20 * 125, 125)
    assert recipe_for("handsoff", 3).steps == 20


def test_steps_of_the_small_recipe_grow_with_large_datasets_alone():
    least = PRESETS["small"].steps
    assert [recipe_for("small", images).steps for images in (1, 957, 1_600)] == [least] * 3
    assert recipe_for("small", 10_000).steps == 3_125
    assert recipe_for("knowing_the_distance", 10) == PRESETS["knowing_the_distance"]
