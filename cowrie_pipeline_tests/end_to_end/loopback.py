"""Everything that the cascade asks, on loopback: services by HTTP, Team Cymru by DNS, lists and GeoIP files.

Belongs here: which addresses there are and who knows what of them, and the settings that lead there.
Does not belong here: how services speak (contract/), what is expected of the cascade.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from cowrie_pipeline.enrichment.lists.delegated import DELEGATED
from cowrie_pipeline.enrichment.lists.published import PublishedList
from cowrie_pipeline.enrichment.lists.research_scanners import RESEARCH_SCANNERS
from cowrie_pipeline.enrichment.lists.spamhaus import ASN_DROP, DROP_V4, DROP_V6
from cowrie_pipeline.enrichment.lists.tor import TOR_EXITS
from cowrie_pipeline.enrichment.made_geoip import GeoRow, write_geoip
from cowrie_pipeline_tests.contract import services
from cowrie_pipeline_tests.contract.http_server import Answer, Asked, HttpServer
from cowrie_pipeline_tests.contract.name_server import NameServer, Zone
from cowrie_pipeline_tests.enrichment.made_lists import (
    asn_drop_record,
    delegated,
    drop_record,
    research,
    spamhaus,
    tor_exits,
)

ANSWERS: Mapping[str, Callable[[Asked], Answer]] = {
    "greynoise": services.greynoise,
    "dshield": services.dshield,
    "urlhaus": services.urlhaus,
    "abuseipdb": services.abuseipdb,
    "spur": services.spur,
    "internetdb": services.internetdb,
}

# Who attacks: in a data centre that MaxMind knows, at a network that only Team Cymru knows, by Tor, for research, from
# a prefix that nobody should route, from a private network, and some that no service has heard of.
HOSTED, UNLISTED, TOR_EXIT, RESEARCHER, DROPPED = (
    "45.83.64.7",
    "91.240.118.9",
    "185.220.101.4",
    "71.6.135.131",
    "5.188.10.3",
)
BOGON = "10.0.0.5"
STRANGERS = tuple(f"45.83.65.{number}" for number in range(1, 9))
PUBLIC = (HOSTED, UNLISTED, TOR_EXIT, RESEARCHER, DROPPED, *STRANGERS)
ALL = (*PUBLIC, BOGON)

_ADDRESS = re.compile(r"\d+\.\d+\.\d+\.\d+")
_KNOWN_TO_SERVICES = {HOSTED}


@dataclass
class Loopback:
    """The servers, and the environment variables with which a process asks them."""

    http: HttpServer
    dns: NameServer
    environment: dict[str, str]

    def asked(self) -> Counter[tuple[str, str]]:
        """Return how often each service was asked about each address."""
        return Counter(_question(asked) for asked in self.http.asked)

    def asked_by_dns(self) -> Counter[str]:
        """Return how often each name was asked for, without the one by which a resolver proves to be good."""
        return Counter(name for name in self.dns.questions if name != PROOF)

    def forget(self) -> None:
        """Count from here."""
        self.http.asked.clear()
        self.dns.questions.clear()


PROOF = "as23028.asn.cymru.com."


@contextmanager
def loopback(folder: Path) -> Iterator[Loopback]:
    """Serve all of it, and write lists and GeoIP files below `folder`."""
    _write_lists(folder / "lists")
    rows = [
        GeoRow(f"{prefix}.0/24", asn, f"Network {asn}", country, "", 50.0, 8.0)
        for prefix, asn, country in (
            ("45.83.64", 4100, "NL"),
            ("45.83.65", 4100, "DE"),
            ("185.220.101", 4200, "DE"),
            ("71.6.135", 4300, "US"),
            ("5.188.10", 4400, "RU"),
        )
    ]
    write_geoip(folder / "geoip", rows)
    with HttpServer(_answer) as http, NameServer(Zone(default=_answer_name)) as dns:
        environment = {
            "COWRIE_STATE_DIR": str(folder),
            "COWRIE_CONTACT": "operator@example.org",
            "COWRIE_CYMRU_RESOLVER": dns.address,
            "COWRIE_CYMRU_WHOIS_THRESHOLD": "0",
            "COWRIE_INTERNETDB_ENABLED": "true",
        }
        for service in ANSWERS:
            environment[f"COWRIE_{service.upper()}_URL"] = f"{http.url}/{service}"
            environment[f"COWRIE_{service.upper()}_LIMITS"] = "5000/1h"
            environment[f"COWRIE_{service.upper()}_KEY"] = services.KEY
        yield Loopback(http, dns, environment)


def _answer(asked: Asked) -> Answer:
    """Answer as the service in the first part of the path does; what it knows, it knows of HOSTED."""
    service, address = _question(asked)
    stand_in = services.KNOWN if address in _KNOWN_TO_SERVICES else services.UNKNOWN
    path = asked.path.removeprefix(f"/{service}").replace(address, stand_in)
    form = {name: value.replace(address, stand_in) for name, value in asked.form.items()}
    query = asked.query.replace(address, stand_in)
    answer = ANSWERS[service](replace(asked, path=path, form=form, query=query))
    return replace(answer, body=answer.body.replace(stand_in.encode(), address.encode()))


def _question(asked: Asked) -> tuple[str, str]:
    service = asked.path.split("/")[1]
    (address,) = _ADDRESS.findall(f"{asked.path} {asked.query} {' '.join(asked.form.values())}")
    return service, address


def _answer_name(name: str) -> list[str | list[str]] | None:
    if name.startswith("as"):
        asn = name.split(".", maxsplit=1)[0].removeprefix("as")
        return [f"{asn} | RU | ripencc | 2019-05-06 | UNLISTED-{asn} - Unlisted, RU"]
    if name == "9.118.240.91.origin.asn.cymru.com.":
        # of two origins
        return ["4500 4501 | 91.240.118.0/24 | RU | ripencc | 2019-05-06"]
    return None


def _write_lists(folder: Path) -> None:
    folder.mkdir(parents=True)
    books = {each: delegated(["ripencc|NL|asn|4100|400|20200101|allocated|x"]) for each in DELEGATED}
    contents: dict[PublishedList, bytes] = {
        TOR_EXITS: tor_exits([TOR_EXIT]),
        DROP_V4: spamhaus([drop_record("5.188.10.0/23", "SBL402809")]),
        DROP_V6: spamhaus([drop_record("2a06:e480::/29")]),
        ASN_DROP: spamhaus([asn_drop_record(4400)]),
        RESEARCH_SCANNERS: research({RESEARCHER: "shodan"}),
        **books,
    }
    for published, content in contents.items():
        (folder / published.file.file_name).write_bytes(content)
