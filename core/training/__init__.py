"""Training of generators, of encoders for them, and the images that they are trained on."""
