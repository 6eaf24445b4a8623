"""Bytes by key: one interface, a local folder or an S3-compatible server behind it. `open_objects` is the way in."""

from store.objects.contract import DirectParts, ObjectInfo, ObjectStore, ObjectWriter, PartLink, SentPart
from store.objects.local import LocalObjects
from store.settings import Settings

__all__ = [
    "DirectParts",
    "LocalObjects",
    "ObjectInfo",
    "ObjectStore",
    "ObjectWriter",
    "PartLink",
    "SentPart",
    "open_objects",
]


def open_objects(settings: Settings) -> ObjectStore:
    """The object store named by the settings; a folder or bucket is made when absent. Raises StoreUnavailable."""
    if settings.objects.kind == "s3":
        # Imported here: boto3 costs a fifth of a second, and a folder does without.
        from store.objects.s3.store import S3Objects

        return S3Objects(settings.objects)
    return LocalObjects(settings.objects_folder)
