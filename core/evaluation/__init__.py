"""Dataset evaluation: metrics, networks trained on it, baselines with the same labels, and a verdict by gates."""
