"""What all tests share: a fresh database of either kind, and the real logs where they are.

PostgreSQL is a server of the tests' own, started once, unless COWRIE_TEST_POSTGRES_URL names one (whose user may create
databases).
"""

import itertools
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from sqlalchemy.engine import make_url

from cowrie_pipeline.settings import Settings
from cowrie_pipeline.warehouse.engine import Warehouse
from cowrie_pipeline.warehouse.schema import upgrade_schema
from cowrie_pipeline_tests.postgresql import pgserver

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
DIALECTS = ("sqlite", "postgresql")

_numbers = itertools.count()

# A timing is never a test: a busy machine fails nothing.
hypothesis_settings.register_profile("untimed", deadline=None)
hypothesis_settings.load_profile("untimed")
# `make fuzz` looks for longer than CI does, at whatever does not say its own number.
if _examples := os.environ.get("COWRIE_TEST_FUZZ_EXAMPLES"):
    hypothesis_settings.register_profile(
        "fuzz", deadline=None, max_examples=int(_examples), suppress_health_check=list(HealthCheck)
    )
    hypothesis_settings.load_profile("fuzz")


def pytest_xdist_auto_num_workers() -> int:
    """Test in three processes on two cores: a third of the time goes by waiting for daemons and servers."""
    return max(1, len(os.sched_getaffinity(0)) * 3 // 2)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the long tests, so that none is left alone at the end; skip what needs the real logs without them."""
    items.sort(key=lambda item: item.get_closest_marker("long") is None)
    if not SHARED_DATA.is_dir():
        skip = pytest.mark.skip(reason=f"the real logs and registries are not at {SHARED_DATA}")
        for item in items:
            if item.get_closest_marker("shared_data"):
                item.add_marker(skip)


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """The URL of a server on which tests may create databases."""
    given = os.environ.get("COWRIE_TEST_POSTGRES_URL")
    if given:
        yield given
        return
    # a socket's path may have about 100 characters, which pytest's own folders can exceed
    folder = Path(tempfile.mkdtemp(prefix="pg"))
    server = pgserver().get_server(folder / "data", cleanup_mode="delete")
    try:
        yield server.get_uri()
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


class Databases:
    """Makes fresh databases of one kind, each a copy of one whose schema was made once."""

    def __init__(self, dialect: str, folder: Path, postgres_url: str | None) -> None:
        self.dialect = dialect
        self._folder = folder
        self._postgres_url = postgres_url
        self._template = self._create(None)
        warehouse = Warehouse(self._template)
        upgrade_schema(warehouse)
        warehouse.dispose()

    def fresh(self) -> str:
        """Return the URL of a new database with an empty schema."""
        return self._create(self._template)

    def empty(self) -> str:
        """Return the URL of a new database without any table."""
        return self._create(None)

    def _create(self, template: str | None) -> str:
        name = f"test_{os.getpid()}_{next(_numbers)}"
        if self.dialect == "sqlite":
            path = self._folder / f"{name}.db"
            if template is not None:
                shutil.copyfile(template.removeprefix("sqlite:///"), path)
            return f"sqlite:///{path}"
        assert self._postgres_url is not None
        copied = f" TEMPLATE {make_url(template).database}" if template else ""
        with psycopg.connect(self._postgres_url, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}{copied}".encode())
        url = make_url(self._postgres_url).set(drivername="postgresql+psycopg", database=name)
        return url.render_as_string(hide_password=False)

    def drop(self, url: str) -> None:
        """Remove a database."""
        if self.dialect == "sqlite":
            for path in self._folder.glob(f"{Path(url.removeprefix('sqlite:///')).name}*"):
                path.unlink()
        else:
            assert self._postgres_url is not None
            with psycopg.connect(self._postgres_url, autocommit=True) as connection:
                connection.execute(f"DROP DATABASE {make_url(url).database} WITH (FORCE)".encode())


@pytest.fixture(scope="session", params=DIALECTS)
def databases(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Databases:
    """Fresh databases of either kind: every test that uses them runs twice."""
    postgres_url = request.getfixturevalue("postgres_url") if request.param == "postgresql" else None
    return Databases(request.param, tmp_path_factory.mktemp("databases"), postgres_url)


@pytest.fixture
def database_url(databases: Databases) -> Iterator[str]:
    """The URL of a fresh database with the newest schema."""
    url = databases.fresh()
    yield url
    databases.drop(url)


@pytest.fixture
def warehouse(database_url: str) -> Iterator[Warehouse]:
    """A fresh warehouse of either kind."""
    warehouse = Warehouse(database_url)
    yield warehouse
    warehouse.dispose()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings that ask nobody: no GeoIP files, no Team Cymru."""
    return Settings(state_dir=tmp_path / "var", offline=True)
