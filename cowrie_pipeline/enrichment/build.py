"""From settings to a cascade that is ready to run.

Belongs here: which sources there are and what each is made of.
Does not belong here: how they work (sources/), the order in which they are asked (cascade.py).
"""

from collections.abc import MutableMapping
from datetime import timedelta

from cowrie_pipeline.enrichment.cascade import Cascade
from cowrie_pipeline.enrichment.circuit import Circuit
from cowrie_pipeline.enrichment.outcomes import Source
from cowrie_pipeline.enrichment.sources.cymru import PROOF_NAME, CymruNetworkSource, CymruSource, CymruTerms
from cowrie_pipeline.enrichment.sources.dns_client import DnsClient, Resolver, ResolverError, system_resolvers
from cowrie_pipeline.enrichment.sources.maxmind import MaxMindSource
from cowrie_pipeline.settings import Settings

__all__ = ["build_cascade"]


def build_cascade(settings: Settings, circuits: MutableMapping[str, Circuit]) -> Cascade:
    """Make the cascade that `settings` describe.

    `circuits` holds a breaker for each remote service and is filled at first use: a process keeps one mapping for all
    the cascades it builds, so that what one batch learned of a dead service, or of a resolver that can be believed,
    serves the next.
    """
    sources: list[Source] = [MaxMindSource(settings.geoip_folder)]
    if settings.cymru_enabled:
        client = _cymru_client(settings, circuits.setdefault("cymru", Circuit()))
        terms = CymruTerms(timedelta(days=settings.cymru_hit_days), timedelta(days=settings.cymru_negative_days))
        sources += [CymruSource(client, terms), CymruNetworkSource(client, terms)]
    return Cascade(sources)


def _cymru_client(settings: Settings, circuit: Circuit) -> DnsClient | ResolverError:
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
