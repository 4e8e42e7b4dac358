"""Passwords: counted by hash, asked about by prefix, and nowhere in clear."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, select, text, update

from cowrie_pipeline.cowrie.passwords import sha1_of
from cowrie_pipeline.enrichment.build import Enrichment, build_enrichment
from cowrie_pipeline.enrichment.outcomes import Status
from cowrie_pipeline.settings import ServiceSettings, Settings
from cowrie_pipeline.steps.days import DayRange
from cowrie_pipeline.steps.password_exposure import DayPasswords, PasswordExposureReport, look_up_passwords
from cowrie_pipeline.warehouse.allowances import WarehouseAllowance
from cowrie_pipeline.warehouse.engine import Warehouse
from cowrie_pipeline.warehouse.lookup_cache import WarehouseCache
from cowrie_pipeline.warehouse.tables import enrichment_cache, login_attempts, metadata, password_exposure
from cowrie_pipeline_tests.contract.http_server import HttpServer
from cowrie_pipeline_tests.contract.services import PREFIX, pwned_passwords
from cowrie_pipeline_tests.enrichment.recording import RecordingSource
from cowrie_pipeline_tests.steps.made_days import (
    NOW,
    Event,
    connect,
    enrichment_of,
    facts,
    load_events,
    login,
    one,
    rows,
    span,
)

BOTH = span("2026-03-01", "2026-03-02")
FIRST, SECOND = span("2026-03-01"), span("2026-03-02")
# The example of the service's documentation: its SHA-1 begins with 21BD1, and ends as the first of PWNED_ROWS.
LEAKED = "lauragpe"
SECRET = "n0body-sh0uld-read-this"
ODD = ("nul\x00 inside", "\ud83d half a pair", "␛0041", "sha1:not a hash", "", "ü" * 300)


def attempts(*passwords: str, day: str = "2026-03-01") -> list[Event]:
    return [login(f"{day} 10:{n // 60:02}:{n % 60:02}", password=each) for n, each in enumerate(passwords)]


def ask(
    warehouse: Warehouse, enrichment: Enrichment, days: DayRange = BOTH, *, now: datetime = NOW
) -> PasswordExposureReport:
    ledger = WarehouseCache(warehouse, day=now.date())
    return look_up_passwords(warehouse, enrichment, days, ledger=ledger, now=now)


def leaks(**counts: int) -> RecordingSource:
    """A service that saw passwords so often."""
    seen = {sha1_of(password): count for password, count in counts.items()}

    def answer(prefix: str) -> dict[str, Any]:
        return {
            "counts": {sha1[5:16]: count for sha1, count in seen.items() if sha1.startswith(prefix)} | {"0" * 11: 9}
        }

    return RecordingSource("pwned_passwords", answer)


def exposure_of(warehouse: Warehouse, password: str) -> dict[str, Any]:
    return one(warehouse, password_exposure, password_exposure.c.sha1 == sha1_of(password))


def test_passwords_are_counted_by_hash_over_all_days_and_asked_about_once(warehouse: Warehouse, tmp_path: Path) -> None:
    events = [*attempts("admin", "admin", SECRET), *attempts("admin", "1234", day="2026-03-02")]
    load_events(warehouse, tmp_path, events)
    source = leaks(admin=500)
    report = ask(warehouse, enrichment_of(source), FIRST)
    row = exposure_of(warehouse, "admin")
    assert (row["attempts"], row["first_seen"], row["last_seen"]) == (
        3,
        datetime(2026, 3, 1, 10, tzinfo=UTC),
        datetime(2026, 3, 2, 10, tzinfo=UTC),
    )
    assert (row["status"], row["times_seen"], row["exposure_at"]) == ("hit", 500, NOW)
    assert row["due_at"] == NOW + timedelta(days=7)
    unseen = exposure_of(warehouse, SECRET)
    assert (unseen["attempts"], unseen["status"], unseen["times_seen"]) == (1, "not_found", 0)
    assert report.days == {date(2026, 3, 1): DayPasswords(2, {"hit": 1, "not_found": 1}, exposed=1)}
    assert report.asking.outcomes == {"hit": 2}
    again = ask(warehouse, enrichment_of(source))
    assert source.calls == [(sha1_of("admin")[:5], sha1_of(SECRET)[:5]), (sha1_of("1234")[:5],)]
    assert again.days[date(2026, 3, 2)] == DayPasswords(2, {"hit": 1, "not_found": 1}, exposed=1)


def test_the_most_tried_passwords_are_asked_about_first_and_each_prefix_once(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    by_prefix: dict[str, str] = {}
    twins: tuple[str, str] | None = None
    for number in range(100_000):
        word = f"word{number}"
        other = by_prefix.setdefault(sha1_of(word)[:5], word)
        if other != word:
            twins = (other, word)
            break
    assert twins is not None
    load_events(warehouse, tmp_path, attempts("rare", twins[0], "often", "often", "often", twins[1], twins[1]))
    source = leaks(**{twins[0]: 3})
    report = ask(warehouse, enrichment_of(source))
    assert source.calls == [(sha1_of("often")[:5], sha1_of(twins[1])[:5], sha1_of("rare")[:5])]
    assert report.asking.due == 3
    assert exposure_of(warehouse, twins[0])["times_seen"] == 3
    assert exposure_of(warehouse, twins[1])["times_seen"] == 0


def test_a_password_counts_in_clear_and_hashed(warehouse: Warehouse, tmp_path: Path) -> None:
    load_events(warehouse, tmp_path, [*attempts("admin", "1234"), *attempts("admin", "admin", day="2026-03-02")])
    attempt = login_attempts.c
    with warehouse.begin() as connection:
        for password in ("admin", "1234"):
            connection.execute(
                update(login_attempts)
                .where(attempt.password == password, attempt.event_at >= SECOND.start)
                .values(password=f"sha1:{sha1_of(password)}")
            )
    for days in (FIRST, SECOND, BOTH):
        with warehouse.begin() as connection:
            connection.execute(delete(password_exposure))
        report = ask(warehouse, enrichment_of(leaks()), days)
        assert exposure_of(warehouse, "admin")["attempts"] == 3
        assert report.days[days.first].passwords == (1 if days == SECOND else 2)


def test_odd_passwords_are_hashed_as_they_were_typed(warehouse: Warehouse, tmp_path: Path) -> None:
    load_events(warehouse, tmp_path, [*attempts(*ODD), connect("2026-03-01 11:00")])
    report = ask(warehouse, enrichment_of(leaks()))
    assert {row["sha1"] for row in rows(warehouse, password_exposure)} == {sha1_of(password) for password in ODD}
    assert report.days[date(2026, 3, 1)].passwords == len(ODD)


@pytest.mark.parametrize("status", [Status.ERROR, Status.RATE_LIMITED, Status.SKIPPED_BUDGET])
@pytest.mark.parametrize("with_ledger", [True, False])
def test_what_is_no_answer_removes_no_fact(
    warehouse: Warehouse,
    tmp_path: Path,
    status: Status,
    with_ledger: bool,
) -> None:
    load_events(warehouse, tmp_path, attempts("admin", "new"))
    ask(warehouse, enrichment_of(leaks(admin=500)))
    if not with_ledger:
        with warehouse.begin() as connection:
            connection.execute(delete(enrichment_cache))
    later = NOW + timedelta(days=8)
    report = ask(warehouse, enrichment_of(RecordingSource("pwned_passwords", lambda _: status)), now=later)
    row = exposure_of(warehouse, "admin")
    assert (row["status"], row["times_seen"], row["exposure_at"]) == ("hit", 500, NOW)
    assert later < row["due_at"] < later + timedelta(days=1)
    assert report.days[date(2026, 3, 1)].exposed == 1


def test_a_password_never_asked_about_before_is_not_called_safe_by_an_error(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    load_events(warehouse, tmp_path, attempts("admin"))
    ask(warehouse, enrichment_of(RecordingSource("pwned_passwords", lambda _: Status.ERROR)))
    row = exposure_of(warehouse, "admin")
    assert (row["status"], row["times_seen"]) == ("error", None)


def test_where_nobody_can_be_asked_passwords_are_counted_and_the_report_says_why(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    load_events(warehouse, tmp_path, attempts("admin"))
    source = leaks()
    report = ask(warehouse, enrichment_of(source, off="COWRIE_OFFLINE is set"))
    assert (report.asking.not_asked, report.asking.findings) == ("COWRIE_OFFLINE is set", ())
    assert report.days[date(2026, 3, 1)] == DayPasswords(1, {"never asked": 1})
    assert source.calls == []


def test_days_in_any_order_together_or_apart_count_the_same(warehouse: Warehouse, tmp_path: Path) -> None:
    events = [*attempts("a", "b", "b", "c"), *attempts("b", "d", day="2026-03-02")]
    load_events(warehouse, tmp_path, events)
    found = []
    for parts in ([BOTH], [FIRST, SECOND], [SECOND, FIRST, BOTH]):
        with warehouse.begin() as connection:
            connection.execute(delete(password_exposure))
        for part in parts:
            ask(warehouse, enrichment_of(leaks(b=2)), part)
        found.append(facts(warehouse, [password_exposure]))
    assert found[0] == found[1] == found[2]


def test_a_password_that_nobody_tried_after_all_is_forgotten(warehouse: Warehouse, tmp_path: Path) -> None:
    load_events(warehouse, tmp_path, attempts("a", "b"))
    ask(warehouse, enrichment_of(leaks()))
    with warehouse.begin() as connection:
        connection.execute(delete(login_attempts).where(login_attempts.c.password == "a"))
    ask(warehouse, enrichment_of(leaks()))
    assert [row["sha1"] for row in rows(warehouse, password_exposure)] == [sha1_of("b")]


@contextmanager
def pwned(warehouse: Warehouse, server: HttpServer) -> Iterator[Enrichment]:
    """Open the true source, which asks `server` and nobody else."""
    services = {name: ServiceSettings(enabled=False) for name in Settings().services}
    services["pwned_passwords"] = ServiceSettings(url=server.url)
    with build_enrichment(
        Settings(services=services, cymru_enabled=False), {}, WarehouseAllowance(warehouse)
    ) as enrichment:
        yield enrichment


def test_five_digits_leave_the_machine_and_the_password_goes_nowhere(warehouse: Warehouse, tmp_path: Path) -> None:
    load_events(warehouse, tmp_path, attempts(LEAKED, LEAKED, SECRET))
    with HttpServer(pwned_passwords) as server:
        for _ in range(2):
            with pwned(warehouse, server) as enrichment:
                report = ask(warehouse, enrichment, now=datetime.now(UTC))
        asked = sorted(each.path for each in server.asked)
    assert asked == sorted([f"/range/{PREFIX}", f"/range/{sha1_of(SECRET)[:5]}"])
    assert exposure_of(warehouse, LEAKED)["times_seen"] == 10
    assert report.days[date(2026, 3, 1)] == DayPasswords(2, {"hit": 1, "not_found": 1}, exposed=1)
    with warehouse.read() as connection:
        for table in metadata.sorted_tables:
            if table.name in ("login_attempts", "log_segments"):
                continue
            kept = str(connection.execute(select(table)).all())
            assert SECRET not in kept, table.name
            assert (
                table.name == "password_exposure" or hashlib.sha1(SECRET.encode()).hexdigest()[16:] not in kept.lower()
            )
    assert SECRET not in str(report)


def test_an_error_of_the_database_does_not_show_a_password(warehouse: Warehouse, tmp_path: Path) -> None:
    load_events(warehouse, tmp_path, attempts(SECRET))
    with warehouse.begin() as connection:
        connection.execute(text("DROP TABLE password_exposure"))
    with pytest.raises(Exception, match="password_exposure") as caught:
        ask(warehouse, enrichment_of(leaks()))
    assert SECRET not in str(caught.value)
    with pytest.raises(Exception, match="login_attempts") as caught, warehouse.begin() as connection:
        connection.execute(login_attempts.insert().values(password=SECRET, session_key=None, event_at=NOW))
    assert SECRET not in str(caught.value).partition("DETAIL")[0]
