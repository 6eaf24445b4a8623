"""Image → w+: a feed-forward encoder, then refinement by gradient inside a ball around its answer; the generator is
frozen.
"""
