"""Whether a worker has ImageNet weights to compare images with"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    op.add_column("workers", sa.Column("perceptual", sa.Boolean(), nullable=True))
