"""What the services say on the wire: for each, one thing that it knows, and how it answers everything else.

Belongs here: the true formats, from reference and documentation of each service, with their oddities.
Does not belong here: what a test makes of them.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from cowrie_pipeline.enrichment.sources.abuseipdb import AbuseIpdbSource
from cowrie_pipeline.enrichment.sources.dshield import DShieldSource
from cowrie_pipeline.enrichment.sources.greynoise import GreyNoiseSource
from cowrie_pipeline.enrichment.sources.http_source import HttpSource
from cowrie_pipeline.enrichment.sources.internetdb import InternetDbSource
from cowrie_pipeline.enrichment.sources.pwned_passwords import PwnedPasswordsSource
from cowrie_pipeline.enrichment.sources.spur import SpurSource
from cowrie_pipeline.enrichment.sources.urlhaus import UrlhausSource
from cowrie_pipeline.enrichment.sources.virustotal import VirusTotalSource
from cowrie_pipeline_tests.contract.http_server import Answer, Asked, as_json

KEY = "s3cret-key-that-must-not-be-seen"
KNOWN = "203.0.113.7"  # documentation addresses: nobody's
UNKNOWN = "198.51.100.9"
FILE = hashlib.sha256(b"malware").hexdigest()
UNKNOWN_FILE = hashlib.sha256(b"never seen").hexdigest()
PREFIX = "21BD1"
HTML_PAGE = Answer(200, b"<!DOCTYPE html><html><body>We are sorry</body></html>", "text/html; charset=utf-8")
NO_KEY = as_json({"message": "unauthorized"}, 401)


def greynoise(asked: Asked) -> Answer:
    if asked.headers.get("key") != KEY:
        return NO_KEY
    address = asked.path.removeprefix("/v3/community/")
    if address == KNOWN:
        return as_json(GREYNOISE_KNOWN)
    message = "IP not observed scanning the internet or contained in RIOT data set."
    return as_json({"ip": address, "noise": False, "riot": False, "message": message}, 404)


GREYNOISE_KNOWN = {
    "ip": KNOWN,
    "noise": True,
    "riot": False,
    "classification": "malicious",
    "name": "unknown",
    "link": f"https://viz.greynoise.io/ip/{KNOWN}",
    "last_seen": "2025-12-30",
    "message": "Success",
}


def dshield(asked: Asked) -> Answer:
    if "+" not in asked.headers.get("user-agent", "") or "python-requests" in asked.headers["user-agent"]:
        return Answer(403, b"Please set a User-Agent with your contact.", "text/plain")
    address = asked.path.removeprefix("/api/ip/")
    if asked.query != "json":
        return HTML_PAGE
    if address == KNOWN:
        return as_json({"ip": DSHIELD_KNOWN})
    unknown = dict.fromkeys(DSHIELD_KNOWN) | {"number": address}
    return as_json({"ip": unknown})


DSHIELD_KNOWN: dict[str, Any] = {
    "number": KNOWN,
    "count": "1523",  # numbers come as texts, too
    "attacks": 37,
    "maxdate": "2025-12-30",
    "mindate": "2025-11-02",
    "updated": "2025-12-31 04:11:09",
    "comment": None,
    "maxrisk": "10",
    "asabusecontact": "abuse@example.com",
    "as": "64500",
    "asname": "EXAMPLE-NET",
    "ascountry": "NL",
    "assize": 65536,
    "network": "203.0.113.0/24",
    "threatfeeds": {
        "blocklistde22": {"lastseen": "2025-12-30", "firstseen": "2025-11-04"},
        "ciarmy": {"lastseen": "2025-12-29", "firstseen": "2025-12-01"},
    },
}


def urlhaus(asked: Asked) -> Answer:
    if asked.method != "POST" or "host" not in asked.form:
        return as_json({"query_status": "http_post_expected"})
    if asked.headers.get("auth-key") != KEY:
        return as_json({"query_status": "unknown_auth_key"})
    if asked.form["host"] == KNOWN:
        return as_json(URLHAUS_KNOWN)
    return as_json({"query_status": "no_results"})


URLHAUS_KNOWN: dict[str, Any] = {
    "query_status": "ok",
    "urlhaus_reference": f"https://urlhaus.abuse.ch/host/{KNOWN}/",
    "host": KNOWN,
    "firstseen": "2025-12-01 07:09:01 UTC",
    "url_count": "4",
    "blacklists": {"spamhaus_dbl": "not listed", "surbl": "listed"},
    "urls": [
        {
            "id": "3712345",
            "urlhaus_reference": "https://urlhaus.abuse.ch/url/3712345/",
            "url": f"http://{KNOWN}/bins.sh",
            "url_status": "online",
            "date_added": "2025-12-01 07:09:04 UTC",
            "threat": "malware_download",
            "reporter": "someone",
            "larted": "true",
            "takedown_time_seconds": None,
            "tags": ["mirai", "elf"],
        },
        {
            "id": "3712346",
            "url": f"http://{KNOWN}/x86",
            "url_status": "offline",
            "threat": "malware_download",
            "larted": "false",
            "tags": None,
        },
    ],
}


def spur(asked: Asked) -> Answer:
    if asked.headers.get("token") != KEY:
        return as_json({}, 401)
    address = asked.path.removeprefix("/v2/context/")
    headers = {"x-balance-remaining": "812", "x-result-dt": "20251230"}
    return as_json(SPUR_KNOWN if address == KNOWN else {"ip": address}, headers=headers)


SPUR_KNOWN: dict[str, Any] = {
    "ip": KNOWN,
    "as": {"number": 64500, "organization": "EXAMPLE-NET"},
    "organization": "Example Hosting",
    "infrastructure": "DATACENTER",
    "client": {
        "behaviors": ["FILE_SHARING"],
        "concentration": {"country": "NL", "density": 0.2},
        "count": 4,
        "countries": 2,
        "proxies": ["LUMINATI_PROXY"],
        "spread": 1000,
        "types": ["MOBILE", "DESKTOP"],
    },
    "location": {"city": "Amsterdam", "country": "NL", "state": "North Holland"},
    "risks": ["TUNNEL", "CALLBACK_PROXY"],
    "services": ["OPENVPN"],
    "tunnels": [
        {"anonymous": True, "entries": ["203.0.113.8"], "operator": "NORD_VPN", "type": "VPN"},
        {"type": "PROXY"},
    ],
}


def abuseipdb(asked: Asked) -> Answer:
    if asked.headers.get("key") != KEY:
        detail = "Authentication failed. Your API key is either missing, incorrect, or revoked."
        return as_json({"errors": [{"detail": detail, "status": 401}]}, 401)
    said = (
        ABUSEIPDB_KNOWN
        if asked.params["ipAddress"] == KNOWN
        else {
            "ipAddress": asked.params["ipAddress"],
            "isPublic": True,
            "ipVersion": 4,
            "isWhitelisted": None,
            "abuseConfidenceScore": 0,
            "countryCode": None,
            "usageType": None,
            "isp": "",
            "domain": None,
            "hostnames": [],
            "isTor": False,
            "totalReports": 0,
            "numDistinctUsers": 0,
            "lastReportedAt": None,
        }
    )
    return as_json({"data": said}, headers={"X-RateLimit-Limit": "1000", "X-RateLimit-Remaining": "998"})


ABUSEIPDB_KNOWN: dict[str, Any] = {
    "ipAddress": KNOWN,
    "isPublic": True,
    "ipVersion": 4,
    "isWhitelisted": False,
    "abuseConfidenceScore": 100,
    "countryCode": "NL",
    "usageType": "Data Center/Web Hosting/Transit",
    "isp": "Example Hosting B.V.",
    "domain": "example.com",
    "hostnames": ["a.example.com"],
    "isTor": False,
    "totalReports": 212,
    "numDistinctUsers": 80,
    "lastReportedAt": "2025-12-30T11:30:06+01:00",
}


def internetdb(asked: Asked) -> Answer:
    if asked.path == f"/{KNOWN}":
        return as_json(INTERNETDB_KNOWN)
    return as_json({"detail": "No information available"}, 404)


INTERNETDB_KNOWN: dict[str, Any] = {
    "ip": KNOWN,
    "ports": [443, 22],
    "cpes": ["cpe:/a:openbsd:openssh:9.6"],
    "hostnames": ["a.example.com"],
    "tags": ["cloud"],
    "vulns": ["CVE-2023-48795"],
}


def virustotal(asked: Asked) -> Answer:
    if asked.headers.get("x-apikey") != KEY:
        return as_json({"error": {"code": "WrongCredentialsError", "message": "Wrong API key"}}, 401)
    digest = asked.path.removeprefix("/api/v3/files/")
    if digest == FILE:
        return as_json(VIRUSTOTAL_KNOWN)
    return as_json({"error": {"code": "NotFoundError", "message": f'File "{digest}" not found'}}, 404)


VIRUSTOTAL_KNOWN: dict[str, Any] = {
    "data": {
        "id": FILE,
        "type": "file",
        "links": {"self": f"https://www.virustotal.com/api/v3/files/{FILE}"},
        "attributes": {
            "last_analysis_stats": {
                "malicious": 41,
                "suspicious": 0,
                "undetected": 22,
                "harmless": 0,
                "timeout": 1,
                "confirmed-timeout": 0,
                "failure": 0,
                "type-unsupported": 12,
            },
            "last_analysis_date": 1767052800,
            "first_submission_date": 1764547200,
            "times_submitted": 17,
            "type_description": "ELF",
            "type_tag": "elf",
            "size": 73400,
            "names": ["x86", "bins.sh"],
            "tags": ["elf", "64bits"],
            "meaningful_name": "x86",
            "popular_threat_classification": {"suggested_threat_label": "trojan.mirai/gafgyt"},
            "md5": "9E107D9D372BB6826BD81D3542A419D6",
            "sha1": "2fd4e1c67a2d28fced849ee1bb76e7391b93eb12",
            "sha256": FILE,
            "tlsh": "T1...",
            "ssdeep": "3:...",
        },
    }
}


def pwned_passwords(asked: Asked) -> Answer:
    if not asked.headers.get("user-agent"):
        return Answer(403, b"", None)
    rows = dict(PWNED_ROWS)
    if asked.headers.get("add-padding") == "true":
        rows |= {hashlib.sha1(b"padding%d" % number).hexdigest().upper()[5:]: 0 for number in range(800)}
    text = "\r\n".join(f"{suffix}:{count}" for suffix, count in sorted(rows.items()))
    return Answer(200, text.encode(), "text/plain")


# Of 35 digits 11 are kept.
PWNED_COUNTS = {"0018A45C4D1": 10, "00D4F6E8FA6": 2}
PWNED_ROWS = {"0018A45C4D1DEF81644B54AB7F969B88D65": 10, "00D4F6E8FA6EECAD2A3AA415EEC418D38EC": 2}


@dataclass(frozen=True, eq=False)
class Case:
    """A service, a key that it knows and the payload of that; `unknown` is None where it always knows something."""

    source: type[HttpSource]
    answer: Callable[[Asked], Answer]
    known: str
    payload: Mapping[str, Any]
    unknown: str | None
    more_keys: tuple[str, ...]  # other keys that it can be asked about

    def __str__(self) -> str:
        return self.source.terms.service


_ADDRESSES = tuple(f"198.51.100.{number}" for number in range(10, 40))

CASES = (
    Case(
        GreyNoiseSource,
        greynoise,
        KNOWN,
        {"noise": True, "riot": False, "classification": "malicious", "last_seen": "2025-12-30"},
        UNKNOWN,
        _ADDRESSES,
    ),
    Case(
        DShieldSource,
        dshield,
        KNOWN,
        {
            "reports": 1523,
            "targets": 37,
            "first_seen": "2025-11-02",
            "last_seen": "2025-12-30",
            "max_risk": 10,
            "asn": 64500,
            "organization": "EXAMPLE-NET",
            "country": "NL",
            "network": "203.0.113.0/24",
            "threat_feeds": ["blocklistde22", "ciarmy"],
        },
        UNKNOWN,
        _ADDRESSES,
    ),
    Case(
        UrlhausSource,
        urlhaus,
        KNOWN,
        {
            "url_count": 4,
            "online_count": 1,
            "first_seen": "2025-12-01T07:09:01+00:00",
            "reference": f"https://urlhaus.abuse.ch/host/{KNOWN}/",
            "blacklists": {"surbl": "listed"},
            "threats": ["malware_download"],
            "tags": ["mirai", "elf"],
        },
        UNKNOWN,
        _ADDRESSES,
    ),
    Case(
        SpurSource,
        spur,
        KNOWN,
        {
            "organization": "Example Hosting",
            "infrastructure": "DATACENTER",
            "client_types": ["MOBILE", "DESKTOP"],
            "proxies": ["LUMINATI_PROXY"],
            "tunnels": [{"type": "VPN", "operator": "NORD_VPN", "anonymous": True}, {"type": "PROXY"}],
            "risks": ["TUNNEL", "CALLBACK_PROXY"],
            "services": ["OPENVPN"],
            "country": "NL",
            "asn": 64500,
        },
        UNKNOWN,
        _ADDRESSES,
    ),
    Case(
        AbuseIpdbSource,
        abuseipdb,
        KNOWN,
        {
            "score": 100,
            "total_reports": 212,
            "last_reported_at": "2025-12-30T10:30:06+00:00",
            "usage_type": "Data Center/Web Hosting/Transit",
            "country": "NL",
            "is_tor": False,
            "is_whitelisted": False,
            "isp": "Example Hosting B.V.",
            "domain": "example.com",
        },
        None,
        _ADDRESSES,
    ),
    Case(
        InternetDbSource,
        internetdb,
        KNOWN,
        {
            "ports": [22, 443],
            "cpes": ["cpe:/a:openbsd:openssh:9.6"],
            "hostnames": ["a.example.com"],
            "tags": ["cloud"],
            "vulns": ["CVE-2023-48795"],
        },
        UNKNOWN,
        _ADDRESSES,
    ),
    Case(
        VirusTotalSource,
        virustotal,
        FILE,
        {
            "malicious": 41,
            "suspicious": 0,
            "harmless": 0,
            "undetected": 22,
            "first_submission": "2025-12-01T00:00:00+00:00",
            "last_analysis": "2025-12-30T00:00:00+00:00",
            "type": "ELF",
            "size": 73400,
            "label": "trojan.mirai/gafgyt",
            "names": ["x86", "bins.sh"],
            "tags": ["elf", "64bits"],
            "md5": "9e107d9d372bb6826bd81d3542a419d6",
            "sha1": "2fd4e1c67a2d28fced849ee1bb76e7391b93eb12",
        },
        UNKNOWN_FILE,
        tuple(hashlib.sha256(address.encode()).hexdigest() for address in _ADDRESSES),
    ),
    Case(
        PwnedPasswordsSource,
        pwned_passwords,
        PREFIX,
        {"counts": PWNED_COUNTS},
        None,
        tuple(f"AAA{number}" for number in range(10, 40)),
    ),
)
