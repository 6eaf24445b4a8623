"""A dataset's files as one: which they are, their digests, and the archives of them."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256

from api.archives.streams import ArchiveStream, Member, Read, member_of, tar_stream
from api.archives.zip_stream import zip_stream
from api.protocol.file_responses import reader_of
from store.database.database import Database
from store.objects import ObjectStore
from store.resources import datasets
from store.resources.exports import FOLDER
from store.resources.files import File, list_files

CHECKSUMS = "SHA256SUMS"


@dataclass(frozen=True)
class Packed:
    """Members of an archive, each with its SHA-256, all in the folder ``root``."""

    root: str
    members: list[tuple[Member, str]]

    @property
    def checksums(self) -> bytes:
        """SHA256SUMS: `digest  name`, by name, seen from inside the folder."""
        lines = sorted((member.name, digest) for member, digest in self.members)
        return "".join(f"{digest}  {name}\n" for name, digest in lines).encode()

    def as_tar(self) -> ArchiveStream:
        """Return the archive as a tar."""
        return tar_stream(member for member, _ in self._in_folder())

    def as_zip(self) -> ArchiveStream:
        """Return the archive as a zip."""
        return zip_stream(self._in_folder())

    def _in_folder(self) -> Iterator[tuple[Member, str]]:
        checksums = self.checksums
        listing = (member_of(CHECKSUMS, checksums), sha256(checksums).hexdigest())
        for member, digest in (listing, *self.members):
            yield Member(f"{self.root}/{member.name}", member.size, member.read), digest


def packed(db: Database, objects: ObjectStore, dataset: datasets.Dataset, tenant: str) -> Packed:
    """Return all files of a dataset except exports; of a dataset that ended early, its finished files."""
    members = [
        (Member(file.name, file.bytes, _reader(db, objects, file)), file.sha256) for file in _files(db, dataset, tenant)
    ]
    if dataset.state != "ready":
        manifest = partial_manifest(db, dataset.id, tenant)
        members.append((member_of(datasets.MANIFEST, manifest), sha256(manifest).hexdigest()))
    return Packed(dataset.id, members)


def partial_manifest(db: Database, dataset_id: str, tenant: str) -> bytes:
    """The manifest of a dataset that ended early."""
    return json.dumps(datasets.partial_manifest(db, dataset_id, tenant=tenant), indent=2).encode()


def _files(db: Database, dataset: datasets.Dataset, tenant: str) -> list[File]:
    """Its files, the small ones that explain it first."""
    if dataset.state != "ready":
        return list_files(db, dataset.job_id, tenant=tenant, prefix="shards/")
    files = [file for file in list_files(db, dataset.id, tenant=tenant) if not file.name.startswith(FOLDER)]
    return sorted(files, key=lambda file: (file.name.startswith("shards/"), file.name))


def _reader(db: Database, objects: ObjectStore, file: File) -> Read:
    """Read and verified when its turn comes: an archive may have many members."""
    return lambda start, stop: reader_of(db, objects, file)(start, stop)
