"""The cascade: which source is asked about which address, in what order, and what is known afterwards.

Belongs here: the policy (a table of stages), reuse of what is not due, one batch per source, the state of an address.
Does not belong here: whether a key is asked at all (desk.py), how (sources/), whom to believe (merge.py).
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from types import TracebackType
from typing import Any, Protocol, Self, runtime_checkable

import msgspec

from cowrie_pipeline.enrichment.bogons import is_bogon
from cowrie_pipeline.enrichment.desk import Desk
from cowrie_pipeline.enrichment.documents import (
    Document,
    Entry,
    asked_again_at,
    entry_of,
    is_answer,
    read_document,
    renew,
)
from cowrie_pipeline.enrichment.findings import Finding, Reporter
from cowrie_pipeline.enrichment.merge import AddressFacts, believe, is_known, merge
from cowrie_pipeline.enrichment.network_types import NetworkRules, read_network_rules
from cowrie_pipeline.enrichment.outcomes import LookupCache, Outcome, Source, Status
from cowrie_pipeline.enrichment.sources.cymru import network_key
from cowrie_pipeline.enrichment.values import moment

__all__ = [
    "ADDRESS_POLICY",
    "Cascade",
    "CascadeResult",
    "EnrichedAddress",
    "KnownAddress",
    "KnownNetwork",
    "NetworkFacts",
    "Stage",
    "State",
    "stages_of",
]

# On disk, so asked about every AS number that is met.
NETWORK_LISTS = ("rir", "spamhaus_asndrop")
# Asked with a batch about the AS numbers that only Team Cymru told, since MaxMind names those that it knows; after all
# batches about those of which a fact is still unknown (`Cascade.complete_networks`).
NETWORK_SERVICE = "cymru_asn"
NETWORK_FIELDS = ("organization", "network_country", "rir")
# When to look again where no source said when: none is usable, or none had to be asked.
RECHECK_AFTER = timedelta(days=1)


class State(StrEnum):
    """What became of an address: every stage answered; some failed but something is known; nothing is known."""

    COMPLETE = "complete"
    PARTIAL = "partial"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Stage:
    """A source's place in the cascade: it is asked while one of `fields` is known from no stage before it."""

    service: str
    fields: frozenset[str]


# The order in which sources are asked, unless a setting names another: what costs nothing, then what is limited or has
# a price. A field that only one source gives is known from no stage before it, so that source is always asked. The
# registry's country of Team Cymru comes along with an ASN, but is no reason to ask.
ADDRESS_POLICY = (
    Stage("maxmind", frozenset({"asn", "geo_country"})),
    Stage("cymru", frozenset({"asn"})),
    Stage("tor", frozenset({"tor_exit"})),
    Stage("spamhaus_drop", frozenset({"dropped_prefix"})),
    Stage("dshield_research", frozenset({"research_project"})),
    Stage("greynoise", frozenset({"is_scanner"})),
    Stage("dshield", frozenset({"reports"})),
    Stage("urlhaus", frozenset({"malware_urls"})),
    Stage("abuseipdb", frozenset({"abuse_score"})),
    Stage("spur", frozenset({"ip_type"})),
    Stage("internetdb", frozenset({"open_ports"})),
)


def stages_of(names: Sequence[str]) -> tuple[Stage, ...]:
    """Return the policy that asks the sources of `names` in that order; the default one if there are none.

    Raises:
        ValueError: a name is that of no source of facts on addresses, or stands twice.
    """
    known = {stage.service: stage for stage in ADDRESS_POLICY}
    if unknown := [name for name in names if name not in known]:
        raise ValueError(f"expected sources of {', '.join(known)}; found {', '.join(unknown)}")
    if len(set(names)) < len(names):
        raise ValueError(f"expected each source once, found {', '.join(names)}")
    return tuple(known[name] for name in names) or ADDRESS_POLICY


@dataclass(frozen=True, slots=True)
class KnownAddress:
    """An address and its stored document, which may be malformed; None where it has none yet.

    `worth` says whether limited sources are asked about it (sql/transforms/due_addresses.sql): 0 to 4.
    """

    address: str
    enrichment: Mapping[str, Any] | None = None
    worth: int = 4


class EnrichedAddress(msgspec.Struct, frozen=True, gc=False):
    """An address after the cascade.

    `enrichment` is its new document, and `facts` is what is believed of it; addresses of which the same is known may
    share both. `due_at` is when the first of its facts must be asked again, None for never (bogons, and what is no
    address), UTC.
    """

    address: str
    enrichment: Document
    facts: AddressFacts
    state: State
    due_at: datetime | None
    is_bogon: bool = False


@dataclass(frozen=True, slots=True)
class KnownNetwork:
    """A network and its stored document, which may be malformed; None where it has none yet."""

    asn: int
    enrichment: Mapping[str, Any] | None = None


class NetworkFacts(msgspec.Struct, frozen=True, gc=False):
    """What is known of an ASN that a batch met. `country` and `rir` are the registry's, of the AS number.

    Each fact has the source that told it beside it. `enrichment` holds the entries of the sources.
    """

    asn: int
    organization: str | None = None
    organization_source: str | None = None
    country: str | None = None
    country_source: str | None = None
    rir: str | None = None
    rir_source: str | None = None
    enrichment: Document = msgspec.field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CascadeResult:
    """What a batch came to.

    For each usable service of the policy, `outcomes` counts what was asked or decided now and `cache_hits` what was
    remembered; for a service that is asked about addresses the two add up to the number of addresses. `entries_wanted`
    are entries of addresses' documents that were needed, and `entries_good` those of them that were not due.
    """

    addresses: tuple[EnrichedAddress, ...]
    networks: tuple[NetworkFacts, ...]
    outcomes: Mapping[str, Mapping[Status, int]]
    cache_hits: Mapping[str, int]
    findings: tuple[Finding, ...]
    entries_wanted: int = 0
    entries_good: int = 0


class _Progress(msgspec.Struct, gc=False):
    """One address on its way through the stages."""

    address: str
    document: Document
    worth: int = 4
    is_askable: bool = True
    is_bogon: bool = False
    failed: bool = False
    due_at: datetime | None = None


@runtime_checkable
class _Closable(Protocol):
    def close(self) -> None: ...


@dataclass(slots=True)
class _Run:
    """What all stages of one run share: the cache, the time, and what is counted."""

    cache: LookupCache
    now: datetime
    outcomes: dict[str, Counter[Status]] = field(default_factory=lambda: defaultdict(Counter))
    cache_hits: Counter[str] = field(default_factory=Counter)
    entries_wanted: int = 0
    entries_good: int = 0


class Cascade:
    """Asks `sources` by the policy. Sources that are not usable when it is made are left out.

    It owns its sources: leaving the context closes those that can be closed. Sources with limits are asked about
    addresses worth at least `limited_min_worth`. Others of the same run can ask at the same `desk`. `network_rules` say
    of what type the networks are that it meets; by default those of the package.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        *,
        policy: Sequence[Stage] = ADDRESS_POLICY,
        limited_min_worth: int = 0,
        desk: Desk | None = None,
        network_rules: NetworkRules | None = None,
    ) -> None:
        self._sources = tuple(sources)
        usable = {source.name: source for source in sources if source.availability().usable}
        self._stages = tuple((stage, usable[stage.service]) for stage in policy if stage.service in usable)
        self._before = {stage.service: _services_before(stage, policy) for stage in policy}
        self._network_source = usable.get(NETWORK_SERVICE)
        self._network_lists = tuple(usable[name] for name in NETWORK_LISTS if name in usable)
        self._limited_min_worth = limited_min_worth
        self._desk = desk or Desk()
        self.network_rules = network_rules or read_network_rules()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with ExitStack() as stack:
            for source in self._sources:
                if isinstance(source, _Closable):
                    stack.callback(source.close)

    @property
    def signature(self) -> str:
        """The usable sources in the order of the policy: rows looked up under another signature are due."""
        names = [source.name for _, source in self._stages]
        names += [source.name for source in (self._network_source, *self._network_lists) if source is not None]
        return "+".join(names)

    @property
    def asks_about_networks(self) -> bool:
        """Whether any source is asked about AS numbers; without one nothing can be completed."""
        return bool(self._network_lists) or self._network_source is not None

    def run(self, addresses: Sequence[KnownAddress], *, cache: LookupCache, now: datetime) -> CascadeResult:
        """Look up what is due of `addresses`, each source once for all; never raises for what a source does."""
        run = _Run(cache, now)
        findings: list[Finding] = []
        batch = [_begin(known, findings) for known in addresses]
        for stage, source in self._stages:
            self._run_stage(stage, source, batch, run)
        facts = _merge_all(batch)
        networks = self._run_networks(batch, facts, run)
        for source in self._sources:
            if isinstance(source, Reporter):
                findings.extend(source.findings(now))
            elif not (availability := source.availability()).usable:
                findings.append(_unusable(source.name, availability.reason))
        return CascadeResult(
            addresses=tuple(self._finish(progress, known, now) for progress, known in zip(batch, facts, strict=True)),
            networks=networks,
            outcomes={service: dict(counts) for service, counts in run.outcomes.items()},
            cache_hits=dict(run.cache_hits),
            findings=tuple(findings),
            entries_wanted=run.entries_wanted,
            entries_good=run.entries_good,
        )

    def _run_stage(self, stage: Stage, source: Source, batch: list[_Progress], run: _Run) -> None:
        """Bring the entry of one source up to date in every document that needs it."""
        name = source.name
        before = self._before[name]
        min_worth = self._limited_min_worth if source.terms.limits else 0
        needed = [
            each
            for each in batch
            if each.is_askable and each.worth >= min_worth and _is_needed(stage, before, each.document)
        ]
        if len(needed) < len(batch):
            run.outcomes[name][Status.NOT_APPLICABLE] += len(batch) - len(needed)
        due: list[_Progress] = []
        for progress in needed:
            entry = progress.document.get(name)
            if _is_due(entry, run.now):
                due.append(progress)
            else:
                run.cache_hits[name] += 1
                _note(progress, entry, run.now)
        run.entries_wanted += len(needed)
        run.entries_good += len(needed) - len(due)
        if not due:
            return
        keys = list(dict.fromkeys(progress.address for progress in due))
        answers = self._desk.look_up(source, keys, cache=run.cache, now=run.now)
        fresh: dict[tuple[int, datetime | None], Entry] = {}
        for progress in due:
            entry = progress.document.get(name)
            outcome = answers.asked.get(progress.address)
            past = answers.remembered.get(progress.address)
            # The cache is shared by all processes, so an answer there can be newer than the one in the document.
            if past is not None and _is_news(entry, past):
                entry = progress.document[name] = renew(entry, past)
            if outcome is None:
                run.cache_hits[name] += 1
            else:
                run.outcomes[name][outcome.status] += 1
                if outcome.status is Status.NOT_APPLICABLE:
                    continue
                entry = progress.document[name] = (
                    _shared_entry(outcome, fresh) if entry is None else renew(entry, outcome)
                )
            _note(progress, entry, run.now)

    def complete_networks(
        self, networks: Sequence[KnownNetwork], *, cache: LookupCache, now: datetime
    ) -> CascadeResult:
        """Look up what is due of networks that lack a fact; those of which nothing is due are not in the result."""
        run = _Run(cache, now)
        documents = {each.asn: read_document(each.enrichment) for each in networks}
        asked: set[int] = set()
        for source in self._network_lists:
            due = _due_networks(source, documents, now)
            self._ask_networks(source, due, documents, run)
            asked.update(due)
        if self._network_source is not None:
            due = [asn for asn in _due_networks(self._network_source, documents, now) if _lacks_a_fact(documents[asn])]
            self._ask_networks(self._network_source, due, documents, run)
            asked.update(due)
        return CascadeResult(
            addresses=(),
            networks=tuple(_network(asn, documents[asn]) for asn in sorted(asked)),
            outcomes={service: dict(counts) for service, counts in run.outcomes.items()},
            cache_hits=dict(run.cache_hits),
            findings=(),
        )

    def _run_networks(self, batch: list[_Progress], facts: list[AddressFacts], run: _Run) -> tuple[NetworkFacts, ...]:
        """Ask the lists about each AS number, Team Cymru about those that only it told, and gather what is known."""
        entries: dict[int, Document] = {each.asn: {} for each in facts if each.asn is not None}
        for asn, organization in _organizations(batch, facts).items():
            entries[asn]["maxmind"] = {"status": "hit", "organization": organization}
        for source in self._network_lists:
            self._ask_networks(source, sorted(entries), entries, run)
        if self._network_source is not None:
            told_by_cymru = {each.asn for each in facts if each.asn is not None and each.asn_source == "cymru"}
            self._ask_networks(self._network_source, sorted(told_by_cymru), entries, run)
            for progress, each in zip(batch, facts, strict=True):
                if each.asn_source == "cymru" and each.asn is not None:
                    _note(progress, entries[each.asn].get(NETWORK_SERVICE), run.now)
        return tuple(_network(asn, entries[asn]) for asn in sorted(entries))

    def _ask_networks(self, source: Source, asns: Sequence[int], entries: dict[int, Document], run: _Run) -> None:
        """Add the entry of one source to the documents of networks."""
        if not asns:
            return
        keys = [network_key(asn) for asn in asns]
        answers = self._desk.look_up(source, keys, cache=run.cache, now=run.now)
        run.cache_hits[source.name] += len(keys) - len(answers.asked)
        for asn, key in zip(asns, keys, strict=True):
            past, outcome = answers.remembered.get(key), answers.asked.get(key)
            entry = entries[asn].get(source.name) if past is None else entry_of(past)
            if outcome is not None:
                run.outcomes[source.name][outcome.status] += 1
                entry = renew(entry, outcome)
            if entry is not None and entry["status"] != Status.NOT_APPLICABLE:
                entries[asn][source.name] = entry

    def _finish(self, progress: _Progress, facts: AddressFacts, now: datetime) -> EnrichedAddress:
        if progress.is_bogon:
            state, due_at = State.COMPLETE, None
        elif not progress.is_askable:
            state, due_at = State.UNKNOWN, None
        else:
            state = _state(progress, facts, any_usable=bool(self._stages))
            due_at = progress.due_at or now + RECHECK_AFTER
        return EnrichedAddress(
            address=progress.address,
            enrichment=progress.document,
            facts=facts,
            state=state,
            due_at=due_at,
            is_bogon=progress.is_bogon,
        )


def _shared_entry(outcome: Outcome, entries: dict[tuple[int, datetime | None], Entry]) -> Entry:
    """Return the first entry of a source; all addresses with one payload share it, and nobody changes it."""
    if outcome.status is not Status.HIT or outcome.error is not None:
        return renew(None, outcome)
    key = (id(outcome.payload), outcome.expires_at)
    entry = entries.get(key)
    if entry is None:
        entry = entries[key] = renew(None, outcome)
    return entry


def _merge_all(batch: Sequence[_Progress]) -> list[AddressFacts]:
    """Return what is believed of each address.

    Addresses of one prefix share their entries (see `_shared_entry`), so what is the same document is merged once, and
    is one object afterwards, its services in the order of their names.
    """
    merged: dict[tuple[int, ...], tuple[Document, AddressFacts]] = {}
    facts = []
    for progress in batch:
        if not progress.is_askable:
            # It can hold facts from before a block was set apart as a bogon: they are kept, and believed no more.
            progress.document = dict(sorted(progress.document.items()))
            facts.append(AddressFacts())
            continue
        key = tuple(map(id, progress.document.values()))
        known = merged.get(key)
        if known is None:
            # Held by the result until it is dropped, so that no other object can get the same identity meanwhile.
            known = merged[key] = (dict(sorted(progress.document.items())), merge(progress.document))
        progress.document = known[0]
        facts.append(known[1])
    return facts


def _services_before(stage: Stage, policy: Sequence[Stage]) -> frozenset[str]:
    services = [each.service for each in policy]
    return frozenset(services[: services.index(stage.service)])


def _begin(known: KnownAddress, findings: list[Finding]) -> _Progress:
    document = {} if known.enrichment is None else read_document(known.enrichment)
    try:
        bogon = is_bogon(known.address)
    except ValueError:
        findings.append(
            Finding("cascade", repr(known.address), "an IP address", "something else", "No source is asked about it.")
        )
        return _Progress(known.address, document, known.worth, is_askable=False)
    return _Progress(known.address, document, known.worth, is_askable=not bogon, is_bogon=bogon)


def _is_needed(stage: Stage, before: frozenset[str], document: Document) -> bool:
    """Whether one of the stage's fields is known from no stage before it."""
    earlier = {service: document[service] for service in before if service in document}
    return not earlier or any(not is_known(each, earlier) for each in stage.fields)


def _is_due(entry: Mapping[str, Any] | None, now: datetime) -> bool:
    if entry is None:
        return True
    again = asked_again_at(entry)
    return again is None or again <= now


def _is_news(entry: Mapping[str, Any] | None, past: Outcome) -> bool:
    """Whether an outcome from the cache adds to an entry: it is no older."""
    if past.status is Status.NOT_APPLICABLE:
        return False
    fetched_at = None if entry is None else moment(entry.get("fetched_at"))
    return fetched_at is None or past.fetched_at >= fetched_at


def _note(progress: _Progress, entry: Mapping[str, Any] | None, now: datetime) -> None:
    """Remember what an entry means for its address: whether the last look-up failed, and when it is due."""
    if entry is None:
        return
    due_at = asked_again_at(entry) or now + RECHECK_AFTER
    if progress.due_at is None or due_at < progress.due_at:
        progress.due_at = due_at
    # Where a budget did not reach there is nothing wrong: the address is as complete as it can be.
    is_skipped = entry.get("status") == Status.SKIPPED_BUDGET
    if not is_skipped and (not is_answer(entry) or "retry_at" in entry or "last_error" in entry):
        progress.failed = True


def _state(progress: _Progress, facts: AddressFacts, *, any_usable: bool) -> State:
    if any_usable and not progress.failed:
        return State.COMPLETE
    return State.UNKNOWN if facts.asn is None and facts.geo_country is None else State.PARTIAL


def _organizations(batch: Sequence[_Progress], facts: Sequence[AddressFacts]) -> dict[int, str]:
    """Return the name that MaxMind gives each ASN: the most frequent in this batch, then the first by alphabet."""
    counts: Counter[tuple[int, str]] = Counter()
    for progress, each in zip(batch, facts, strict=True):
        # An organization belongs to the ASN of the same record, not to one that another source gave.
        if each.asn is not None and each.asn_source == "maxmind":
            name, _ = believe("organization", {"maxmind": progress.document["maxmind"]})
            if name is not None:
                counts[each.asn, name] += 1
    # Of the entries with one key a dict keeps the last.
    last_is_best = sorted(sorted(counts, reverse=True), key=counts.__getitem__)
    return dict(last_is_best)


def _lacks_a_fact(document: Document) -> bool:
    return any(believe(field, document)[1] is None for field in NETWORK_FIELDS)


def _due_networks(source: Source, documents: Mapping[int, Document], now: datetime) -> list[int]:
    return sorted(asn for asn, document in documents.items() if _is_due(document.get(source.name), now))


def _network(asn: int, document: Document) -> NetworkFacts:
    (organization, named_by), (country, placed_by), (rir, registered_by) = (
        believe(field, document) for field in NETWORK_FIELDS
    )
    return NetworkFacts(
        asn=asn,
        organization=organization,
        organization_source=named_by.service if named_by else None,
        country=country,
        country_source=placed_by.service if placed_by else None,
        rir=rir,
        rir_source=registered_by.service if registered_by else None,
        enrichment=dict(sorted(document.items())),
    )


def _unusable(service: str, reason: str) -> Finding:
    return Finding(service, service, "a source that can be asked", "one that cannot", reason)
