"""An export of a dataset: its format and its split."""

from typing import NamedTuple

from offhand.documents import Export


class Variant(NamedTuple):
    """A format, the fraction of the images for validation (None: the format's own) and the seed that chooses them."""

    format: str
    split: float | None = None
    split_seed: int = 0

    @property
    def options(self) -> str:
        """The same as options of `offhand export`."""
        words = [f"--format {self.format}"]
        if self.split is not None:
            words.append(f"--split {self.split}")
        if self.split_seed:
            words.append(f"--split-seed {self.split_seed}")
        return " ".join(words)


def variant_of(export: Export) -> Variant:
    """Return format and split of an export's document."""
    return Variant(export["format"], export["split"], export["split_seed"])
