"""The training script that stands beside a dataset of masks: :mod:`core.datasets.training_script.train`, as a file."""

from pathlib import Path

TRAINING_SCRIPT = "train.py"
"""Its name there."""


def training_script() -> bytes:
    """Return the script, which needs torch, NumPy and Pillow and nothing of this project."""
    return Path(__file__).with_name(TRAINING_SCRIPT).read_bytes()
