"""All tables, and the search index."""

from __future__ import annotations

from alembic import op

from msgserver.store import resource_types
from msgserver.store.schema import metadata

revision = "0001"
down_revision = None

# The tokens come folded and cut by formats.search, joined by spaces: the index must not cut or fold them again.
_WITHIN_A_WORD = "!#$%&()*+,-./:;<=>?@[\\]^_`{|}~"
_SQLITE_SEARCH = (
    f"CREATE VIRTUAL TABLE msg_search USING fts5(tokens, content='', tokenize=\"ascii tokenchars '{_WITHIN_A_WORD}'\")"
)


def upgrade() -> None:
    """Forward."""
    bind = op.get_bind()
    metadata.create_all(bind)
    resource_types.seed(bind)
    if bind.dialect.name == "sqlite":
        bind.exec_driver_sql(_SQLITE_SEARCH)
        return
    bind.exec_driver_sql("ALTER TABLE msg_log ADD COLUMN search tsvector NOT NULL DEFAULT ''")
    # The planner must know how rare a rare word is: else it walks the whole log from its end to find the newest.
    bind.exec_driver_sql("ALTER TABLE msg_log ALTER COLUMN search SET STATISTICS 2000")
    bind.exec_driver_sql("CREATE INDEX ix_msg_log_search ON msg_log USING gin (search)")
