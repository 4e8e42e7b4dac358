"""The commands about passwords: only five digits of a hash leave, and what is not known is not called safe."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from cowrie_pipeline.cowrie.passwords import sha1_of
from cowrie_pipeline.steps.password_exposure import look_up_passwords
from cowrie_pipeline.warehouse.engine import Warehouse
from cowrie_pipeline.warehouse.lookup_cache import WarehouseCache
from cowrie_pipeline_tests.cli.in_process import Done, invoke_enrich
from cowrie_pipeline_tests.cli.processes import cowrie_enrich, report_of
from cowrie_pipeline_tests.contract.http_server import Answer, Asked, HttpServer
from cowrie_pipeline_tests.steps.made_days import NOW, enrichment_of, load_events, span
from cowrie_pipeline_tests.steps.test_tried_passwords import tries

HOSTILE = "\x1b[2Jowned"


@pytest.fixture
def server(warehouse: Warehouse, tmp_path: Path) -> Iterator[HttpServer]:
    """A service that knows `admin` from leaks, and a database in which three passwords were tried."""
    load_events(
        warehouse, tmp_path / "logs", [*tries(1, "admin", "admin", HOSTILE), *tries(2, "new", day="2026-03-05")]
    )
    with enrichment_of() as nobody:
        ledger = WarehouseCache(warehouse, day=NOW.date())
        look_up_passwords(warehouse, nobody, span("2026-03-01", "2026-03-05"), ledger=ledger, now=NOW)
    sha1 = sha1_of("admin")

    def answer(asked: Asked) -> Answer:
        known = f"{sha1[5:]}:42" if asked.path.endswith(sha1[:5]) else f"{'0' * 35}:7"
        return Answer(200, known.encode(), "text/plain")

    with HttpServer(answer) as running:
        yield running


def settings_of(server: HttpServer, url: str) -> dict[str, str]:
    return {"COWRIE_DB_URL": url, "COWRIE_OFFLINE": "false", "COWRIE_PWNED_PASSWORDS_URL": server.url}


def test_passwords_that_are_due_are_asked_about_up_to_the_limit(
    tmp_path: Path, database_url: str, server: HttpServer
) -> None:
    settings = settings_of(server, database_url)
    first = report_of(cowrie_enrich(tmp_path, "passwords", "--limit", "2", "--json", **settings))
    assert (sum(first["asked"].values()), first["passwords"]["due"], first["passwords"]["passwords"]) == (2, 1, 3)
    rest = invoke_enrich(tmp_path, "passwords", **settings)
    assert rest.code == 0, rest.err
    assert "3 passwords were tried: 1 are in leaks, which 2 of 4 attempts used; 0 are due" in rest.out
    assert len(server.asked) == 3
    assert all(len(asked.path.rpartition("/")[2]) == 5 for asked in server.asked)
    assert invoke_enrich(tmp_path, "passwords", **settings).code == 0
    assert len(server.asked) == 3
    table = invoke_enrich(tmp_path, "top-passwords", **settings)
    assert "42 times" in table.out
    assert "\x1b" not in table.out
    assert "\\x1b[2Jowned" in table.out
    shown = invoke_enrich(tmp_path, "top-passwords", "--json", "--limit", "1", **settings).json["passwords"]
    assert [(each["password"], each["attempts"], each["exposed"], each["times_seen"]) for each in shown] == [
        ("admin", 2, True, 42)
    ]


def test_a_service_that_fails_or_cannot_be_asked_ends_with_one(
    tmp_path: Path, database_url: str, server: HttpServer
) -> None:
    off = invoke_enrich(tmp_path, "passwords", COWRIE_DB_URL=database_url)
    assert (off.code, "Pwned Passwords cannot be asked: COWRIE_OFFLINE is set" in off.err) == (1, True)
    failing = settings_of(server, database_url) | {"COWRIE_PWNED_PASSWORDS_URL": "http://127.0.0.1:1"}
    done = invoke_enrich(tmp_path, "passwords", "--json", **failing)
    assert (done.code, done.json["ok"], done.json["passwords"]["exposed"]) == (1, False, 0)
    found = invoke_enrich(tmp_path, "top-passwords", "--db", database_url)
    assert found.out.count("not known") == 3


def test_passwords_that_were_never_tried_before_are_shown(
    tmp_path: Path, database_url: str, server: HttpServer
) -> None:
    def run(*options: str) -> Done:
        return invoke_enrich(tmp_path, "new-passwords", "--db", database_url, "--no-progress", *options)

    found = report_of(cowrie_enrich(tmp_path, "new-passwords", "--json", "--db", database_url))
    assert (found["new"], found["days"]) == (1, ["2026-03-05", "2026-03-05"])
    assert [(each["password"], each["exposed"]) for each in found["passwords"]] == [("new", None)]
    everything = run("--from", "2026-03-01", "--limit", "1")
    assert "3 passwords are new; --limit shows more than 1." in everything.out
    assert "admin" in everything.out
    none = run("--from", "2026-04-01")
    assert (none.code, "0 passwords are new" in none.out, none.err) == (0, True, "")
