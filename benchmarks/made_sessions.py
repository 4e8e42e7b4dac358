"""A database of sessions, addresses and networks, made directly: what snapshots and reports are measured on.

The rows are made to be what the steps leave before snapshots are taken, counts of inventories included. Left out is
what neither snapshots nor interactive reports read: lines and log files, `session_days`, and all details but commands.

Belongs here: how the rows are drawn and written. Does not belong here: measuring (tasks.py), logs (inputs.py).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cowrie_pipeline.steps.days import DayRange, day_start
from cowrie_pipeline.warehouse.bulk import insert_rows
from cowrie_pipeline.warehouse.engine import Warehouse
from cowrie_pipeline.warehouse.tables import (
    asn_inventory,
    commands,
    ip_asn_history,
    ip_inventory,
    session_summaries,
)

__all__ = ["DAYS", "LOOKED_UP_AT", "MadePlan", "fill_sessions"]

DAYS = DayRange(date(2026, 1, 1), date(2026, 3, 31))
# The last look-up of each address: those of the last two days were observed, of the days before history tells.
LOOKED_UP_AT = datetime(2026, 4, 1, 6, tzinfo=UTC)
_SEED = 20_260_101
# How quickly it goes down from the network with the most addresses, and from the address with the most sessions.
_NETWORK_SKEW, _ADDRESS_SKEW = 0.9, 0.8
# private use, and never in a registry's book
_FIRST_ASN = 4_200_000_000
_FIRST_ADDRESS = 11 << 24
_COUNTRIES = (
    "CN",
    "US",
    "NL",
    "RU",
    "DE",
    "VN",
    "BR",
    "IN",
    "FR",
    "KR",
    "SG",
    "GB",
    "ID",
    "IT",
    "UA",
    "TR",
    "PL",
    "SE",
)
_TYPES = ("HOSTING", "ISP", "CLOUD", "ISP", "UNKNOWN", "ENTERPRISE", "HOSTING", "EDUCATION", "VPN", "ISP")
_MOVED_SHARE = 0.01
_COMMANDS = ("uname -a", "cat /proc/cpuinfo", "wget http://198.51.100.1/x", "free -m", "nproc")

Numbers = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class MadePlan:
    """How many sessions from how many addresses in how many networks."""

    sessions: int
    addresses: int
    networks: int


def fill_sessions(warehouse: Warehouse, plan: MadePlan) -> None:
    """Fill an empty database with sessions of `DAYS`, the same for the same plan."""
    made = _Made(plan)
    with warehouse.begin(lock="facts") as connection:
        for table, columns, rows in (
            (asn_inventory, _ASN_COLUMNS, made.networks()),
            (ip_inventory, _IP_COLUMNS, made.addresses()),
            (ip_asn_history, _HISTORY_COLUMNS, made.history()),
            (session_summaries, _SESSION_COLUMNS, made.sessions()),
            (commands, _COMMAND_COLUMNS, made.commands()),
        ):
            insert_rows(connection, table, columns, rows)


_ASN_COLUMNS = (
    "asn_number", "organization_name", "organization_source", "organization_country", "rir_registry", "asn_type",
    "is_known_hosting", "is_known_vpn", "first_seen", "last_seen", "unique_ip_count", "created_at", "updated_at",
)  # fmt: skip
_IP_COLUMNS = (
    "ip_address", "current_asn", "asn_source", "asn_last_verified", "first_seen", "last_seen", "session_count",
    "geo_country", "country_basis", "ip_type", "is_bogon", "enrichment", "enrichment_digest", "enrichment_state",
    "enrichment_sources", "enrichment_updated_at", "enrichment_due_at", "enrichment_version", "created_at",
)  # fmt: skip
_HISTORY_COLUMNS = ("ip_address", "observed_from", "asn_number", "last_confirmed", "source")
_SESSION_COLUMNS = (
    "session_key", "session_id", "sensor", "source", "source_ip", "protocol", "first_event_at", "last_event_at",
    "duration_ms", "is_closed", "event_count", "login_success_count", "login_failed_count", "command_count",
    "file_download_count", "client_version", "hassh", "event_counts",
)  # fmt: skip
_COMMAND_COLUMNS = ("session_key", "event_at", "kind", "input")


class _Made:
    """The draws, and the rows that come of them."""

    def __init__(self, plan: MadePlan) -> None:
        random = np.random.default_rng(_SEED)
        self._asns = _FIRST_ASN + np.arange(plan.networks)
        self._texts = [_address(number) for number in range(plan.addresses)]
        self._network_of = random.permutation(_at_least_once(random, plan.networks, plan.addresses, _NETWORK_SKEW))
        moved = random.random(plan.addresses) < _MOVED_SHARE
        self._came_from = np.where(moved, (self._network_of + 1) % plan.networks, self._network_of)
        address_of = random.permutation(_at_least_once(random, plan.addresses, plan.sessions, _ADDRESS_SKEW))
        seconds = np.sort(random.integers(0, len(DAYS) * 86_400, plan.sessions))
        self._address_of, self._seconds = address_of, seconds
        self._logins = random.integers(0, 4, plan.sessions)
        self._succeeded = (random.random(plan.sessions) < 0.2).astype(np.int64)
        self._commands = self._succeeded * (random.random(plan.sessions) < 0.5)
        self._downloads = self._commands * (random.random(plan.sessions) < 0.2)
        self._session_counts = np.bincount(address_of, minlength=plan.addresses)
        first, last = np.full(plan.addresses, np.iinfo(np.int64).max), np.zeros(plan.addresses, np.int64)
        np.minimum.at(first, address_of, seconds)
        np.maximum.at(last, address_of, seconds)
        self._first, self._last = first, last

    def networks(self) -> Iterator[tuple[Any, ...]]:
        of_network = np.bincount(self._network_of, minlength=len(self._asns)).tolist()
        first = np.full(len(self._asns), np.iinfo(np.int64).max)
        last = np.full(len(self._asns), -1)
        np.minimum.at(first, self._network_of, self._first)
        np.maximum.at(last, self._network_of, self._last)
        for number, asn in enumerate(self._asns.tolist()):
            kind = _TYPES[number % len(_TYPES)]
            seen = (_time(first[number]), _time(last[number])) if of_network[number] else (None, None)
            yield (
                asn, f"Network {number}", "maxmind", _COUNTRIES[number % len(_COUNTRIES)], "ripencc", kind,
                kind in {"HOSTING", "CLOUD"}, kind == "VPN", *seen, of_network[number], LOOKED_UP_AT, LOOKED_UP_AT,
            )  # fmt: skip

    def addresses(self) -> Iterator[tuple[Any, ...]]:
        asns = self._asns[self._network_of].tolist()
        for number, text in enumerate(self._texts):
            country = _COUNTRIES[asns[number] % len(_COUNTRIES)]
            document = f'{{"maxmind":{{"status":"hit","asn":{asns[number]},"country":"{country}","number":{number}}}}}'
            yield (
                text, asns[number], "maxmind", LOOKED_UP_AT, _time(self._first[number]), _time(self._last[number]),
                int(self._session_counts[number]), country, "geolocation", "DATACENTER", False, document,
                f"{number:032x}", "complete", "maxmind", LOOKED_UP_AT, LOOKED_UP_AT + timedelta(days=30), 1,
                LOOKED_UP_AT,
            )  # fmt: skip

    def history(self) -> Iterator[tuple[Any, ...]]:
        """Each address in one span, those that moved in two, of which the first ends in the middle."""
        middle = DAYS.start + (DAYS.end - DAYS.start) / 2
        for number, text in enumerate(self._texts):
            now, before = self._asns[self._network_of[number]], self._asns[self._came_from[number]]
            if now != before:
                yield text, DAYS.start, int(before), middle, "maxmind"
            yield text, DAYS.start if now == before else middle, int(now), LOOKED_UP_AT, "maxmind"

    def sessions(self) -> Iterator[tuple[Any, ...]]:
        columns = (self._address_of, self._seconds, self._logins, self._succeeded, self._commands, self._downloads)
        for key, (address, second, failed, succeeded, entered, fetched) in enumerate(
            zip(*(column.tolist() for column in columns), strict=True), 1
        ):
            text, began = self._texts[address], _time(second)
            yield (
                key, f"{key:012x}", "honeypot-01", text, text, "ssh", began, _time(second + 3), 3000, True,
                2 + failed + succeeded + entered + fetched, succeeded, failed, entered, fetched,
                "SSH-2.0-Go", "2ec37a7cc8daf20b10e1ad6221061ca5",
                f'{{"cowrie.session.connect":1,"cowrie.session.closed":1,"cowrie.login.failed":{failed}}}',
            )  # fmt: skip

    def commands(self) -> Iterator[tuple[Any, ...]]:
        for index in np.flatnonzero(self._commands).tolist():
            yield index + 1, _time(self._seconds[index] + 1), "input", _COMMANDS[index % len(_COMMANDS)]


def _at_least_once(random: np.random.Generator, kinds: int, draws: int, skew: float) -> Numbers:
    """Draw each of `kinds` once and the rest by a law of powers, as few networks send most of what comes."""
    weights = 1.0 / np.arange(1, kinds + 1) ** skew
    rest = random.choice(kinds, max(0, draws - kinds), p=weights / weights.sum())
    return np.concatenate([np.arange(min(kinds, draws)), rest])


def _address(number: int) -> str:
    value = _FIRST_ADDRESS + number * 53
    return f"{value >> 24}.{value >> 16 & 255}.{value >> 8 & 255}.{value & 255}"


def _time(second: Any) -> datetime:
    return day_start(DAYS.first) + timedelta(seconds=int(second))
