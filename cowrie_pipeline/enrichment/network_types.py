"""What kind of network an AS number is: hosting, access, a school; by rules that are data, and say why.

The rules are in `network_types.toml`, and how they are ordered is written there. An operator's own lists, CSV files in
one folder, stand between the known AS numbers and the words of names. A list has a header with a column `asn` and one
of `type`, `info_type` (PeeringDB) or `class` (bgp.tools); one without such a column is named after its type, as
`vpn.csv`.

Belongs here: reading rules and lists, and what follows from them for a network and for the type of its addresses.
Does not belong here: writing types into the database (steps/network_types.py).
"""

import csv
import re
import tomllib
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from functools import cache
from importlib import resources
from pathlib import Path
from typing import NamedTuple

import msgspec

from cowrie_pipeline.enrichment.findings import Finding
from cowrie_pipeline.enrichment.merge import IpType
from cowrie_pipeline.enrichment.values import asn_number

__all__ = ["Classification", "NetworkRules", "NetworkType", "first_type", "ip_type_of", "read_network_rules"]

_SERVICE = "network_types"
_COLUMNS_OF_TYPE = ("type", "info_type", "class")
# A name longer than this is no name; the rest of it is not looked at.
_LONGEST_NAME = 500
_WORD = re.compile(r"\w+")
# The underscore is a letter to Python and none in a name.
_ASCII_WORD = re.compile(r"[a-z0-9]+")
_LINES_SHOWN = 3
_ADVICE = "Correct it, or unset COWRIE_ASN_TYPES_DIR. The rules of the package are used meanwhile."


class NetworkType(StrEnum):
    """What kind of network it is."""

    HOSTING = "HOSTING"
    ISP = "ISP"
    CLOUD = "CLOUD"
    VPN = "VPN"
    EDUCATION = "EDUCATION"
    GOVERNMENT = "GOVERNMENT"
    ENTERPRISE = "ENTERPRISE"
    UNKNOWN = "UNKNOWN"


class Classification(NamedTuple):
    """A network's type and its basis: the rule that decided, its reason and its source.

    `is_known_hosting` (which a cloud is, too) and `is_known_vpn` are facts only of networks that are known or listed;
    a name proves neither, so they are None where only a name, or nothing, decided.
    """

    asn_type: NetworkType
    basis: str
    is_known_hosting: bool | None = None
    is_known_vpn: bool | None = None


_RENTED = frozenset({NetworkType.HOSTING, NetworkType.CLOUD})
_UNKNOWN = Classification(NetworkType.UNKNOWN, "no rule matched the name")
_NAMELESS = Classification(NetworkType.UNKNOWN, "no rule matched, and no name is known")

# What the type of a network says of every address in it. That a network gives access says nothing of one address.
_IP_TYPES: Mapping[str, IpType] = {
    NetworkType.HOSTING: IpType.DATACENTER,
    NetworkType.CLOUD: IpType.DATACENTER,
    NetworkType.VPN: IpType.VPN,
}
_PLACES = {kind: place for place, kind in enumerate(IpType)}


def ip_type_of(asn_type: str | None) -> IpType | None:
    """Return what the type of a network says of every address in it, None for nothing."""
    return None if asn_type is None else _IP_TYPES.get(asn_type)


def first_type(said: IpType | None, of_network: IpType | None) -> IpType | None:
    """Return the type of an address of which its sources and its network say these.

    Its network is one more witness: of two types the first in the order of `IpType` counts.
    """
    if said is None or of_network is None:
        return said or of_network
    return min(said, of_network, key=_PLACES.__getitem__)


class _Known(msgspec.Struct, forbid_unknown_fields=True):
    type: NetworkType
    asns: list[int]
    reason: str
    source: str


class _Name(msgspec.Struct, forbid_unknown_fields=True):
    type: NetworkType
    words: list[str]
    reason: str
    source: str
    unless: list[str] = []


class _Words(msgspec.Struct, forbid_unknown_fields=True):
    reason: str
    source: str
    types: dict[str, str]


class _File(msgspec.Struct, forbid_unknown_fields=True):
    known: list[_Known]
    words: _Words
    name: list[_Name]


class _Phrase(NamedTuple):
    """A phrase, as its words, and the place of its entry in the file."""

    place: int
    words: tuple[str, ...]
    result: Classification


class NetworkRules:
    """Decides of what type a network is. `findings` say what of the operator's lists could not be used."""

    def __init__(
        self,
        known: Mapping[int, Classification],
        listed: Mapping[int, Classification],
        names: Sequence[_Name],
        findings: Sequence[Finding] = (),
    ) -> None:
        self.findings = tuple(findings)
        self._by_number = {**listed, **known}
        self._phrases: dict[str, list[_Phrase]] = {}
        self._unless: dict[int, list[tuple[str, ...]]] = {}
        for place, entry in enumerate(names):
            self._unless[place] = [_words_of(each) for each in entry.unless]
            for text in entry.words:
                words = _words_of(text)
                basis = f'name: "{" ".join(words)}" ({entry.reason})'
                self._phrases.setdefault(words[0], []).append(_Phrase(place, words, Classification(entry.type, basis)))
        for phrases in self._phrases.values():
            # Of one entry the longest phrase is named as the basis.
            phrases.sort(key=lambda phrase: (phrase.place, -len(phrase.words)))
        self._by_name: dict[str, Classification] = {}

    def classify(self, asn: int, name: str | None) -> Classification:
        """Return the type of a network with this AS number, whose organization has this name."""
        found = self._by_number.get(asn)
        if found is not None:
            return found
        if not name:
            return _NAMELESS
        found = self._by_name.get(name)
        if found is None:
            # The networks of a run are met again and again.
            found = self._by_name[name] = self._classify_name(name)
        return found

    def _classify_name(self, name: str) -> Classification:
        words = _words_of(name[:_LONGEST_NAME])
        best: _Phrase | None = None
        for index, word in enumerate(words):
            for phrase in self._phrases.get(word, ()):
                if best is not None and phrase.place >= best.place:
                    break
                if words[index : index + len(phrase.words)] == phrase.words and not self._is_silent(phrase, words):
                    best = phrase
                    break
        return _UNKNOWN if best is None else best.result

    def _is_silent(self, phrase: _Phrase, words: tuple[str, ...]) -> bool:
        return any(_contains(words, each) for each in self._unless[phrase.place])


def read_network_rules(lists: Path | None = None) -> NetworkRules:
    """Return the rules of this package, with an operator's lists in the folder `lists`, if there is one.

    A list or a line of it that cannot be used is a finding, never an error.
    """
    file = _packaged()
    listed: dict[int, Classification] = {}
    findings: list[Finding] = []
    if lists is not None:
        for path in _list_files(lists, findings):
            for asn, asn_type, word in _read_list(path, file.words.types, findings):
                # the first list that names a network decides
                listed.setdefault(asn, _certain(asn_type, f"list: {path.name} says {word!r}"))
    known = {
        asn: _certain(entry.type, f"known: {entry.reason} ({entry.source})")
        for entry in file.known
        for asn in entry.asns
    }
    return NetworkRules(known, listed, file.name, findings)


@cache
def _packaged() -> _File:
    text = resources.files("cowrie_pipeline.enrichment").joinpath("network_types.toml").read_text(encoding="utf-8")
    return msgspec.convert(tomllib.loads(text), _File)


def _certain(asn_type: NetworkType, basis: str) -> Classification:
    if asn_type is NetworkType.UNKNOWN:
        return Classification(asn_type, basis)
    return Classification(asn_type, basis, asn_type in _RENTED, asn_type is NetworkType.VPN)


def _words_of(text: str) -> tuple[str, ...]:
    """Return the words of a text without case and accents, what is neither letter nor digit being between words."""
    if text.isascii():
        return tuple(_ASCII_WORD.findall(text.lower()))
    plain = "".join(each for each in unicodedata.normalize("NFKD", text) if not unicodedata.combining(each))
    return tuple(_WORD.findall(plain.casefold().replace("_", " ")))


def _contains(words: tuple[str, ...], phrase: tuple[str, ...]) -> bool:
    return any(words[start : start + len(phrase)] == phrase for start in range(len(words) - len(phrase) + 1))


def _list_files(folder: Path, findings: list[Finding]) -> Iterable[Path]:
    try:
        paths = sorted(path for path in folder.iterdir() if path.suffix.lower() == ".csv" and path.is_file())
    except OSError as error:
        findings.append(_finding(folder, "a folder of CSV files", error.strerror or "none", _ADVICE))
        return ()
    if not paths:
        findings.append(_finding(folder, "a folder of CSV files", "no file *.csv", _ADVICE))
    return paths


def _read_list(path: Path, types: Mapping[str, str], findings: list[Finding]) -> Iterator[tuple[int, NetworkType, str]]:
    """Yield AS number, type and the word that said it; what cannot be read is counted and becomes a finding."""
    broken = Counter[str]()
    unread: list[int] = []
    try:
        with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
            rows = csv.reader(line.replace("\0", "") for line in file)
            header = [each.strip().lower() for each in next(rows, [])]
            column = next((header.index(each) for each in _COLUMNS_OF_TYPE if each in header), None)
            if "asn" not in header or (column is None and path.stem.lower() not in types):
                expected = f"a header with asn and one of {', '.join(_COLUMNS_OF_TYPE)}, or a type as the file's name"
                findings.append(_finding(path, expected, ",".join(header)[:80] or "nothing", _ADVICE))
                return
            of_asn = header.index("asn")
            for row in rows:
                if not row:
                    continue
                said = row[of_asn].strip().upper().removeprefix("AS") if of_asn < len(row) else ""
                word = path.stem if column is None else row[column].strip() if column < len(row) else None
                asn, asn_type = asn_number(said), None if word is None else types.get(word.lower() or "unknown")
                if asn is None or word is None or asn_type is None:
                    broken["no AS number" if asn is None else "no type that is known"] += 1
                    unread.append(rows.line_num)
                elif asn_type:
                    yield asn, NetworkType(asn_type), word
    except (OSError, csv.Error) as error:
        findings.append(_finding(path, "a CSV file that can be read", str(error), _ADVICE))
    if broken:
        found = ", ".join(f"{reason} in {count:,}" for reason, count in sorted(broken.items()))
        where = ", ".join(map(str, unread[:_LINES_SHOWN]))
        findings.append(
            _finding(path, "an AS number and a type in each line", found, f"See line {where}. Others are used.")
        )


def _finding(path: Path, expected: str, found: str, advice: str) -> Finding:
    return Finding(_SERVICE, str(path), expected, found, advice)
