"""Trials of uncertainty over candidates before the filter, with exact truth: which score finds the bad labels?

    python -m testbed.uncertainty [--world heads|streets] [--repeats 2] [--size small|full|tiny] [--json]

A repeat has its own labelled scenes and seed; all arms of a repeat share labelled scenes, codes and candidates:

plain             members as the product trains them
dropout           a share of each hidden layer's outputs is dropped while members learn
random features   each member sees its own random half of the conditioned features

Each arm's labels are scored by the product's image scores and by the mean over the pixels that are not class 0. Beside
them stands what needs no ensemble: the distance of a pixel's features to those of the nearest labelled pixel. A label
is bad where its image mIoU with the renderer's truth is in the lowest quarter (or tenth).

The same is measured on inverted scenes that no labeler has seen, where it is known to be worse, with what could explain
that: the number of images, the pixels next to a boundary, and the error of the inversion. Finished cells are kept in
out/uncertainty/ and not measured twice; delete the folder to restart.
"""
