"""Teach a StyleGAN2 to draw a world: what the recipes of shipped generators have in common.

    draw    synthesis from shaped codes, by regression
    basis   coordinates of w in which distance is change of the picture
    map     the mapping network: latents → the codes' w
    join    both together, from latents to pictures
    export  into core/generators/shipped/NAME

Each phase resumes from `out/NAME/state.pt` or, where that is missing, from what was exported last. Scenes are drawn
with the recipe's own TRAINING_SEED, which no example and no test uses. Pictures are compared by the perceptual distance
that ships beside the generator, too: `testbed.recipes.perceptual` comes first.
"""

import argparse
import time

import torch
from torch import Tensor

from core.generators.stylegan2.network import Mapping
from testbed.latents import draw_stream
from testbed.recipes.crew import Crew, together
from testbed.recipes.drawing import draw, join
from testbed.recipes.mapping import begin_at, learn_mapping
from testbed.recipes.metric import differences, picture_basis, rebase, rebase_reader, sensitivity
from testbed.recipes.recipe import TRAINING_SEED, VALIDATION_SEED, Recipe, Scenes
from testbed.recipes.shipping import export
from testbed.recipes.training import Training


@torch.no_grad()
def _known_codes(training: Training) -> tuple[Scenes, Tensor]:
    """Validation scenes and what the averaged code reader says to them."""
    scenes = training.recipe.stretch(VALIDATION_SEED, 0, 1024)
    return scenes, training.average_reader(scenes.codes)


def change_basis(training: Training) -> None:
    """Measure w by what it does to the picture, and restart the mapping network in these coordinates."""
    scenes, w = _known_codes(training)
    basis = picture_basis(sensitivity(training.average, w, scenes.weights), w)
    for network in (training.generator, training.average, training.plaster):
        rebase(network, basis)
    for reader in (training.reader, training.average_reader):
        rebase_reader(reader, basis)
    mapping = Mapping(training.recipe.config)
    begin_at(mapping, w.mean(0) @ basis.there.T + basis.shift)
    for generator in (training.generator, training.average):
        generator.mapping.load_state_dict(mapping.state_dict())
    training.optimizers = {}
    training.report({"phase": "basis"}, from_latents=False)


def learn_latents(training: Training, minutes: float, crew: Crew) -> None:
    """Teach the mapping network what the code reader answers."""
    scenes, w = _known_codes(training)
    change = differences(training.average, w, scenes.weights)
    mapping, z_dim = training.average.mapping, training.recipe.config.z_dim
    mapping.requires_grad_(True)
    start = time.time()
    learn_mapping(
        mapping, training.answers, training.recipe.practice,
        lambda _: (time.time() - start) / (60 * minutes), z_dim=z_dim, differences=change, seed=TRAINING_SEED,
        held_out_seed=VALIDATION_SEED, crew=crew,
    )  # fmt: skip
    if not crew.first:
        return
    mapping.requires_grad_(False)
    training.generator.mapping.load_state_dict(mapping.state_dict())
    with torch.no_grad():
        streams = (torch.from_numpy(draw_stream(3, i * 1000, 1000, z_dim)) for i in range(20))
        mean = torch.cat([mapping(z, None) for z in streams]).mean(0)
        training.generator.w_avg.copy_(mean)
        training.average.w_avg.copy_(mean)
    training.report({"phase": "map"}, from_latents=True)


_LONG = {"draw": draw, "map": learn_latents, "join": join}


def _learn(crew: Crew, recipe: Recipe, phase: str, minutes: float) -> None:
    _LONG[phase](Training(recipe).load(), minutes, crew)


def main(recipe: Recipe, description: str | None) -> None:
    """Run one phase of a recipe."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("phase", choices=("draw", "basis", "map", "join", "export"))
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--processes", type=int, default=1, help="of one thread each, for draw, map and join")
    given = parser.parse_args()
    if given.processes < 1:
        parser.error("--processes: 1 or more")
    if given.phase in _LONG:
        together(given.processes, _learn, recipe, given.phase, given.minutes)
        return
    training = Training(recipe).load()
    if given.phase == "basis":
        change_basis(training)
    else:
        teacher = {"reader": training.average_reader, "plaster": training.plaster}
        export(recipe.name, recipe.domain, training.average, teacher, training.log)
