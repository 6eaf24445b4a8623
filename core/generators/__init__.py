"""Image generators: latents → w+ → images, and the features of every layer on the way."""
