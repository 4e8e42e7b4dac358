"""The canary, asking servers on loopback: what it calls well, what changed, and what is no network."""

import io
import socket
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from cowrie_pipeline_tests import canary
from cowrie_pipeline_tests.canary import ADDRESS, EICAR, PREFIX, QUESTIONS
from cowrie_pipeline_tests.contract.http_server import Answer, Asked, HttpServer
from cowrie_pipeline_tests.contract.name_server import NameServer, Zone
from cowrie_pipeline_tests.contract.services import CASES, FILE, KEY, KNOWN
from cowrie_pipeline_tests.contract.services import PREFIX as KNOWN_PREFIX

SERVICES = [str(case) for case in CASES]
STAND_INS = {ADDRESS: KNOWN, EICAR: FILE, PREFIX: KNOWN_PREFIX}
ZONE = Zone(
    {
        "8.8.8.8.origin.asn.cymru.com.": ["15169 | 8.8.8.0/24 | US | arin | 2023-12-28"],
        "as15169.asn.cymru.com.": ["15169 | US | arin | 2000-03-30 | GOOGLE - Google LLC, US"],
        "as23028.asn.cymru.com.": ["23028 | US | arin | 2002-01-04 | TEAM-CYMRU - Team Cymru Inc., US"],
    }
)


def answer(asked: Asked) -> Answer:
    """Say of the known things what the services' examples say."""
    service = asked.path.split("/")[1]
    case = next(case for case in CASES if str(case) == service)

    def ours(text: str) -> str:
        for wanted, known in STAND_INS.items():
            text = text.replace(wanted, known)
        return text

    path = ours(asked.path.removeprefix(f"/{service}"))
    form = {name: ours(value) for name, value in asked.form.items()}
    said = case.answer(replace(asked, path=path, query=ours(asked.query), form=form))
    body = said.body
    for wanted, known in STAND_INS.items():
        body = body.replace(known.encode(), wanted.encode())
    return replace(said, body=body)


def run(
    monkeypatch: pytest.MonkeyPatch,
    folder: Path,
    say: Callable[[Asked], Answer] = answer,
    environment: Mapping[str, str] | None = None,
) -> tuple[int, str, list[str]]:
    """Run the canary with every service on; return its exit code, what it prints, and who was asked."""
    with HttpServer(say) as http, NameServer(ZONE) as dns:
        given = {
            "COWRIE_STATE_DIR": str(folder),
            "COWRIE_CONTACT": "operator@example.org",
            "COWRIE_CYMRU_RESOLVER": dns.address,
            "COWRIE_INTERNETDB_ENABLED": "true",
        }
        for service in SERVICES:
            given[f"COWRIE_{service.upper()}_URL"] = f"{http.url}/{service}"
            given[f"COWRIE_{service.upper()}_KEY"] = KEY
        for variable, value in {**given, **(environment or {})}.items():
            monkeypatch.setenv(variable, value)
        out = io.StringIO()
        code = canary.main(Console(file=out, width=200))
        return code, out.getvalue(), [asked.path.split("/")[1] for asked in http.asked]


def test_every_service_is_asked_one_thing_and_its_answer_has_its_shape(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    code, shown, asked = run(monkeypatch, tmp_path)
    assert code == 0, shown
    assert sorted(asked) == sorted(SERVICES)
    assert shown.count(" ok ") == len(QUESTIONS)
    assert KEY not in shown


def test_there_is_a_question_for_every_service_that_is_asked_by_http() -> None:
    assert set(SERVICES) | {"cymru", "cymru_asn"} == set(QUESTIONS)
    for case in CASES:
        question = QUESTIONS[str(case)]
        assert question.facts.keys() <= case.payload.keys()
        assert case.source.__doc__ is not None
        assert all(f"`{name}`" in case.source.__doc__ for name in question.facts)


def test_an_answer_of_another_shape_is_told_by_what_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def renamed(asked: Asked) -> Answer:
        said = answer(asked)
        return replace(said, body=said.body.replace(b'"ascountry"', b'"country"').replace(b'"usageType"', b'"use"'))

    code, shown, _ = run(monkeypatch, tmp_path, renamed)
    assert code == 1
    assert shown.count("shape changed") == 2
    assert "`country` is missing" in shown
    assert "`usage_type` is missing" in shown


def test_a_service_that_refuses_is_no_answer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    code, shown, _ = run(monkeypatch, tmp_path, environment={"COWRIE_SPUR_KEY": "another"})
    assert code == 1
    assert "refused with HTTP 401" in shown


def test_without_a_network_it_says_so_and_nothing_of_shapes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        nobody = f"127.0.0.1:{closed.getsockname()[1]}"
        gone = {f"COWRIE_{service.upper()}_URL": f"http://{nobody}" for service in SERVICES}
        code, shown, _ = run(monkeypatch, tmp_path, environment={"COWRIE_CYMRU_ENABLED": "false", **gone})
    assert code == 2
    assert "No network: of 8 services asked none answered" in shown


def test_offline_nobody_is_asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    code, shown, asked = run(monkeypatch, tmp_path, environment={"COWRIE_OFFLINE": "true"})
    assert (code, asked) == (2, [])
    assert "Nothing was asked" in shown
    assert shown.count("COWRIE_OFFLINE is set") == len(QUESTIONS)
