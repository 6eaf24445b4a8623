"""Generators made by other projects, read without running anything that stands in their files.

``importing`` is the way in. Below it: ``machine`` reads pickles and only builds plain values, ``values`` is the list of
what a pickle may name, ``torch_files`` and ``safetensors_files`` are containers, ``nvidia``, ``rosinality`` and
``tensorflow`` know what each project writes, ``states`` maps names of tensors.
"""
