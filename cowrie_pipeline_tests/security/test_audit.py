"""`make audit`: what fails, what is ignored with a reason, and that nobody waits for a service that is not there."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from cowrie_pipeline_tests.audit import IGNORED, REQUIREMENTS, IgnoreListError, audit, read_ignored
from cowrie_pipeline_tests.contract.http_server import Answer, Asked, HttpServer, as_json

ID, ALIAS = "PYSEC-2999-1", "CVE-2999-1"
VULNERABILITY = {
    "id": ID,
    "aliases": [ALIAS],
    "summary": "made up",
    "details": "made up for a test",
    "affected": [
        {
            "package": {"name": "made-up", "ecosystem": "PyPI"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "1.1"}]}],
        }
    ],
}
REASON = {ALIAS: "we never call what is vulnerable"}


@pytest.fixture
def requirements(tmp_path: Path) -> Path:
    path = tmp_path / "pinned.txt"
    path.write_text("made-up==1.0\nwell==2.0\n", encoding="utf-8")
    return path


def asked_of(say: Callable[[Asked], Answer], requirements: Path, **more: object) -> tuple[int, list[str]]:
    """Audit with a service on loopback in the place of OSV."""
    with HttpServer(say) as server:
        options = ("--vulnerability-service", "osv", "--osv-url", server.url, "--cache-dir", str(requirements.parent))
        return audit(requirements, more.pop("ignored", {}), options=options, **more)  # type: ignore[arg-type]


def of_osv(asked: Asked) -> Answer:
    name = json.loads(asked.body)["package"]["name"]
    return as_json({"vulns": [VULNERABILITY]} if name == "made-up" else {})


def test_a_vulnerability_fails_and_says_what_mends_it(requirements: Path) -> None:
    code, said = asked_of(of_osv, requirements)
    assert code == 1
    assert said == [f"made-up 1.0: {ID}, mended in 1.1", "audited: 2 packages"]


def test_one_that_is_ignored_with_a_reason_does_not_fail(requirements: Path) -> None:
    code, said = asked_of(of_osv, requirements, ignored=REASON)
    assert code == 0
    assert said == [f"ignored: {ALIAS} ({REASON[ALIAS]})", "audited: 2 packages"]


def test_what_is_ignored_and_no_longer_there_is_told(requirements: Path) -> None:
    code, said = asked_of(lambda _: as_json({}), requirements, ignored=REASON)
    assert (code, said[0]) == (0, f"ignored for nothing, remove it: {ALIAS}")


def test_nobody_there_is_not_audited_and_no_failure(requirements: Path) -> None:
    code, said = audit(requirements, {}, options=("-s", "osv", "--osv-url", "http://127.0.0.1:1"))
    assert code == 0
    assert said[0].startswith("not audited: pip-audit could not ask (")


def test_a_service_that_never_answers_is_not_waited_for(requirements: Path) -> None:
    code, said = asked_of(lambda _: Answer(never=True), requirements, seconds=6)
    assert (code, said) == (0, ["not audited: no answer about pinned.txt in 6 seconds"])


@pytest.mark.parametrize("entry", ['"PYSEC-1" = ""', '"PYSEC-1" = "no"', '"PYSEC-1" = true'])
def test_ignoring_wants_a_reason(entry: str, tmp_path: Path) -> None:
    path = tmp_path / "ignored.toml"
    path.write_text(entry, encoding="utf-8")
    with pytest.raises(IgnoreListError, match="PYSEC-1"):
        read_ignored(path)


def test_the_list_of_the_project_has_reasons_and_every_requirement_is_pinned() -> None:
    read_ignored(IGNORED)
    lines = [line for line in REQUIREMENTS.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    assert [line for line in lines if line.count("==") != 1] == []
