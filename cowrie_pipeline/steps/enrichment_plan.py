"""What the next run would ask of whom, and how long it takes to ask everything at the present budget; asks nobody.

The cascade itself decides, so that the plan follows the policy as a run does: the same addresses are due, local files
are looked at, the ledger is read. Only where a run would ask a service, the key is counted. What a service would say is
not known, so what a run leaves out because an earlier service told enough is counted here.

Belongs here: counting keys, calls and time.
Does not belong here: the policy (enrichment/cascade.py), showing it (cli/).
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import islice
from typing import Any

from sqlalchemy import ColumnElement, select

from cowrie_pipeline.cowrie.passwords import sha1_of_stored
from cowrie_pipeline.enrichment.build import Enrichment, SourceState
from cowrie_pipeline.enrichment.cascade import NETWORK_LISTS, NETWORK_SERVICE, Cascade, stages_of
from cowrie_pipeline.enrichment.desk import Answers, Desk
from cowrie_pipeline.enrichment.disk_cache import DiskCache
from cowrie_pipeline.enrichment.limits import PACE_UP_TO
from cowrie_pipeline.enrichment.outcomes import LookupCache, Outcome, Source, Status
from cowrie_pipeline.enrichment.sources.http_source import HttpSource
from cowrie_pipeline.enrichment.sources.pwned_passwords import PwnedPasswordsSource, prefix_of
from cowrie_pipeline.enrichment.sources.virustotal import VirusTotalSource
from cowrie_pipeline.observability.progress import OnProgress, unheard
from cowrie_pipeline.settings import Settings
from cowrie_pipeline.steps.days import DayRange
from cowrie_pipeline.steps.inventories import due_addresses, known_addresses
from cowrie_pipeline.steps.ledger import open_disk_cache
from cowrie_pipeline.warehouse.allowances import AllowanceState, WarehouseAllowance
from cowrie_pipeline.warehouse.engine import Warehouse
from cowrie_pipeline.warehouse.lookup_cache import WarehouseCache
from cowrie_pipeline.warehouse.tables import login_attempts, session_files

__all__ = [
    "EnrichmentPlan",
    "PlannedAddress",
    "PlannedSource",
    "Subject",
    "plan_enrichment",
    "why_not_asked",
]

_KEYS_AT_ONCE = 20_000
_SHOWN_ADDRESSES = 10
_DAY = timedelta(days=1)


class Subject(StrEnum):
    """What a source is asked about."""

    ADDRESSES = "addresses"
    NETWORKS = "networks"
    FILES = "files"
    PASSWORDS = "passwords"


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedSource:
    """What a run would ask of a source.

    `not_asked` says why it is not asked at all; a local one is looked up on this machine, which costs nothing. `to_ask`
    counts keys, `remembered` those whose answer still holds.
    `calls_now` is how many calls one run may make (None: any number), `next_at` when there are more where there are
    none, `calls_per_day` what the limits allow in the long run. `backlog` is how long the keys need at most, if one run
    follows another: None for ever.
    """

    service: str
    asks_about: Subject
    not_asked: str | None = None
    is_local: bool = False
    to_ask: int = 0
    remembered: int = 0
    calls_now: int | None = None
    next_at: datetime | None = None
    calls_per_day: float | None = None
    backlog: timedelta | None = timedelta(0)


@dataclass(frozen=True, slots=True)
class PlannedAddress:
    """An address that is due, its worth (0 to 4), and which services would be asked about it."""

    address: str
    worth: int
    services: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class EnrichmentPlan:
    """What a run over `days` would ask: sources in the order of the policy, and the addresses worth most.

    `addresses_due` are those that a run looks at, `files` and `passwords` all distinct ones of the days; of passwords
    only the first five digits of a hash are asked, which several can share.
    """

    days: DayRange
    addresses_due: int
    files: int
    passwords: int
    sources: tuple[PlannedSource, ...]
    first: tuple[PlannedAddress, ...]


def why_not_asked(state: SourceState, settings: Settings) -> str | None:
    """Say why a source is not asked: it is switched off, not in the policy, or cannot work; None where it is."""
    if state.off is not None:
        return state.off
    service = state.source.name
    if subject_of(service) is Subject.ADDRESSES and service not in {
        stage.service for stage in stages_of(settings.enrichment_policy)
    }:
        return "not in COWRIE_ENRICHMENT_POLICY"
    availability = state.source.availability()
    return None if availability.usable else availability.reason


def subject_of(service: str) -> Subject:
    """Return what a source is asked about."""
    if service in (NETWORK_SERVICE, *NETWORK_LISTS):
        return Subject.NETWORKS
    others = {
        VirusTotalSource.terms.service: Subject.FILES,
        PwnedPasswordsSource.terms.service: Subject.PASSWORDS,
    }
    return others.get(service, Subject.ADDRESSES)


def plan_enrichment(
    warehouse: Warehouse,
    enrichment: Enrichment,
    days: DayRange,
    *,
    settings: Settings,
    now: datetime,
    on_progress: OnProgress = unheard,
) -> EnrichmentPlan:
    """Count what a run over `days` would ask; nothing is asked and nothing written.

    Args:
        warehouse: the database.
        enrichment: what can be asked.
        days: days of which the addresses, files and passwords are counted.
        settings: the policy, what is worth a call, how long a run may ask one source, where answers are kept.
        now: what is due at this time.
        on_progress: called with the addresses done and to do.
    """
    desk = _CountingDesk(open_disk_cache(settings, enrichment) if settings.cache_mode == "hybrid" else None)
    # of its own, whose desk asks nobody; the enrichment's own cascade closes the sources
    cascade = Cascade(
        [state.source for state in enrichment.sources if state.off is None],
        policy=stages_of(settings.enrichment_policy),
        limited_min_worth=settings.limited_min_worth,
        desk=desk,
    )
    cache = WarehouseCache(warehouse, day=now.date())
    with warehouse.read() as connection:
        due = due_addresses(connection, days, sources=cascade.signature, now=now)
    remembered = Counter[str]()
    first: tuple[PlannedAddress, ...] = ()
    done = 0
    for known in known_addresses(warehouse, due):
        remembered.update(cascade.run(known, cache=cache, now=now).cache_hits)
        if not done:
            first = tuple(
                PlannedAddress(each.address, each.worth, desk.services_asked_about(each.address))
                for each in known[:_SHOWN_ADDRESSES]
            )
        done += len(known)
        desk.count()
        on_progress(done, len(due))
    others = {Subject.FILES: 0, Subject.PASSWORDS: 0}
    for state in enrichment.sources:
        subject = subject_of(state.source.name)
        if subject in others:
            keys, others[subject] = _keys_of(warehouse, subject, days)
            if why_not_asked(state, settings) is None:
                for some in _batches(sorted(keys)):
                    answers = desk.look_up(state.source, some, cache=cache, now=now)
                    remembered[state.source.name] += len(some) - len(answers.asked)
                    desk.count()
    allowance = WarehouseAllowance(warehouse)
    return EnrichmentPlan(
        days=days,
        addresses_due=len(due),
        files=others[Subject.FILES],
        passwords=others[Subject.PASSWORDS],
        sources=tuple(
            _planned(
                state,
                settings,
                to_ask=desk.to_ask[state.source.name],
                remembered=remembered[state.source.name],
                budget=allowance.state(state.source.name, state.source.terms.limits, now),
                now=now,
            )
            for state in enrichment.sources
        ),
        first=first,
    )


class _CountingDesk(Desk):
    """A desk at which files on this machine are looked up and services are not asked: it counts what would be.

    `disk` is read where the database has no answer; what is there is not taken into the database, as a run does.
    """

    def __init__(self, disk: DiskCache | None) -> None:
        super().__init__()
        self.to_ask: Counter[str] = Counter()
        self._disk = disk
        self._asked: dict[str, set[str]] = {}
        # Networks come again with each batch of addresses.
        self._met: dict[str, set[str]] = {}

    def look_up(self, source: Source, keys: Sequence[str], *, cache: LookupCache, now: datetime) -> Answers:
        """Return what is known without asking a service."""
        if not source.cached:
            return super().look_up(source, keys, cache=cache, now=now)
        known = dict(cache.get_many(source.name, keys))
        if self._disk is not None:
            missing = [key for key in keys if key not in known or not known[key].status.is_answer]
            known |= self._disk.get_many(source.name, missing)
        due = [key for key in keys if key not in known or known[key].is_due(now)]
        wanted = [key for key in due if not isinstance(source, HttpSource) or source.applies_to(key)]
        met = self._met.setdefault(source.name, set()) if subject_of(source.name) is Subject.NETWORKS else set()
        self._asked.setdefault(source.name, set()).update(key for key in wanted if key not in met)
        met.update(wanted)
        unasked = {
            key: Outcome(service=source.name, key=key, status=Status.NOT_APPLICABLE, fetched_at=now, payload={})
            for key in due
        }
        return Answers(known, unasked)

    def services_asked_about(self, key: str) -> tuple[str, ...]:
        """Return which services would be asked about a key of the batch that was not counted yet."""
        return tuple(service for service, keys in self._asked.items() if key in keys)

    def count(self) -> None:
        """Count what the batch would ask, and forget its keys."""
        self.to_ask.update({service: len(keys) for service, keys in self._asked.items()})
        self._asked.clear()


def _keys_of(warehouse: Warehouse, subject: Subject, days: DayRange) -> tuple[set[str], int]:
    """Return what is asked about the days' files or passwords, and of how many distinct ones."""
    if subject is Subject.FILES:
        files = set(_distinct(warehouse, session_files.c.sha256, session_files.c.event_at, days))
        return files, len(files)
    passwords = {
        sha1_of_stored(each)
        for each in _distinct(warehouse, login_attempts.c.password, login_attempts.c.event_at, days)
    }
    return {prefix_of(each) for each in passwords}, len(passwords)


def _distinct(
    warehouse: Warehouse, column: ColumnElement[Any], event_at: ColumnElement[Any], days: DayRange
) -> Iterator[str]:
    statement = select(column).where(column.is_not(None), event_at >= days.start, event_at < days.end).distinct()
    with warehouse.read() as connection:
        yield from connection.execute(statement).scalars()


def _batches(keys: Sequence[str]) -> Iterator[Sequence[str]]:
    rest = iter(keys)
    while some := list(islice(rest, _KEYS_AT_ONCE)):
        yield some


def _planned(
    state: SourceState, settings: Settings, *, to_ask: int, remembered: int, budget: AllowanceState, now: datetime
) -> PlannedSource:
    source = state.source
    about, reason = subject_of(source.name), why_not_asked(state, settings)
    if reason is not None:
        return PlannedSource(service=source.name, asks_about=about, not_asked=reason)
    if not source.cached:
        return PlannedSource(service=source.name, asks_about=about, is_local=True)
    return PlannedSource(
        service=source.name,
        asks_about=about,
        to_ask=to_ask,
        remembered=remembered,
        calls_now=calls_of_a_run(budget, timedelta(seconds=settings.source_seconds)),
        next_at=_next_at(budget),
        calls_per_day=min((each.limit.calls * (_DAY / each.limit.window) for each in budget.limits), default=None),
        backlog=time_for(to_ask, budget, now),
    )


def calls_of_a_run(budget: AllowanceState, run: timedelta) -> int | None:
    """Return how many calls may be made in a run that begins now and asks for as long as `run`, None for any number."""
    if budget.paused_until is not None:
        return 0
    return min(
        (
            int(each.limit.calls * (run / each.limit.window)) if each.limit.window <= PACE_UP_TO else each.left
            for each in budget.limits
        ),
        default=None,
    )


def time_for(calls: int, budget: AllowanceState, now: datetime) -> timedelta | None:
    """Return how long it takes at most to make `calls` calls from now on, None if that is never.

    What a quota has left can be used at once, and each whole window allows its number once more; a pace spreads calls
    evenly.
    """
    if not calls:
        return timedelta(0)
    longest = timedelta(0)
    for each in budget.limits:
        limit = each.limit
        if limit.calls <= 0:
            return None
        if limit.window <= PACE_UP_TO:
            longest = max(longest, calls * limit.window / limit.calls)
        else:
            windows = -(-max(0, calls - each.left) // limit.calls)
            longest = max(longest, windows * limit.window)
    return longest if budget.paused_until is None else longest + (budget.paused_until - now)


def _next_at(budget: AllowanceState) -> datetime | None:
    """Return when the next call may be made, None where one may be made now."""
    times = [each.next_at for each in budget.limits if not each.left and each.next_at is not None]
    if budget.paused_until is not None:
        times.append(budget.paused_until)
    return max(times, default=None)
