"""Half precision must not cost labels."""

from dataclasses import replace

import torch

from core.generators.files import load_generator, shipped_generators
from core.generators.interface import Codes
from core.labeling.config import PRESETS
from core.labeling.training import train_ensemble
from core.run import Run
from testbed.latents import draw_stream
from testbed.worlds import HEADS

LABELLED = 12


def test_bfloat16_labels_are_those_of_float32():
    loaded = load_generator(shipped_generators()["heads64"])
    sampler = loaded.bind()
    z = draw_stream(77, 0, 2 * LABELLED, loaded.network.config.z_dim)
    codes, truth = Codes({"w_plus": loaded.network.map(torch.from_numpy(z))}), HEADS.meant(z).masks
    config = replace(PRESETS["fast"], members=4, max_steps=300)
    labeler = train_ensemble(sampler, codes[:LABELLED], truth[:LABELLED], len(HEADS.classes), config, run=Run(seed=0))
    features = sampler.synthesize(codes[LABELLED:], with_features=True).features
    exact = labeler.label(features, (64, 64)).mask
    half = replace(labeler, config=replace(config, precision="bfloat16")).label(features, (64, 64)).mask
    # Members that have learnt nothing would agree on anything.
    assert (exact.numpy() == truth[LABELLED:]).mean() > 0.85
    assert (exact == half).double().mean() >= 0.999
