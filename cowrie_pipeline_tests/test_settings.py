"""Every setting comes from one variable, or from a file that another one names, and a wrong value is explained."""

import re
from dataclasses import fields
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from cowrie_pipeline.settings import Settings, SettingsError, describe_settings, export_settings
from cowrie_pipeline.warehouse.engine import Warehouse

README = Path(__file__).parents[1] / "README.md"

# For every setting: a text, and what it stands for.
VALUES: dict[str, tuple[str, Any]] = {
    "COWRIE_DB_URL": ("sqlite:////srv/cowrie.db", "sqlite:////srv/cowrie.db"),
    "COWRIE_LOGS": ("/srv/a:/srv/b*", "/srv/a:/srv/b*"),
    "COWRIE_START_DATE": ("2020-02-29", date(2020, 2, 29)),
    "COWRIE_GEOIP_DIR": ("/srv/geoip", Path("/srv/geoip")),
    "COWRIE_STATE_DIR": ("/srv/state", Path("/srv/state")),
    "COWRIE_CYMRU_ENABLED": ("no", False),
    "COWRIE_CYMRU_RESOLVER": ("127.0.0.1:5353", "127.0.0.1:5353"),
    "COWRIE_CYMRU_MAX_IN_FLIGHT": ("17", 17),
    "COWRIE_CYMRU_TIMEOUT_SECONDS": ("0.5", 0.5),
    "COWRIE_CYMRU_HIT_DAYS": ("30", 30.0),
    "COWRIE_CYMRU_NEGATIVE_DAYS": ("1.5", 1.5),
    "COWRIE_MAX_LINE_BYTES": ("4096", 4096),
    "COWRIE_COVERAGE_FLOOR": ("0.25", 0.25),
    "COWRIE_COVERAGE_DROP": ("0.1", 0.1),
    "COWRIE_DEAD_LETTER_SHARE": ("0", 0.0),
}
NAMES = {each.metadata["variable"]: each.name for each in fields(Settings)}


def test_every_setting_is_tested_here() -> None:
    assert set(VALUES) == set(NAMES)


@pytest.mark.parametrize("variable", NAMES)
def test_a_setting_is_read_from_its_variable(variable: str) -> None:
    text, value = VALUES[variable]
    found = getattr(Settings.from_environment({variable: text}), NAMES[variable])
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize("variable", NAMES)
def test_a_setting_is_read_from_the_file_that_is_named(variable: str, tmp_path: Path) -> None:
    text, value = VALUES[variable]
    file = tmp_path / "secret"
    file.write_text(f"{text}\n")
    settings = Settings.from_environment({f"{variable}_FILE": str(file)})
    assert getattr(settings, NAMES[variable]) == value


@pytest.mark.parametrize("variable", NAMES)
def test_a_setting_given_twice_is_refused(variable: str, tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text(VALUES[variable][0])
    with pytest.raises(SettingsError, match=f"{variable} and {variable}_FILE are both set"):
        Settings.from_environment({variable: VALUES[variable][0], f"{variable}_FILE": str(file)})


@pytest.mark.parametrize("variable", NAMES)
def test_a_file_that_cannot_be_read_is_named(variable: str, tmp_path: Path) -> None:
    missing = tmp_path / "missing"
    with pytest.raises(SettingsError, match=re.escape(f"{variable}_FILE names {missing}, which cannot be read")):
        Settings.from_environment({f"{variable}_FILE": str(missing)})


@pytest.mark.parametrize("variable", NAMES)
def test_an_empty_value_counts_as_not_set(variable: str) -> None:
    assert Settings.from_environment({variable: ""}) == Settings()


@pytest.mark.parametrize(
    ("variable", "text", "expected"),
    [
        ("COWRIE_START_DATE", "2026-13-01", "a day such as 2016-01-01"),
        ("COWRIE_START_DATE", "yesterday", "a day such as 2016-01-01"),
        ("COWRIE_CYMRU_ENABLED", "maybe", "true or false"),
        ("COWRIE_CYMRU_MAX_IN_FLIGHT", "many", "a whole number"),
        ("COWRIE_CYMRU_MAX_IN_FLIGHT", "0", "above 0"),
        ("COWRIE_CYMRU_TIMEOUT_SECONDS", "-1", "above 0"),
        ("COWRIE_MAX_LINE_BYTES", "8 MiB", "a whole number"),
        ("COWRIE_MAX_LINE_BYTES", "0", "above 0"),
        ("COWRIE_COVERAGE_FLOOR", "half", "a number"),
        ("COWRIE_COVERAGE_FLOOR", "50", "between 0 and 1"),
        ("COWRIE_COVERAGE_FLOOR", "nan", "between 0 and 1"),
        ("COWRIE_DEAD_LETTER_SHARE", "-0.1", "between 0 and 1"),
    ],
)
def test_a_wrong_value_is_answered_with_the_variable_what_is_expected_and_what_was_found(
    variable: str, text: str, expected: str
) -> None:
    with pytest.raises(SettingsError) as refused:
        Settings.from_environment({variable: text})
    message = str(refused.value)
    assert variable in message
    assert expected in message
    assert text in message


@pytest.mark.parametrize(
    ("text", "value"), [("1", True), ("Yes", True), ("ON", True), ("0", False), ("off", False), ("False", False)]
)
def test_truth_has_its_usual_names(text: str, value: bool) -> None:
    assert Settings.from_environment({"COWRIE_CYMRU_ENABLED": text}).cymru_enabled is value


def test_a_password_is_not_in_the_url_that_is_shown() -> None:
    warehouse = Warehouse("postgresql://cowrie:hunter2@db.example/cowrie")
    assert "hunter2" not in warehouse.safe_url
    assert "db.example" in warehouse.safe_url
    warehouse.dispose()


def test_an_option_is_stronger_than_a_variable_and_than_a_file() -> None:
    environment = {"COWRIE_DB_URL_FILE": "/run/secrets/url", "COWRIE_LOGS": "/srv/old", "COWRIE_GEOIP_DIR": "/srv/geo"}
    export_settings(db_url="sqlite:////srv/new.db", logs=("/srv/a", "/srv/b"), environment=environment)
    settings = Settings.from_environment(environment)
    assert settings.database_url == "sqlite:////srv/new.db"
    assert settings.log_paths == ("/srv/a", "/srv/b")
    assert settings.geoip_folder == Path("/srv/geo")


def test_what_is_not_set_is_below_the_state_folder() -> None:
    settings = Settings.from_environment({"COWRIE_STATE_DIR": "/srv/state"})
    assert settings.database_url == "sqlite:////srv/state/cowrie.db"
    assert settings.geoip_folder == Path("/srv/state/geoip")
    assert settings.log_paths == ()


def test_the_readme_has_every_setting_with_its_default_and_its_help() -> None:
    rows = {
        match[1]: line
        for line in README.read_text(encoding="utf-8").splitlines()
        if (match := re.match(r"\| `(COWRIE_\w+)` \|", line))
    }
    assert set(rows) == {setting.variable for setting in describe_settings()}
    for setting in describe_settings():
        assert setting.help in rows[setting.variable].replace("\\|", "|"), setting.variable
        assert setting.default in rows[setting.variable], setting.variable
