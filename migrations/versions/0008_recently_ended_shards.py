"""An index over when shards ended, for the deployment's figures"""

from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.create_index(op.f("ix_shards_finished_at"), "shards", ["finished_at"])
