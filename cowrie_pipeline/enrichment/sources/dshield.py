"""DShield (SANS Internet Storm Center): how often an address was reported by other people's firewalls.

Belongs here: what is asked, and how the answer reads.
Does not belong here: limits, pauses, calls in flight (http_source.py), the list of research scanners (a download).

Format (isc.sans.edu/api): `{"ip": {"number", "count", "attacks", "mindate", "maxdate", "maxrisk", "as", "asname",
"ascountry", "network", "threatfeeds", ...}}`; numbers come as numbers or texts, null stands for what is not known, and
older editions pad the address with zeros. A User-Agent without a contact is answered with HTTP 403.
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
    asn_number,
    count_value,
    country_code,
    iso_day,
    map_at,
    network_prefix,
    present,
    short_text,
    short_texts,
)

__all__ = ["DShieldSource"]

_EXPECTED = "DShield's answer with a map ip"


class DShieldSource(AddressSource):
    """What was reported to DShield of an address.

    Payload: `reports` (packets reported) and `targets` (distinct targets), `first_seen` and `last_seen` (ISO days),
    `max_risk` (0 to 10), `asn`, `organization`, `country` (of the network), `network` (CIDR), `threat_feeds` (names of
    the lists that have it). An address that nobody reported has no `reports`, and can still have a network.
    """

    terms = Terms(
        service="dshield",
        title="DShield / SANS Internet Storm Center",
        about="how often an address was reported, since when, and on which threat feeds it is",
        url="https://isc.sans.edu/api/",
        hit_for=timedelta(days=7),
        negative_for=timedelta(days=2),
        licence="free also for commercial self-protection; no resale; not to be used as a plain block list",
        attribution="DShield.org / SANS Internet Storm Center",
        needs_contact=True,
        limits=(Limit(1, timedelta(seconds=1)),),
    )
    default_url = "https://isc.sans.edu"
    refusal_advice = (
        "DShield turns away a User-Agent without a contact that works, and whoever asks too much: check COWRIE_CONTACT"
    )

    def request(self, key: str) -> HttpRequest:
        """Ask about an address; who asks is told by the User-Agent."""
        return HttpRequest(f"/api/ip/{canonical_address(key)}?json")

    def parse(self, key: str, reply: Reply) -> Mapping[str, Any] | None:
        """Read what is known of an address."""
        answer = json_map(reply, _EXPECTED)
        if "bad IP" in str(answer.get("error")):
            raise NotApplicableError("DShield says that this is no address it can be asked about")
        if not isinstance(answer.get("ip"), dict):
            raise UnreadableAnswerError(_EXPECTED, reply)
        known = map_at(answer, "ip")
        check_address(key, _without_padding(known.get("number")), _EXPECTED, reply)
        max_risk = count_value(known.get("maxrisk"))
        return present(
            reports=count_value(known.get("count")),
            targets=count_value(known.get("attacks")),
            first_seen=iso_day(known.get("mindate")),
            last_seen=iso_day(known.get("maxdate")),
            max_risk=max_risk if max_risk is not None and max_risk <= 10 else None,
            asn=asn_number(known.get("as")),
            organization=short_text(known.get("asname")),
            country=country_code(known.get("ascountry")),
            network=network_prefix(known.get("network")),
            threat_feeds=short_texts(list(map_at(known, "threatfeeds"))),
        )


def _without_padding(number: Any) -> Any:
    """Return `8.8.8.8` for `008.008.008.008`."""
    if isinstance(number, str) and number.count(".") == 3:
        return ".".join(octet.lstrip("0") or "0" for octet in number.split("."))
    return number
