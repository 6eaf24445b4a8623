"""Bytes by key: one interface, a local folder behind it. `open_objects(settings)` is the way in."""

from store.objects.contract import ObjectInfo, ObjectStore, ObjectWriter
from store.objects.local import LocalObjects
from store.settings import Settings

__all__ = ["LocalObjects", "ObjectInfo", "ObjectStore", "ObjectWriter", "open_objects"]


def open_objects(settings: Settings) -> ObjectStore:
    """The object store named by the settings; a local folder is made when absent. Raises StoreUnavailable."""
    return LocalObjects(settings.objects_folder)
