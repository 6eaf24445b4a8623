"""How far two images are apart to the eye: LPIPS where its ImageNet weights are present, else a trunk of the
generator's own domain.
"""
