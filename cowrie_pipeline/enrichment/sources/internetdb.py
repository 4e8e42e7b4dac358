"""Shodan InternetDB: what is open on an address, as a weekly scan saw it.

Belongs here: what is asked, and how the answer reads.
Does not belong here: limits, pauses, calls in flight (http_source.py).

Format (internetdb.shodan.io): `{"ip", "ports", "cpes", "hostnames", "tags", "vulns"}`, all lists; HTTP 404 with
`{"detail": "No information available"}` says that nothing is known, and HTTP 422 that this is no address.
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
from cowrie_pipeline.enrichment.values import count_value, present, short_texts

__all__ = ["InternetDbSource"]

_EXPECTED = "InternetDB's answer with a list of ports"
# Nothing has so many; a made answer must not fill a database.
MAX_PORTS = 1000


class InternetDbSource(AddressSource):
    """What is open on an address.

    Payload: `ports` (list of int), `hostnames`, `tags` (such as "vpn" or "cloud"), `vulns` (CVE numbers), `cpes`; an
    empty list is absent.
    """

    terms = Terms(
        service="internetdb",
        title="Shodan InternetDB",
        about="open ports, names and known weaknesses of an address",
        url="https://internetdb.shodan.io/",
        hit_for=timedelta(days=7),
        negative_for=timedelta(days=7),
        licence="free for non-commercial use",
        attribution="Shodan InternetDB",
        # No figure is published, only that abuse is answered with 429.
        limits=(Limit(1, timedelta(seconds=1)),),
    )
    default_url = "https://internetdb.shodan.io"
    refusal_advice = (
        "InternetDB turns us away, and needs no key: look whether it asks for less, or is blocked on the way"
    )

    def request(self, key: str) -> HttpRequest:
        """Ask about an address."""
        return HttpRequest(f"/{canonical_address(key)}")

    def parse(self, key: str, reply: Reply) -> Mapping[str, Any] | None:
        """Read what is known of an address."""
        if reply.status == 422:
            raise NotApplicableError("InternetDB says that this is no address it can be asked about")
        answer = json_map(reply, _EXPECTED, statuses=(200, 404))
        if reply.status == 404:
            if answer.get("detail") != "No information available":
                raise UnreadableAnswerError("InternetDB to say that it has no information", reply)
            return None
        if not isinstance(answer.get("ports"), list):
            raise UnreadableAnswerError(_EXPECTED, reply)
        check_address(key, answer.get("ip"), _EXPECTED, reply)
        ports = {port for port in map(count_value, answer["ports"]) if port is not None and 0 < port < 65536}
        return present(
            ports=sorted(ports)[:MAX_PORTS] or None,
            hostnames=short_texts(answer.get("hostnames")),
            tags=short_texts(answer.get("tags")),
            vulns=short_texts(answer.get("vulns")),
            cpes=short_texts(answer.get("cpes")),
        )
