"""The schema brought up to date by Alembic's migrations.

Belongs here: which version a database has and how it gets to the newest.
"""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect
from sqlalchemy.exc import ProgrammingError

from cowrie_pipeline.warehouse.engine import Warehouse, WarehouseError
from cowrie_pipeline.warehouse.tables import VERSION_TABLE, metadata

__all__ = [
    "MOVING",
    "SchemaVersion",
    "known_versions",
    "newest_version",
    "refuse_half_moved",
    "upgrade_schema",
    "version_of",
]

# In the place of a version while rows come from another database: nothing else must use it.
MOVING = "moving"

SchemaVersion = str | None
# PostgreSQL's code for a lack of privilege
_MAY_NOT = "42501"
_MIGRATIONS = Path(__file__).parent / "migrations"


def _config(connection: Connection | None = None) -> Config:
    config = Config()
    # Alembic reads `%` in its options as an interpolation
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def newest_version() -> str:
    """Return the version of the schema that this code works with."""
    head = ScriptDirectory.from_config(_config()).get_current_head()
    assert head is not None  # noqa: S101 - the package has migrations
    return head


def known_versions() -> frozenset[str]:
    """Return all versions that this code can bring up to date."""
    return frozenset(script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions())


def version_of(connection: Connection) -> SchemaVersion:
    """Return the version of a database, None for an empty one."""
    return MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE}).get_current_revision()


def refuse_half_moved(warehouse: Warehouse, version: SchemaVersion) -> None:
    """Refuse a database to which another is only being moved.

    Raises:
        WarehouseError: it is such a one.
    """
    if version == MOVING:
        raise WarehouseError(
            f"a move to the database {warehouse.safe_url} is not finished: complete it by the same `cowrie-pipeline db "
            "move`, or empty the database"
        )


def upgrade_schema(warehouse: Warehouse) -> tuple[SchemaVersion, str]:
    """Bring a database to the newest version; return the versions before and after.

    The whole upgrade is one transaction, and only one process at a time does it.

    Raises:
        WarehouseError: the database is newer than this code, or holds tables of something else.
    """
    newest = newest_version()
    with warehouse.read() as connection:
        if version_of(connection) == newest:
            return newest, newest
    # looked at again where nobody else can be in the middle of it
    with warehouse.begin(lock="schema") as connection:
        if warehouse.dialect == "postgresql":
            # a migration of a large table takes longer than any statement of the daily work
            connection.exec_driver_sql("SET LOCAL statement_timeout = 0")
        before = version_of(connection)
        refuse_half_moved(warehouse, before)
        taken = sorted(metadata.tables.keys() & set(inspect(connection).get_table_names())) if before is None else []
        if taken:
            raise WarehouseError(
                f"the database {warehouse.safe_url} has a table {taken[0]} but no version of this schema: "
                "it belongs to another program. Name another database with --db."
            )
        if before is not None and before not in known_versions():
            raise WarehouseError(
                f"the database {warehouse.safe_url} has schema version {before}, and this code knows versions up to "
                f"{newest}: it is newer than the code. Install the version of cowrie_pipeline that made it, or a later "
                "one."
            )
        try:
            command.upgrade(_config(connection), "head")
        except ProgrammingError as error:
            if getattr(error.orig, "sqlstate", None) != _MAY_NOT:
                raise
            raise WarehouseError(
                f"the database {warehouse.safe_url} has schema version {before or 'none'}, this code works with "
                f"{newest}, and this user may not change tables: run `cowrie-pipeline db upgrade --db URL` as their "
                "owner"
            ) from error
    return before, newest
