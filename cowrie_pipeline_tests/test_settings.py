"""Every setting comes from one variable, or from a file that another one names, and a wrong value is explained."""

import re
from dataclasses import fields
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from cowrie_pipeline.settings import ServiceSettings, Settings, SettingsError, describe_settings, export_settings
from cowrie_pipeline.warehouse.engine import Warehouse

README = Path(__file__).parents[1] / "README.md"

# For every setting: a text, and what it stands for.
VALUES: dict[str, tuple[str, Any]] = {
    "COWRIE_DB_URL": ("sqlite:////srv/cowrie.db", "sqlite:////srv/cowrie.db"),
    "COWRIE_DB_POOL_SIZE": ("2", 2),
    "COWRIE_DB_POOL_OVERFLOW": ("0", 0),
    "COWRIE_DB_STATEMENT_TIMEOUT_SECONDS": ("90", 90.0),
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
    "COWRIE_CYMRU_WHOIS": ("127.0.0.1:4343", "127.0.0.1:4343"),
    "COWRIE_CYMRU_WHOIS_THRESHOLD": ("0", 0),
    "COWRIE_OFFLINE": ("true", True),
    "COWRIE_CONTACT": ("operator@example.org", "operator@example.org"),
    "COWRIE_ENRICHMENT_POLICY": ("maxmind, cymru ,dshield", ("maxmind", "cymru", "dshield")),
    "COWRIE_LIMITED_MIN_WORTH": ("0", 0),
    "COWRIE_PATIENCE_SECONDS": ("5", 5.0),
    "COWRIE_SOURCE_SECONDS": ("30.5", 30.5),
    "COWRIE_CACHE_MODE": ("hybrid", "hybrid"),
    "COWRIE_CACHE_DIR": ("/srv/cache", Path("/srv/cache")),
    "COWRIE_CACHE_KEEP_DAYS": ("90", 90.0),
    "COWRIE_DAILY_HOUR": ("0", 0),
    "COWRIE_WATCH_SECONDS": ("60", 60),
    "COWRIE_TODAY_MINUTES": ("15", 15),
    "COWRIE_KEEP_DETAIL_DAYS": ("365", 365),
    "COWRIE_KEEP_RUN_DAYS": ("90", 90),
    "COWRIE_EXECUTOR": ("multiprocess", "multiprocess"),
    "COWRIE_CELERY_BROKER": ("redis://:hunter2@127.0.0.1:6379/0", "redis://:hunter2@127.0.0.1:6379/0"),
    "COWRIE_CELERY_BACKEND": ("rediss://:hunter2@redis.example/1", "rediss://:hunter2@redis.example/1"),
    "COWRIE_CELERY_LEASE_SECONDS": ("60", 60.0),
    "COWRIE_CHUNK_ADDRESSES": ("1000", 1000),
    "COWRIE_LISTS_DIR": ("/srv/lists", Path("/srv/lists")),
    "COWRIE_ASN_TYPES_DIR": ("/srv/asn-types", Path("/srv/asn-types")),
    "COWRIE_LISTS_OFF": ("tor_exits,", ("tor_exits",)),
    "COWRIE_MAXMIND_ACCOUNT_ID": ("123456", "123456"),
    "COWRIE_MAXMIND_LICENSE_KEY": ("hunter2", "hunter2"),
    "COWRIE_HASH_PASSWORDS": ("on", True),
    "COWRIE_MAX_LINE_BYTES": ("4096", 4096),
    "COWRIE_COVERAGE_FLOOR": ("0.25", 0.25),
    "COWRIE_COVERAGE_DROP": ("0.1", 0.1),
    "COWRIE_DEAD_LETTER_SHARE": ("0", 0.0),
    "COWRIE_VOLUME_DAYS": ("28", 28),
    "COWRIE_VOLUME_LOW": ("0", 0.0),
    "COWRIE_VOLUME_HIGH": ("3.5", 3.5),
    "COWRIE_VOLUME_LEAST": ("10", 10),
    "COWRIE_GATEWAY_SHARE": ("0.5", 0.5),
    "COWRIE_METRICS": ("off", False),
    "COWRIE_METRICS_PORT": ("9999", 9999),
    "COWRIE_METRICS_SECONDS": ("30", 30.0),
    "COWRIE_CLOCK_SKEW_MINUTES": ("60", 60.0),
    "COWRIE_GEOIP_NOTE_DAYS": ("10", 10.0),
    "COWRIE_GEOIP_WARN_DAYS": ("30", 30.0),
    "COWRIE_ASN_RATE": ("500", 500.0),
    "COWRIE_ASN_RATE_MINUTES": ("5", 5.0),
    "COWRIE_CACHE_HIT_DROP": ("0.5", 0.5),
    "COWRIE_ALERTS_FILE": ("/srv/alerts.toml", Path("/srv/alerts.toml")),
    "COWRIE_UI_URL": ("https://dagster.example.org", "https://dagster.example.org"),
    "COWRIE_DOCS_URL": ("https://git.example.org/docs", "https://git.example.org/docs"),
    "COWRIE_ALERT_REPEAT_HOURS": ("12", 12.0),
    "COWRIE_ALERT_DAY_DUE_HOUR": ("0", 0),
    "COWRIE_ALERT_STALE_HOURS": ("26", 26.0),
    "COWRIE_ALERT_BUDGET_SHARE": ("0.8", 0.8),
    "COWRIE_ALERT_SILENT_MINUTES": ("15", 15.0),
    "COWRIE_STATUS_DIR": ("/srv/status", Path("/srv/status")),
    "COWRIE_HEALTH_DISK_WARN_MB": ("9000", 9000.0),
    "COWRIE_HEALTH_DISK_CRITICAL_MB": ("500", 500.0),
    "COWRIE_HEALTH_FAILURE_SHARE": ("0", 0.0),
    "COWRIE_HEALTH_STUCK_MINUTES": ("60", 60.0),
    "COWRIE_HEALTH_QUEUE_MINUTES": ("15", 15.0),
    "COWRIE_HEALTH_SECONDS": ("5", 5.0),
    "OTEL_EXPORTER_OTLP_ENDPOINT": ("http://127.0.0.1:4318", "http://127.0.0.1:4318"),
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": ("http://127.0.0.1:4318/t", "http://127.0.0.1:4318/t"),
    "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": ("http://127.0.0.1:4318/m", "http://127.0.0.1:4318/m"),
    "OTEL_EXPORTER_OTLP_HEADERS": ("authorization=hunter2", "authorization=hunter2"),
    "OTEL_EXPORTER_OTLP_PROTOCOL": ("grpc", "grpc"),
    "OTEL_SDK_DISABLED": ("true", True),
}
NAMES = {each.metadata["variable"]: each.name for each in fields(Settings) if each.metadata["variable"]}

# The same for what can be set of each service.
OF_SERVICE: dict[str, tuple[str, str, Any]] = {
    "ENABLED": ("enabled", "no", False),
    "KEY": ("key", "hunter2", "hunter2"),
    "URL": ("url", "https://proxy.example/vt", "https://proxy.example/vt"),
    "LIMITS": ("limits", "4/1m, 500 / 1d", ((4, 60.0), (500, 86_400.0))),
    "HIT_DAYS": ("hit_days", "30", 30.0),
    "NEGATIVE_DAYS": ("negative_days", "0.5", 0.5),
    "MAX_IN_FLIGHT": ("max_in_flight", "50", 50),
}
SERVICES = ("greynoise", "dshield", "urlhaus", "abuseipdb", "spur", "internetdb", "virustotal", "pwned_passwords")


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
        ("COWRIE_HEALTH_DISK_WARN_MB", "999", "COWRIE_HEALTH_DISK_CRITICAL_MB must not be above"),
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
        ("COWRIE_PATIENCE_SECONDS", "nan", "above 0"),
        ("COWRIE_SOURCE_SECONDS", "inf", "above 0"),
        ("COWRIE_CYMRU_HIT_DAYS", "36501", "at most 36500"),
        ("COWRIE_LIMITED_MIN_WORTH", "5", "from 0 to 4"),
        ("COWRIE_LIMITED_MIN_WORTH", "-1", "from 0 to 4"),
        ("COWRIE_CACHE_MODE", "redis", "database or hybrid"),
        ("COWRIE_CELERY_LEASE_SECONDS", "1", "from 10 to 86400"),
        ("COWRIE_EXECUTOR", "threads", "one of in_process, multiprocess, celery"),
        ("COWRIE_CYMRU_WHOIS", "whois.cymru.com", "host:port"),
        ("COWRIE_CYMRU_WHOIS", "whois.cymru.com:70000", "host:port"),
        ("COWRIE_CYMRU_WHOIS_THRESHOLD", "-1", "not be below 0"),
        ("COWRIE_OFFLINE", "2", "true or false"),
        ("COWRIE_VIRUSTOTAL_ENABLED", "perhaps", "true or false"),
        ("COWRIE_VIRUSTOTAL_LIMITS", "4 per minute", "calls/time such as 4/1m, 500/1d"),
        ("COWRIE_VIRUSTOTAL_LIMITS", "0/1m", "calls/time such as 4/1m, 500/1d"),
        ("COWRIE_VIRUSTOTAL_LIMITS", "4/0m", "calls/time such as 4/1m, 500/1d"),
        ("COWRIE_VIRUSTOTAL_LIMITS", "4/1w", "calls/time such as 4/1m, 500/1d"),
        ("COWRIE_VIRUSTOTAL_LIMITS", "4/99999d", "calls/time such as 4/1m, 500/1d"),
        ("COWRIE_VIRUSTOTAL_HIT_DAYS", "-1", "above 0"),
        ("COWRIE_VIRUSTOTAL_HIT_DAYS", "100000", "at most 36500"),
        ("COWRIE_DSHIELD_NEGATIVE_DAYS", "0", "above 0"),
        ("COWRIE_DSHIELD_MAX_IN_FLIGHT", "0", "above 0"),
        ("COWRIE_DSHIELD_MAX_IN_FLIGHT", "1.5", "a whole number"),
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


def test_every_setting_of_a_service_is_tested_here() -> None:
    assert set(OF_SERVICE) == {each.metadata["variable"] for each in fields(ServiceSettings)}
    assert set(SERVICES) == set(Settings().services)


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize("suffix", OF_SERVICE)
@pytest.mark.parametrize("by_file", [False, True])
def test_a_setting_of_a_service_is_read_for_it_alone(service: str, suffix: str, by_file: bool, tmp_path: Path) -> None:
    name, text, value = OF_SERVICE[suffix]
    variable = f"COWRIE_{service.upper()}_{suffix}"
    file = tmp_path / "secret"
    file.write_text(f"{text}\n")
    settings = Settings.from_environment({f"{variable}_FILE": str(file)} if by_file else {variable: text})
    assert getattr(settings.services[service], name) == value
    assert {name: each for name, each in settings.services.items() if name != service} == {
        name: each for name, each in Settings().services.items() if name != service
    }


def test_a_service_is_asked_unless_it_is_for_non_commercial_use_alone() -> None:
    services = Settings.from_environment({}).services
    assert services == Settings().services
    assert [name for name, each in services.items() if not each.enabled] == ["internetdb"]
    assert not any(each.key or each.url or each.limits for each in services.values())
    settings = Settings.from_environment({"COWRIE_INTERNETDB_ENABLED": "true", "COWRIE_INTERNETDB_HIT_DAYS": "3"})
    assert settings.services["internetdb"] == ServiceSettings(enabled=True, hit_days=3.0)
    assert Settings.from_environment({"COWRIE_INTERNETDB_HIT_DAYS": "3"}).services["internetdb"].enabled is False


def test_nobody_can_change_the_services_of_settings() -> None:
    services: Any = Settings.from_environment({}).services
    with pytest.raises(TypeError):
        services["greynoise"] = ServiceSettings()


def test_no_secret_is_in_what_is_printed_of_settings() -> None:
    secrets = {
        "COWRIE_DB_URL": "postgresql+psycopg://cowrie:hunter2@db.example/cowrie",
        "COWRIE_MAXMIND_LICENSE_KEY": "hunter2-maxmind",
    } | {f"COWRIE_{name.upper()}_KEY": f"hunter2-{name}" for name in SERVICES}
    settings = Settings.from_environment(secrets)
    assert settings.services["virustotal"].key == "hunter2-virustotal"
    for shown in (repr(settings), str(settings), repr(settings.services), f"{settings.services['spur']}"):
        assert "hunter2" not in shown


def test_what_is_no_text_in_a_file_is_not_shown(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_bytes(b"hunter2\xff")
    with pytest.raises(SettingsError, match=r"SPUR_KEY_FILE names .*secret, which is no text in UTF-8") as refused:
        Settings.from_environment({"COWRIE_SPUR_KEY_FILE": str(file)})
    assert refused.value.__cause__ is None


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
    assert settings.cache_folder == Path("/srv/state/cache")
    assert settings.lists_folder == Path("/srv/state/lists")
    assert settings.log_paths == ()


def test_a_page_is_read_where_that_is_set_and_else_named_by_its_file() -> None:
    page = "docs/checks/geoip_age.md"
    assert Settings().docs_page(page) == page
    for url in ("https://git.example.org/docs", "https://git.example.org/docs/"):
        read_at = Settings.from_environment({"COWRIE_DOCS_URL": url}).docs_page(page)
        assert read_at == "https://git.example.org/docs/checks/geoip_age.md"


def test_the_readme_has_every_setting_with_its_default_and_its_help() -> None:
    rows = {
        match[1]: line
        for line in README.read_text(encoding="utf-8").splitlines()
        if (match := re.match(r"\| `((?:COWRIE|OTEL)_[\w<>]+)` \|", line))
    }
    assert set(rows) == {setting.variable for setting in describe_settings()}
    for setting in describe_settings():
        assert setting.help in rows[setting.variable].replace("\\|", "|"), setting.variable
        assert setting.default in rows[setting.variable], setting.variable
