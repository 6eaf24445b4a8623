"""How much a foreign file may ask of us."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Beyond any released StyleGAN2 checkpoint by a factor of ten or more; what exceeds one is refused as unsafe."""

    file_bytes: int = 16 << 30
    operations: int = 2_000_000
    """Instructions of all pickles in the file together. It bounds the number of objects and the time to read them."""
    marks: int = 200
    """Open brackets of a pickle at once."""
    depth: int = 200
    """Containers inside one another."""
    pickles: int = 20_000
    """Pickles inside pickles: one a storage in NVIDIA's files."""
    nesting: int = 2
    """Levels of pickles inside pickles."""
    integer_bytes: int = 256
    """Length of one whole number."""
    members: int = 100_000
    """Entries of a zip container."""
    tensor_bytes: int = 8 << 30
    """Memory of all tensors that are taken from the file, as float32."""
