from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect

from msgserver.store import migrations
from msgserver.store.connecting import once
from msgserver.store.door import StoreError
from msgserver.store.migrations import steps
from msgserver.store.schema import metadata


def test_there_is_one_head():
    assert ScriptDirectory.from_config(steps.config()).get_heads() == [migrations.HEAD]


def test_a_database_that_is_up_to_date_loads_no_alembic(tmp_path):
    url = f"sqlite:///{tmp_path / 'hub.db'}"
    with once(url):
        pass
    opened = f"import sys; from msgserver.store.connecting import once\nwith once({url!r}): pass\n"
    words = opened + "print('alembic' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", words], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def ours(_thing, name, kind, _reflected, _compared):
    """Leave out the search index, which is another on each database."""
    return not (kind in ("table", "column", "index") and name is not None and "search" in name)


def test_the_migrated_schema_is_the_one_in_the_code(database):
    with database() as tx:
        options = {"include_object": ours, "compare_type": True}
        assert compare_metadata(MigrationContext.configure(tx, opts=options), metadata) == []


def test_upgrading_twice_changes_nothing(database):
    with database() as tx:
        migrations.upgrade(tx)
        migrations.upgrade(tx)


def test_a_newer_database_is_refused(database):
    with database() as tx:
        tx.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(StoreError, match="newer msgserver"), database():
        pass


def test_an_upgrade_that_dies_half_way_leaves_nothing(database, tmp_path, request):
    if database.dialect == "sqlite":
        url = f"sqlite:///{tmp_path / 'fresh.db'}"
    else:
        url = request.getfixturevalue("postgresql_url")
    real = metadata.create_all

    def dying(bind):
        real(bind)
        raise RuntimeError("killed")

    metadata.create_all = dying
    try:
        with pytest.raises(RuntimeError), once(url, tmp_path):
            pass
    finally:
        del metadata.create_all
    with once(url, tmp_path) as tx:
        assert "msg_log" in inspect(tx).get_table_names()


def test_migrations_travel_with_the_package():
    folder = Path(migrations.__file__).parent
    assert (folder / "env.py").is_file()
    assert (folder / "versions" / "first.py").is_file()
