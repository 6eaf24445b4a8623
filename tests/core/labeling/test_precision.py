"""Half precision must not cost labels."""

from dataclasses import replace

import torch

from core.generators.files import load_generator, shipped_generators
from core.labeling.config import PRESETS
from core.labeling.training import train_ensemble
from testbed.latents import draw_stream
from testbed.worlds import HEADS

LABELLED = 12


def test_bfloat16_labels_are_those_of_float32():
    loaded = load_generator(shipped_generators()["heads64"])
    network = loaded.network
    z = draw_stream(77, 0, 2 * LABELLED, network.config.z_dim)
    codes, truth = network.map(torch.from_numpy(z)), HEADS.meant(z).masks
    config = replace(PRESETS["fast"], members=4, max_steps=300)
    labeler = train_ensemble(
        network, codes[:LABELLED], truth[:LABELLED], len(HEADS.classes), config, noise=loaded.info.noise, seed=0
    )
    features = network.synthesize(codes[LABELLED:], loaded.info.noise, with_features=True).features
    exact = labeler.label(features, (64, 64)).mask
    half = replace(labeler, config=replace(config, precision="bfloat16")).label(features, (64, 64)).mask
    # Members that have learnt nothing would agree on anything.
    assert (exact.numpy() == truth[LABELLED:]).mean() > 0.85
    assert (exact == half).double().mean() >= 0.999
