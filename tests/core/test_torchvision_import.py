"""torchvision imports whatever torch build stands beside it."""

import subprocess
import sys

import torch

from core.torchvision_import import import_torchvision


def test_torchvision_and_what_is_built_on_it_import_in_a_fresh_process() -> None:
    program = (
        "from core.torchvision_import import import_torchvision; import_torchvision(); import_torchvision();"
        "import torchvision.models, torchvision.transforms.v2, lpips; print(torchvision.__version__)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


def test_a_trunk_from_torchvision_runs() -> None:
    torchvision = import_torchvision()
    trunk = torchvision.models.squeezenet1_1(weights=None).features.eval()
    with torch.no_grad():
        assert trunk(torch.zeros(1, 3, 64, 64)).shape == (1, 512, 3, 3)
