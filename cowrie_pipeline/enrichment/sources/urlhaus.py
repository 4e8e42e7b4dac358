"""URLhaus (abuse.ch): whether malware was served from an address.

Belongs here: what is asked, and how the answer reads.
Does not belong here: limits, pauses, calls in flight (http_source.py).

Format (urlhaus-api.abuse.ch, `POST /v1/host/`): HTTP 200 also for what is no answer, and `query_status` says what it
is: `ok`, `no_results`, `invalid_host`, `unknown_auth_key`. Numbers and truth values come as texts, `tags` is a list or
null.
"""

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from cowrie_pipeline.enrichment.http_client import HttpRequest, Reply
from cowrie_pipeline.enrichment.sources.http_source import (
    AddressSource,
    NotApplicableError,
    RefusedError,
    UnreadableAnswerError,
    canonical_address,
    check_address,
    json_map,
)
from cowrie_pipeline.enrichment.terms import Limit, Terms
from cowrie_pipeline.enrichment.values import (
    count_value,
    iso_time,
    map_at,
    maps_in,
    present,
    short_text,
    short_texts,
    web_address,
)

__all__ = ["UrlhausSource"]

_EXPECTED = "URLhaus's answer with a query_status"
_STATUS = re.compile(r"[a-z_]{1,40}")
_BLACKLISTS = ("spamhaus_dbl", "surbl")


class UrlhausSource(AddressSource):
    """The malware URLs on an address.

    Payload: `url_count` (of all that were ever seen), `online_count` (of the newest, which the answer lists, those that
    work), `first_seen` (ISO time), `reference` (URL of the page on it), `blacklists` (of Spamhaus DBL and SURBL those
    that list it, with what they say), `threats` and `tags` (of the listed URLs, distinct).
    """

    terms = Terms(
        service="urlhaus",
        title="URLhaus",
        about="whether malware was served from an address",
        url="https://urlhaus.abuse.ch/",
        hit_for=timedelta(days=3),
        negative_for=timedelta(days=3),
        licence="fair use; commercial use through Spamhaus",
        attribution="URLhaus, abuse.ch",
        needs_key=True,
        # No figure is published: this is our idea of fair use.
        limits=(Limit(1, timedelta(seconds=1)),),
    )
    default_url = "https://urlhaus-api.abuse.ch"
    key_setting = "COWRIE_URLHAUS_KEY"

    def request(self, key: str) -> HttpRequest:
        """Ask about a host."""
        form = {"host": canonical_address(key) or key}
        return HttpRequest("/v1/host/", method="POST", form=form, headers={"Auth-Key": self._api_key})

    def parse(self, key: str, reply: Reply) -> Mapping[str, Any] | None:
        """Read what is known of a host."""
        answer = json_map(reply, _EXPECTED)
        said = answer.get("query_status")
        status = said if isinstance(said, str) and _STATUS.fullmatch(said) else "nothing that is one"
        if status == "no_results":
            return None
        if status == "unknown_auth_key":
            raise RefusedError("refused with unknown_auth_key")
        if status == "invalid_host":
            raise NotApplicableError("URLhaus says that this is no host it can be asked about")
        url_count = count_value(answer.get("url_count"))
        if status != "ok" or url_count is None:
            raise UnreadableAnswerError(_EXPECTED, f"{status} ({reply})")
        check_address(key, answer.get("host"), _EXPECTED, reply)
        urls = maps_in(answer.get("urls"))
        listed = {name: short_text(map_at(answer, "blacklists").get(name)) for name in _BLACKLISTS}
        tags = [tag for url in urls if isinstance(url.get("tags"), list) for tag in url["tags"]]
        return present(
            url_count=url_count,
            online_count=sum(url.get("url_status") == "online" for url in urls) if urls else None,
            first_seen=iso_time(answer.get("firstseen")),
            reference=web_address(answer.get("urlhaus_reference")),
            blacklists={name: text for name, text in listed.items() if text not in (None, "not listed")} or None,
            threats=short_texts([url.get("threat") for url in urls]),
            tags=short_texts(tags),
        )
