"""`make canary`: ask each configured service one known thing, live, and compare the shape of its answer.

Belongs here: what is asked, what must be in the answer, the table of results.
Does not belong here: how services are asked (the package), tests (they never leave the machine; pytest does not collect
this module).

It reads the settings of the environment as every command does, asks one question of each service that is on, and
counts it in no budget. Exit code 0: every answer has its shape; 1: one has not, or a service refused or failed; 2:
there is no network, or nothing to ask.
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from rich.console import Console
from rich.table import Table

from cowrie_pipeline.cli.console import harmless
from cowrie_pipeline.enrichment.build import Enrichment, build_enrichment
from cowrie_pipeline.enrichment.desk import Desk
from cowrie_pipeline.enrichment.outcomes import Outcome, Status
from cowrie_pipeline.settings import Settings, SettingsError
from cowrie_pipeline_tests.enrichment.allowances import MemoryAllowance
from cowrie_pipeline_tests.enrichment.recording import MemoryCache

ADDRESS = "8.8.8.8"  # Google's resolver
EICAR = "275a021bbfb6489e54d471899f7db9d1663fc695ec2fe2a2c4538aabf651fd0f"  # the file that every scanner knows
PREFIX = "5BAA6"  # of the SHA-1 of `password`


@dataclass(frozen=True, slots=True)
class Question:
    """What a service is asked, and the facts that its payload must have, by type.

    `may_be_unknown` is set where "not found" is an answer to be expected.
    """

    key: str
    facts: Mapping[str, type]
    may_be_unknown: bool = False


QUESTIONS: Mapping[str, Question] = {
    "cymru": Question(ADDRESS, {"asn": int, "origins": list, "prefix": str, "country": str, "registry": str}),
    "cymru_asn": Question("AS15169", {"asn": int, "organization": str, "country": str, "registry": str}),
    "greynoise": Question(ADDRESS, {"noise": bool, "riot": bool, "classification": str}, may_be_unknown=True),
    "dshield": Question(ADDRESS, {"asn": int, "organization": str, "country": str, "network": str}),
    "urlhaus": Question(ADDRESS, {"url_count": int, "first_seen": str, "reference": str}, may_be_unknown=True),
    "abuseipdb": Question(ADDRESS, {"score": int, "total_reports": int, "usage_type": str, "country": str}),
    "spur": Question(ADDRESS, {"asn": int, "organization": str}),
    "internetdb": Question(ADDRESS, {"ports": list, "hostnames": list}),
    "virustotal": Question(EICAR, {"malicious": int, "undetected": int, "type": str, "size": int, "names": list}),
    "pwned_passwords": Question(PREFIX, {"counts": dict}),
}


class Verdict(StrEnum):
    """What became of a question."""

    OK = "ok"
    CHANGED = "shape changed"
    FAILED = "no answer"
    NOT_ASKED = "not asked"


@dataclass(frozen=True, slots=True)
class Probe:
    """One service, what was learned of it, and the outcome where it was asked."""

    service: str
    verdict: Verdict
    remark: str
    outcome: Outcome | None = None


def probe(enrichment: Enrichment, *, now: datetime) -> list[Probe]:
    """Ask every service that is on and can be asked."""
    probes = []
    for state in enrichment.sources:
        source, question = state.source, QUESTIONS.get(state.source.name)
        if question is None:
            continue  # a file on disk
        availability = source.availability()
        if state.off is not None or not availability.usable:
            probes.append(Probe(source.name, Verdict.NOT_ASKED, state.off or availability.reason))
            continue
        answers = Desk().look_up(source, [question.key], cache=MemoryCache(), now=now)
        probes.append(judge(source.name, question, answers.asked[question.key]))
    return probes


def judge(service: str, question: Question, outcome: Outcome) -> Probe:
    """Compare an outcome with what the question expects."""
    if outcome.status is Status.NOT_FOUND and question.may_be_unknown:
        return Probe(service, Verdict.OK, "knows nothing of it", outcome)
    if outcome.status is Status.NOT_FOUND:
        return Probe(service, Verdict.CHANGED, "expected facts, found that it knows nothing", outcome)
    if outcome.status is not Status.HIT:
        return Probe(service, Verdict.FAILED, outcome.error or outcome.status, outcome)
    wrong = [
        f"`{name}` {'is missing' if name not in outcome.payload else 'is no ' + kind.__name__}"
        for name, kind in question.facts.items()
        # a bool is an int in Python, and no number here
        if type(outcome.payload.get(name)) is not kind
    ]
    if wrong:
        return Probe(service, Verdict.CHANGED, ", ".join(wrong), outcome)
    return Probe(service, Verdict.OK, ", ".join(sorted(outcome.payload)), outcome)


def exit_code(probes: Sequence[Probe]) -> int:
    """Return 0 where all is well, 1 where it is not, 2 where nobody could be asked."""
    asked = [each for each in probes if each.outcome is not None]
    if not any(each.outcome.response_code is not None for each in asked if each.outcome is not None):
        return 2
    return int(any(each.verdict is not Verdict.OK for each in asked))


def main(console: Console | None = None) -> int:
    """Ask, print the table, and return the exit code."""
    console = console or Console()
    try:
        with build_enrichment(Settings.from_environment(), {}, MemoryAllowance()) as enrichment:
            probes = probe(enrichment, now=datetime.now(UTC))
    except SettingsError as error:
        console.print(f"error: {error}", markup=False)
        return 1
    table = Table("service", "asked about", "verdict", "code", "ms", "remark")
    for each in probes:
        outcome = each.outcome
        code = "" if outcome is None or outcome.response_code is None else str(outcome.response_code)
        latency = "" if outcome is None or outcome.latency_ms is None else f"{outcome.latency_ms:.0f}"
        key = "" if outcome is None else outcome.key[:12]
        table.add_row(each.service, key, each.verdict, code, latency, harmless(each.remark))
    console.print(table)
    code_of_all = exit_code(probes)
    if code_of_all == 2:
        asked = sum(each.outcome is not None for each in probes)
        console.print(
            f"No network: of {asked} services asked none answered, so this says nothing about the shape of answers."
            if asked
            else "Nothing was asked: every service is off or not configured."
        )
    return code_of_all


if __name__ == "__main__":
    sys.exit(main())
