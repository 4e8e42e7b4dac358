"""Real logs made by three workers; a worker, Redis and PostgreSQL die meanwhile: the end is that of one process.

Redis, PostgreSQL, the daemon, the code server and the workers are processes of the test's own, and so are the services
that are asked, which count who asks them what. Nothing is done by hand but starting again what was killed.
"""

import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from celery import Celery
from redis.exceptions import ConnectionError as RedisConnectionError
from sqlalchemy import func, select

from cowrie_pipeline.enrichment.made_geoip import GeoRow, write_geoip
from cowrie_pipeline.settings import Settings
from cowrie_pipeline.warehouse.engine import Warehouse
from cowrie_pipeline.warehouse.tables import enrichment_budget, enrichment_claims
from cowrie_pipeline_tests.cli.processes import PROJECT, start
from cowrie_pipeline_tests.conftest import SHARED_DATA
from cowrie_pipeline_tests.contract import services
from cowrie_pipeline_tests.contract.http_server import Answer, Asked, HttpServer, as_json
from cowrie_pipeline_tests.end_to_end.comparing import all_facts
from cowrie_pipeline_tests.end_to_end.site import Run, Site, short_folder, storage_of_dagster, wait_for
from cowrie_pipeline_tests.postgresql import OwnServer
from cowrie_pipeline_tests.redis_server import PROGRAM, OwnRedis

pytestmark = [
    pytest.mark.shared_data,
    pytest.mark.long,
    pytest.mark.skipif(PROGRAM is None, reason="redis-server is not installed"),
]

LOGS = SHARED_DATA / "logs" / "docker-ssh-2018"
# the files of 30 days, and of some more for each time that something is killed
MONTH, PORTION = 30, 4
WORKERS = 3
# Less than there are addresses in a month worth asking about, and more than there are in all.
SCARCE, AMPLE = "greynoise", "dshield"
BUDGETS = {SCARCE: 60, AMPLE: 5000}
# so that a worker is at it for some time
SLOW_SECONDS = 1.0
NETWORKS = 40
SUCCESS, FAILURE = dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE
Question = tuple[str, str]

_ADDRESS = re.compile(r"\d+\.\d+\.\d+\.\d+")


class Services:
    """Both services."""

    def __init__(self) -> None:
        self.server = HttpServer(_answer)

    def variables(self) -> dict[str, str]:
        found = {"COWRIE_OFFLINE": "false", "COWRIE_CONTACT": "operator@example.org", "COWRIE_CYMRU_ENABLED": "false"}
        for service in Settings().services:
            found[f"COWRIE_{service.upper()}_ENABLED"] = str(service in BUDGETS)
        for service, calls in BUDGETS.items():
            found[f"COWRIE_{service.upper()}_URL"] = f"{self.server.url}/{service}"
            found[f"COWRIE_{service.upper()}_LIMITS"] = f"{calls}/7d"
            # so many are asked about at once, which is what a process that is killed may have asked in vain
            found[f"COWRIE_{service.upper()}_MAX_IN_FLIGHT"] = "1"
        return found | {"COWRIE_GREYNOISE_KEY": services.KEY}

    def asked(self) -> Counter[Question]:
        """Return how often each service was asked about each address."""
        return Counter((_service(asked), _ADDRESS.findall(asked.path)[0]) for asked in list(self.server.asked))


def _answer(asked: Asked) -> Answer:
    service = _service(asked)
    asked = replace(asked, path=asked.path.removeprefix(f"/{service}"))
    if service == SCARCE:
        return services.greynoise(asked)
    (address,) = _ADDRESS.findall(asked.path)
    # it knows two of three
    if int(address.split(".")[3]) % 3:
        return as_json({"ip": services.DSHIELD_KNOWN | {"number": address}})
    return services.dshield(asked)


def _service(asked: Asked) -> str:
    return asked.path.split("/")[1]


class Place:
    """The three workers' site, and beside it one process that loads the same logs into a database of its own."""

    def __init__(self, folder: Path, postgres: OwnServer, redis: OwnRedis, services: Services, alone: Services) -> None:
        self.postgres = postgres
        self.redis = redis
        self.services = services
        nets = [(number, 4100 + number % NETWORKS) for number in range(1, 224) if number not in (10, 127)]
        write_geoip(
            folder / "geoip",
            [GeoRow(f"{net}.0.0.0/8", asn, f"Network {asn}", "NL", "", 52.0, 5.0) for net, asn in nets],
        )
        instance = (PROJECT / "deploy" / "postgres" / "dagster.yaml").read_text()
        self.site = Site(
            folder / "site",
            postgres.url("cowrie"),
            instance=instance,
            workers=WORKERS,
            COWRIE_EXECUTOR="celery",
            COWRIE_CELERY_LEASE_SECONDS="15",
            COWRIE_CHUNK_ADDRESSES="20",
            COWRIE_CELERY_BROKER=redis.url(0),
            COWRIE_CELERY_BACKEND=redis.url(1),
            COWRIE_GEOIP_DIR=folder / "geoip",
            **services.variables(),
            **storage_of_dagster(postgres),
        )
        self._files = sorted(LOGS.iterdir())
        self._runs_before = 0
        self._alone = folder / "alone"
        self._alone.mkdir()
        self._variables_alone = alone.variables() | {"COWRIE_GEOIP_DIR": str(folder / "geoip")}
        self._loads_alone: subprocess.Popen[str] | None = None
        self._url_alone = f"sqlite:///{self._alone / 'cowrie.db'}"
        self._lost = Counter[Question]()
        self.days = 0

    def more_logs(self, days: int) -> None:
        """Let the logs of some more days come, here and there."""
        self.site.start()
        self._runs_before = len(self.site.runs())
        some = self._files[self.days : self.days + days]
        assert len(some) == days
        self.days += days
        for path in some:
            shutil.copyfile(path, self.site.folder / path.name)
        for path in some:
            (self.site.folder / path.name).rename(self.site.logs / path.name)
        arguments = ("run", "--logs", self.site.logs, "--db", self._url_alone, "--json")
        self._loads_alone = start(self._alone, *arguments, **self._variables_alone)

    def wait_until_done(self) -> None:
        """Wait until all days are done, and no run is under way."""
        self.site.wait_until_done(self.days)
        wait_for("the runs", lambda: all(run.status in (SUCCESS, FAILURE) for run in self.runs()))

    def runs(self) -> list[Run]:
        """Return the runs of days since logs came last."""
        return [run for run in self.site.runs()[self._runs_before :] if run.days]

    def why_failed(self) -> list[str]:
        """Return what is said of the failures of these runs."""
        return [said for run in self.runs() for said in self.site.why_failed(run.run_id)]

    def stop(self) -> None:
        """End all processes."""
        self.site.kill_everything()
        if self._loads_alone is not None:
            self._loads_alone.kill()
            self._loads_alone.communicate()

    def is_as_from_one_process(self) -> bool:
        """Whether both databases hold the same facts, but for what the scarce service said: nobody knows of whom."""
        assert self._loads_alone is not None
        out, err = self._loads_alone.communicate()
        assert self._loads_alone.returncode == 0, out + err
        here, there = (_without_scarce(all_facts(url, but=[SCARCE])) for url in (self.site.url, self._url_alone))
        assert len(there["session_summaries"]) > 0
        assert len(there["asn_inventory"]) > 1
        differ = {
            name: [row for row in here[name] if row not in rows][:3]
            for name, rows in there.items()
            if here[name] != rows
        }
        assert not differ
        return here == there

    def more_logs_and_slow_services(self) -> None:
        """Let logs come, and wait until a worker is about to ask about their addresses for a long time."""
        self.services.server.delay_seconds = SLOW_SECONDS
        before = len(self.services.server.asked)
        self.more_logs(PORTION)
        wait_for("questions", lambda: len(self.services.server.asked) > before + 2)

    def asking(self) -> int:
        """Return a process that asks now."""
        holders = self._rows(select(enrichment_claims.c.claimed_by).order_by(enrichment_claims.c.claimed_until.desc()))
        return int(holders[0][0].split(":")[1])

    def under_way(self) -> set[Question]:
        """Return what is asked now, or was by somebody who is no more."""
        found = self._rows(select(enrichment_claims.c.service, enrichment_claims.c.key))
        return {(service, key) for service, key in found}

    def wait_for_workers(self) -> None:
        """Wait until all workers have found Redis again."""
        control = Celery(broker=self.redis.url(0)).control

        def are_there() -> bool:
            try:
                return len(control.ping(timeout=2.0)) == WORKERS
            except RedisConnectionError:  # of a connection that was kept since the time before
                return False

        wait_for("the workers", are_there)

    def go_on(self, lost: set[Question]) -> None:
        """Let the services be quick again; what is lost may be asked again."""
        self._lost.update(lost)
        self.services.server.delay_seconds = 0.0

    def has_asked_once(self) -> bool:
        """Whether nothing was asked twice, but what was lost with whoever had asked."""
        return all(times <= 1 + self._lost[question] for question, times in self.services.asked().items())

    def has_kept_to_its_budgets(self) -> bool:
        """Whether no service had more calls than it may, nor more than were counted."""
        per_service = select(enrichment_budget.c.service, func.sum(enrichment_budget.c.calls_used)).group_by("service")
        counted = {service: int(calls) for service, calls in self._rows(per_service)}
        calls = Counter(service for service, _ in self.services.asked().elements())
        return all(calls[service] <= counted[service] <= limit for service, limit in BUDGETS.items())

    def _rows(self, statement: Any) -> list[Any]:
        warehouse = Warehouse(self.site.url)
        try:
            with warehouse.read() as connection:
                return list(connection.execute(statement).all())
        finally:
            warehouse.dispose()


def _without_scarce(facts: Mapping[str, list[Any]]) -> dict[str, list[Any]]:
    """Return facts without the one that is known from the scarce service alone."""
    addresses = [{name: value for name, value in row.items() if name != "is_scanner"} for row in facts["ip_inventory"]]
    return {**facts, "ip_inventory": addresses}


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    postgres, redis = OwnServer(), OwnRedis()
    with short_folder() as folder:
        ours, alone = Services(), Services()
        with ours.server, alone.server:
            place: Place | None = None
            try:
                postgres.start()
                postgres.execute("CREATE DATABASE cowrie")
                redis.start()
                place = Place(folder, postgres, redis, ours, alone)
                yield place
            finally:
                if place is not None:
                    place.stop()
                redis.remove()
                postgres.remove()


def test_a_month_of_real_logs_gives_the_same_facts_by_three_workers_as_by_one_process(place: Place) -> None:
    place.more_logs(MONTH)
    place.wait_until_done()
    assert {run.status for run in place.runs()} == {SUCCESS}, place.why_failed()
    steps = [step for run in place.runs() for step in place.site.workers_of(run.run_id).items()]
    assert len({worker for _, worker in steps}) == WORKERS
    assert len({worker for step, worker in steps if "enrich_addresses" in step}) > 1
    assert place.is_as_from_one_process()
    assert place.has_asked_once()
    assert place.has_kept_to_its_budgets()
    # and there was no need to save
    assert sum(service == SCARCE for service, _ in place.services.asked()) == BUDGETS[SCARCE]


def test_the_step_of_a_worker_that_is_killed_is_done_by_another(place: Place) -> None:
    place.more_logs_and_slow_services()
    place.site.kill_worker_of(place.asking())
    place.go_on(lost=place.under_way())
    assert_ends_well(place)
    assert {run.status for run in place.runs()} == {SUCCESS}, place.why_failed()


def test_a_redis_that_is_killed_and_comes_back_costs_nothing(place: Place) -> None:
    place.more_logs_and_slow_services()
    place.redis.kill()
    lost = place.under_way()
    place.redis.start()
    place.wait_for_workers()
    place.go_on(lost | place.under_way())
    assert_ends_well(place)
    assert {run.status for run in place.runs()} == {SUCCESS}, place.why_failed()


def test_a_redis_that_comes_back_with_nothing_costs_a_run_at_most(place: Place) -> None:
    place.more_logs_and_slow_services()
    place.redis.kill()
    place.redis.forget()
    lost = place.under_way()
    place.redis.start()
    place.wait_for_workers()
    place.go_on(lost | place.under_way())
    assert_ends_well(place)


def test_a_postgresql_that_dies_with_dagsters_own_records_costs_a_run_at_most(place: Place) -> None:
    place.more_logs_and_slow_services()
    place.postgres.stop()
    place.postgres.start()
    place.go_on(lost=place.under_way())
    assert_ends_well(place)


def assert_ends_well(place: Place) -> None:
    place.wait_until_done()
    assert place.runs()[-1].status is SUCCESS, place.why_failed()
    assert place.is_as_from_one_process()
    assert place.has_asked_once()
    assert place.has_kept_to_its_budgets()
