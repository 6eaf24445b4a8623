"""Labelled images in, labelled datasets out: reading an archive, writing shards, manifest, card and pictures."""
