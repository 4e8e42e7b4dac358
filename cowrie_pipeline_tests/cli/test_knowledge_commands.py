"""The commands `asn`, `ip show` and `coverage`: all that is known, by source and age, and how it changed."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, update

from cowrie_pipeline.steps.asn_session_counts import count_sessions
from cowrie_pipeline.steps.session_snapshots import take_snapshots
from cowrie_pipeline.warehouse.engine import Warehouse
from cowrie_pipeline.warehouse.tables import asn_fact_history, asn_inventory, ip_country_changes
from cowrie_pipeline_tests.cli.in_process import Done, invoke_enrich
from cowrie_pipeline_tests.cli.processes import cowrie_enrich, report_of
from cowrie_pipeline_tests.steps.made_days import (
    NOW,
    World,
    command,
    connect,
    download,
    load_events,
    login,
    span,
)

HOSTILE = "\x1b[2JEvil [red]Hosting[/red]"
LATER = NOW + timedelta(days=10)


@pytest.fixture
def filled(warehouse: Warehouse, tmp_path: Path) -> None:
    """Two networks: AS4100 with two addresses, of which one moved to AS4200 later, and AS4200 with many log-ins."""
    events = []
    for number, (day, address) in enumerate(
        [
            ("2026-03-01", "12.0.0.1"),
            ("2026-03-01", "12.0.0.2"),
            ("2026-03-02", "12.0.0.1"),
            ("2026-03-02", "12.0.0.3"),
            ("2026-03-02", "2001:db8:100::1"),
        ]
    ):
        of_session: dict[str, Any] = {"session": f"{number:012x}", "src_ip": address}
        events += [connect(f"{day} 10:00", **of_session), login(f"{day} 10:00:01", **of_session)]
        if address == "12.0.0.3":
            events += [
                login(f"{day} 10:00:02", succeeded=True, **of_session),
                login(f"{day} 10:00:02.5", succeeded=True, **of_session),
                login(f"{day} 10:00:02.6", succeeded=True, **of_session),
                command(f"{day} 10:00:03", "id", **of_session),
                download(f"{day} 10:00:04", "ab" * 32, **of_session),
            ]
    load_events(warehouse, tmp_path / "logs", events)
    asns = {"12.0.0.1": 4100, "12.0.0.2": 4100, "12.0.0.3": 4200}
    World(asns.get).enrich(warehouse, "2026-03-01", "2026-03-02")
    with warehouse.begin() as connection:
        take_snapshots(connection, span("2026-03-01", "2026-03-02"), now=NOW)
        count_sessions(connection, span("2026-03-01", "2026-03-02"))
    World((asns | {"12.0.0.1": 4200}).get).enrich(warehouse, "2026-03-01", "2026-03-02", now=LATER)
    with warehouse.begin() as connection:
        connection.execute(
            update(asn_inventory).where(asn_inventory.c.asn_number == 4200).values(organization_name=HOSTILE)
        )
        connection.execute(
            insert(asn_fact_history).values(
                asn_number=4200,
                field="organization_name",
                replaced_at=NOW,
                old_value="Old Name",
                old_source="cymru_asn",
                new_value=HOSTILE,
                new_source="maxmind",
            )
        )
        connection.execute(
            insert(ip_country_changes).values(
                ip_address="12.0.0.1", changed_at=NOW, old_country="DE", new_country="FR", new_basis="geolocation"
            )
        )


def run(folder: Path, url: str, *arguments: str) -> Done:
    return invoke_enrich(folder, *arguments, "--db", url)


@pytest.mark.usefixtures("filled")
def test_the_networks_that_attacked_most_are_shown_as_they_were_then(tmp_path: Path, database_url: str) -> None:
    found = report_of(cowrie_enrich(tmp_path, "asn", "top", "--json", "--db", database_url))
    assert [(each["asn"], each["sessions"], each["addresses"]) for each in found["networks"]] == [
        (4100, 3, 2),
        (4200, 1, 1),
    ]
    for measure in ("logins", "successful-logins", "commands", "downloads"):
        first = run(tmp_path, database_url, "asn", "top", "--by", measure, "--limit", "1", "--json").json["networks"]
        assert [each["asn"] for each in first] == [4200], measure
    by_addresses = run(tmp_path, database_url, "asn", "top", "--by", "addresses", "--json").json["networks"]
    assert [each["asn"] for each in by_addresses] == [4100, 4200]
    day = run(tmp_path, database_url, "asn", "top", "--from", "2026-03-02", "--json").json
    assert [(each["asn"], each["sessions"]) for each in day["networks"]] == [(4100, 1), (4200, 1)]
    table = run(tmp_path, database_url, "asn", "top").out
    assert "\x1b" not in table
    assert "\\x1b[2JEvil [red]Hosting[/red]" in table
    assert "No network is known" in run(tmp_path, database_url, "asn", "top", "--from", "2026-04-01").out


@pytest.mark.usefixtures("filled")
def test_a_network_is_shown_with_facts_counts_sources_and_addresses(tmp_path: Path, database_url: str) -> None:
    found = report_of(cowrie_enrich(tmp_path, "asn", "show", "AS4200", "--json", "--db", database_url))
    assert (found["unique_addresses"], found["sessions_at_attack"], found["sessions_now"]) == (2, 1, 3)
    assert [each["address"] for each in found["addresses"]] == ["12.0.0.1", "12.0.0.3"]
    facts = {each["name"]: (each["value"], each["basis"]) for each in found["facts"]}
    assert facts["organization_name"] == (HOSTILE, "maxmind")
    table = run(tmp_path, database_url, "asn", "show", "4200").out
    assert "1 sessions came from it when they attacked; 3 sessions are of addresses that are in it today" in table
    assert "\x1b" not in table
    unknown = run(tmp_path, database_url, "asn", "show", "AS65000")
    assert (unknown.code, unknown.out) == (1, "")
    assert unknown.err.startswith("error: AS65000 is not known here")


@pytest.mark.usefixtures("filled")
def test_a_network_s_history_has_replaced_facts_spans_and_days(tmp_path: Path, database_url: str) -> None:
    found = report_of(cowrie_enrich(tmp_path, "asn", "history", "as4200", "--json", "--db", database_url))
    assert [(each["field"], each["old_value"]) for each in found["replaced"]] == [("organization_name", "Old Name")]
    assert {each["ip_address"] for each in found["spans"]} == {"12.0.0.1", "12.0.0.3"}
    assert [(each["day"], each["sessions"]) for each in found["days"]] == [("2026-03-02", 1)]
    table = run(tmp_path, database_url, "asn", "history", "AS4100").out
    assert "No fact of it was ever replaced." in table
    assert "the newest 2 of 2 spans" in table
    assert "AS4200" in table  # where one of its addresses is now
    assert run(tmp_path, database_url, "asn", "history", "65000").code == 1


@pytest.mark.usefixtures("filled")
def test_an_address_is_shown_with_all_that_is_known_and_its_history(tmp_path: Path, database_url: str) -> None:
    found = report_of(cowrie_enrich(tmp_path, "ip", "show", "12.0.0.1", "--json", "--db", database_url))
    facts = {each["name"]: (each["value"], each["basis"]) for each in found["facts"]}
    assert (facts["current_asn"], facts["geo_country"]) == ((4200, "maxmind"), ("FR", "geolocation"))
    assert [each["asn_number"] for each in found["networks"]] == [4100, 4200]
    assert [each["old_country"] for each in found["country_changes"]] == ["DE"]
    assert [(each["snapshot_asn"], each["sessions"]) for each in found["snapshots"]] == [(4100, 2)]
    assert (found["totals"]["sessions"], len(found["sessions"])) == (2, 2)
    assert {each["source"]: each["status"] for each in found["sources"]}["maxmind"] == "hit"
    table = run(tmp_path, database_url, "ip", "show", "12.0.0.1", "--limit", "1").out
    for title in ("What is believed", "What each source said", "Networks that it belonged to", "Changes of country"):
        assert title in table
    assert "AS4100" in table


@pytest.mark.usefixtures("filled")
def test_an_address_is_found_however_it_is_written_and_one_that_never_attacked_is_not(
    tmp_path: Path, database_url: str
) -> None:
    for written in ("2001:db8:100::1", "2001:0DB8:0100:0:0:0:0:1"):
        shown = run(tmp_path, database_url, "ip", "show", written)
        assert (shown.code, shown.out.splitlines()[0]) == (0, "2001:db8:100::1")
    assert run(tmp_path, database_url, "ip", "show", "::ffff:12.0.0.1").code == 0
    unknown = run(tmp_path, database_url, "ip", "show", "203.0.113.200")
    assert (unknown.code, unknown.out) == (1, "")
    assert unknown.err == "error: 203.0.113.200 is not known here: no session came from it\n"


@pytest.mark.usefixtures("filled")
def test_coverage_is_shown_by_field_source_and_day(tmp_path: Path, database_url: str) -> None:
    found = report_of(cowrie_enrich(tmp_path, "coverage", "--json", "--db", database_url))
    assert found["days"] == ["2026-03-01", "2026-03-02"]
    asn = {each["day"]: (each["known"], each["total"]) for each in found["fields"] if each["field"] == "current_asn"}
    assert asn["2026-03-01"] == (2, 2)
    assert {each["source"] for each in found["sources"]} >= {"maxmind"}
    table = run(tmp_path, database_url, "coverage").out
    assert "ip_inventory.current_asn" in table
    assert "on 2026-03-01" in table or "on 2026-03-02" in table
    one = run(tmp_path, database_url, "coverage", "--source", "maxmind", "--json").json
    assert (one["fields"], {each["source"] for each in one["sources"]}) == ([], {"maxmind"})
    assert "There are no sessions on these days" in run(tmp_path, database_url, "coverage", "--from", "2027-01-01").out
