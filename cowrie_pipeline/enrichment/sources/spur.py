"""SPUR: whether an address is the end of a VPN, a proxy or a tunnel, and what kind of network and client is behind it.

Belongs here: what is asked, and how the answer reads.
Does not belong here: limits, pauses, calls in flight (http_source.py), what makes an `ip_type` of it (merge.py).

Format (docs.spur.us, Context API v2): `{"ip", "as": {"number", "organization"}, "organization", "infrastructure",
"client": {"types", "proxies", ...}, "location", "risks", "services", "tunnels": [...]}`, of which every part may be
missing.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from cowrie_pipeline.enrichment.http_client import HttpRequest, Reply
from cowrie_pipeline.enrichment.sources.http_source import (
    AddressSource,
    NotApplicableError,
    UnreadableAnswerError,
    canonical_address,
    check_address,
    json_map,
)
from cowrie_pipeline.enrichment.terms import Limit, Terms
from cowrie_pipeline.enrichment.values import (
    MAX_TEXTS,
    asn_number,
    country_code,
    flag,
    map_at,
    maps_in,
    present,
    short_text,
    short_texts,
)

__all__ = ["SpurSource"]

_EXPECTED = "SPUR's context of the address"


class SpurSource(AddressSource):
    """What SPUR knows of an address.

    Payload: `organization`, `infrastructure` (such as DATACENTER or MOBILE), `client_types`, `proxies` (names of
    services whose customers leave here), `tunnels` (list of maps with `type`, `operator`, `anonymous`), `risks`,
    `services` (names of protocols), `country`, `asn`.
    """

    terms = Terms(
        service="spur",
        title="SPUR Context",
        about="whether an address is a VPN, a proxy or a tunnel, and for whom",
        url="https://spur.us/",
        hit_for=timedelta(days=14),
        negative_for=timedelta(days=14),
        licence="paid; as the contract says",
        needs_key=True,
        # Each call costs money; what a plan has is a setting.
        limits=(Limit(1000, timedelta(days=1)),),
    )
    default_url = "https://api.spur.us"
    key_setting = "COWRIE_SPUR_KEY"
    # 429 says that the queries that were paid for are used up.
    default_pause = timedelta(hours=6)

    def request(self, key: str) -> HttpRequest:
        """Ask for the context of an address."""
        return HttpRequest(f"/v2/context/{canonical_address(key)}", headers={"Token": self._api_key})

    def parse(self, key: str, reply: Reply) -> Mapping[str, Any] | None:
        """Read the context of an address."""
        if reply.status == 400:
            raise NotApplicableError("SPUR says that this is no public address")
        answer = json_map(reply, _EXPECTED)
        if answer.get("ip") is None:
            raise UnreadableAnswerError(_EXPECTED, reply)
        check_address(key, answer.get("ip"), _EXPECTED, reply)
        network, client = map_at(answer, "as"), map_at(answer, "client")
        return present(
            organization=short_text(answer.get("organization")) or short_text(network.get("organization")),
            infrastructure=short_text(answer.get("infrastructure")),
            client_types=short_texts(client.get("types")),
            proxies=short_texts(client.get("proxies")),
            tunnels=[tunnel for tunnel in map(_tunnel, maps_in(answer.get("tunnels"))) if tunnel][:MAX_TEXTS] or None,
            risks=short_texts(answer.get("risks")),
            services=short_texts(answer.get("services")),
            country=country_code(map_at(answer, "location").get("country")),
            asn=asn_number(network.get("number")),
        )


def _tunnel(said: Mapping[str, Any]) -> dict[str, Any]:
    return present(
        type=short_text(said.get("type")),
        operator=short_text(said.get("operator")),
        anonymous=flag(said.get("anonymous")),
    )
