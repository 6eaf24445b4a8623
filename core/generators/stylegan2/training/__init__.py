"""Adversarial training of StyleGAN2 generators."""
