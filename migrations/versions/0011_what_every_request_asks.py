"""Indexes under what every request asks, and whose pace a step tells"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    op.drop_index("ix_jobs_state", "jobs")
    op.create_index("ix_jobs_line", "jobs", ["state", "priority", "created_at", "id"])
    op.create_index("ix_jobs_tenant_state", "jobs", ["tenant", "state"])
    op.create_index("ix_files_tenant_bytes", "files", ["tenant", "bytes"])
    op.add_column("steps", sa.Column("tenant", sa.String(64), nullable=True))
    op.add_column("steps", sa.Column("generator", sa.String(64), nullable=True))
    sqlite = op.get_bind().dialect.name == "sqlite"
    generator = "json_extract(jobs.spec, '$.generator')" if sqlite else "jobs.spec ->> 'generator'"
    op.execute(
        f"UPDATE steps SET tenant = (SELECT jobs.tenant FROM jobs WHERE jobs.id = steps.job_id), "
        f"generator = (SELECT coalesce({generator}, '') FROM jobs WHERE jobs.id = steps.job_id)"
    )
    ended = sa.text("finished_at IS NOT NULL")
    op.create_index(
        "ix_steps_pace",
        "steps",
        ["tenant", "generator", "name", "finished_at"],
        sqlite_where=ended,
        postgresql_where=ended,
    )
