"""Errors of an S3-compatible server, or of the way to it, as those of the store."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from botocore.exceptions import BotoCoreError, ClientError
from urllib3.exceptions import HTTPError

from store.errors import NotFound, StorageFull, StoreUnavailable

_ABSENT = frozenset({"404", "NoSuchKey", "NoSuchUpload", "NoSuchBucket", "NotFound"})
_FULL = frozenset({"507", "InsufficientStorage", "QuotaExceeded", "EntityTooLarge", "XMinioStorageFull"})


@contextmanager
def translated(what: str) -> Iterator[None]:
    """Raise NotFound (saying `what`), StorageFull or StoreUnavailable for whatever boto3 raises."""
    try:
        yield
    except ClientError as error:
        code = str(error.response.get("Error", {}).get("Code", ""))
        if code in _ABSENT:
            raise NotFound(what) from error
        if code in _FULL:
            raise StorageFull("no space left for objects") from error
        raise StoreUnavailable("the object store refused a request", cause=code or "no reason given") from error
    except (BotoCoreError, HTTPError, OSError) as error:
        raise StoreUnavailable("the object store cannot be reached", cause=type(error).__name__) from error
