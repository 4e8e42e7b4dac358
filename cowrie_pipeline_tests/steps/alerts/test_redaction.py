"""What attackers wrote, and people's passwords in honeypots, are in no message."""

from hypothesis import given
from hypothesis import strategies as st

from cowrie_pipeline.steps.alerts.redaction import NOT_SHOWN, one_line, shown_columns_and_rows
from cowrie_pipeline.steps.checks import all_checks
from cowrie_pipeline.warehouse.tables import metadata

SECRET = "hunter2!"
SHOWN_OF_SESSIONS = {"sensor", "session_id", "source_ip", "first_event_at"}


def shown(column: str, value: object) -> str:
    return shown_columns_and_rows((column,), ((value,),))[1][0][0]


def test_a_column_that_nobody_has_thought_about_is_not_shown() -> None:
    assert shown("something_new", SECRET) == NOT_SHOWN
    assert shown("something_new", 17) == "17"
    assert shown("something_new", None) == "-"


def test_columns_of_secrets_are_not_shown_even_as_numbers() -> None:
    for column in ("password", "Password", "last_password_at", "username", "input", "sha1", "command_seen", "token"):
        for value in (SECRET, 123456):
            assert shown(column, value) == NOT_SHOWN, column


def test_texts_that_are_nobodys_secret_are_shown() -> None:
    for column in SHOWN_OF_SESSIONS | {"day", "path", "service", "field", "ip_address", "first_seen"}:
        assert shown(column, "x") == "x", column


def test_no_text_of_an_attacker_is_shown_of_any_table() -> None:
    chosen = {
        "login_attempts": ("username", "password", "key_fingerprint"),
        "commands": ("input",),
        "session_files": ("url", "file_name", "stored_as"),
        "tunnels": ("target", "data"),
        "client_keys": ("username", "fingerprint", "public_key"),
        "session_summaries": ("source", "client_version", "hassh"),
        "session_days": ("source", "client_version"),
        "dead_letters": ("sample", "detail"),
        "enrichment_cache": ("key", "payload"),
        "password_exposure": ("sha1",),
        "file_reputation": ("sha256",),
    }
    for table, columns in chosen.items():
        for column in columns:
            assert column in metadata.tables[table].columns, (table, column)
            assert shown(column, SECRET) == NOT_SHOWN, (table, column)


def test_few_rows_are_shown_and_no_long_text() -> None:
    columns, rows = shown_columns_and_rows(("path",), [("x" * 1000,)] * 20)
    assert columns == ("path",)
    assert len(rows) == 5
    assert len(rows[0][0]) < 100


@given(st.text())
def test_a_text_is_one_line_that_nothing_obeys(text: str) -> None:
    assert one_line(text).isprintable()
    assert len(one_line(text)) <= 83


def test_no_check_names_a_password_in_its_title_or_remedy() -> None:
    for check in all_checks():
        assert one_line(check.title, 1000) == check.title
