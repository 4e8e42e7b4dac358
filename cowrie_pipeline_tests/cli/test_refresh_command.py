"""The command `refresh`, as a process that asks services on loopback, is stopped and killed, and begun again."""

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import delete, func, select

from cowrie_pipeline.warehouse.engine import Warehouse
from cowrie_pipeline.warehouse.tables import enrichment_claims, ip_inventory
from cowrie_pipeline_tests.cli.in_process import invoke_enrich
from cowrie_pipeline_tests.cli.processes import cowrie_enrich, report_of, start_enrich
from cowrie_pipeline_tests.end_to_end.loopback import HOSTED, STRANGERS, Loopback, loopback
from cowrie_pipeline_tests.steps.made_days import connect, load_events, login


@pytest.fixture
def world(tmp_path: Path, warehouse: Warehouse) -> Iterator[Loopback]:
    """Services on loopback, and nine addresses that tried to log in and were never looked up."""
    events = []
    for number, address in enumerate((HOSTED, *STRANGERS)):
        session = f"{number:012x}"
        events += [
            connect(f"2026-03-01 10:{number:02}", session=session, src_ip=address),
            login(f"2026-03-01 10:{number:02}:01", session=session, src_ip=address),
        ]
    load_events(warehouse, tmp_path / "logs", events)
    with loopback(tmp_path / "var") as running:
        yield running


def settings_of(world: Loopback, url: str) -> dict[str, str]:
    return {**world.environment, "COWRIE_DB_URL": url, "COWRIE_OFFLINE": "false", "COWRIE_LIMITED_MIN_WORTH": "0"}


def test_a_process_looks_up_what_is_stale_and_takes_snapshots(
    tmp_path: Path, database_url: str, world: Loopback
) -> None:
    settings = settings_of(world, database_url)
    first = report_of(cowrie_enrich(tmp_path, "refresh", "--ips", "4", "--sessions", "all", "--json", **settings))
    assert (first["ok"], first["addresses"], first["snapshots"]) == (True, 9, {"late": 9})
    assert sum(first["look_ups"]["dshield"].values()) == 9
    assert first["still_stale"] == {"addresses": 0, "sessions": 0, "files": 0}
    assert first["not_asked"] == {}
    world.forget()
    again = invoke_enrich(tmp_path, "refresh", "--ips", "all", "--sessions", "all", **settings)
    assert again.code == 0, again.err
    assert "0 addresses and 0 files looked up" in again.out
    assert "Still stale: 0 addresses" in again.out
    assert not world.asked()
    old = invoke_enrich(
        tmp_path, "refresh", "--ips", "all", "--source", "greynoise", "--older-than", "0", "--no-progress", **settings
    )
    assert (old.code, old.err) == (0, "")
    assert world.asked() == {("greynoise", address): 1 for address in (HOSTED, *STRANGERS)}


def test_a_source_that_only_fails_ends_with_one_and_what_others_said_is_kept(
    tmp_path: Path, database_url: str, warehouse: Warehouse, world: Loopback
) -> None:
    settings = settings_of(world, database_url) | {"COWRIE_DSHIELD_URL": "http://127.0.0.1:1/"}
    done = invoke_enrich(tmp_path, "refresh", "--ips", "all", "--json", **settings)
    assert (done.code, done.json["ok"], done.json["failed"]) == (1, False, ["dshield"])
    assert "error: dshield was asked and gave no answer" in done.err
    with warehouse.read() as connection:
        known = connection.execute(select(func.count(ip_inventory.c.current_asn))).scalar_one()
    assert known == 9


def test_what_is_not_asked_is_shown_with_the_reason(tmp_path: Path, database_url: str, world: Loopback) -> None:
    settings = settings_of(world, database_url) | {"COWRIE_OFFLINE": "true"}
    done = invoke_enrich(tmp_path, "refresh", "--ips", "all", "--files", "all", **settings)
    assert done.code == 0
    assert "virustotal" in done.out
    assert "COWRIE_OFFLINE is set" in done.out
    one = invoke_enrich(tmp_path, "refresh", "--ips", "all", "--source", "dshield", **settings)
    assert (one.code, one.out) == (1, "")
    assert one.err == "error: dshield cannot be asked: COWRIE_OFFLINE is set\n"


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL], ids=lambda each: each.name)
def test_a_process_that_is_stopped_or_killed_loses_no_more_than_a_portion(
    tmp_path: Path, warehouse: Warehouse, database_url: str, world: Loopback, how: signal.Signals
) -> None:
    settings = settings_of(world, database_url)
    command = ("refresh", "--ips", "all", "--commit-interval", "1", "--json")
    done = 0
    process = start_enrich(tmp_path, *command, **settings)
    give_up_at = time.monotonic() + 60
    while not done and process.poll() is None and time.monotonic() < give_up_at:
        done = looked_up(warehouse)
    process.send_signal(how)
    out, err = process.communicate(timeout=60)
    done = looked_up(warehouse)
    assert done > 0
    with warehouse.begin() as connection:
        # what a killed process had begun to ask is waited for, two minutes at most
        connection.execute(delete(enrichment_claims))
    if how is signal.SIGINT and done < 9:
        assert process.returncode == 130, err
        assert "error: stopped; what was committed is kept" in err
        # it can be stopped between a commit and its counting
        assert any(f'"addresses": {count},' in out for count in (done - 1, done))
    world.forget()
    rest = report_of(cowrie_enrich(tmp_path, *command, **settings))
    assert rest["addresses"] == 9 - done
    assert looked_up(warehouse) == 9
    assert max(world.asked().values(), default=1) == 1


def looked_up(warehouse: Warehouse) -> int:
    statement = select(func.count()).where(ip_inventory.c.enrichment_updated_at.is_not(None))
    with warehouse.read() as connection:
        return connection.execute(statement).scalar_one()
