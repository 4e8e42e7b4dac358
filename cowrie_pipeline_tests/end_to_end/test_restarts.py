"""The daemon, a run's process and the database server are killed while days are made: the end is the same.

Nothing is done by hand but starting again what was killed, as systemd does.
"""

import random
import shutil
from collections.abc import Iterator
from dataclasses import asdict
from datetime import date, timedelta
from pathlib import Path
from time import sleep

import dagster as dg
import pytest

from cowrie_pipeline.cowrie.synthetic import SyntheticPlan, networks, write_logs
from cowrie_pipeline.enrichment.made_geoip import GeoRow, write_geoip
from cowrie_pipeline.orchestration.runs import materialize
from cowrie_pipeline.settings import Settings
from cowrie_pipeline_tests.cli.in_process import only_environment
from cowrie_pipeline_tests.cli.processes import PROJECT, environment
from cowrie_pipeline_tests.conftest import Databases
from cowrie_pipeline_tests.end_to_end.comparing import all_facts
from cowrie_pipeline_tests.end_to_end.site import Site, short_folder, storage_of_dagster, wait_for
from cowrie_pipeline_tests.postgresql import OwnServer
from cowrie_pipeline_tests.steps.made_days import span

pytestmark = pytest.mark.long

FIRST = date(2026, 3, 1)
# logs come some days at a time, and something is killed while each portion is made
DAYS_AT_ONCE = 2
PORTIONS = 4
PLAN = SyntheticPlan(seed=23, first_day=FIRST, days=DAYS_AT_ONCE * PORTIONS, sessions_per_day=80, addresses=60)
SUCCESS, FAILURE = dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE
# Entries of the journal after which something is killed: those of sessions, inventories, snapshots and counts. What
# comes after them, files, passwords and pages, takes the rest of the run.
STAGES = 4


class Story:
    """A site and its logs, of which some days more come at a time."""

    def __init__(self, site: Site, folder: Path, postgres: OwnServer | None) -> None:
        self.site = site
        self.postgres = postgres
        self._folder = folder
        self._choose = random.Random(20260301)
        self._portions = 0

    @property
    def days(self) -> int:
        """How many days there are logs of by now."""
        return self._portions * DAYS_AT_ONCE

    def more_logs(self) -> None:
        """Let logs of some more days come, and wait until their run is at some stage of its work."""
        self.site.start()
        first = FIRST + timedelta(days=self.days)
        self._portions += 1
        for number in range(DAYS_AT_ONCE):
            for path in self._folder.glob(f"made/*/cowrie.json.{first + timedelta(days=number)}"):
                to = self.site.logs / path.parent.name
                to.mkdir(exist_ok=True)
                shutil.copyfile(path, to / path.name)
        self.site.wait_for_work(first, entries=self._choose.randint(1, STAGES))
        sleep(self._choose.uniform(0, 0.1))

    def undisturbed(self, url: str) -> dict[str, list[object]]:
        """Load the same logs into a fresh database in one go, and return its facts."""
        variables = environment(
            self._folder, COWRIE_DB_URL=url, COWRIE_LOGS=self.site.logs, COWRIE_GEOIP_DIR=self._folder / "geoip"
        )
        days = span(FIRST.isoformat(), (FIRST + timedelta(days=self.days - 1)).isoformat())
        with only_environment(variables), dg.DagsterInstance.ephemeral() as instance:
            assert materialize(instance, [days], Settings.from_environment()).succeeded
        return all_facts(url)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the logs that will come, and databases that know their addresses."""
    folder = tmp_path_factory.mktemp("restarts")
    write_logs(PLAN, folder / "made")
    for live in (folder / "made").glob("*/cowrie.json"):
        live.rename(live.with_name(f"{live.name}.{FIRST + timedelta(days=PLAN.days - 1)}"))
    write_geoip(folder / "geoip", (GeoRow(**asdict(each)) for each in networks(PLAN)))
    return folder


@pytest.fixture(scope="module")
def story(databases: Databases, made: Path) -> Iterator[Story]:
    with short_folder() as short:
        postgres = started() if databases.dialect == "postgresql" else None
        url = postgres.url() if postgres else databases.empty()
        site = Site(short / "site", url, COWRIE_GEOIP_DIR=made / "geoip")
        yield from told(Story(site, made, postgres))


@pytest.fixture
def story_on_one_server(databases: Databases, made: Path) -> Iterator[Story]:
    """Both the pipeline's and Dagster's own database are on the server, as the guide has it for production."""
    if databases.dialect == "sqlite":
        pytest.skip("SQLite has no server")
    with short_folder() as short:
        postgres = started()
        instance = (PROJECT / "deploy" / "postgres" / "dagster.yaml").read_text()
        there = storage_of_dagster(postgres)
        site = Site(short / "site", postgres.url(), instance=instance, COWRIE_GEOIP_DIR=made / "geoip", **there)
        yield from told(Story(site, made, postgres))


def started() -> OwnServer:
    """Start a server that no other test uses, so that this one may end it."""
    server = OwnServer()
    server.start()
    return server


def told(story: Story) -> Iterator[Story]:
    """Yield a story, and end all that it started."""
    try:
        yield story
    finally:
        story.site.kill_everything()
        if story.postgres:
            story.postgres.remove()


@pytest.fixture
def fresh(databases: Databases) -> Iterator[str]:
    url = databases.fresh()
    yield url
    databases.drop(url)


def test_a_run_whose_process_is_killed_is_started_once_more_and_the_end_is_the_same(story: Story, fresh: str) -> None:
    before = len(story.site.runs())
    story.more_logs()
    killed = story.site.kill_run()
    story.site.wait_until_done(story.days)
    first, again = story.site.runs()[before:]
    assert (first.run_id, first.status, again.status) == (killed, FAILURE, SUCCESS)
    assert again.is_retry
    assert all_facts(story.site.url) == story.undisturbed(fresh)


def test_a_run_outlives_a_daemon_that_is_killed_and_is_not_started_again(story: Story, fresh: str) -> None:
    before = len(story.site.runs())
    story.more_logs()
    story.site.kill_daemon()
    story.site.start()
    story.site.wait_until_done(story.days)
    (run,) = story.site.runs()[before:]
    assert run.status is SUCCESS
    assert all_facts(story.site.url) == story.undisturbed(fresh)


def test_when_everything_is_killed_at_once_the_end_is_the_same(story: Story, fresh: str) -> None:
    before = len(story.site.runs())
    story.more_logs()
    story.site.kill_everything()
    story.site.start()
    story.site.wait_until_done(story.days)
    first, again = story.site.runs()[before:]
    assert (first.status, again.status) == (FAILURE, SUCCESS)
    assert all_facts(story.site.url) == story.undisturbed(fresh)


def test_a_database_server_that_dies_and_comes_back_costs_a_retry_of_a_step(story: Story, fresh: str) -> None:
    if story.postgres is None:
        pytest.skip("SQLite has no server")
    before, retries = len(story.site.runs()), len(story.site.retries())
    story.more_logs()
    story.postgres.stop()
    wait_for("a step that needs the server", lambda: len(story.site.retries()) > retries)
    story.postgres.start()
    story.site.wait_until_done(story.days)
    (run,) = story.site.runs()[before:]
    assert run.status is SUCCESS
    for said in story.site.retries()[retries:]:
        assert "the work is tried again: " in said
        assert "\n" not in said
    assert all_facts(story.site.url) == story.undisturbed(fresh)


def test_a_server_that_dies_with_dagsters_own_records_costs_a_run(story_on_one_server: Story, fresh: str) -> None:
    story = story_on_one_server
    assert story.postgres is not None
    story.more_logs()
    story.postgres.stop()
    story.postgres.start()
    story.site.wait_until_done(story.days)
    assert story.site.runs()[-1].status is SUCCESS
    assert all_facts(story.site.url) == story.undisturbed(fresh)
