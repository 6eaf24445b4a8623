"""What a dataset is worth: metrics, nets trained on it, baselines with the same labels, and a verdict by gates."""
