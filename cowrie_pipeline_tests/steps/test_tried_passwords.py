"""Tried passwords: counted however they are stored, new if never tried before, exposed only where that is known."""

from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, insert, select, update

from cowrie_pipeline.cowrie.passwords import sha1_of
from cowrie_pipeline.steps.tried_passwords import (
    ExposureOverview,
    exposure_overview,
    new_passwords,
    top_passwords,
)
from cowrie_pipeline.warehouse.engine import Warehouse
from cowrie_pipeline.warehouse.tables import login_attempts, password_exposure, session_summaries
from cowrie_pipeline_tests.steps.made_days import NOW, Event, connect, load_events, login, one, span

ALL = ("2026-03-01", "2026-03-09")


def tries(number: int, *passwords: Any, day: str = "2026-03-01", succeeded: bool = False) -> list[Event]:
    of_session: dict[str, Any] = {"session": f"{number:012x}", "src_ip": f"12.0.0.{number}"}
    return [
        connect(f"{day} 10:00", **of_session),
        *(
            login(f"{day} 10:00:{second:02}", password=password, succeeded=succeeded, **of_session)
            for second, password in enumerate(passwords, 1)
        ),
    ]


def hash_those_of(warehouse: Warehouse, *passwords: str) -> None:
    """Store attempts of some passwords hashed, as COWRIE_HASH_PASSWORDS has it, the others as they are."""
    with warehouse.begin() as connection:
        for password in passwords:
            connection.execute(
                update(login_attempts)
                .where(login_attempts.c.password == password)
                .values(password=f"sha1:{sha1_of(password)}")
            )


def expose(warehouse: Warehouse, **times_seen: int | None) -> None:
    with warehouse.begin() as connection:
        for password, count in times_seen.items():
            status = {None: "error", 0: "not_found"}.get(count, "hit")
            connection.execute(
                insert(password_exposure).values(
                    sha1=sha1_of(password),
                    first_seen=NOW,
                    last_seen=NOW,
                    attempts=2,
                    status=status,
                    times_seen=count,
                    due_at=NOW,
                )
            )


def test_passwords_are_counted_by_attempts_sessions_and_addresses(warehouse: Warehouse, tmp_path: Path) -> None:
    events = [
        *tries(1, "admin", "admin", "1234"),
        *tries(2, "admin", succeeded=True),
        *tries(3, "late", day="2026-03-05"),
        *tries(4, 1234, None),
    ]
    load_events(warehouse, tmp_path, events)
    expose(warehouse, admin=42, late=0)
    with warehouse.read() as connection:
        found = top_passwords(connection, span(*ALL), limit=10)
        assert [(each.password, each.attempts, each.sessions, each.addresses) for each in found][:1] == [
            ("admin", 3, 2, 2)
        ]
        assert {each.password: each.is_exposed for each in found} == {"admin": True, "late": False, "1234": None}
        assert found[0].sha1 == sha1_of("admin")
        assert [each.password for each in top_passwords(connection, span("2026-03-05"), limit=10)] == ["late"]
        assert len(top_passwords(connection, span(*ALL), limit=2)) == 2


def test_a_failed_look_up_leaves_it_not_known_whether_a_password_is_in_leaks(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    load_events(warehouse, tmp_path, tries(1, "admin"))
    expose(warehouse, admin=None)
    with warehouse.read() as connection:
        (admin,) = top_passwords(connection, span(*ALL), limit=1)
    assert (admin.times_seen, admin.is_exposed) == (None, None)


def test_a_password_stored_in_clear_and_hashed_is_one(warehouse: Warehouse, tmp_path: Path) -> None:
    load_events(
        warehouse, tmp_path, [*tries(1, "both", "clear"), *tries(2, "both"), *tries(3, "clear"), *tries(4, "x")]
    )
    with warehouse.begin() as connection:
        connection.execute(
            update(login_attempts)
            .where(login_attempts.c.password == "both")
            .where(login_attempts.c.login_attempt_id > 1)
            .values(password=f"sha1:{sha1_of('both')}")
        )
    hash_those_of(warehouse, "x")
    with warehouse.read() as connection:
        found = top_passwords(connection, span(*ALL), limit=3)
    assert {(each.password, each.attempts, each.sessions) for each in found} == {
        ("both", 2, 2),
        ("clear", 2, 2),
        (f"sha1:{sha1_of('x')}", 1, 1),
    }


def test_a_password_is_new_where_it_was_never_tried_before_however_it_is_stored(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    load_events(
        warehouse,
        tmp_path,
        [
            *tries(1, "old", "was-hashed", "was-clear"),
            *tries(2, "old", "was-hashed", "was-clear", "new", "new", "hashed-new", day="2026-03-05"),
            *tries(3, "later", day="2026-03-06"),
        ],
    )
    with warehouse.begin() as connection:
        for password, is_early in (("was-hashed", True), ("was-clear", False), ("hashed-new", False)):
            at = login_attempts.c.event_at < span("2026-03-05").start
            connection.execute(
                update(login_attempts)
                .where(login_attempts.c.password == password, at if is_early else ~at)
                .values(password=f"sha1:{sha1_of(password)}")
            )
    with warehouse.read() as connection:
        found, total = new_passwords(connection, span("2026-03-05"), limit=10)
        assert [(each.sha1, each.attempts) for each in found] == [
            (sha1_of("new"), 2),
            (sha1_of("hashed-new"), 1),
        ]
        assert total == 2
        assert [each.password for each in new_passwords(connection, span("2026-03-05"), limit=1)[0]] == ["new"]
        assert new_passwords(connection, span("2026-03-07", "2026-03-08"), limit=5) == ([], 0)


TRIES = st.lists(st.tuples(st.sampled_from("abcde"), st.integers(1, 3), st.booleans()), min_size=1, max_size=12)


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(TRIES)
def test_top_and_new_are_what_a_recount_in_python_says(
    warehouse: Warehouse, tmp_path: Path, made: list[tuple[str, int, bool]]
) -> None:
    with warehouse.read() as connection:
        key = connection.execute(select(session_summaries.c.session_key)).scalar()
    if key is None:
        load_events(warehouse, tmp_path, tries(1))
        key = one(warehouse, session_summaries)["session_key"]
    with warehouse.begin() as connection:
        connection.execute(delete(login_attempts))
        connection.execute(
            insert(login_attempts),
            [
                {
                    "session_key": key,
                    "event_at": datetime(2026, 3, day, tzinfo=UTC),
                    "succeeded": False,
                    "password": f"sha1:{sha1_of(password)}" if is_hashed else password,
                }
                for password, day, is_hashed in made
            ],
        )
    with warehouse.read() as connection:
        top = {each.sha1: each.attempts for each in top_passwords(connection, span(*ALL), limit=10)}
        new = {each.sha1 for each in new_passwords(connection, span("2026-03-02", "2026-03-03"), limit=10)[0]}
    assert top == Counter(sha1_of(password) for password, _, _ in made)
    before = {password for password, day, _ in made if day == 1}
    assert new == {sha1_of(password) for password, _, _ in made if password not in before}


def test_an_overview_counts_what_is_exposed_and_due(warehouse: Warehouse) -> None:
    with warehouse.read() as connection:
        assert exposure_overview(connection, now=NOW) == ExposureOverview(0, {}, 0, 0, 0, 0)
    expose(warehouse, admin=42, other=0, failed=None)
    with warehouse.read() as connection:
        found = exposure_overview(connection, now=NOW)
    assert found == ExposureOverview(3, {"error": 1, "hit": 1, "not_found": 1}, 3, 1, 6, 2)
    assert Counter(found.statuses).total() == found.passwords
