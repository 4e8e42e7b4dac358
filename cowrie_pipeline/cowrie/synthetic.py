"""Synthetic Cowrie logs: as many sessions, days, sensors and addresses as asked for, repeatable to the byte.

Belongs here: the plan of such logs, when and by whom sessions are made, and the files they are written to.
Does not belong here: what happens in a session (synthetic_sessions.py), where addresses are from
(synthetic_networks.py), reading logs.

Addresses are drawn at random from public space, and which network, organization and country they belong to is
invented: nothing here may be held against whoever really has them.
"""

import gzip
import math
import random
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import accumulate
from pathlib import Path
from typing import BinaryIO, cast

from cowrie_pipeline.cowrie.synthetic_networks import SyntheticNetwork, draw_addresses, make_networks
from cowrie_pipeline.cowrie.synthetic_sessions import MICROSECONDS_A_DAY, Event, Sensor, SessionMaker

__all__ = ["SyntheticNetwork", "SyntheticPlan", "SyntheticReport", "networks", "write_logs"]

_EPOCH_ORDINAL = date(1970, 1, 1).toordinal()
_MICROSECONDS_AN_HOUR = MICROSECONDS_A_DAY // 24

# Attacks never sleep, but there are twice as many in the busiest hour as in the quietest.
_HOUR_WEIGHTS = tuple(accumulate(1.5 + 0.5 * math.cos((hour - 15) / 24 * 2 * math.pi) for hour in range(24)))

_ADDRESSES_PER_NETWORK = 20
_FEWEST_NETWORKS = 40
# A Pareto distribution this steep gives the busiest tenth of the addresses more than half of the sessions.
_ACTIVITY_EXPONENT = 1.1
_MAXIMUM_ACTIVITY = 500.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SyntheticPlan:
    """What logs to make. Equal plans make equal files (compressed ones, by the same zlib).

    `sessions_per_day` is for all sensors together. `addresses` is how many there are to attack from: activity is
    heavy-tailed, so that not each of them is seen unless there are many sessions for each. `networks` is how many
    prefixes they are from, by default one for twenty addresses and at least 40. `ipv6_share` is that of the addresses.
    """

    seed: int
    first_day: date
    days: int
    sessions_per_day: int
    addresses: int
    sensors: int = 2
    networks: int | None = None
    ipv6_share: float = 0.02

    def __post_init__(self) -> None:
        """Refuse a plan that cannot be carried out.

        Raises:
            ValueError: a count is not positive, or the share is not one.
        """
        for name in ("days", "sessions_per_day", "addresses", "sensors"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} of a synthetic plan must be 1 or more, not {getattr(self, name)}")
        if not 0 <= self.ipv6_share <= 1:
            raise ValueError(f"ipv6_share of a synthetic plan must be from 0 to 1, not {self.ipv6_share}")


@dataclass(frozen=True, slots=True, kw_only=True)
class SyntheticReport:
    """What was written. `size_bytes` is what the files take on disk; `addresses` are those that were seen."""

    files: int
    lines: int
    sessions: int
    addresses: int
    size_bytes: int
    events: Mapping[str, int]


def networks(plan: SyntheticPlan) -> tuple[SyntheticNetwork, ...]:
    """Return the networks that the plan's addresses are from; none overlap, and several may share an ASN."""
    count = plan.networks
    if count is None:
        count = max(_FEWEST_NETWORKS, plan.addresses // _ADDRESSES_PER_NETWORK)
    return make_networks(plan.seed, count, with_ipv6=plan.ipv6_share > 0)


def write_logs(plan: SyntheticPlan, folder: Path, *, compress: bool = False) -> SyntheticReport:
    """Write the plan's logs as `folder/SENSOR/cowrie.json.DAY`, the last day's as `cowrie.json`.

    With `compress` every file, the last day's too, is gzip'd and has `.gz` behind its name. A session goes on in the
    next day's file when it crosses midnight UTC; what would happen after the last day has not happened yet, so that
    day's late sessions are still open. Files of the same name are overwritten. Memory holds the events of one hour and
    of the sessions that outlast it.

    Raises:
        ValueError: the networks are too many for the address space, or too small for the addresses.
        OSError: a file cannot be written.
    """
    addresses = draw_addresses(plan.seed, networks(plan), plan.addresses, ipv6_share=plan.ipv6_share)
    schedule = _Schedule(plan, addresses)
    pending: dict[Sensor, list[Event]] = {sensor: [] for sensor in schedule.sensors}
    events: Counter[str] = Counter()
    paths: list[Path] = []
    for day in range(plan.days):
        name = _file_name(plan, day, compress=compress)
        with ExitStack() as open_files:
            files: dict[Sensor, BinaryIO] = {}
            for hour in range(24):
                for sensor, session in schedule.sessions(day, hour):
                    pending[sensor].extend(session)
                hour_end = schedule.hour_start(day, hour) + _MICROSECONDS_AN_HOUR
                for sensor in schedule.sensors:
                    happened, pending[sensor] = _split(pending[sensor], hour_end)
                    if not happened:
                        continue
                    if sensor not in files:
                        # At the first event, as Cowrie does: a silent day has no file.
                        path = folder / sensor.name / name
                        paths.append(path)
                        files[sensor] = open_files.enter_context(_open_log(path, compress=compress))
                    files[sensor].write("".join([line for _, _, line in happened]).encode("ascii"))
                    events.update([event_id for _, event_id, _ in happened])
    return SyntheticReport(
        files=len(paths),
        lines=events.total(),
        sessions=events["cowrie.session.connect"],
        addresses=len(schedule.seen),
        size_bytes=sum(path.stat().st_size for path in paths),
        events=dict(sorted(events.items())),
    )


class _Schedule:
    """Who attacks which sensor, and when.

    Each hour has a generator of its own, seeded by its date: a plan of more days begins with the same sessions.
    """

    def __init__(self, plan: SyntheticPlan, addresses: tuple[str, ...]) -> None:
        rng = random.Random(f"{plan.seed}/schedule")  # noqa: S311 - repeatable test data, no secret
        self.sensors = [_make_sensor(rng, number) for number in range(1, plan.sensors + 1)]
        self.seen: set[int] = set()
        self._plan = plan
        self._maker = SessionMaker(plan.seed, addresses)
        self._address_indexes = range(len(addresses))
        self._activity = tuple(
            accumulate(min(rng.paretovariate(_ACTIVITY_EXPONENT), _MAXIMUM_ACTIVITY) for _ in addresses)
        )

    def hour_start(self, day: int, hour: int) -> int:
        """Return when an hour of the plan's `day` begins, in microseconds since 1970-01-01 UTC."""
        days = self._plan.first_day.toordinal() + day - _EPOCH_ORDINAL
        return days * MICROSECONDS_A_DAY + hour * _MICROSECONDS_AN_HOUR

    def sessions(self, day: int, hour: int) -> Iterator[tuple[Sensor, list[Event]]]:
        """Make the sessions that begin in an hour, in no particular order."""
        start = self.hour_start(day, hour)
        rng = random.Random(f"{self._plan.seed}/hour/{start}")  # noqa: S311 - repeatable test data, no secret
        count = self._begun_by(hour + 1) - self._begun_by(hour)
        attackers = rng.choices(self._address_indexes, cum_weights=self._activity, k=count)
        self.seen.update(attackers)
        for number, attacker in enumerate(attackers):
            sensor = rng.choice(self.sensors)
            if hour == 23 and number == 0:
                # However few sessions a plan has, one of each day crosses midnight.
                late = start + _MICROSECONDS_AN_HOUR - rng.randrange(1_000_000, 20_000_000)
                yield sensor, self._maker.make_visit(rng, sensor, attacker, late)
            else:
                begin = start + rng.randrange(_MICROSECONDS_AN_HOUR - 1_000)
                yield sensor, self._maker.make(rng, sensor, attacker, begin)

    def _begun_by(self, hour: int) -> int:
        """Return how many of a day's sessions begin before `hour`; at least one is left for the last hour."""
        if hour == 0:
            return 0
        if hour == 24:
            return self._plan.sessions_per_day
        return math.floor((self._plan.sessions_per_day - 1) * _HOUR_WEIGHTS[hour - 1] / _HOUR_WEIGHTS[-1])


def _make_sensor(rng: random.Random, number: int) -> Sensor:
    install_id = uuid.UUID(int=rng.getrandbits(128), version=1)
    address = f"10.{number // 250}.{number % 250}.{rng.randrange(2, 250)}"
    return Sensor(f"honeypot-{number:02d}", str(install_id), address)


def _split(events: list[Event], until: int) -> tuple[list[Event], list[Event]]:
    """Part what happens before `until`, in time order, from what is still to come."""
    happened = sorted(event for event in events if event[0] < until)
    return happened, [event for event in events if event[0] >= until]


def _file_name(plan: SyntheticPlan, day: int, *, compress: bool) -> str:
    rotated = "" if day == plan.days - 1 else f".{(plan.first_day + timedelta(days=day)).isoformat()}"
    return f"cowrie.json{rotated}{'.gz' if compress else ''}"


@contextmanager
def _open_log(path: Path, *, compress: bool) -> Iterator[BinaryIO]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as raw:
        if not compress:
            yield raw
            return
        # Neither time nor name in the header, or equal plans would not give equal bytes.
        with gzip.GzipFile(filename="", mode="wb", fileobj=raw, compresslevel=6, mtime=0) as packed:
            yield cast("BinaryIO", packed)
