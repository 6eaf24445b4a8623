"""Ways to train the members of an ensemble: the arms of the trials."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from core.generators.interface import Codes
from core.generators.stylegan2.generator import StyleGAN2Sampler
from core.labeling.checkpoint import TrainingState
from core.labeling.conditioning import Conditioning
from core.labeling.config import LabelerConfig
from core.labeling.ensemble import Ensemble, FoldedEnsemble
from core.labeling.hypercolumn import SelectedLayers
from core.labeling.labeler import Labeler
from core.labeling.labelled_pixels import LabelledPixels
from core.labeling.pixel_source import PixelSource
from core.labeling.targets import MaskTarget
from core.labeling.trainer import Trainer


class DropoutEnsemble(Ensemble):
    """Members of which a share of each hidden layer's outputs is dropped while they learn."""

    share = 0.3

    def forward(self, x: Tensor) -> Tensor:
        """As :class:`Ensemble`."""
        for depth in range(len(self.hidden)):
            x = self._normalise(torch.baddbmm(self.biases[depth], self.weights[depth], x).relu(), depth)
            x = F.dropout(x, self.share, self.training)
        return torch.baddbmm(self.biases[-1], self.weights[-1], x)


class RandomFeatureEnsemble(Ensemble):
    """Members of which each sees its own random half of the conditioned features."""

    def __init__(self, members: int, inputs: int, hidden: tuple[int, ...], classes: int, seed: int) -> None:
        super().__init__(members, inputs, hidden, classes, seed)
        random = np.random.default_rng([seed, members, inputs])
        order = np.stack([random.permutation(inputs) for _ in range(members)])
        self.register_buffer("seen", torch.from_numpy(order < (inputs + 1) // 2)[:, :, None].float())

    def forward(self, x: Tensor) -> Tensor:
        """As :class:`Ensemble`."""
        return super().forward(x * self.get_buffer("seen"))

    @torch.no_grad()
    def folded(self, conditioning: Conditioning) -> FoldedEnsemble:
        """As :class:`Ensemble`; what a member does not see has no weight."""
        self.weights[0].mul_(self.get_buffer("seen").transpose(1, 2))
        return super().folded(conditioning)


ARMS: dict[str, type[Ensemble]] = {
    "plain": Ensemble,
    "dropout": DropoutEnsemble,
    "random features": RandomFeatureEnsemble,
}


def trained_arms(
    sampler: StyleGAN2Sampler,
    codes: Codes,
    masks: NDArray[np.uint8],
    classes: int,
    config: LabelerConfig,
    seed: int,
    most_pixels: int,
) -> dict[str, Labeler]:
    """Train a labeler of each arm: the product's training with the arm's ensemble in its place.

    All arms learn from the same ``most_pixels`` of the labelled pixels, in the same principal components.
    """
    source = PixelSource(sampler, codes, SelectedLayers(sampler.layers, config), (masks.shape[1], masks.shape[2]))
    pixels = LabelledPixels(source, MaskTarget(masks, classes), range(len(codes)), config, seed, lambda: False)
    pixels.training = pixels.some(pixels.training, most_pixels, np.random.default_rng([seed, 6]))
    trainer = Trainer(pixels, config, seed, "cpu")
    conditioning = trainer.state.conditioning
    found = {}
    for arm, kind in ARMS.items():
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            ensemble = kind(config.members, conditioning.outputs, config.hidden, classes, seed)
            optimizer = torch.optim.Adam(ensemble.parameters(), lr=config.learning_rate, fused=True)
            trainer.state = TrainingState(ensemble, optimizer, conditioning)
            for _ in trainer.steps(lambda: False):
                pass
        found[arm] = Labeler((trainer.finished(),), sampler.layers, config, sampler.feature_digest)
    source.close()
    return found
