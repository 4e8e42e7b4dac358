"""The cascade: which source is asked about which address, in what order, and what is known afterwards.

Belongs here: the policy (a table of stages), reuse of what is not due, one batch per source, the state of an address.
Does not belong here: how a source is asked (sources/), which of two answers is believed (merge.py), SQL.
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
from cowrie_pipeline.enrichment.merge import AddressFacts, believe, merge
from cowrie_pipeline.enrichment.outcomes import LookupCache, Outcome, Source, Status
from cowrie_pipeline.enrichment.sources.cymru import network_key
from cowrie_pipeline.enrichment.values import moment

__all__ = [
    "ADDRESS_POLICY",
    "Cascade",
    "CascadeResult",
    "EnrichedAddress",
    "KnownAddress",
    "NetworkFacts",
    "Stage",
    "State",
]

NETWORK_SERVICE = "cymru_asn"
# When to look again where no source said when: none is usable, or none had to be asked.
RECHECK_AFTER = timedelta(days=1)
# When to ask again after a failure that does not say so itself.
RETRY_AFTER = timedelta(minutes=15)


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


# In order. An address is asked about at a stage only if it is no bogon and the stages before left one of its fields
# open. The registry's country of Team Cymru comes along with an ASN, but is no reason to ask.
ADDRESS_POLICY = (
    Stage("maxmind", frozenset({"asn", "geo_country"})),
    Stage("cymru", frozenset({"asn"})),
)


@dataclass(frozen=True, slots=True)
class KnownAddress:
    """An address and its stored document, which may be malformed; None where it has none yet."""

    address: str
    enrichment: Mapping[str, Any] | None = None


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


class NetworkFacts(msgspec.Struct, frozen=True, gc=False):
    """What is known of an ASN that a batch met. `country` and `rir` are the registry's, of the AS number."""

    asn: int
    organization: str | None = None
    organization_source: str | None = None
    country: str | None = None
    rir: str | None = None


@dataclass(frozen=True, slots=True)
class CascadeResult:
    """What a batch came to.

    For each usable service of the policy, `outcomes` counts what was asked or decided now and `cache_hits` what was
    remembered; for a service that is asked about addresses the two add up to the number of addresses.
    """

    addresses: tuple[EnrichedAddress, ...]
    networks: tuple[NetworkFacts, ...]
    outcomes: Mapping[str, Mapping[Status, int]]
    cache_hits: Mapping[str, int]
    findings: tuple[Finding, ...]


class _Progress(msgspec.Struct, gc=False):
    """One address on its way through the stages."""

    address: str
    document: Document
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


class Cascade:
    """Asks `sources` by the policy. Sources that are not usable when it is made are left out.

    It owns its sources: leaving the context closes those that can be closed.
    """

    def __init__(self, sources: Sequence[Source], *, policy: Sequence[Stage] = ADDRESS_POLICY) -> None:
        self._sources = tuple(sources)
        usable = {source.name: source for source in sources if source.availability().usable}
        self._stages = tuple((stage, usable[stage.service]) for stage in policy if stage.service in usable)
        self._before = {stage.service: _services_before(stage, policy) for stage in policy}
        self._network_source = usable.get(NETWORK_SERVICE)

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
        return "+".join([*names, NETWORK_SERVICE] if self._network_source else names)

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
        )

    def _run_stage(self, stage: Stage, source: Source, batch: list[_Progress], run: _Run) -> None:
        """Bring the entry of one source up to date in every document that needs it."""
        name = source.name
        before = self._before[name]
        needed = [each for each in batch if each.is_askable and _is_needed(stage, before, each.document)]
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
        if not due:
            return
        keys = list(dict.fromkeys(progress.address for progress in due))
        remembered, asked = _look_up(source, keys, run)
        fresh: dict[tuple[int, datetime | None], Entry] = {}
        for progress in due:
            entry = progress.document.get(name)
            outcome = asked.get(progress.address)
            past = remembered.get(progress.address)
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

    def _run_networks(self, batch: list[_Progress], facts: list[AddressFacts], run: _Run) -> tuple[NetworkFacts, ...]:
        """Ask about each AS number that only Team Cymru told, and gather what is known of all of them."""
        entries: dict[int, Document] = {each.asn: {} for each in facts if each.asn is not None}
        source = self._network_source
        told_by_cymru = sorted({each.asn for each in facts if each.asn is not None and each.asn_source == "cymru"})
        if source is not None and told_by_cymru:
            keys = [network_key(asn) for asn in told_by_cymru]
            remembered, asked = _look_up(source, keys, run)
            run.cache_hits[source.name] += len(keys) - len(asked)
            for asn, key in zip(told_by_cymru, keys, strict=True):
                if key in asked:
                    run.outcomes[source.name][asked[key].status] += 1
                past = remembered.get(key)
                entry = None if past is None else entry_of(past)
                if key in asked:
                    entry = renew(entry, asked[key])
                if entry is not None and entry["status"] != Status.NOT_APPLICABLE:
                    entries[asn][source.name] = entry
            for progress, each in zip(batch, facts, strict=True):
                if each.asn_source == "cymru" and each.asn is not None:
                    _note(progress, entries[each.asn].get(source.name), run.now)
        organizations = _organizations(batch, facts)
        return tuple(_network(asn, entries[asn], organizations.get(asn)) for asn in sorted(entries))

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
        return _Progress(known.address, document, is_askable=False)
    return _Progress(known.address, document, is_askable=not bogon, is_bogon=bogon)


def _is_needed(stage: Stage, before: frozenset[str], document: Document) -> bool:
    """Whether one of the stage's fields is known from no stage before it."""
    if not before:
        return True
    earlier = {service: document[service] for service in before if service in document}
    return any(believe(each, earlier)[0] is None for each in stage.fields)


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
    if not is_answer(entry) or "retry_at" in entry or "last_error" in entry:
        progress.failed = True


def _state(progress: _Progress, facts: AddressFacts, *, any_usable: bool) -> State:
    if any_usable and not progress.failed:
        return State.COMPLETE
    return State.UNKNOWN if facts.asn is None and facts.geo_country is None else State.PARTIAL


def _look_up(source: Source, keys: Sequence[str], run: _Run) -> tuple[Mapping[str, Outcome], Mapping[str, Outcome]]:
    """Return what the cache remembers of `keys`, due or not, and the outcomes of those that were asked now."""
    remembered: Mapping[str, Outcome] = run.cache.get_many(source.name, keys) if source.cached else {}
    due = [key for key in keys if key not in remembered or remembered[key].is_due(run.now)]
    asked = _ask(source, due, run.now) if due else {}
    if source.cached and asked:
        run.cache.put_many(list(asked.values()))
    return remembered, asked


def _ask(source: Source, keys: Sequence[str], now: datetime) -> dict[str, Outcome]:
    """Ask a source; give every key exactly one outcome, whatever the source does."""
    try:
        given = {outcome.key: outcome for outcome in source.look_up(keys, now=now)}
        problem = "the source gave no outcome for this key"
    except Exception as error:  # noqa: BLE001 - one source's fault must not lose what the others found
        # The type alone: a message can hold the request, and the request a key.
        given, problem = {}, f"the source failed with {type(error).__name__}"
    outcomes: dict[str, Outcome] = {}
    for key in keys:
        outcome = given.get(key)
        if outcome is None:
            outcome = _failure(source.name, key, now, problem)
        outcomes[key] = outcome if outcome.status.is_answer else _with_retry(outcome, now)
    return outcomes


def _failure(service: str, key: str, now: datetime, problem: str) -> Outcome:
    return Outcome(service=service, key=key, status=Status.ERROR, fetched_at=now, payload={}, error=problem)


def _with_retry(outcome: Outcome, now: datetime) -> Outcome:
    """Give a failure that does not say when to ask again a time for it."""
    if outcome.status is Status.NOT_APPLICABLE or outcome.retry_at is not None:
        return outcome
    return msgspec.structs.replace(outcome, retry_at=now + RETRY_AFTER)


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


def _network(asn: int, document: Document, organization_in_maxmind: str | None) -> NetworkFacts:
    if organization_in_maxmind is not None:
        document = {"maxmind": {"status": "hit", "organization": organization_in_maxmind}, **document}
    organization, claim = believe("organization", document)
    return NetworkFacts(
        asn=asn,
        organization=organization,
        organization_source=claim.service if claim else None,
        country=believe("network_country", document)[0],
        rir=believe("rir", document)[0],
    )


def _unusable(service: str, reason: str) -> Finding:
    return Finding(service, service, "a source that can be asked", "one that cannot", reason)
