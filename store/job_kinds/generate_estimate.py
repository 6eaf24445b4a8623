"""Expected number of candidates and size of a dataset, before its job begins."""

from __future__ import annotations

from fractions import Fraction
from math import ceil

from sqlalchemy import Connection, func, select

from store.resources.descriptions import described
from store.resources.generators import Generator, find_generator
from store.tables import datasets, files, jobs

#: Of a sample beside its image and its latents: the mask, the JSON, the headers and padding of four tar members.
_OVERHEAD_BYTES = 5_000
#: Of an 8-bit colour PNG, for each pixel.
_PNG_BYTES_PER_PIXEL = 2.2


def dataset_bytes(connection: Connection, generator: str, count: int, *, tenant: str) -> int:
    """Return about how many bytes a dataset of `count` images has. Raises NotFound for an unknown generator."""
    return int(count * _bytes_per_image(connection, find_generator(connection, generator, tenant=tenant), tenant))


def candidates(count: int, drop_fraction: float) -> int:
    """The smallest N of which `count` stay when the most uncertain ceil(drop_fraction · N) are dropped; the fraction
    counts as the decimal that it is written as. The library draws as many (a test holds both together).
    """
    return ceil(count / (1 - Fraction(repr(float(drop_fraction)))))


def _bytes_per_image(connection: Connection, generator: Generator, tenant: str) -> float:
    """As in earlier datasets of the generator; where there is none, from its resolution and the size of its codes."""
    measured = connection.execute(
        select(func.sum(files.c.bytes), func.sum(files.c["items"]))
        .join(datasets, datasets.c.id == files.c.resource_id)
        .join(jobs, jobs.c.id == datasets.c.job_id)
        .where(
            files.c.tenant == tenant,
            files.c["items"].is_not(None),
            jobs.c.spec["generator"].as_string().in_((generator.name, generator.id)),
        )
    ).one()
    if measured[1]:
        return float(measured[0]) / float(measured[1])
    code = described(generator.info).code_bytes
    return generator.height * generator.width * _PNG_BYTES_PER_PIXEL + code + _OVERHEAD_BYTES
