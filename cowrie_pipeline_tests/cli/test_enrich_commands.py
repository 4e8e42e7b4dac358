"""Every command of `cowrie-enrich`: what it shows, its exit code, and that no secret is in what it prints."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from cowrie_pipeline import __version__
from cowrie_pipeline.cli.options import source_names
from cowrie_pipeline.enrichment.disk_cache import DiskCache
from cowrie_pipeline.enrichment.lists.catalog import ALL_LISTS
from cowrie_pipeline.enrichment.outcomes import Outcome, Status
from cowrie_pipeline.enrichment.sources.greynoise import GreyNoiseSource
from cowrie_pipeline.warehouse.allowances import WarehouseAllowance
from cowrie_pipeline.warehouse.engine import Warehouse
from cowrie_pipeline.warehouse.lookup_cache import WarehouseCache
from cowrie_pipeline_tests.cli.in_process import Done, invoke_enrich
from cowrie_pipeline_tests.cli.processes import environment, start_enrich
from cowrie_pipeline_tests.conftest import Databases
from cowrie_pipeline_tests.contract.file_server import FileServer, Page
from cowrie_pipeline_tests.enrichment.made_lists import drop_record, spamhaus, tor_exits
from cowrie_pipeline_tests.steps.made_days import connect, load_events, login

NOW = datetime.now(UTC)
DAY = timedelta(days=1)
SECRETS = {
    "COWRIE_GREYNOISE_KEY": "s3cr3t-greynoise",
    "COWRIE_VIRUSTOTAL_KEY": "s3cr3t-virustotal",
    "COWRIE_MAXMIND_ACCOUNT_ID": "1234567",
    "COWRIE_MAXMIND_LICENSE_KEY": "s3cr3t-licence",
}
FILE = "ab" * 32


def outcome(service: str, key: str, status: Status = Status.HIT, **fields: Any) -> Outcome:
    defaults: dict[str, Any] = {"fetched_at": NOW - DAY, "payload": {}, "expires_at": NOW + 7 * DAY}
    return Outcome(service=service, key=key, status=status, **(defaults | fields))


def keep(warehouse: Warehouse, *outcomes: Outcome) -> None:
    WarehouseCache(warehouse, day=NOW.date()).put_many(outcomes)


def attacks(warehouse: Warehouse, folder: Path) -> None:
    """Let two addresses try to log in."""
    events = []
    for number, address in enumerate(("8.8.8.8", "9.9.9.9")):
        of_session: dict[str, Any] = {"session": f"{number:012x}", "src_ip": address}
        events += [connect("2026-03-09 10:00", **of_session), login("2026-03-09 10:00:01", **of_session)]
    load_events(warehouse, folder / "logs", events)


# ---- all commands


def test_the_version_is_printed(tmp_path: Path) -> None:
    done = invoke_enrich(tmp_path, "--version")
    assert (done.code, done.out.strip()) == (0, __version__)


def test_commands_start_without_dagster(tmp_path: Path) -> None:
    code = (
        "import sys; from cowrie_pipeline.cli.enrich import app\n"
        "from cowrie_pipeline.cli import cache, lists, migrate, plan, sources\n"
        "print('dagster' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment(tmp_path), capture_output=True, text=True, check=True
    )
    assert done.stdout == "False\n"


COMMANDS = [
    ("sources",),
    ("plan",),
    ("lists",),
    ("migrate-cache",),
    ("build-asn-inventory",),
    ("import-legacy",),
    ("refresh",),
    ("passwords",),
    ("top-passwords",),
    ("new-passwords",),
    ("ssh-keys",),
    ("coverage",),
    ("asn", "top"),
    ("asn", "show"),
    ("asn", "history"),
    ("ip", "show"),
    ("cache", "stats"),
    ("cache", "invalidate"),
    ("cache", "clean-up"),
    ("cache", "addresses"),
    ("cache", "flagged"),
]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_has_its_own_help_with_an_example_and_the_common_options(
    tmp_path: Path, command: tuple[str, ...]
) -> None:
    done = invoke_enrich(tmp_path, *command, "--help")
    assert done.code == 0
    assert f"  cowrie-enrich {' '.join(command)}" in done.out.partition("Example")[2]
    expected = {"--json", "--verbose", "--db"} - ({"--db"} if command == ("lists",) else set())
    assert expected <= set(done.out.split())


def test_the_help_lists_all_commands_and_the_exit_codes(tmp_path: Path) -> None:
    done = invoke_enrich(tmp_path, "--help")
    assert {command[0] for command in COMMANDS} <= set(done.out.split())
    codes = done.out.partition("Exit codes:")[2]
    assert [line.split()[0] for line in codes.splitlines()[1:5]] == ["0", "1", "2", "130"]


def complete(folder: Path, *words: str) -> list[str]:
    """Return what bash would offer for the last of `words`."""
    code = "from cowrie_pipeline.cli.enrich import app; app(prog_name='cowrie-enrich')"
    variables = {"_COWRIE_ENRICH_COMPLETE": "complete_bash", "COMP_WORDS": " ".join(words)}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment(folder, **variables, COMP_CWORD=str(len(words) - 1)),
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.split()


def test_a_shell_completes_commands_and_names_of_sources(tmp_path: Path) -> None:
    assert complete(tmp_path, "cowrie-enrich", "sou") == ["sources"]
    assert complete(tmp_path, "cowrie-enrich", "cache", "invalidate", "--service", "gr") == ["greynoise"]


def test_the_names_for_completion_are_those_of_all_sources(tmp_path: Path) -> None:
    assert sorted(source_names()) == sorted(sources(tmp_path))


def test_an_unexpected_error_is_one_line_and_with_verbose_a_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> int:
        raise KeyError("s3cr3t\x1b[2J")

    monkeypatch.setattr("cowrie_pipeline.cli.sources.show_sources", fail)
    done = invoke_enrich(tmp_path, "sources")
    assert (done.code, done.out) == (1, "")
    (line,) = done.err.splitlines()
    assert line.startswith("error: an unexpected KeyError in fail (line ")
    assert "--verbose" in line
    assert "s3cr3t" not in line
    told = invoke_enrich(tmp_path, "sources", "--verbose")
    assert told.code == 1
    assert "Traceback (most recent call last)" in told.err
    assert "\x1b" not in told.err
    assert told.err.splitlines()[-1] == line


def test_a_command_that_is_stopped_says_what_holds_and_ends_with_130(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object, **__: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr("cowrie_pipeline.cli.sources.show_sources", stop)
    done = invoke_enrich(tmp_path, "sources")
    assert (done.code, done.out) == (130, "")
    assert "what was committed is kept" in done.err


def test_verbose_writes_a_log_that_does_not_show_the_password_of_a_database(tmp_path: Path) -> None:
    url = "postgresql://someone:hunter2@127.0.0.1:1/cowrie"
    done = invoke_enrich(tmp_path, "sources", "--db", url, "--verbose")
    assert "DEBUG cowrie_pipeline.warehouse.engine: database postgresql+psycopg://someone:***@" in done.err
    assert "hunter2" not in done.err


NEED_A_DATABASE = [
    ("plan",),
    ("refresh", "--ips", "all"),
    ("passwords",),
    ("top-passwords",),
    ("new-passwords",),
    ("ssh-keys",),
    ("coverage",),
    ("asn", "top"),
    ("asn", "show", "AS64500"),
    ("asn", "history", "64500"),
    ("ip", "show", "203.0.113.7"),
    ("cache", "stats"),
    ("cache", "invalidate", "--service", "dshield"),
    ("cache", "clean-up"),
    ("cache", "addresses", "--country", "FR"),
    ("cache", "flagged"),
    ("migrate-cache", "--from-disk", ".", "--rollback"),
]


@pytest.mark.parametrize("command", NEED_A_DATABASE, ids=" ".join)
def test_a_command_without_a_database_says_how_to_make_one_and_makes_none(
    tmp_path: Path, command: tuple[str, ...]
) -> None:
    done = invoke_enrich(tmp_path, *command)
    assert (done.code, done.out) == (1, "")
    (line,) = done.err.splitlines()
    assert "cowrie-pipeline run --logs PATH" in line
    assert not list(tmp_path.rglob("*.db"))


@pytest.mark.parametrize(
    ("command", "told"),
    [
        (("plan", "--from", "2026-03-02", "--to", "2026-03-01"), "--to 2026-03-01 comes before --from"),
        (("plan", "--from", "soon"), "found 'soon'"),
        (("cache", "invalidate"), "--service"),
        (("cache", "addresses", "--country", "France"), "must be two letters such as FR, found 'France'"),
        (("migrate-cache", "--from-disk", "."), "give --to-database, or --rollback"),
        (("migrate-cache", "--from-disk", "nowhere", "--to-database"), "nowhere: expected a folder"),
        (("lists", "--refresh"), "COWRIE_OFFLINE is set"),
        (("asn", "show", "google"), "such as AS64500, found 'google'"),
        (("asn", "history", "AS0"), "found 'AS0'"),
        (("asn", "top", "--by", "luck"), "luck"),
        (("ip", "show", "example.org"), "found 'example.org'"),
        (("ip", "show", "203.0.113.256"), "expected an IP address"),
        (("coverage", "--source", "nobody"), "--source must be one of"),
        (("refresh",), "give --ips, --sessions or --files"),
        (("refresh", "--ips", "0"), "--ips must be a number above 0 or all, found '0'"),
        (("refresh", "--ips", "many"), "found 'many'"),
        (("refresh", "--ips", "5", "--source", "nobody"), "found 'nobody'"),
        (("refresh", "--ips", "5", "--source", "pwned_passwords"), "use `cowrie-enrich passwords`"),
        (("refresh", "--ips", "5", "--source", "virustotal"), "give --files with it"),
        (("refresh", "--files", "5", "--source", "dshield"), "give --ips with it"),
        (("refresh", "--sessions", "5", "--older-than", "3"), "--older-than is of addresses and files"),
        (("no-such-command",), "no-such-command"),
    ],
)
def test_wrong_use_ends_with_two_and_says_what_is_wrong(tmp_path: Path, command: tuple[str, ...], told: str) -> None:
    done = invoke_enrich(tmp_path, *command)
    assert (done.code, done.out) == (2, "")
    assert told in done.err


@pytest.mark.parametrize(
    ("variable", "value"),
    [("COWRIE_ENRICHMENT_POLICY", "maxmind,nobody"), ("COWRIE_CONTACT", "me\nX: y"), ("COWRIE_OFFLINE", "perhaps")],
)
def test_a_wrong_setting_ends_with_two(tmp_path: Path, variable: str, value: str) -> None:
    done = invoke_enrich(tmp_path, "sources", **{variable: value})
    assert done.code == 2
    (line,) = done.err.splitlines()
    assert line.startswith(f"error: {variable}")


@pytest.mark.parametrize(
    "command",
    [
        ("sources", "--terms"),
        ("sources", "--json"),
        ("plan",),
        ("plan", "--json"),
        ("lists",),
        ("lists", "--json"),
        ("cache", "stats", "--json"),
    ],
    ids=" ".join,
)
def test_no_secret_is_shown(tmp_path: Path, warehouse: Warehouse, database_url: str, command: tuple[str, ...]) -> None:
    attacks(warehouse, tmp_path)
    done = invoke_enrich(tmp_path, *command, COWRIE_DB_URL=database_url, COWRIE_OFFLINE="false", **SECRETS)
    assert done.code == 0, done.err
    assert "s3cr3t" not in done.out + done.err


def test_the_password_of_a_database_is_not_shown(tmp_path: Path) -> None:
    done = invoke_enrich(tmp_path, "sources", "--db", "postgresql://someone:hunter2@127.0.0.1:1/cowrie")
    assert done.code == 1
    assert "hunter2" not in done.out + done.err


# ---- sources


def sources(folder: Path, **variables: str | Path) -> dict[str, Any]:
    done = invoke_enrich(folder, "sources", "--json", **variables)
    assert done.code == 0, done.err
    return {each["service"]: each for each in done.json["sources"]}


def test_sources_without_a_database_say_so_and_make_none(tmp_path: Path) -> None:
    done = invoke_enrich(tmp_path, "sources")
    assert done.code == 0
    assert "There is no database yet" in done.out
    assert "COWRIE_OFFLINE is set" in done.out
    assert not list(tmp_path.rglob("*.db"))
    assert sources(tmp_path)["greynoise"]["budget"] is None


def test_sources_say_why_they_are_off_and_whether_a_key_is_there(tmp_path: Path) -> None:
    variables = {
        "COWRIE_OFFLINE": "false",
        "COWRIE_GREYNOISE_KEY": "s3cr3t",
        "COWRIE_SPUR_ENABLED": "false",
        "COWRIE_ENRICHMENT_POLICY": "maxmind,greynoise,spur,abuseipdb,dshield",
        "COWRIE_CYMRU_RESOLVER": "127.0.0.1:9",
    }
    found = sources(tmp_path, **variables)
    assert list(found)[:5] == ["maxmind", "greynoise", "spur", "abuseipdb", "dshield"]
    assert (found["greynoise"]["on"], found["greynoise"]["has_key"]) == (True, True)
    assert found["spur"]["why"] == "COWRIE_SPUR_ENABLED is false"
    assert (found["abuseipdb"]["on"], found["abuseipdb"]["has_key"]) == (False, False)
    assert "COWRIE_ABUSEIPDB_KEY" in found["abuseipdb"]["why"]
    assert (found["dshield"]["has_key"], found["dshield"]["needs_contact"]) == (None, True)
    assert "COWRIE_CONTACT" in found["dshield"]["why"]
    assert found["urlhaus"]["why"] == found["cymru"]["why"] == "not in COWRIE_ENRICHMENT_POLICY"
    assert (found["cymru_asn"]["on"], found["pwned_passwords"]["on"]) == (True, True)
    plain = invoke_enrich(tmp_path, "sources", **variables).out
    row = next(line for line in plain.splitlines() if line.startswith("greynoise"))
    assert row.split()[1] == "yes"


def test_sources_show_budget_and_last_look_ups(tmp_path: Path, warehouse: Warehouse, database_url: str) -> None:
    allowance = WarehouseAllowance(warehouse)
    allowance.take("greynoise", GreyNoiseSource.terms.limits, 13, now=datetime.now(UTC))
    allowance.pause("dshield", until=NOW + DAY, reason="HTTP 429, too many requests")
    keep(
        warehouse,
        outcome("greynoise", "8.8.8.8"),
        outcome("greynoise", "1.1.1.1", Status.NOT_FOUND, fetched_at=NOW - 2 * DAY),
        outcome("greynoise", "9.9.9.9", Status.ERROR, expires_at=None, retry_at=NOW, error="HTTP 500"),
        outcome("greynoise", "9.9.9.1", Status.SKIPPED_BUDGET, expires_at=None, retry_at=NOW + DAY, error="no budget"),
    )
    found = sources(tmp_path, COWRIE_DB_URL=database_url)
    greynoise, dshield = found["greynoise"], found["dshield"]
    assert (greynoise["budget"]["limits"][0]["used"], greynoise["budget"]["left"]) == (13, 37)
    assert datetime.fromisoformat(greynoise["last_success"]) == NOW - DAY
    assert (greynoise["last_error"], datetime.fromisoformat(greynoise["last_error_at"])) == ("HTTP 500", NOW - DAY)
    assert (dshield["budget"]["left"], dshield["budget"]["pause_reason"]) == (0, "HTTP 429, too many requests")
    assert (dshield["last_success"], dshield["last_error"]) == (None, None)
    plain = invoke_enrich(tmp_path, "sources", COWRIE_DB_URL=database_url).out
    assert "13 used, 37 left of 50 in 7 days" in plain
    assert "paused until" in plain


def test_a_failure_to_renew_an_answer_is_the_last_error(
    tmp_path: Path, warehouse: Warehouse, database_url: str
) -> None:
    answer = outcome("dshield", "8.8.8.8", expires_at=NOW - DAY / 2)
    keep(
        warehouse, answer, outcome("dshield", "8.8.8.8", Status.ERROR, expires_at=None, retry_at=NOW, error="HTTP 502")
    )
    dshield = sources(tmp_path, COWRIE_DB_URL=database_url)["dshield"]
    assert (dshield["last_error"], dshield["last_error_at"]) == ("HTTP 502", None)
    assert datetime.fromisoformat(dshield["last_success"]) == NOW - DAY


def test_terms_are_shown_in_full_when_asked_for(tmp_path: Path) -> None:
    full = GreyNoiseSource.terms.licence
    assert full not in invoke_enrich(tmp_path, "sources").out
    assert f"terms: {full}" in invoke_enrich(tmp_path, "sources", "--terms").out


# ---- plan


def test_the_plan_is_shown(tmp_path: Path, warehouse: Warehouse, database_url: str) -> None:
    attacks(warehouse, tmp_path)
    settings = {"COWRIE_DB_URL": database_url, "COWRIE_OFFLINE": "false", "COWRIE_CYMRU_RESOLVER": "127.0.0.1:9"}
    found = invoke_enrich(tmp_path, "plan", "--json", **settings, **SECRETS).json
    assert (found["addresses_due"], found["passwords"]) == (2, 1)
    to_ask = {each["service"]: each["to_ask"] for each in found["sources"] if each["to_ask"]}
    assert to_ask == {"cymru": 2, "greynoise": 2, "pwned_passwords": 1}
    assert {each["address"]: each["worth"] for each in found["first"]} == {"8.8.8.8": 1, "9.9.9.9": 1}
    plain = invoke_enrich(tmp_path, "plan", **settings, **SECRETS)
    assert "2026-03-09 to 2026-03-09: 2 addresses are due" in plain.out
    assert "the next run" in plain.out
    WarehouseAllowance(warehouse).take("greynoise", GreyNoiseSource.terms.limits, 50, now=datetime.now(UTC))
    assert "7 days" in invoke_enrich(tmp_path, "plan", **settings, **SECRETS).out
    elsewhere = invoke_enrich(tmp_path, "plan", "--from", "2026-03-10", **settings)
    assert (elsewhere.code, "no sessions on these days" in elsewhere.out) == (0, True)


# ---- cache


@pytest.fixture
def filled(warehouse: Warehouse) -> None:
    keep(
        warehouse,
        outcome("dshield", "8.8.8.8", payload={"country": "FR"}),
        outcome("dshield", "9.9.9.9", Status.NOT_FOUND),
        outcome("virustotal", FILE, payload={"malicious": 40, "label": "trojan.mirai"}),
        outcome("cymru", "1.1.1.1", fetched_at=NOW - 500 * DAY, expires_at=NOW - 400 * DAY),
    )


@pytest.mark.usefixtures("filled")
def test_the_cache_is_shown_invalidated_and_cleaned_up(tmp_path: Path, database_url: str) -> None:
    def run(*arguments: str) -> Done:
        done = invoke_enrich(tmp_path, "cache", *arguments, "--db", database_url)
        assert done.code == 0, done.err
        return done

    stats = run("stats", "--json").json
    assert {each["service"]: each["entries"] for each in stats["contents"]} == {
        "cymru": 1,
        "dshield": 2,
        "virustotal": 1,
    }
    assert {each["service"] for each in stats["usage"]} == {"cymru", "dshield", "virustotal"}
    assert "hit 1, not_found 1" in run("stats").out
    assert [each["ip_address"] for each in run("addresses", "--country", "fr", "--json").json["addresses"]] == [
        "8.8.8.8"
    ]
    assert "8.8.8.8" in run("addresses", "--country", "FR").out
    assert "No service" in run("addresses", "--country", "DE").out
    assert "trojan.mirai" in run("flagged", "--days", "7").out
    assert run("flagged", "--days", "0.5", "--json").json["files"] == []
    young = run("invalidate", "--service", "dshield", "--older-than", "2", "--json").json
    assert young["answers"] == 0
    assert "1 answers are due now" in run("invalidate", "--service", "dshield", "--status", "hit").out
    assert run("invalidate", "--service", "virustotal", "--key", FILE, "--json").json["answers"] == 1
    assert run("clean-up", "--json").json == {"removed": {"cymru": 1}, "claims": 0}
    assert "0 entries removed" in run("clean-up").out


def test_an_unknown_service_is_refused_with_the_names_of_all(tmp_path: Path, database_url: str) -> None:
    done = invoke_enrich(tmp_path, "cache", "invalidate", "--service", "greynose", "--db", database_url)
    assert (done.code, done.out) == (2, "")
    assert "greynoise, dshield" in done.err


# ---- migrate-cache


@pytest.fixture
def disk(tmp_path: Path) -> DiskCache:
    """Three answers, of which one is raw and named after its hash alone, and a file that gives none."""
    disk = DiskCache(tmp_path / "old")
    disk.put_many([outcome("dshield", "1.1.1.1", payload={"count": 1}), outcome("virustotal", FILE, Status.NOT_FOUND)])
    digest = sha256(b"8.8.8.8").hexdigest()
    raw = tmp_path / "old" / "greynoise" / digest[:2] / f"{digest}.json"
    raw.parent.mkdir(parents=True)
    raw.write_text(json.dumps({"noise": True, "riot": False}))
    (tmp_path / "old" / "dshield" / "2.2.2.2.json").write_text('{"cut')
    return disk


def test_answers_on_disk_come_into_the_database_and_back(
    tmp_path: Path, warehouse: Warehouse, database_url: str, disk: DiskCache
) -> None:
    attacks(warehouse, tmp_path)

    def migrate(*options: str, folder: Path = disk.folder) -> Done:
        return invoke_enrich(tmp_path, "migrate-cache", "--from-disk", folder, *options, "--db", database_url)

    dry = migrate("--to-database", "--dry-run", "--json")
    assert (dry.code, dry.json["written"], dry.json["dry_run"]) == (0, 3, True)
    assert migrate("--to-database", "--dry-run", "--no-progress").err == ""
    first = migrate("--to-database")
    assert first.code == 0
    assert "4 files = 3 written + 0 there already + 0 newer in the database + 1 skipped" in first.out
    assert "not JSON, or cut" in first.out
    assert "dshield/2.2.2.2.json" in first.out
    assert "reading files: 4 of 4" in first.err
    again = migrate("--to-database", "--json").json
    assert (again["written"], again["already_there"], again["is_valid"]) == (0, 3, True)
    back = migrate("--rollback", folder=tmp_path / "new")
    assert (back.code, "3 written + 0 there already" in back.out) == (0, True)
    assert DiskCache(tmp_path / "new").get_many("dshield", ["1.1.1.1"])["1.1.1.1"].payload == {"count": 1}


def test_a_migration_makes_the_database_and_its_dry_run_does_not(
    tmp_path: Path, databases: Databases, disk: DiskCache
) -> None:
    url = databases.empty()
    dry = invoke_enrich(
        tmp_path, "migrate-cache", "--from-disk", disk.folder, "--to-database", "--dry-run", "--db", url
    )
    assert (dry.code, "2 would be written" in dry.out) == (0, True)
    assert invoke_enrich(tmp_path, "cache", "stats", "--db", url).code == 1
    assert invoke_enrich(tmp_path, "migrate-cache", "--from-disk", disk.folder, "--to-database", "--db", url).code == 0
    assert "dshield" in invoke_enrich(tmp_path, "cache", "stats", "--db", url).out
    databases.drop(url)


def test_a_migration_that_is_interrupted_goes_on_where_it_was(tmp_path: Path) -> None:
    many = [outcome("dshield", f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}") for n in range(20_000)]
    DiskCache(tmp_path / "old").put_many(many)
    # on a busy machine the command can be done before it is seen to have begun
    for number in range(5):
        database = tmp_path / f"{number}.db"
        url = f"sqlite:///{database}"
        command = ("migrate-cache", "--from-disk", tmp_path / "old", "--to-database", "--db", url, "--json")
        process = start_enrich(tmp_path, *command)
        written = 0
        while not written and process.poll() is None:
            written = _entries(database)
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=60)
        if process.returncode != 0:
            break
    assert (process.returncode != 0, out) == (True, "")
    again = invoke_enrich(tmp_path, *command)
    assert again.code == 0
    assert again.json["already_there"] >= written
    assert again.json["already_there"] + again.json["written"] == len(many)


def _entries(path: Path) -> int:
    import sqlite3

    if not path.exists():
        return 0
    connection = sqlite3.connect(path)
    try:
        return int(connection.execute("SELECT count(*) FROM enrichment_cache").fetchone()[0])
    except sqlite3.OperationalError:
        return 0
    finally:
        connection.close()


# ---- lists


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FileServer]:
    """A publisher of two lists; the others are switched off."""
    pages = {
        "/tor_exits": Page(tor_exits([f"9.9.{n // 250}.{n % 250}" for n in range(500)])),
        "/spamhaus_drop_v4": Page(spamhaus([drop_record("9.0.0.0/8")])),
    }
    with FileServer(pages) as running:
        moved = [
            replace(each, file=replace(each.file, urls=lambda _, name=each.name: (running.url(f"/{name}"),)))  # type: ignore[misc]
            for each in ALL_LISTS
        ]
        monkeypatch.setattr("cowrie_pipeline.cli.lists.ALL_LISTS", tuple(moved))
        yield running


OFF = ",".join(each.name for each in ALL_LISTS if each.name not in ("tor_exits", "spamhaus_drop_v4"))
LISTS = {"COWRIE_OFFLINE": "false", "COWRIE_LISTS_OFF": OFF}


def test_lists_are_shown_downloaded_and_left_alone_while_they_are_new(tmp_path: Path, server: FileServer) -> None:
    before = {each["name"]: each for each in invoke_enrich(tmp_path, "lists", "--json", **LISTS).json["lists"]}
    assert (before["tor_exits"]["is_due"], before["tor_exits"]["is_there"]) == (True, False)
    assert (before["rir_ripe"]["is_due"], before["rir_ripe"]["why_not"]) == (False, "switched off")
    assert server.asked() == []
    done = invoke_enrich(tmp_path, "lists", "--refresh", **LISTS)
    assert done.code == 0, done.err
    assert "tor_exits: updated" in done.out
    assert "rir_ripe: not configured (switched off)" in done.out
    assert "2 updated" in done.out
    assert sorted(server.asked()) == ["/spamhaus_drop_v4", "/tor_exits"]
    after = {each["name"]: each for each in invoke_enrich(tmp_path, "lists", "--json", **LISTS).json["lists"]}
    assert (after["tor_exits"]["records"], after["tor_exits"]["is_due"]) == (500, False)
    assert after["spamhaus_drop_v4"]["list_date"] == "2026-02-28"
    assert "500" in invoke_enrich(tmp_path, "lists", **LISTS).out
    again = invoke_enrich(tmp_path, "lists", "--refresh", **LISTS)
    assert (again.code, "tor_exits: unchanged" in again.out) == (0, True)
    assert len(server.asked()) == 2


def test_a_list_that_fails_ends_with_one_and_the_others_are_fetched(tmp_path: Path, server: FileServer) -> None:
    server.pages["/tor_exits"] = Page(b"<html>Just a moment...</html>")
    done = invoke_enrich(tmp_path, "lists", "--refresh", **LISTS)
    assert done.code == 1
    assert "error: tor_exits: " in done.err
    assert "spamhaus_drop_v4: updated" in done.out
    found = invoke_enrich(tmp_path, "lists", "--refresh", "--json", **LISTS)
    assert (found.code, found.json["ok"]) == (1, False)
    assert "error: tor_exits: " in invoke_enrich(tmp_path, "lists", **LISTS).err
