"""Store what a generator family computes once for given sampling settings"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    op.create_table(
        "sampling_statistics",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("tenant", sa.String(length=64), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("generator_id", sa.String(length=64), nullable=False),
        sa.Column("info", JSON, nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sampling_statistics")),
        sa.UniqueConstraint("tenant", "digest", name=op.f("uq_sampling_statistics_tenant_digest")),
    )
