"""The affine map that features are trained behind: its components are the leading ones, and it repeats itself."""

import torch

from core.labeling.conditioning import fit_conditioning


def features(rows: int, channels: int = 200, true_rank: int = 30):
    """Channels of different scales that repeat one another, with a little noise of their own."""
    random = torch.Generator().manual_seed(7)
    strength = torch.logspace(0, -1.5, true_rank)
    mixed = (
        torch.randn(rows, true_rank, generator=random) * strength @ torch.randn(true_rank, channels, generator=random)
    )
    own = torch.randn(rows, channels, generator=random)
    return (mixed + 0.02 * own) * torch.logspace(-2, 2, channels) + 3


def test_components_hold_as_much_variance_as_the_exact_ones():
    sample, count = features(4000), 24
    conditioning = fit_conditioning(sample, True, count)
    standard = (sample - sample.mean(0)) / sample.std(0)
    exact = torch.linalg.eigvalsh(standard.T @ standard / len(sample)).flip(0)[:count]
    found = conditioning.apply(sample)
    torch.testing.assert_close(found.mean(0), torch.zeros(count), atol=1e-3, rtol=0)
    torch.testing.assert_close(found.square().mean(0).sum(), exact.sum(), rtol=1e-3, atol=0)
    torch.testing.assert_close(found.square().mean(0), exact, rtol=0.05, atol=1e-3)
    together = found.T @ found / len(sample)
    assert (together - together.diag().diag()).abs().max() < 0.02 * exact[-1]


def test_equal_samples_give_equal_components_whatever_was_drawn_before():
    sample = features(500)
    first = fit_conditioning(sample, True, 16)
    state = torch.randn(5)  # moves the global stream
    second = fit_conditioning(sample, True, 16)
    assert torch.equal(first.basis, second.basis)
    assert not torch.equal(state, torch.randn(5))


def test_a_sample_of_few_rows_gives_no_more_components_than_rows():
    conditioning = fit_conditioning(features(10), True, 64)
    assert conditioning.outputs == 10
    assert conditioning.apply(features(3)).isfinite().all()
