"""GreyNoise Community: whether an address scans the whole Internet, and whether it belongs to a common service.

Belongs here: what is asked, and how the answer reads.
Does not belong here: limits, pauses, calls in flight (http_source.py), which addresses are worth a call (cascade.py).

Format (docs.greynoise.io, Community API v3): `{"ip", "noise", "riot", "classification", "name", "link", "last_seen",
"message"}`, and with HTTP 404 the same with both flags false: not observed, which is an answer.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from cowrie_pipeline.enrichment.bogons import packed_address
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
from cowrie_pipeline.enrichment.values import flag, iso_day, present, short_text

__all__ = ["GreyNoiseSource"]

_EXPECTED = "GreyNoise's answer with the flags noise and riot"
_CLASSIFICATIONS = frozenset({"benign", "malicious", "unknown"})


class GreyNoiseSource(AddressSource):
    """What GreyNoise saw of an IPv4 address.

    Payload: `noise` (bool: it scans the Internet), `riot` (bool: it belongs to a common service), `classification`
    (benign, malicious or unknown), `name` (of the organization or scanner), `last_seen` (ISO day).
    """

    terms = Terms(
        service="greynoise",
        title="GreyNoise Community",
        about="whether an address scans the whole Internet",
        url="https://www.greynoise.io/",
        hit_for=timedelta(days=7),
        negative_for=timedelta(days=7),
        licence="GreyNoise's terms, community plan: own use, no redistribution",
        attribution="GreyNoise Intelligence",
        needs_key=True,
        # The figure is second-hand: what a plan allows is a setting.
        limits=(Limit(50, timedelta(days=7)),),
    )
    default_url = "https://api.greynoise.io"
    key_setting = "COWRIE_GREYNOISE_KEY"
    asks_about = "an IPv4 address"
    # Its quota is counted by the week: what is used up is not back in minutes.
    default_pause = timedelta(hours=6)

    def applies_to(self, key: str) -> bool:
        """Whether `key` is an IPv4 address."""
        return super().applies_to(key) and len(packed_address(key)) == 4

    def request(self, key: str) -> HttpRequest:
        """Ask about an address."""
        return HttpRequest(f"/v3/community/{canonical_address(key)}", headers={"key": self._api_key})

    def parse(self, key: str, reply: Reply) -> Mapping[str, Any] | None:
        """Read what is known of an address."""
        answer = json_map(reply, _EXPECTED, statuses=(200, 400, 404))
        if reply.status == 400:
            raise NotApplicableError("GreyNoise says that the address is not routed on the Internet")
        noise, riot = flag(answer.get("noise")), flag(answer.get("riot"))
        if noise is None or riot is None:
            raise UnreadableAnswerError(_EXPECTED, reply)
        check_address(key, answer.get("ip"), _EXPECTED, reply)
        if reply.status == 404:
            if noise or riot:
                raise UnreadableAnswerError("both flags to be false where nothing was observed", reply)
            return None
        classification = short_text(answer.get("classification"))
        name = short_text(answer.get("name"))
        return present(
            noise=noise,
            riot=riot,
            classification=classification if classification in _CLASSIFICATIONS else None,
            name=None if name == "unknown" else name,
            last_seen=iso_day(answer.get("last_seen")),
        )
