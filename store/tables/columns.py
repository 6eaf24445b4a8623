"""Parts that all tables share: their metadata and the types of common columns."""

from __future__ import annotations

from sqlalchemy import JSON, BigInteger, Column, Integer, MetaData, String
from sqlalchemy.dialects.postgresql import JSONB

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)

ID = String(64)
JSON_VALUES = JSON().with_variant(JSONB(), "postgresql")
#: SQLite only counts up an INTEGER PRIMARY KEY.
SERIAL = BigInteger().with_variant(Integer(), "sqlite")


def tenant() -> Column[str]:
    """Whose row it is."""
    return Column("tenant", ID, nullable=False)
