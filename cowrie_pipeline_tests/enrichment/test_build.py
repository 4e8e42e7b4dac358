"""From settings to what can be asked: why a source is off, what an operator changes, raw answers of earlier times."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from cowrie_pipeline.enrichment.build import (
    Enrichment,
    build_enrichment,
    converters,
    lists_configuration,
)
from cowrie_pipeline.enrichment.cascade import ADDRESS_POLICY
from cowrie_pipeline.enrichment.circuit import Circuit
from cowrie_pipeline.enrichment.disk_cache import DiskCache
from cowrie_pipeline.enrichment.lists.catalog import ALL_LISTS, not_configured
from cowrie_pipeline.enrichment.outcomes import Source, Status
from cowrie_pipeline.enrichment.sources.cymru import CymruSource
from cowrie_pipeline.enrichment.sources.cymru_whois import CymruBulkSource
from cowrie_pipeline.enrichment.sources.http_source import HttpSource
from cowrie_pipeline.enrichment.sources.pwned_passwords import times_seen
from cowrie_pipeline.enrichment.terms import Limit
from cowrie_pipeline.settings import Settings, SettingsError
from cowrie_pipeline.steps.ledger import open_disk_cache
from cowrie_pipeline_tests.contract.services import (
    DSHIELD_KNOWN,
    FILE,
    GREYNOISE_KNOWN,
    INTERNETDB_KNOWN,
    KNOWN,
    PREFIX,
    PWNED_COUNTS,
    PWNED_ROWS,
    SPUR_KNOWN,
    UNKNOWN,
    UNKNOWN_FILE,
    URLHAUS_KNOWN,
    VIRUSTOTAL_KNOWN,
)
from cowrie_pipeline_tests.enrichment.allowances import MemoryAllowance

NOW = datetime(2026, 1, 1, tzinfo=UTC)
REMOTE = (
    "cymru",
    "cymru_asn",
    "greynoise",
    "dshield",
    "urlhaus",
    "abuseipdb",
    "spur",
    "internetdb",
    "virustotal",
    "pwned_passwords",
)
NEEDING_KEYS = ("greynoise", "urlhaus", "abuseipdb", "spur", "virustotal")


def build(environment: Mapping[str, str], folder: Path) -> Enrichment:
    given = {"COWRIE_STATE_DIR": str(folder), "COWRIE_CYMRU_RESOLVER": "127.0.0.1:1"}
    settings = Settings.from_environment({**given, **environment})
    return build_enrichment(settings, {}, MemoryAllowance())


def off(enrichment: Enrichment) -> dict[str, str]:
    return {state.source.name: state.off for state in enrichment.sources if state.off is not None}


def source_of(enrichment: Enrichment, service: str) -> Source:
    return next(state.source for state in enrichment.sources if state.source.name == service)


def test_every_source_is_there_in_the_order_in_which_it_is_asked(tmp_path: Path) -> None:
    with build({}, tmp_path) as enrichment:
        names = [state.source.name for state in enrichment.sources]
    order = [stage.service for stage in ADDRESS_POLICY]
    assert names[: len(order)] == order
    assert set(names[len(order) :]) == {"cymru_asn", "spamhaus_asndrop", "rir", "virustotal", "pwned_passwords"}


def test_without_any_setting_all_is_on_that_needs_no_word_of_the_operator(tmp_path: Path) -> None:
    with build({}, tmp_path) as enrichment:
        assert off(enrichment) == {"internetdb": "COWRIE_INTERNETDB_ENABLED is false"}
        usable = {state.source.name for state in enrichment.sources if state.source.availability().usable}
        reasons = {name: source_of(enrichment, name).availability().reason for name in REMOTE}
        assert usable & set(REMOTE) == {"cymru", "cymru_asn", "internetdb", "pwned_passwords"}
        assert enrichment.cascade.signature == "cymru+cymru_asn"
    for name in NEEDING_KEYS:
        assert reasons[name] == f"not configured: set COWRIE_{name.upper()}_KEY"
    assert reasons["dshield"].startswith("not configured: set COWRIE_CONTACT")


def test_a_key_and_a_contact_switch_services_on(tmp_path: Path) -> None:
    given = {f"COWRIE_{name.upper()}_KEY": "k" for name in NEEDING_KEYS}
    given |= {"COWRIE_CONTACT": "operator@example.org", "COWRIE_INTERNETDB_ENABLED": "yes"}
    with build(given, tmp_path) as enrichment:
        assert off(enrichment) == {}
        assert enrichment.cascade.signature == ("cymru+greynoise+dshield+urlhaus+abuseipdb+spur+internetdb+cymru_asn")
        assert enrichment.files is not None
        assert enrichment.files.availability().usable


def test_offline_asks_nobody_whatever_else_is_set(tmp_path: Path) -> None:
    given = {f"COWRIE_{name.upper()}_KEY": "k" for name in NEEDING_KEYS}
    given |= {"COWRIE_OFFLINE": "true", "COWRIE_INTERNETDB_ENABLED": "true", "COWRIE_CONTACT": "me@example.org"}
    with build(given, tmp_path) as enrichment:
        assert off(enrichment) == dict.fromkeys(REMOTE, "COWRIE_OFFLINE is set")
        assert (enrichment.files, enrichment.passwords, enrichment.cascade.signature) == (None, None, "")


@pytest.mark.parametrize(
    ("variable", "services"),
    [
        ("COWRIE_CYMRU_ENABLED", {"cymru", "cymru_asn"}),
        ("COWRIE_DSHIELD_ENABLED", {"dshield"}),
        ("COWRIE_VIRUSTOTAL_ENABLED", {"virustotal"}),
        ("COWRIE_PWNED_PASSWORDS_ENABLED", {"pwned_passwords"}),
    ],
)
def test_a_source_that_is_switched_off_says_by_what(variable: str, services: set[str], tmp_path: Path) -> None:
    with build({variable: "false"}, tmp_path) as enrichment:
        found = off(enrichment)
        assert {name for name, why in found.items() if why == f"{variable} is false"} == services
        assert (enrichment.files is None) == ("virustotal" in services)
        assert (enrichment.passwords is None) == ("pwned_passwords" in services)


def test_what_an_operator_sets_replaces_the_terms_of_the_service_and_of_no_other(tmp_path: Path) -> None:
    given = {
        "COWRIE_VIRUSTOTAL_LIMITS": "1/1d",
        "COWRIE_VIRUSTOTAL_HIT_DAYS": "3",
        "COWRIE_VIRUSTOTAL_NEGATIVE_DAYS": "0.25",
        "COWRIE_VIRUSTOTAL_URL": "http://127.0.0.1:9/vt",
        "COWRIE_VIRUSTOTAL_MAX_IN_FLIGHT": "50",
        "COWRIE_CYMRU_HIT_DAYS": "30",
        "COWRIE_CYMRU_NEGATIVE_DAYS": "1",
    }
    with build(given, tmp_path) as enrichment, build({}, tmp_path) as untouched:
        files = source_of(enrichment, "virustotal")
        assert isinstance(files, HttpSource)
        assert files.terms.limits == (Limit(1, timedelta(days=1)),)
        assert (files.terms.hit_for, files.terms.negative_for) == (timedelta(days=3), timedelta(hours=6))
        assert (files.base_url, files.max_in_flight) == ("http://127.0.0.1:9/vt", 50)
        for name in ("cymru", "cymru_asn"):
            terms = source_of(enrichment, name).terms
            assert (terms.hit_for, terms.negative_for) == (timedelta(days=30), timedelta(days=1))
        for name in REMOTE[2:]:
            if name != "virustotal":
                assert source_of(enrichment, name).terms == source_of(untouched, name).terms


def test_the_times_for_which_answers_hold_are_those_of_the_services_unless_set(tmp_path: Path) -> None:
    hit_days = {
        "virustotal": 30,
        "dshield": 7,
        "urlhaus": 3,
        "spur": 14,
        "pwned_passwords": 60,
        "cymru": 90,
        "greynoise": 7,
    }
    with build({}, tmp_path) as enrichment:
        assert {name: source_of(enrichment, name).terms.hit_for.days for name in hit_days} == hit_days
        assert source_of(enrichment, "virustotal").terms.negative_for == timedelta(hours=12)


@pytest.mark.parametrize(("threshold", "kind"), [("1000", CymruBulkSource), ("0", CymruSource)])
def test_large_batches_go_to_whois_unless_that_is_switched_off(
    threshold: str, kind: type[Source], tmp_path: Path
) -> None:
    with build({"COWRIE_CYMRU_WHOIS_THRESHOLD": threshold}, tmp_path) as enrichment:
        assert type(source_of(enrichment, "cymru")) is kind


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("COWRIE_ENRICHMENT_POLICY", "maxmind,shodan"),
        ("COWRIE_ENRICHMENT_POLICY", "maxmind,maxmind"),
        ("COWRIE_CONTACT", "me@example.org\r\nX-Other: 1"),
    ],
)
def test_what_cannot_be_used_is_named_by_its_setting(variable: str, value: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=variable):
        build({variable: value}, tmp_path)


def test_a_resolver_that_cannot_be_read_leaves_all_other_sources(tmp_path: Path) -> None:
    with build({"COWRIE_CYMRU_RESOLVER": "nowhere:53:53"}, tmp_path) as enrichment:
        availability = source_of(enrichment, "cymru").availability()
        assert not availability.usable
        assert "nowhere:53:53" in availability.reason
        assert source_of(enrichment, "pwned_passwords").availability().usable


def test_what_one_batch_learned_of_a_service_serves_the_next(tmp_path: Path) -> None:
    settings = Settings(state_dir=tmp_path, cymru_resolver="127.0.0.1:1")
    circuits: dict[str, Circuit] = {}
    with build_enrichment(settings, circuits, MemoryAllowance()) as first:
        source = source_of(first, "pwned_passwords")
        assert isinstance(source, HttpSource)
        source.circuit.trip(NOW, "refused")
    with build_enrichment(settings, circuits, MemoryAllowance()) as second:
        source = source_of(second, "pwned_passwords")
        assert isinstance(source, HttpSource)
        assert source.circuit.reason == "refused"


def test_no_secret_is_in_what_is_printed_of_what_was_built(tmp_path: Path) -> None:
    given = {f"COWRIE_{name.upper()}_KEY": f"hunter2-{name}" for name in NEEDING_KEYS}
    given |= {"COWRIE_MAXMIND_ACCOUNT_ID": "hunter2-id", "COWRIE_MAXMIND_LICENSE_KEY": "hunter2-key"}
    with build(given, tmp_path) as enrichment:
        shown = [repr(enrichment.sources), repr(enrichment), repr(enrichment.cascade)]
        shown += [f"{state.source.availability()} {state.source.terms}" for state in enrichment.sources]
    shown.append(repr(lists_configuration(Settings.from_environment(given))))
    assert "hunter2" not in " ".join(shown)


def test_lists_are_fetched_with_what_the_settings_give(tmp_path: Path) -> None:
    nothing = lists_configuration(Settings(state_dir=tmp_path))
    reasons = {each.name: not_configured(each, nothing) for each in ALL_LISTS}
    assert {name for name, why in reasons.items() if why and "licence key" in why} == {
        "geolite2_city",
        "geolite2_asn",
    }
    assert reasons["tor_exits"] is None
    everything = lists_configuration(
        Settings(
            state_dir=tmp_path,
            contact="me@example.org",
            maxmind_account_id="1",
            maxmind_license_key="k",
            lists_off=("tor_exits",),
        )
    )
    assert everything.folder == tmp_path / "lists"
    assert everything.geoip_folder == tmp_path / "geoip"
    reasons = {each.name: not_configured(each, everything) for each in ALL_LISTS}
    assert {name for name, why in reasons.items() if why} == {"tor_exits", "dbip_city", "dbip_asn"}
    # one half of the credentials is none
    half = lists_configuration(Settings(state_dir=tmp_path, maxmind_license_key="k"))
    assert half.maxmind is None


def hashed(key: str) -> str:
    digest = sha256(key.encode()).hexdigest()
    return f"{digest[:2]}/{digest}.json"


RAW_HITS: Mapping[str, tuple[str, str, Any, Mapping[str, Any]]] = {
    "virustotal": (
        FILE,
        f"{FILE[:2]}/{FILE}.json",
        VIRUSTOTAL_KNOWN,
        {"malicious": 41, "label": "trojan.mirai/gafgyt"},
    ),
    "dshield": (KNOWN, f"{KNOWN}.json", {"ip": DSHIELD_KNOWN}, {"reports": 1523, "asn": 64500, "country": "NL"}),
    "greynoise": (KNOWN, hashed(KNOWN), GREYNOISE_KNOWN, {"noise": True, "classification": "malicious"}),
    "urlhaus": (KNOWN, hashed(KNOWN), URLHAUS_KNOWN, {"url_count": 4, "tags": ["mirai", "elf"]}),
    "spur": (KNOWN, hashed(KNOWN), SPUR_KNOWN, {"infrastructure": "DATACENTER"}),
    "internetdb": (KNOWN, hashed(KNOWN), INTERNETDB_KNOWN, {"ports": [22, 443]}),
    # a text, since that is what the service answers
    "pwned_passwords": (
        PREFIX,
        f"{PREFIX[:2]}/{PREFIX}.json",
        "\r\n".join(f"{suffix}:{count}" for suffix, count in PWNED_ROWS.items()),
        {"counts": PWNED_COUNTS},
    ),
}
RAW_NEGATIVES: Mapping[str, tuple[str, str, Any]] = {
    "virustotal": (
        UNKNOWN_FILE,
        f"{UNKNOWN_FILE[:2]}/{UNKNOWN_FILE}.json",
        {"error": {"code": "NotFoundError", "message": "not found"}},
    ),
    "greynoise": (UNKNOWN, hashed(UNKNOWN), {"ip": UNKNOWN, "noise": False, "riot": False, "message": "not observed"}),
    "urlhaus": (UNKNOWN, hashed(UNKNOWN), {"query_status": "no_results"}),
    "spur": (UNKNOWN, hashed(UNKNOWN), {"ip": UNKNOWN}),
    "internetdb": (UNKNOWN, hashed(UNKNOWN), {"detail": "No information available"}),
}


def put(folder: Path, service: str, name: str, raw: Any) -> Path:
    path = folder / {"pwned_passwords": "hibp"}.get(service, service) / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(raw))
    return path


def disk(folder: Path) -> DiskCache:
    settings = Settings(state_dir=folder, cymru_resolver="127.0.0.1:1")
    with build_enrichment(settings, {}, MemoryAllowance()) as enrichment:
        return open_disk_cache(settings, enrichment)


@pytest.mark.parametrize("service", RAW_HITS)
def test_the_raw_answer_of_an_earlier_installation_is_read_as_the_service_gave_it(service: str, tmp_path: Path) -> None:
    key, name, raw, facts = RAW_HITS[service]
    path = put(tmp_path / "cache", service, name, raw)
    outcome = disk(tmp_path).get_many(service, [key])[key]
    assert (outcome.status, outcome.key, outcome.service) == (Status.HIT, key, service)
    assert facts.items() <= outcome.payload.items()
    # it is as old as its file, and holds no longer for having been found today
    written_at = datetime.fromtimestamp(path.stat().st_mtime, UTC)
    assert abs(outcome.fetched_at - written_at) < timedelta(milliseconds=1)
    assert outcome.expires_at is not None
    assert outcome.expires_at - outcome.fetched_at in {timedelta(days=days) for days in (3, 7, 14, 30, 60)}


@pytest.mark.parametrize("service", RAW_NEGATIVES)
def test_a_raw_negative_is_one_and_holds_as_long_as_one(service: str, tmp_path: Path) -> None:
    key, name, raw = RAW_NEGATIVES[service]
    put(tmp_path / "cache", service, name, raw)
    outcome = disk(tmp_path).get_many(service, [key])[key]
    assert (outcome.status, outcome.payload) == (Status.NOT_FOUND, {})


@pytest.mark.parametrize("service", sorted(RAW_HITS))
@pytest.mark.parametrize(
    "raw",
    [
        {},
        [],
        None,
        5,
        "",
        "<html>We are sorry</html>",
        {"error": {"code": "QuotaExceededError", "message": "Quota exceeded"}},
        {"message": "unauthorized"},
        {"query_status": "unknown_auth_key"},
    ],
    ids=str,
)
def test_a_raw_file_that_is_no_answer_is_a_miss_and_never_a_negative(service: str, raw: Any, tmp_path: Path) -> None:
    key, name, *_ = RAW_HITS[service]
    put(tmp_path / "cache", service, name, raw)
    cache = disk(tmp_path)
    assert cache.get_many(service, [key]) == {}
    (finding,) = cache.findings(NOW)
    assert finding.service == service


def test_a_password_is_found_in_the_raw_answer_of_its_prefix(tmp_path: Path) -> None:
    _, name, raw, _ = RAW_HITS["pwned_passwords"]
    put(tmp_path / "cache", "pwned_passwords", name, raw)
    payload = disk(tmp_path).get_many("pwned_passwords", [PREFIX])[PREFIX].payload
    assert times_seen(f"{PREFIX}0018A45C4D1DEF81644B54AB7F969B88D65", payload) == 10
    assert times_seen(f"{PREFIX}{'0' * 35}", payload) == 0


def test_every_service_that_is_asked_by_http_can_read_its_raw_answers(tmp_path: Path) -> None:
    with build({}, tmp_path) as enrichment:
        assert set(converters(enrichment)) == set(REMOTE) - {"cymru", "cymru_asn"}
