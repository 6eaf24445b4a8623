"""Errors of the store, each with a stable `code`.

StoreError
├── NotFound              not_found               no such id for this tenant
├── InvalidRequest        invalid_request         a field names something that does not exist or is not ready
├── IdempotencyMismatch   idempotency_key_reused  same key, another body
├── QuotaExceeded         quota_exceeded          the tenant's limit is reached; retryable
├── NotReady              not_ready               the resource exists but is not finished
├── NotResumable          not_resumable           the job ended in a way that trying again does not change
├── InUse                 in_use                  a job still works with it
├── BuiltIn               built_in                it comes with the service and stays
├── Gone                  gone                    the data has expired
├── DigestMismatch        digest_mismatch         bytes received are not the bytes declared
├── DamagedObject         damaged_object          a stored object is gone, or not what was stored; retryable
├── TooLarge              too_large               more bytes than allowed
├── StorageFull           storage_full            no space left for database or objects; retryable
├── StoreUnavailable      store_unavailable       database or object store cannot be reached; retryable
├── EgressRefused         egress_refused          a URL that this service does not call
├── EgressFailed          egress_failed           a URL that does not answer; retryable
├── SchemaOutdated        schema_outdated         the database needs a migration
└── IllegalTransition     illegal_transition      a fault of ours: a state change outside the table
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import ClassVar

from contracts.text import name, printable


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with a request. `pointer` is a JSON pointer (`/generator`) or a file name. `picture`: a PNG in
    base64 that shows it, or nothing.
    """

    detail: str
    pointer: str
    picture: str = field(default="", repr=False, compare=False)

    def __post_init__(self) -> None:
        # Both may quote a file or a caller.
        object.__setattr__(self, "detail", printable(self.detail))
        object.__setattr__(self, "pointer", name(self.pointer))


class StoreError(Exception):
    """Base of the tree. `code` is stable, `detail` is for callers, `problems` lists all that is wrong.

    `cause` is the text of a driver (database, object store). It names machines of the deployment, so it is part of
    `str(error)`, which logs and operators see, and never of an answer.
    """

    code: ClassVar[str] = "store_error"
    retryable: ClassVar[bool] = False

    def __init__(self, detail: str, problems: Iterable[Problem] = (), *, cause: str = "") -> None:
        self.detail = printable(detail)
        super().__init__(f"{self.detail}: {printable(cause)}" if cause else self.detail)
        self.problems = tuple(problems)


class NotFound(StoreError):
    """No such id, or it belongs to someone else: the two look the same."""

    code = "not_found"


class InvalidRequest(StoreError):
    """The request names things that do not exist or cannot be used; `problems` points at each field."""

    code = "invalid_request"


class IdempotencyMismatch(StoreError):
    """The idempotency key was used with another body."""

    code = "idempotency_key_reused"


class QuotaExceeded(StoreError):
    """The tenant's limit is reached; waiting or deleting helps. `quota` is its name, `limit` how much it allows."""

    code = "quota_exceeded"
    retryable = True

    def __init__(self, detail: str, *, quota: str, limit: int) -> None:
        super().__init__(detail)
        self.quota, self.limit = quota, limit


class NotReady(StoreError):
    """The resource exists but is not finished."""

    code = "not_ready"


class NotResumable(StoreError):
    """The job did not fail, or failed for a reason that another try cannot change."""

    code = "not_resumable"


class InUse(StoreError):
    """Something cannot be deleted while a job works with it."""

    code = "in_use"


class BuiltIn(StoreError):
    """Something comes with the service and cannot be deleted."""

    code = "built_in"


class Gone(StoreError):
    """The data has expired."""

    code = "gone"


class DigestMismatch(StoreError):
    """Size or SHA-256 of the received bytes differs from the declared one."""

    code = "digest_mismatch"


class DamagedObject(StoreError):
    """A stored object has other bytes than were committed, or is gone (`lost`). `resource_id`, `name`: whose file it
    is; `key`: the object's, for programs alone: it never stands in `detail`.
    """

    code = "damaged_object"
    retryable = True

    def __init__(self, detail: str, *, resource_id: str, name: str, key: str = "", lost: bool = False) -> None:
        super().__init__(detail)
        self.resource_id, self.name, self.key, self.lost = resource_id, name, key, lost


class TooLarge(StoreError):
    """More bytes than declared or allowed."""

    code = "too_large"


class StorageFull(StoreError):
    """No space left on the device that holds database or objects."""

    code = "storage_full"
    retryable = True


class StoreUnavailable(StoreError):
    """Database or object store cannot be reached, or stayed locked too long."""

    code = "store_unavailable"
    retryable = True


class EgressRefused(StoreError):
    """The URL is not one that this service calls: not https, or not public."""

    code = "egress_refused"


class EgressFailed(StoreError):
    """The URL's host does not answer, or not to the end."""

    code = "egress_failed"
    retryable = True


class SchemaOutdated(StoreError):
    """The database's tables are older than this program and migrating is switched off."""

    code = "schema_outdated"


class IllegalTransition(StoreError):
    """A state change that `store.jobs.states` does not allow."""

    code = "illegal_transition"
