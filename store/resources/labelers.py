"""Quality reports of labelers."""

from __future__ import annotations

from store.database.database import Database
from store.resources.artifacts import get_labeler
from store.resources.files import File
from store.resources.quality_reports import newest_report


def get_labeler_report(db: Database, labeler_id: str, name: str, *, tenant: str) -> File:
    """A file of the labeler's newest report. Raises NotFound, NotReady where it has none (yet)."""
    get_labeler(db, labeler_id, tenant=tenant)
    return newest_report(db, labeler_id, name, tenant=tenant, ask=f"POST /v1/labelers/{labeler_id}/reports")
