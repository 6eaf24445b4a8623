"""Shards wait in queues by kind of step, and jobs have a priority"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    for table in ("steps", "shards"):
        op.add_column(table, sa.Column("queue", sa.String(length=16), server_default="cpu", nullable=False))
        op.execute(f"UPDATE {table} SET queue = 'sample' WHERE {_name(table)} = 'sample'")
        op.execute(f"UPDATE {table} SET queue = 'train' WHERE {_name(table)} IN ('invert', 'train_labeler')")
    op.add_column("jobs", sa.Column("priority", sa.Integer(), server_default="0", nullable=False))
    op.create_index("ix_shards_next", "shards", ["job_id", "state", "step_position", "position", "queue"])


def _name(table: str) -> str:
    return "name" if table == "steps" else "step"
