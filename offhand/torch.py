"""Datasets of the service as PyTorch datasets: streamed by ranges of bytes, shared by workers and ranks, resumable.

Needs torch, NumPy and Pillow, which the SDK alone does not install.

::

    from offhand.torch import DatasetStream

    stream = DatasetStream("ds_…", shuffle=True)
    for batch in torch.utils.data.DataLoader(stream, batch_size=16, num_workers=2):
        train(batch["image"], batch["mask"])
"""

import io
import json
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch.utils.data import IterableDataset, get_worker_info

from offhand.sdk.connection import Connection
from offhand.sdk.stored_samples import Sample, StoredSamples

Item = dict[str, Any]
"""A sample as tensors: ``index`` int; ``image`` uint8 [3, H, W]; ``mask`` int64 [H, W], class ids; where there are
any, ``depth`` float32 [H, W] and ``keypoints`` float32 [K, 4] (x, y, visibility, height of the peak).
"""

BLOCK = 32
"""Samples that are requested together: neighbours of one shard."""
BUFFERED_BLOCKS = 4
"""Blocks whose samples are shuffled among one another."""


class DatasetStream(IterableDataset[Any]):
    """The samples of a dataset, each once an epoch, without downloading it.

    Blocks of :data:`BLOCK` neighbouring samples are dealt to the workers of a ``DataLoader`` and to the ranks of a
    distributed training in turn, so that no two get the same sample. The order depends on seed and epoch alone.
    :meth:`state_dict` and :meth:`load_state_dict` continue in the middle of an epoch (torchdata's
    ``StatefulDataLoader`` calls them in its workers).
    """

    def __init__(
        self,
        dataset_id: str,
        base_url: str | None = None,
        *,
        api_key: str | None = None,
        shuffle: bool = False,
        seed: int = 0,
        transform: Callable[[Item], Any] | None = None,
        rank: int | None = None,
        world_size: int | None = None,
    ) -> None:
        """Describe a stream; nothing is requested before it is read.

        base_url, api_key: of the service, as for :class:`offhand.Client`. shuffle: blocks come in random order and
        samples are shuffled among :data:`BUFFERED_BLOCKS` blocks. transform: applied to each item. rank, world_size:
        of a distributed training; None for those of ``torch.distributed`` where it runs, else 0 of 1.
        """
        self.dataset_id, self.base_url, self.api_key = dataset_id, base_url, api_key
        self.shuffle, self.seed, self.transform = shuffle, seed, transform
        self.rank, self.world_size = _place(rank, world_size)
        self.epoch = 0
        self._done = 0  # samples of this epoch that this consumer has given out

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of an epoch, from its beginning. Without it each pass is one epoch further."""
        self.epoch, self._done = epoch, 0

    def state_dict(self) -> dict[str, int]:
        """Return how far this consumer is."""
        return {"epoch": self.epoch, "done": self._done, "seed": self.seed}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Continue where :meth:`state_dict` was taken. Raises ValueError for the state of another seed."""
        if state["seed"] != self.seed:
            raise ValueError(f"expected the state of a stream with seed {self.seed}, found seed {state['seed']}")
        self.epoch, self._done = state["epoch"], state["done"]

    def __iter__(self) -> Iterator[Any]:
        worker = get_worker_info()
        workers, number = (1, 0) if worker is None else (worker.num_workers, worker.id)
        consumer, consumers = self.rank * workers + number, self.world_size * workers
        with Connection(self.base_url, api_key=self.api_key) as connection:
            stored = StoredSamples(connection, self.dataset_id)
            random = Random(f"{self.seed} {self.epoch}") if self.shuffle else None  # noqa: S311 - an order, no secret
            before = 0
            for group in groups_of(len(stored), consumer, consumers, random):
                wanted = group[max(0, self._done - before) :]
                before += len(group)
                for sample in stored.read(wanted):
                    item = to_item(sample)
                    self._done += 1
                    yield item if self.transform is None else self.transform(item)
        self.epoch, self._done = self.epoch + 1, 0


def groups_of(count: int, consumer: int, consumers: int, random: Random | None) -> list[list[int]]:
    """Return the positions that one of several consumers reads, in groups that are requested together.

    random: shuffles blocks, then the samples of :data:`BUFFERED_BLOCKS` blocks; None keeps the order of the dataset.
    """
    blocks = [list(range(first, min(first + BLOCK, count))) for first in range(0, count, BLOCK)]
    if random is None:
        return blocks[consumer::consumers]
    random.shuffle(blocks)
    mine, groups = blocks[consumer::consumers], []
    for first in range(0, len(mine), BUFFERED_BLOCKS):
        group = [position for block in mine[first : first + BUFFERED_BLOCKS] for position in block]
        random.shuffle(group)
        groups.append(group)
    return groups


def to_item(sample: Sample) -> Item:
    """Return a sample as tensors."""
    record = json.loads(sample.files["json"])
    item: Item = {
        "index": sample.index,
        "image": torch.from_numpy(_picture(sample.files["image.png"], "RGB")).permute(2, 0, 1).contiguous(),
        "mask": torch.from_numpy(_picture(sample.files["mask.png"])).long(),
    }
    if "depth.npy" in sample.files:
        depth = np.load(io.BytesIO(sample.files["depth.npy"]), allow_pickle=False)
        item["depth"] = torch.from_numpy(depth.astype(np.float32))
    if record.get("keypoints") is not None:
        item["keypoints"] = torch.tensor(record["keypoints"], dtype=torch.float32).reshape(-1, 4)
    return item


def _picture(content: bytes, mode: str | None = None) -> NDArray[np.uint8]:
    picture = Image.open(io.BytesIO(content), formats=("PNG",))
    return np.array(picture if mode is None else picture.convert(mode))


def _place(rank: int | None, world_size: int | None) -> tuple[int, int]:
    """Return rank and world size; those of a running distributed training where they are not given."""
    running = torch.distributed.is_available() and torch.distributed.is_initialized()
    if rank is None:
        rank = torch.distributed.get_rank() if running else 0
    if world_size is None:
        world_size = torch.distributed.get_world_size() if running else 1
    if not 0 <= rank < world_size:
        raise ValueError(f"expected a rank from 0 to {world_size - 1}, found {rank}")
    return rank, world_size
