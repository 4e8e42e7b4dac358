"""What is odd in each service's own way: flags, texts for numbers, null for lists, errors with status 200."""

import hashlib
from typing import Any

import pytest

from cowrie_pipeline.cowrie.passwords import sha1_of
from cowrie_pipeline.enrichment.http_client import HttpClient
from cowrie_pipeline.enrichment.outcomes import Outcome, Status
from cowrie_pipeline.enrichment.sources.pwned_passwords import prefix_of
from cowrie_pipeline_tests.contract.asking import CONTACT, desk
from cowrie_pipeline_tests.contract.http_server import Answer, as_json
from cowrie_pipeline_tests.contract.services import (
    ABUSEIPDB_KNOWN,
    CASES,
    DSHIELD_KNOWN,
    FILE,
    GREYNOISE_KNOWN,
    INTERNETDB_KNOWN,
    KEY,
    KNOWN,
    PREFIX,
    PWNED_COUNTS,
    PWNED_ROWS,
    SPUR_KNOWN,
    URLHAUS_KNOWN,
    VIRUSTOTAL_KNOWN,
)

BY_NAME = {str(case): case for case in CASES}
OTHER = "198.51.100.77"


def ask(service: str, answer: Answer | Any, key: str | None = None, status: int = 200) -> Outcome:
    """Ask a service that gives one answer, a JSON value unless it is an Answer."""
    case = BY_NAME[service]
    given = answer if isinstance(answer, Answer) else as_json(answer, status)
    with desk(case, given) as at:
        return at.look_up(key or case.known)[0]


# GreyNoise


def test_greynoise_is_asked_about_ipv4_alone() -> None:
    with desk(BY_NAME["greynoise"]) as at:
        outcomes = at.look_up("2001:db8::1", f"::ffff:{KNOWN}", KNOWN)
        assert [asked.path for asked in at.server.asked] == [f"/v3/community/{KNOWN}"] * 2
    assert [outcome.status for outcome in outcomes] == [Status.NOT_APPLICABLE, Status.HIT, Status.HIT]
    assert outcomes[0].retry_at is None


@pytest.mark.parametrize(
    "odd",
    [
        {"noise": None},
        {"noise": 1},
        {"riot": "perhaps"},
        {"ip": OTHER},
        {"ip": 7},
    ],
)
def test_greynoise_flags_that_are_none_and_answers_about_others_are_no_answer(odd: dict[str, Any]) -> None:
    assert ask("greynoise", GREYNOISE_KNOWN | odd).status is Status.ERROR


@pytest.mark.parametrize(
    ("odd", "absent"),
    [
        ({"last_seen": "yesterday"}, "last_seen"),
        ({"last_seen": ""}, "last_seen"),
        ({"classification": "evil"}, "classification"),
        ({"classification": ["benign"]}, "classification"),
        ({"name": None}, "name"),
    ],
)
def test_a_greynoise_field_that_cannot_be_read_is_absent(odd: dict[str, Any], absent: str) -> None:
    payload = ask("greynoise", GREYNOISE_KNOWN | odd).payload
    assert absent not in payload
    assert payload["noise"] is True


def test_greynoise_names_a_benign_scanner() -> None:
    payload = ask(
        "greynoise", GREYNOISE_KNOWN | {"classification": "benign", "name": "Shodan.io", "riot": True}
    ).payload
    assert (payload["classification"], payload["name"], payload["riot"]) == ("benign", "Shodan.io", True)


def test_greynoise_says_400_for_what_is_not_routed() -> None:
    outcome = ask("greynoise", {"ip": KNOWN, "message": "Request is not a valid routable IPv4 address"}, status=400)
    assert outcome.status is Status.NOT_APPLICABLE
    assert outcome.retry_at is not None
    assert outcome.response_code == 400


def test_greynoise_never_says_404_of_what_it_saw() -> None:
    assert ask("greynoise", GREYNOISE_KNOWN, status=404).status is Status.ERROR


@pytest.mark.parametrize("service", ["dshield", "spur", "internetdb"])
def test_an_ipv6_address_is_asked_by_its_usual_text(service: str) -> None:
    with desk(BY_NAME[service]) as at:
        at.look_up("2001:0DB8:0:0::1")
    assert at.server.asked[0].path.endswith("/2001:db8::1")


# DShield


def test_dshield_refuses_who_does_not_say_who_it_is() -> None:
    case = BY_NAME["dshield"]
    with desk(case) as at, HttpClient() as nameless:
        at.source._client = nameless
        assert at.source.availability().reason.startswith("not configured: set COWRIE_CONTACT")
        # Whoever asks nevertheless is told 403, which is not "not found".
        reply = nameless.send(at.server.url, at.source.request(KNOWN))
        assert reply.status == 403
    with desk(case) as at:
        at.look_up(KNOWN)
        assert at.server.asked[0].headers["user-agent"].endswith(f"(+{CONTACT})")


def test_a_contact_that_dshield_does_not_like_stops_the_source() -> None:
    with desk(BY_NAME["dshield"], Answer(403, b"Please set a User-Agent with your contact.", "text/plain")) as at:
        outcome = at.look_up(KNOWN)[0]
        (finding,) = at.source.findings(at.clock.now)
    assert outcome.status is Status.ERROR
    assert "COWRIE_CONTACT" in finding.advice


def test_dshield_pads_an_address_with_zeros() -> None:
    assert ask("dshield", {"ip": DSHIELD_KNOWN | {"number": "203.000.113.007"}}).payload["reports"] == 1523


def test_an_address_that_nobody_reported_still_has_a_network_and_no_count() -> None:
    unseen = dict.fromkeys(DSHIELD_KNOWN) | {"number": KNOWN, "as": 64500, "ascountry": "NL"}
    assert ask("dshield", {"ip": unseen}).payload == {"asn": 64500, "country": "NL"}


@pytest.mark.parametrize(
    ("odd", "absent"),
    [
        ({"count": -1}, "reports"),
        ({"count": "many"}, "reports"),
        ({"count": 1.5}, "reports"),
        ({"attacks": True}, "targets"),
        ({"mindate": "0000-00-00"}, "first_seen"),
        ({"maxrisk": 11}, "max_risk"),
        ({"as": "AS64500"}, "asn"),
        ({"ascountry": "XX"}, "country"),
        ({"network": "203.0.113.7/24"}, "network"),
        ({"threatfeeds": []}, "threat_feeds"),
        ({"threatfeeds": "none"}, "threat_feeds"),
    ],
)
def test_a_dshield_field_that_cannot_be_read_is_absent(odd: dict[str, Any], absent: str) -> None:
    payload = ask("dshield", {"ip": DSHIELD_KNOWN | odd}).payload
    assert absent not in payload
    assert len(payload) == len(BY_NAME["dshield"].payload) - 1


def test_dshield_says_with_status_200_that_an_address_is_bad() -> None:
    assert ask("dshield", {"error": "bad IP address"}).status is Status.NOT_APPLICABLE


# URLhaus


def test_urlhaus_refuses_a_key_with_status_200() -> None:
    case = BY_NAME["urlhaus"]
    with desk(case, api_key="an old key", max_in_flight=1) as at:
        outcomes = at.look_up(KNOWN, OTHER)
        assert len(at.server.asked) == 1
        (finding,) = at.source.findings(at.clock.now)
    assert [outcome.status for outcome in outcomes] == [Status.ERROR] * 2
    assert finding.found == "refused with unknown_auth_key"
    assert "COWRIE_URLHAUS_KEY" in finding.advice


def test_urlhaus_is_asked_by_a_form() -> None:
    with desk(BY_NAME["urlhaus"]) as at:
        at.look_up(KNOWN)
    (asked,) = at.server.asked
    assert (asked.method, asked.path, asked.form) == ("POST", "/v1/host/", {"host": KNOWN})
    assert asked.headers["auth-key"] == KEY


@pytest.mark.parametrize("said", ["http_post_expected", "maintenance", "", None, 7, "<script>", KEY])
def test_a_query_status_that_is_no_answer_is_an_error(said: Any) -> None:
    outcome = ask("urlhaus", {"query_status": said})
    assert outcome.status is Status.ERROR
    assert KEY not in str(outcome.error)


def test_urlhaus_cannot_be_asked_about_every_host() -> None:
    assert ask("urlhaus", {"query_status": "invalid_host"}).status is Status.NOT_APPLICABLE


@pytest.mark.parametrize(
    ("odd", "absent"),
    [
        ({"urls": None}, {"online_count", "threats", "tags"}),
        ({"urls": []}, {"online_count", "threats", "tags"}),
        ({"urls": [None, "x", {"tags": None, "threat": None}]}, {"threats", "tags"}),
        ({"firstseen": None}, {"first_seen"}),
        ({"firstseen": "0000-00-00 00:00:00 UTC"}, {"first_seen"}),
        ({"urlhaus_reference": "javascript:alert(1)"}, {"reference"}),
        ({"blacklists": None}, {"blacklists"}),
        ({"blacklists": {"surbl": "not listed", "spamhaus_dbl": None}}, {"blacklists"}),
    ],
)
def test_a_urlhaus_field_that_cannot_be_read_is_absent(odd: dict[str, Any], absent: set[str]) -> None:
    payload = ask("urlhaus", URLHAUS_KNOWN | odd).payload
    assert set(BY_NAME["urlhaus"].payload) - set(payload) == absent


def test_a_urlhaus_answer_about_another_host_is_no_answer() -> None:
    assert ask("urlhaus", URLHAUS_KNOWN | {"host": OTHER}).status is Status.ERROR


# SPUR


@pytest.mark.parametrize("part", [part for part in SPUR_KNOWN if part != "ip"])
@pytest.mark.parametrize("odd", [None, [], {}, "", 7, True, [None, {}, 1.5], {"number": "x", "types": "y"}])
def test_every_part_of_spurs_answer_may_be_missing_or_odd(part: str, odd: Any) -> None:
    known = BY_NAME["spur"].payload
    payload = ask("spur", SPUR_KNOWN | {part: odd}).payload
    unchanged = {name for name, fact in known.items() if payload.get(name) == fact}
    assert len(unchanged) >= len(known) - 2
    assert None not in payload.values()


def test_spur_knows_public_addresses_alone() -> None:
    assert ask("spur", Answer(400, b"only public IPs", "text/plain")).status is Status.NOT_APPLICABLE


def test_spur_says_429_when_all_queries_are_used_up() -> None:
    with desk(BY_NAME["spur"], Answer(429, b"")) as at:
        outcome = at.look_up(KNOWN)[0]
        assert outcome.retry_at == at.clock.now + at.source.default_pause


# AbuseIPDB


def test_abuseipdb_knows_something_of_every_address() -> None:
    with desk(BY_NAME["abuseipdb"]) as at:
        (outcome,) = at.look_up(OTHER)
        assert at.server.asked[0].params == {"ipAddress": OTHER, "maxAgeInDays": "90"}
    assert outcome.payload == {"score": 0, "total_reports": 0, "is_tor": False}


@pytest.mark.parametrize("score", [None, "high", -1, 101, True, 50.5])
def test_an_abuseipdb_answer_without_a_score_is_no_answer(score: Any) -> None:
    assert ask("abuseipdb", {"data": ABUSEIPDB_KNOWN | {"abuseConfidenceScore": score}}).status is Status.ERROR


def test_abuseipdb_says_402_to_a_plan_that_does_not_pay() -> None:
    with desk(BY_NAME["abuseipdb"], as_json({"errors": [{"detail": "x", "status": 402}]}, 402)) as at:
        at.look_up(KNOWN)
        (finding,) = at.source.findings(at.clock.now)
    assert "402" in finding.found


def test_abuseipdb_says_422_to_what_is_no_address() -> None:
    errors = {"errors": [{"detail": "The ip address must be a valid IPv4 or IPv6 address.", "status": 422}]}
    assert ask("abuseipdb", errors, status=422).status is Status.NOT_APPLICABLE


# InternetDB


def test_an_internetdb_answer_with_empty_lists_knows_nothing() -> None:
    empty = {"ip": KNOWN, "ports": [], "cpes": [], "hostnames": [], "tags": [], "vulns": []}
    assert ask("internetdb", empty).status is Status.NOT_FOUND


def test_internetdb_ports_are_ports() -> None:
    payload = ask("internetdb", INTERNETDB_KNOWN | {"ports": [22, 0, 65536, -1, None, "80", True, 22]}).payload
    assert payload["ports"] == [22, 80]


def test_lists_without_end_are_bounded() -> None:
    endless = INTERNETDB_KNOWN | {"ports": list(range(70_000)), "hostnames": [f"{n}." + "x" * 1999 for n in range(999)]}
    payload = ask("internetdb", endless).payload
    assert len(payload["ports"]) == 1000
    assert len(payload["hostnames"]) == 50
    assert {len(name) for name in payload["hostnames"]} == {200}


def test_internetdb_says_422_to_what_is_no_address() -> None:
    assert ask("internetdb", {"detail": []}, status=422).status is Status.NOT_APPLICABLE


@pytest.mark.parametrize("detail", ["Not Found", None])
def test_a_404_from_somewhere_else_is_no_answer_of_internetdb(detail: Any) -> None:
    assert ask("internetdb", {"detail": detail}, status=404).status is Status.ERROR


# VirusTotal


def test_virustotal_takes_a_sha256_in_lower_case_alone() -> None:
    with desk(BY_NAME["virustotal"]) as at:
        outcomes = at.look_up(FILE.upper(), FILE[:40], "a" * 32, FILE)
        assert [asked.path for asked in at.server.asked] == [f"/api/v3/files/{FILE}"]
    assert [outcome.status for outcome in outcomes] == [Status.NOT_APPLICABLE] * 3 + [Status.HIT]


def virustotal_with(**odd: Any) -> dict[str, Any]:
    return {"data": VIRUSTOTAL_KNOWN["data"] | {"attributes": VIRUSTOTAL_KNOWN["data"]["attributes"] | odd}}


@pytest.mark.parametrize(
    ("odd", "absent"),
    [
        ({"first_submission_date": 0}, "first_submission"),
        ({"first_submission_date": 10**30}, "first_submission"),
        ({"last_analysis_date": "soon"}, "last_analysis"),
        ({"size": -1}, "size"),
        ({"names": "x86"}, "names"),
        ({"tags": None}, "tags"),
        ({"md5": "xyz"}, "md5"),
        ({"sha1": None}, "sha1"),
        ({"popular_threat_classification": None}, "label"),
        ({"type_description": {}}, "type"),
    ],
)
def test_a_virustotal_field_that_cannot_be_read_is_absent(odd: dict[str, Any], absent: str) -> None:
    assert set(BY_NAME["virustotal"].payload) - set(ask("virustotal", virustotal_with(**odd)).payload) == {absent}


@pytest.mark.parametrize("odd", [{"last_analysis_stats": {}}, {"last_analysis_stats": None}, {"sha256": "b" * 64}])
def test_a_virustotal_answer_without_counts_or_about_another_file_is_no_answer(odd: dict[str, Any]) -> None:
    assert ask("virustotal", virustotal_with(**odd)).status is Status.ERROR


def test_a_404_that_is_not_virustotals_own_is_no_answer() -> None:
    assert ask("virustotal", {"error": {"code": "SomethingElse"}}, status=404).status is Status.ERROR


@pytest.mark.parametrize(("code", "minutes"), [("TooManyRequestsError", 1), ("QuotaExceededError", 15), (None, 15)])
def test_virustotal_says_in_its_body_which_limit_was_met(code: str | None, minutes: int) -> None:
    with desk(BY_NAME["virustotal"], as_json({"error": {"code": code, "message": ""}}, 429)) as at:
        retry_at = at.look_up(FILE)[0].retry_at
        assert retry_at is not None
        assert (retry_at - at.clock.now).total_seconds() == 60 * minutes


# Pwned Passwords


def test_of_a_password_five_digits_leave_the_machine() -> None:
    password = "correct horse battery staple"
    digest = hashlib.sha1(password.encode()).hexdigest().upper()
    with desk(BY_NAME["pwned_passwords"]) as at:
        at.look_up(prefix_of(sha1_of(password)))
    (asked,) = at.server.asked
    assert asked.path == f"/range/{digest[:5]}"
    assert (asked.query, asked.form, asked.headers["add-padding"]) == ("", {}, "true")
    assert digest[5:] not in str(asked)
    assert sha1_of(password) == digest


def test_a_password_can_be_any_text() -> None:
    assert len(sha1_of("\ud800 half a pair")) == 40
    assert prefix_of(sha1_of("")) == "DA39A"


def test_padding_rows_are_no_leaks() -> None:
    rows = {**PWNED_ROWS, "F" * 35: 0}
    text = "\r\n".join(f"{suffix}:{count}" for suffix, count in rows.items())
    assert ask("pwned_passwords", Answer(200, text.encode(), "text/plain")).payload == {"counts": PWNED_COUNTS}


def test_lower_case_digits_and_bare_line_ends_are_read() -> None:
    text = "\n".join(f"{suffix.lower()}:{count}" for suffix, count in PWNED_ROWS.items()) + "\n"
    assert ask("pwned_passwords", Answer(200, text.encode(), "text/plain")).payload == {"counts": PWNED_COUNTS}


@pytest.mark.parametrize(
    "line", ["0018A45C4D1DEF81644B54AB7F969B8", "0018A45C4D1DEF81644B54AB7F969B88D65:", "x:1", "é"]
)
def test_a_cut_line_spoils_the_answer_since_what_is_missing_would_count_as_safe(line: str) -> None:
    text = "".join(f"{suffix}:{count}\r\n" for suffix, count in PWNED_ROWS.items()) + line
    assert ask("pwned_passwords", Answer(200, text.encode(), "text/plain")).status is Status.ERROR


def test_a_bad_prefix_is_no_key_and_a_400_no_answer() -> None:
    with desk(
        BY_NAME["pwned_passwords"], Answer(400, b"The hash prefix was not in a valid format", "text/plain")
    ) as at:
        outcomes = at.look_up("21bd1", "21BD", "21BD12", PREFIX)
        assert len(at.server.asked) == 1
    assert [outcome.status for outcome in outcomes] == [Status.NOT_APPLICABLE] * 3 + [Status.ERROR]
