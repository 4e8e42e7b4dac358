"""AbuseIPDB: how often people complained about an address, and what kind of network it is in.

Belongs here: what is asked, and how the answer reads.
Does not belong here: limits, pauses, calls in flight (http_source.py), reporting addresses.

Format (docs.abuseipdb.com, `check` of API v2): `{"data": {"ipAddress", "abuseConfidenceScore", "totalReports", ...}}`;
an address nobody complained about has score 0. Errors are `{"errors": [{"detail", "status"}]}`.
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
from cowrie_pipeline.enrichment.values import count_value, country_code, flag, iso_time, map_at, present, short_text

__all__ = ["AbuseIpdbSource"]

_EXPECTED = "AbuseIPDB's answer with a score from 0 to 100"
REPORTS_OF_DAYS = 90


class AbuseIpdbSource(AddressSource):
    """The complaints about an address in the last 90 days.

    Payload: `score` (0 to 100), `total_reports`, `last_reported_at` (ISO time), `usage_type` (such as "Data Center/Web
    Hosting/Transit"), `country`, `is_tor` and `is_whitelisted` (bool), `isp`, `domain`.
    """

    terms = Terms(
        service="abuseipdb",
        title="AbuseIPDB",
        about="how often people complained about an address, and its kind of use",
        url="https://www.abuseipdb.com/",
        hit_for=timedelta(days=7),
        negative_for=timedelta(days=7),
        licence="AbuseIPDB's terms: free plan for own protection, no resale",
        attribution="AbuseIPDB",
        needs_key=True,
        limits=(Limit(1000, timedelta(days=1)),),
    )
    default_url = "https://api.abuseipdb.com"
    key_setting = "COWRIE_ABUSEIPDB_KEY"
    # 402 says that the plan does not have what was asked for: the same for every address.
    refusals = frozenset({401, 402, 403})
    default_pause = timedelta(hours=1)

    def request(self, key: str) -> HttpRequest:
        """Ask about an address."""
        return HttpRequest(
            "/api/v2/check",
            params={"ipAddress": canonical_address(key) or key, "maxAgeInDays": str(REPORTS_OF_DAYS)},
            headers={"Key": self._api_key, "Accept": "application/json"},
        )

    def parse(self, key: str, reply: Reply) -> Mapping[str, Any] | None:
        """Read what is known of an address."""
        if reply.status == 422:
            raise NotApplicableError("AbuseIPDB says that this is no address it can be asked about")
        said = map_at(json_map(reply, _EXPECTED), "data")
        score = count_value(said.get("abuseConfidenceScore"))
        if score is None or score > 100:
            raise UnreadableAnswerError(_EXPECTED, reply)
        check_address(key, said.get("ipAddress"), _EXPECTED, reply)
        return present(
            score=score,
            total_reports=count_value(said.get("totalReports")),
            last_reported_at=iso_time(said.get("lastReportedAt")),
            usage_type=short_text(said.get("usageType")),
            country=country_code(said.get("countryCode")),
            is_tor=flag(said.get("isTor")),
            is_whitelisted=flag(said.get("isWhitelisted")),
            isp=short_text(said.get("isp")),
            domain=short_text(said.get("domain")),
        )
