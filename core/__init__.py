"""Offhand's library: labelled images in, a labelled dataset out.

Knows PyTorch and NumPy, and nothing of the service around it.
"""
