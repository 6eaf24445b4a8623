"""Uploads whose parts go straight to the object store"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    op.add_column("uploads", sa.Column("part_bytes", sa.BigInteger(), nullable=True))
    op.add_column("uploads", sa.Column("multipart", sa.Text(), nullable=True))
