"""VirusTotal: what the scanners say of a file, by its SHA-256. Nothing is ever uploaded.

Belongs here: what is asked, and how the answer reads.
Does not belong here: limits, pauses, calls in flight (http_source.py), which files are worth a call.

Format (docs.virustotal.com, `files` of API v3): `{"data": {"id", "attributes": {"last_analysis_stats": {...}, ...}}}`,
times in seconds since 1970. An error is `{"error": {"code", "message"}}`; HTTP 404 with `NotFoundError` says that the
file is not known, which changes as soon as somebody uploads it.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from cowrie_pipeline.enrichment.http_client import HttpRequest, Reply
from cowrie_pipeline.enrichment.sources.http_source import HttpSource, UnreadableAnswerError, json_map
from cowrie_pipeline.enrichment.terms import Limit, Terms
from cowrie_pipeline.enrichment.values import (
    count_value,
    hex_digest,
    iso_time,
    map_at,
    present,
    short_text,
    short_texts,
)

__all__ = ["VirusTotalSource"]

_EXPECTED = "VirusTotal's answer with last_analysis_stats"


class VirusTotalSource(HttpSource):
    """What is known of a file, by its SHA-256 in lower case as key.

    Payload: `malicious`, `suspicious`, `harmless`, `undetected` (how many scanners say so), `first_submission` and
    `last_analysis` (ISO times), `type`, `size` (bytes), `label` (the threat's usual name), `names`, `tags`, `md5`,
    `sha1`.
    """

    terms = Terms(
        service="virustotal",
        title="VirusTotal",
        about="what the scanners say of a file, by its hash",
        url="https://www.virustotal.com/",
        hit_for=timedelta(days=30),
        negative_for=timedelta(hours=12),
        licence="public key: no commercial workflow, no product or service built on it",
        attribution="VirusTotal",
        needs_key=True,
        limits=(
            Limit(4, timedelta(minutes=1)),
            Limit(500, timedelta(days=1)),
            Limit(15_500, timedelta(days=31)),
        ),
    )
    default_url = "https://www.virustotal.com"
    key_setting = "COWRIE_VIRUSTOTAL_KEY"
    asks_about = "a SHA-256 in lower case"

    def applies_to(self, key: str) -> bool:
        """Whether `key` is a SHA-256 as it is written here."""
        return hex_digest(key, 64) == key

    def request(self, key: str) -> HttpRequest:
        """Ask about a file."""
        return HttpRequest(f"/api/v3/files/{key}", headers={"x-apikey": self._api_key})

    def parse(self, key: str, reply: Reply) -> Mapping[str, Any] | None:
        """Read what is known of a file."""
        answer = json_map(reply, _EXPECTED, statuses=(200, 404))
        if reply.status == 404:
            if map_at(answer, "error").get("code") != "NotFoundError":
                raise UnreadableAnswerError("VirusTotal to say NotFoundError", reply)
            return None
        attributes = map_at(map_at(answer, "data"), "attributes")
        stats = map_at(attributes, "last_analysis_stats")
        malicious = count_value(stats.get("malicious"))
        if malicious is None:
            raise UnreadableAnswerError(_EXPECTED, reply)
        if attributes.get("sha256", key) != key:
            raise UnreadableAnswerError("VirusTotal to tell of the file that was asked", f"{reply} about another")
        return present(
            malicious=malicious,
            suspicious=count_value(stats.get("suspicious")),
            harmless=count_value(stats.get("harmless")),
            undetected=count_value(stats.get("undetected")),
            first_submission=iso_time(attributes.get("first_submission_date")),
            last_analysis=iso_time(attributes.get("last_analysis_date")),
            type=short_text(attributes.get("type_description")),
            size=count_value(attributes.get("size")),
            label=short_text(map_at(attributes, "popular_threat_classification").get("suggested_threat_label")),
            names=short_texts(attributes.get("names")),
            tags=short_texts(attributes.get("tags")),
            md5=hex_digest(attributes.get("md5"), 32),
            sha1=hex_digest(attributes.get("sha1"), 40),
        )

    def pause_for(self, reply: Reply) -> timedelta:
        """Return a minute for the pace, and longer where a quota is used up."""
        try:
            code = map_at(json_map(reply, _EXPECTED, statuses=(reply.status,)), "error").get("code")
        except UnreadableAnswerError:
            code = None
        # QuotaExceededError can be the minute's, the day's or the month's.
        return timedelta(minutes=1) if code == "TooManyRequestsError" else timedelta(minutes=15)
