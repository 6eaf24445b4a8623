"""Datasets that are pinned, deleted, or pointed at by a name"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.add_column("datasets", sa.Column("pinned", sa.Boolean(), server_default=sa.false(), nullable=False))
    op.add_column("datasets", sa.Column("deleted_at", sa.Double(), nullable=True))
    op.create_table(
        "dataset_aliases",
        sa.Column("tenant", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("dataset_id", sa.String(length=64), nullable=False),
        sa.Column("moved_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "name", name=op.f("pk_dataset_aliases")),
    )
