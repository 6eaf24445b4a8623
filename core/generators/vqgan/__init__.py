"""VQGAN (Esser et al. 2021): tokens of a codebook on a grid, drawn by a class-conditional transformer."""
