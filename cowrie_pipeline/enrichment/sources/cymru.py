"""Team Cymru by DNS: the origin ASN of an address, and what a registry knows of an AS number.

Belongs here: the names that are asked, how its records are read, how long an answer is good.
Does not belong here: carrying questions (dns_client.py), large batches (cymru_whois.py), whether Team Cymru is asked at
all (cascade.py).

Formats (team-cymru.com, "IP to ASN mapping"): `23028 | 216.90.108.0/24 | US | arin | 1998-09-25` for an address, and
`23028 | US | arin | 2002-01-04 | TEAM-CYMRU - Team Cymru Inc., US` for an AS number. The country is the one under which
a registry allocated the block or number. It is not a place, and must not be shown as one.
"""

import dataclasses
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Protocol

import dns.name

from cowrie_pipeline.enrichment.bogons import packed_address
from cowrie_pipeline.enrichment.findings import Finding
from cowrie_pipeline.enrichment.outcomes import Availability, Outcome, Status
from cowrie_pipeline.enrichment.sources.dns_client import (
    DnsAnswer,
    DnsClient,
    ResolverError,
)
from cowrie_pipeline.enrichment.terms import Terms
from cowrie_pipeline.enrichment.values import (
    asn_number,
    country_code,
    iso_day,
    network_prefix,
    origin_asn,
    present,
    registry_name,
    text_value,
)

__all__ = ["PROOF_NAME", "Answer", "CymruNetworkSource", "CymruSource", "network_key", "origin_name"]

RETRY_AFTER = timedelta(minutes=15)
# Of DNS that is a minute's work at the pace of a slow resolver; by whois it is what one connection takes.
MAX_KEYS_AT_ONCE = 10_000

_ZONE = dns.name.from_text("asn.cymru.com.")
_ORIGIN_V4 = dns.name.from_text("origin.asn.cymru.com.").to_digestable()
_ORIGIN_V6 = dns.name.from_text("origin6.asn.cymru.com.").to_digestable()
# Every octet as labels in wire form (a length, and so many letters): a decimal number, or two nibbles, last first.
_DECIMAL_LABELS = [b"%c%d" % (len(str(octet)), octet) for octet in range(256)]
_NIBBLE_LABELS = [b"\x01%x\x01%x" % (octet & 15, octet >> 4) for octet in range(256)]
# Team Cymru's own number, the example in its documentation: a resolver that cannot see it sees none of the zone.
PROOF_NAME = dns.name.from_text("AS23028", _ZONE)

_COUNTRY_AT_END = re.compile(r",\s*[A-Z]{2}$")


class UnreadableAnswerError(ValueError):
    """A TXT record is not in Team Cymru's format: no answer, so it is asked again."""


class Answer(Protocol):
    """What came back for one key, by DNS or by whois: records as they are in TXT records, or why there are none."""

    @property
    def texts(self) -> Sequence[str]: ...  # noqa: D102 - the class says it
    @property
    def error(self) -> str | None: ...  # noqa: D102
    @property
    def rcode(self) -> int | None: ...  # noqa: D102
    @property
    def latency_ms(self) -> float | None: ...  # noqa: D102


class _CymruService(ABC):
    """What both services share: from keys to names, from DNS answers to outcomes."""

    terms: Terms
    cached = True
    keys_at_once = MAX_KEYS_AT_ONCE

    def __init__(self, client: DnsClient | ResolverError, terms: Terms | None = None) -> None:
        self.terms = terms or type(self).terms
        self.name = self.terms.service
        self._client = client

    @abstractmethod
    def _name_of(self, key: str) -> bytes:
        """Return the name to ask for `key`, in wire form; raise ValueError where there is nothing to ask."""

    @abstractmethod
    def _read(self, key: str, texts: Sequence[str]) -> Mapping[str, Any]:
        """Return the facts in `texts`, empty where they say that there are none; raise UnreadableAnswerError."""

    def availability(self) -> Availability:
        """Say which resolver is asked, or why none can be."""
        if isinstance(self._client, ResolverError):
            return Availability(usable=False, reason=str(self._client))
        return Availability(usable=True, reason=f"by DNS through {', '.join(map(str, self._client.resolvers))}")

    def look_up(self, keys: Sequence[str], *, now: datetime) -> list[Outcome]:
        """Ask about every distinct key once; give one outcome per key, in the order of `keys`."""
        outcomes: dict[str, Outcome] = {}
        names: dict[str, bytes] = {}
        for key in keys:
            try:
                names[key] = self._name_of(key)
            except ValueError as error:
                outcomes[key] = self._outcome(key, Status.NOT_APPLICABLE, now, error=str(error))
        outcomes |= {outcome.key: outcome for outcome in self._ask(names, now)}
        return [outcomes[key] for key in keys]

    def _ask(self, names: Mapping[str, bytes], now: datetime) -> Sequence[Outcome]:
        """Ask about every key, by its name; give one outcome per key, in their order."""
        keys = list(names)
        if isinstance(self._client, ResolverError):
            answer = DnsAnswer(error=str(self._client))
            return [self._judge(key, answer, now) for key in keys]
        return self._client.ask(
            list(names.values()), lambda index, answer: self._judge(keys[index], answer, now), now=now
        )

    def _judge(self, key: str, answer: Answer, now: datetime) -> Outcome:
        error = answer.error
        payload: Mapping[str, Any] = {}
        if error is None:
            try:
                payload = self._read(key, answer.texts)
            except UnreadableAnswerError as unreadable:
                error = str(unreadable)
        if error is not None:
            return self._outcome(key, Status.ERROR, now, answer, retry_at=now + RETRY_AFTER, error=error)
        if not payload:
            return self._outcome(key, Status.NOT_FOUND, now, answer, expires_at=now + self.terms.negative_for)
        return self._outcome(key, Status.HIT, now, answer, payload=payload, expires_at=now + self.terms.hit_for)

    def _outcome(
        self,
        key: str,
        status: Status,
        now: datetime,
        answer: Answer | None = None,
        *,
        payload: Mapping[str, Any] | None = None,
        expires_at: datetime | None = None,
        retry_at: datetime | None = None,
        error: str | None = None,
    ) -> Outcome:
        return Outcome(
            service=self.name,
            key=key,
            status=status,
            fetched_at=now,
            payload=payload or {},
            expires_at=expires_at,
            retry_at=retry_at,
            response_code=answer.rcode if answer else None,
            latency_ms=answer.latency_ms if answer else None,
            error=error,
        )


class CymruSource(_CymruService):
    """The origin of an address, by its text as key.

    Payload: `asn` and `origins` (int, list of int: a prefix can be announced by several), `prefix` (CIDR), `country`
    (of the registry's allocation, no place), `registry`, `allocated` (ISO day). What the answer leaves blank is absent.
    """

    terms = Terms(
        service="cymru",
        title="Team Cymru, IP to ASN",
        about="the network that an address is routed in, and under which country its block is registered",
        url="https://www.team-cymru.com/ip-asn-mapping",
        hit_for=timedelta(days=90),
        negative_for=timedelta(days=7),
        licence="free, no formal licence; large batches by whois only; to be told before it is built into products",
        attribution="Team Cymru",
    )

    def findings(self, now: datetime) -> Sequence[Finding]:
        """Return why the servers cannot be asked at `now`."""
        if isinstance(self._client, ResolverError):
            return [Finding(self.name, "the system's settings", "a resolver", "none", str(self._client))]
        if (trouble := self._client.trouble(now)) is None:
            return []
        where = ", ".join(map(str, self._client.resolvers))
        advice = (
            "It is tried again in a few minutes; name another resolver by COWRIE_CYMRU_RESOLVER, or set "
            "COWRIE_OFFLINE where there is no network."
        )
        return [Finding(self.name, where, "a resolver that knows Team Cymru's zone", trouble, advice)]

    def _name_of(self, key: str) -> bytes:
        return origin_name(key)

    def _read(self, key: str, texts: Sequence[str]) -> Mapping[str, Any]:  # noqa: ARG002 - the record does not name it
        records = _readable(texts, _read_origin)
        # Several records are several covering prefixes, of which the longest is the route; the rest settles a tie.
        return max(records, key=lambda record: (_prefix_length(record), -record["asn"]), default={})


class CymruNetworkSource(_CymruService):
    """What a registry knows of an AS number, by `AS23028` as key (see `network_key`).

    Payload: `asn`, `country` (of registration), `registry`, `allocated` (ISO day), `description` as it was sent, and
    `organization`: the description without the `, US` at its end, which repeats the country.
    """

    terms = dataclasses.replace(
        CymruSource.terms,
        service="cymru_asn",
        title="Team Cymru, AS numbers",
        about="the name of a network, and under which country and registry its number is",
    )

    def _name_of(self, key: str) -> bytes:
        number = origin_asn(key.removeprefix("AS"))
        if number is None:
            raise ValueError(f"expected a public AS number as AS23028, found {key!r}")
        return dns.name.from_text(network_key(number), _ZONE).to_digestable()

    def _read(self, key: str, texts: Sequence[str]) -> Mapping[str, Any]:
        asked = asn_number(key.removeprefix("AS"))
        records = _readable(texts, _read_network)
        return next((record for record in records if record["asn"] == asked), {})


def network_key(asn: int) -> str:
    """Return the key under which `cymru_asn` knows an AS number."""
    return f"AS{asn}"


def origin_name(address: str) -> bytes:
    """Return the name that holds an address's origin, in wire form: its octets, or for IPv6 its nibbles, last first.

    Raises:
        ValueError: `address` is no IP address.
    """
    packed = packed_address(address)
    labels, zone = (_DECIMAL_LABELS, _ORIGIN_V4) if len(packed) == 4 else (_NIBBLE_LABELS, _ORIGIN_V6)
    return b"".join([labels[octet] for octet in reversed(packed)]) + zone


def _fields(text: str, count: int) -> list[str]:
    """Split a record into `count` fields; the last takes what is left, and what is missing is empty."""
    fields = [field.strip() for field in text.split("|", count - 1)]
    if len(fields) < 2:
        raise UnreadableAnswerError(f"expected fields separated by |, found {text[:80]!r}")
    return fields + [""] * (count - len(fields))


def _readable(texts: Sequence[str], read: Callable[[str], dict[str, Any]]) -> list[dict[str, Any]]:
    """Read every record; keep those with facts.

    Raises:
        UnreadableAnswerError: there are records, and none can be read.
    """
    records: list[dict[str, Any]] = []
    problems: list[UnreadableAnswerError] = []
    for text in texts:
        try:
            records.append(read(text))
        except UnreadableAnswerError as error:
            problems.append(error)
    if problems and not records:
        raise problems[0]
    return [record for record in records if record]


def _read_origin(text: str) -> dict[str, Any]:
    """Return the facts of one origin record, none where it names no AS number that can be an origin.

    By whois a record ends with the name of the first of its origins.
    """
    numbers, prefix, country, registry, allocated, description = _fields(text, 6)
    words = _asn_words(numbers, text)
    origins = [number for number in map(origin_asn, words) if number is not None]
    if not origins:
        return {}
    is_of_first = origin_asn(words[0]) == origins[0]
    return present(
        asn=origins[0],
        origins=origins,
        prefix=network_prefix(prefix),
        country=country_code(country),
        registry=registry_name(registry),
        allocated=iso_day(allocated),
        organization=_organization(description) if is_of_first else None,
    )


def _read_network(text: str) -> dict[str, Any]:
    """Return the facts of one AS number's record, none where it names none."""
    numbers, country, registry, allocated, description = _fields(text, 5)
    asn = next(map(asn_number, _asn_words(numbers, text)), None)
    if asn is None:
        return {}
    return present(
        asn=asn,
        country=country_code(country),
        registry=registry_name(registry),
        allocated=iso_day(allocated),
        description=text_value(description),
        organization=_organization(description),
    )


def _organization(description: str) -> str | None:
    """Return the description of an AS number without the country at its end, which is told apart."""
    return None if description == "NA" else text_value(_COUNTRY_AT_END.sub("", description))


def _asn_words(field: str, text: str) -> list[str]:
    """Split a field of AS numbers, in which "NA" stands for none."""
    words = [word for word in field.split() if word != "NA"]
    if not all(word.isascii() and word.isdigit() for word in words):
        raise UnreadableAnswerError(f"expected AS numbers first, found {text[:80]!r}")
    return words


def _prefix_length(record: Mapping[str, Any]) -> int:
    """Return the length of a record's prefix, -1 where it has none."""
    return int(record.get("prefix", "/-1").rpartition("/")[2])
