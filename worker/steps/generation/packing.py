"""The kept candidates as final shards, counted and pictured on the way; one sample in memory at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import islice
from typing import BinaryIO, cast

from core.datasets.class_gallery import Galleries
from core.datasets.samples import StoredSample
from core.datasets.shard_index import index_bytes, index_path
from core.datasets.shards import ShardEntry, pack, read_shard
from core.datasets.statistics import DatasetStatistics
from core.label_sets.classes import ClassMap
from core.sampling.candidates import CandidateTable
from core.sampling.selection import Selection, dropped
from core.visualization.contact_sheets import SheetCell, contact_sheet
from store.job_kinds.generate import GenerateSpec
from store.jobs.job_result import DatasetBegun
from store.resources.files import File, list_files
from worker.runtime.step_context import StepContext
from worker.steps.generation.candidate_index import Drawn

#: Where sampling puts its candidates among the job's files; the index of the first one orders them. When a job ends
#: early they are what is left to read, under these names.
CANDIDATES = "shards/candidates-"
#: Beside them, the rows that say which to keep (`core.sampling.candidates`).
SCORES = "scores/candidates-"
#: Samples on the contact sheet: the first kept ones, and of those dropped so many for each reason.
_SHOWN_KEPT, _SHOWN_DROPPED = 24, 8
#: Candidates between two reports of progress.
_REPORT_EVERY = 32


class Packing:
    """Copies the candidates that `selection` keeps into the dataset's shards. `by_uncertainty`: what would have been
    kept without a composition; None where there is none.

    `dropped` counts the others by reason. After `run` there are `entries`, `files`, their `indices`, `statistics` and
    `galleries`.
    """

    def __init__(
        self,
        context: StepContext,
        selection: Selection,
        by_uncertainty: Selection | None,
        candidates: CandidateTable,
        drawn: Drawn,
        galleries: Galleries,
    ) -> None:
        self.entries: list[ShardEntry] = []
        self.files: list[File] = []
        self.indices: list[File] = []
        self.statistics = DatasetStatistics()
        self.galleries = galleries
        self._context = context
        self._dataset = context.result(DatasetBegun).dataset
        self._drawn = drawn
        self._selection, self._candidates = selection, candidates
        self.dropped = dropped(candidates, selection, by_uncertainty, _SHOWN_DROPPED)
        self._shown_kept = set(islice(self._kept(), _SHOWN_KEPT))
        self._shown_uncertain = [drawn.index(place) for place in self.dropped.worst]
        self._shown_passed_over = [drawn.index(place) for place in self.dropped.passed_over]
        self._cells: dict[int, SheetCell] = {}

    def run(self) -> None:
        """Read every candidate once, in order. Raises ShardError, Stopped, StorageFull."""
        packed = pack(
            self._samples(),
            self._kept(),
            self._context.request(GenerateSpec).images_per_shard,
            self._shard,
            on_sample=self._count,
            should_stop=self._context.should_stop,
        )
        for entry in packed:
            assert (entry.bytes, entry.sha256) == (self.files[-1].bytes, self.files[-1].sha256)
            self.files[-1] = replace(self.files[-1], items=entry.items)
            self.entries.append(entry)
            content = index_bytes(entry.path, entry.samples)
            self.indices.append(self._context.put(self._dataset, index_path(entry.path), content, "application/json"))
        self._context.progress(len(self._candidates), len(self._candidates))

    def _kept(self) -> Iterator[int]:
        """Indices of the samples that are kept, ascending."""
        return map(self._drawn.index, self._selection.places(self._candidates))

    def sheet(self, classes: ClassMap, title: str, subtitle: str) -> bytes:
        """The contact sheet as PNG."""
        kept = [self._cells[index] for index in sorted(self._shown_kept)]
        passed_over = [self._cells[index] for index in self._shown_passed_over if index in self._cells]
        uncertain = [self._cells[index] for index in self._shown_uncertain if index in self._cells]
        sections: Sequence[tuple[str, list[SheetCell]]] = (
            ("Kept", kept),
            (f"Dropped for the composition: {len(passed_over)} of {self.dropped.composition:,}", passed_over),
            (f"Dropped as uncertain: {len(uncertain)} of {self.dropped.uncertain:,}", uncertain),
        )
        return contact_sheet(sections, classes, title, subtitle)

    def _count(self, sample: StoredSample) -> None:
        self.statistics.add(sample.record())
        self.galleries.add(sample)

    def _samples(self) -> Iterator[StoredSample]:
        """The candidates in order; nobody asks for those behind the last kept one."""
        context, done, total = self._context, 0, len(self._candidates)
        for file in list_files(context.db, context.claim.job_id, tenant=context.tenant, prefix=CANDIDATES):
            with context.open(file) as source:
                for sample in read_shard(source, file.name):
                    self._look(sample)
                    yield sample
                    done += 1
                    if done % _REPORT_EVERY == 0:
                        context.progress(done, total)

    def _look(self, sample: StoredSample) -> None:
        if any(sample.index in some for some in (self._shown_kept, self._shown_uncertain, self._shown_passed_over)):
            caption = f"{sample.index}   uncertainty {sample.record()['uncertainty']:.4g}"
            self._cells[sample.index] = SheetCell(sample.image(), sample.mask(), sample.divergence(), caption)

    @contextmanager
    def _shard(self, path: str) -> Iterator[BinaryIO]:
        writer = self._context.start(path)
        try:
            # Only `write` is asked for, and the object's writer has it.
            yield cast(BinaryIO, writer)
            stored = writer.finish()
        finally:
            writer.abort()
        self.files.append(
            File(self._dataset, path, stored.key, stored.bytes, stored.sha256, "application/x-tar", items=0)
        )
