"""From settings to everything that can be asked, ready to run.

Belongs here: which sources there are, what each is made of, and why one is off.
Does not belong here: how they work (sources/, lists/), the order in which they are asked (cascade.py).
"""

from collections.abc import Mapping, MutableMapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Any, Self

import msgspec

from cowrie_pipeline.enrichment.cascade import Cascade, stages_of
from cowrie_pipeline.enrichment.circuit import Circuit
from cowrie_pipeline.enrichment.desk import Desk
from cowrie_pipeline.enrichment.disk_cache import Converter
from cowrie_pipeline.enrichment.downloads import Credentials
from cowrie_pipeline.enrichment.http_client import HttpClient, Reply
from cowrie_pipeline.enrichment.limits import Allowance
from cowrie_pipeline.enrichment.lists.catalog import ListsConfiguration
from cowrie_pipeline.enrichment.lists.delegated import DelegatedSource
from cowrie_pipeline.enrichment.lists.research_scanners import ResearchScannerSource
from cowrie_pipeline.enrichment.lists.spamhaus import SpamhausAsnDropSource, SpamhausDropSource
from cowrie_pipeline.enrichment.lists.tor import TorExitSource
from cowrie_pipeline.enrichment.network_types import NetworkRules, read_network_rules
from cowrie_pipeline.enrichment.outcomes import Source
from cowrie_pipeline.enrichment.sources.abuseipdb import AbuseIpdbSource
from cowrie_pipeline.enrichment.sources.cymru import PROOF_NAME, CymruNetworkSource, CymruSource
from cowrie_pipeline.enrichment.sources.cymru_whois import CymruBulkSource, WhoisClient
from cowrie_pipeline.enrichment.sources.dns_client import DnsClient, Resolver, ResolverError, system_resolvers
from cowrie_pipeline.enrichment.sources.dshield import DShieldSource
from cowrie_pipeline.enrichment.sources.greynoise import GreyNoiseSource
from cowrie_pipeline.enrichment.sources.http_source import HttpSource, RefusedError
from cowrie_pipeline.enrichment.sources.internetdb import InternetDbSource
from cowrie_pipeline.enrichment.sources.maxmind import MaxMindSource
from cowrie_pipeline.enrichment.sources.pwned_passwords import PwnedPasswordsSource
from cowrie_pipeline.enrichment.sources.spur import SpurSource
from cowrie_pipeline.enrichment.sources.urlhaus import UrlhausSource
from cowrie_pipeline.enrichment.sources.virustotal import VirusTotalSource
from cowrie_pipeline.enrichment.terms import Limit, Terms
from cowrie_pipeline.settings import ServiceSettings, Settings, SettingsError

__all__ = [
    "Enrichment",
    "SourceState",
    "build_enrichment",
    "converters",
    "is_configured",
    "lists_configuration",
    "network_rules_of",
]

_HTTP_SERVICES: tuple[type[HttpSource], ...] = (
    GreyNoiseSource,
    DShieldSource,
    UrlhausSource,
    AbuseIpdbSource,
    SpurSource,
    InternetDbSource,
    VirusTotalSource,
    PwnedPasswordsSource,
)


@dataclass(frozen=True, slots=True)
class SourceState:
    """A source, and why it is switched off; None where it is on, which does not say that it can be asked."""

    source: Source
    off: str | None


class Enrichment:
    """What can be asked: the cascade about addresses, `files` about SHA-256 hashes, `passwords` about SHA-1 prefixes.

    `files` and `passwords` are None where they are switched off; they are asked at the `desk`, as the cascade does.
    `sources` are all, in the order in which they are asked. Leaving the context closes everything.
    """

    def __init__(
        self, sources: Sequence[SourceState], client: HttpClient, settings: Settings, *, desk: Desk | None = None
    ) -> None:
        self.sources = tuple(sources)
        self.desk = desk or Desk(source_seconds=settings.source_seconds)
        on = {state.source.name: state.source for state in sources if state.off is None}
        self.files = on.pop(VirusTotalSource.terms.service, None)
        self.passwords = on.pop(PwnedPasswordsSource.terms.service, None)
        self.cascade = Cascade(
            list(on.values()),
            policy=stages_of(settings.enrichment_policy),
            limited_min_worth=settings.limited_min_worth,
            desk=self.desk,
            network_rules=network_rules_of(settings),
        )
        self._client = client

    @property
    def not_asked(self) -> dict[str, str]:
        """Why sources are not asked, by name: switched off, not configured, or with nothing to look in."""
        reasons = {}
        for state in self.sources:
            reason = state.off
            if reason is None and not (availability := state.source.availability()).usable:
                reason = availability.reason
            if reason is not None:
                reasons[state.source.name] = reason
        return reasons

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with ExitStack() as stack:
            stack.callback(self._client.close)
            stack.enter_context(self.cascade)


def build_enrichment(settings: Settings, circuits: MutableMapping[str, Circuit], allowance: Allowance) -> Enrichment:
    """Make what `settings` describe.

    `circuits` holds a breaker for each remote service and is filled at first use: a process keeps one mapping for all
    that it builds, so that what one batch learned of a dead service, or of a resolver that can be believed, serves the
    next. `allowance` counts the calls of all processes.

    Raises:
        SettingsError: the policy names a source that there is not, or the contact cannot be sent.
    """
    try:
        stages = stages_of(settings.enrichment_policy)
    except ValueError as error:
        raise SettingsError(f"COWRIE_ENRICHMENT_POLICY: {error}") from error
    try:
        client = HttpClient(contact=settings.contact)
    except ValueError as error:
        raise SettingsError(f"COWRIE_CONTACT: {error}") from error
    lists = settings.lists_folder
    network, addresses = _cymru_sources(settings, circuits)
    local: list[Source] = [
        MaxMindSource(settings.geoip_folder),
        TorExitSource(lists),
        SpamhausDropSource(lists),
        ResearchScannerSource(lists),
        SpamhausAsnDropSource(lists),
        DelegatedSource(lists),
    ]
    remote: list[Source] = [addresses, network]
    for kind in _HTTP_SERVICES:
        service = kind.terms.service
        of_service = settings.services[service]
        remote.append(
            kind(
                client,
                allowance,
                circuits.setdefault(service, Circuit()),
                api_key=of_service.key,
                base_url=of_service.url,
                terms=_terms_of(kind.terms, of_service),
                max_in_flight=of_service.max_in_flight,
                patience=timedelta(seconds=settings.patience_seconds),
            )
        )
    order = {stage.service: index for index, stage in enumerate(stages)}
    states = [
        *(SourceState(source, None) for source in local),
        *(SourceState(source, _why_off(source.name, settings)) for source in remote),
    ]
    states.sort(key=lambda state: order.get(state.source.name, len(order)))
    return Enrichment(states, client, settings)


def is_configured(terms: Terms, settings: Settings) -> bool:
    """Whether a service that is asked by HTTP is on and has all that it needs."""
    has_key = settings.services[terms.service].key is not None or not terms.needs_key
    has_contact = settings.contact is not None or not terms.needs_contact
    return _why_off(terms.service, settings) is None and has_key and has_contact


def lists_configuration(settings: Settings) -> ListsConfiguration:
    """Return where lists are kept, and what there is to fetch them with."""
    account, key = settings.maxmind_account_id, settings.maxmind_license_key
    return ListsConfiguration(
        folder=settings.lists_folder,
        geoip_folder=settings.geoip_folder,
        contact=settings.contact,
        maxmind=Credentials(account, key) if account and key else None,
        switched_off=settings.lists_off,
    )


def network_rules_of(settings: Settings) -> NetworkRules:
    """Return the rules by which networks are classified, with the operator's lists."""
    return read_network_rules(settings.asn_types_dir)


def converters(enrichment: Enrichment) -> Mapping[str, Converter]:
    """Return for each service how a raw answer of it, as earlier installations kept them on disk, becomes a payload."""
    sources = [state.source for state in enrichment.sources if isinstance(state.source, HttpSource)]
    return {source.name: _converter(source) for source in sources}


def _converter(source: HttpSource) -> Converter:
    def convert(key: str, raw: Any) -> Mapping[str, Any] | None:
        body = raw.encode() if isinstance(raw, str) else msgspec.json.encode(raw)
        # The file does not say with which status it came. What a service says with a 404 is an answer too, and no other
        # answer can be read as one.
        for status in (404, 200):
            reply = Reply(status, {}, body, "application/json", 0.0, datetime.now(UTC))
            try:
                return source.parse(key, reply) or {}
            except (ValueError, RefusedError):
                continue
        return None

    return convert


def _why_off(service: str, settings: Settings) -> str | None:
    """Say why a service on the network is not asked; None where it is."""
    if settings.offline:
        return "COWRIE_OFFLINE is set"
    if service in ("cymru", "cymru_asn"):
        return None if settings.cymru_enabled else "COWRIE_CYMRU_ENABLED is false"
    if not settings.services[service].enabled:
        return f"COWRIE_{service.upper()}_ENABLED is false"
    return None


def _terms_of(terms: Terms, settings: ServiceSettings) -> Terms:
    """Return a service's terms with what an operator has set."""
    if settings.hit_days is not None:
        terms = replace(terms, hit_for=timedelta(days=settings.hit_days))
    if settings.negative_days is not None:
        terms = replace(terms, negative_for=timedelta(days=settings.negative_days))
    if settings.limits is not None:
        terms = replace(
            terms, limits=tuple(Limit(calls, timedelta(seconds=seconds)) for calls, seconds in settings.limits)
        )
    return terms


def _cymru_sources(
    settings: Settings, circuits: MutableMapping[str, Circuit]
) -> tuple[CymruNetworkSource, CymruSource]:
    client = _dns_client(settings, circuits.setdefault("cymru", Circuit()))
    hit_for, negative_for = timedelta(days=settings.cymru_hit_days), timedelta(days=settings.cymru_negative_days)
    terms = replace(CymruSource.terms, hit_for=hit_for, negative_for=negative_for)
    network = CymruNetworkSource(client, replace(CymruNetworkSource.terms, hit_for=hit_for, negative_for=negative_for))
    if not settings.cymru_whois_threshold:
        return network, CymruSource(client, terms)
    host, _, port = settings.cymru_whois.rpartition(":")
    return network, CymruBulkSource(
        client,
        terms,
        whois=WhoisClient(host, int(port)),
        # One connection that fails tells enough: DNS is asked meanwhile.
        circuit=circuits.setdefault("cymru_whois", Circuit(max_failures=1)),
        threshold=settings.cymru_whois_threshold,
    )


def _dns_client(settings: Settings, circuit: Circuit) -> DnsClient | ResolverError:
    """Make the DNS client, or say why there is none: a machine without a resolver still has its local sources."""
    try:
        named = settings.cymru_resolver
        resolvers = (Resolver.parse(named),) if named else system_resolvers()
    except ResolverError as error:
        return error
    return DnsClient(
        resolvers,
        max_in_flight=settings.cymru_max_in_flight,
        timeout=settings.cymru_timeout_seconds,
        circuit=circuit,
        proof=PROOF_NAME,
    )
