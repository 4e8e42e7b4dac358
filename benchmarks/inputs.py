"""What the figures are measured on: logs, addresses and geolocation databases, all made from one seed.

Belongs here: how much of what is made, and where it is written. Does not belong here: measuring it (figures.py).
"""

from dataclasses import asdict
from datetime import date, timedelta
from functools import cached_property
from pathlib import Path

from cowrie_pipeline.cowrie.synthetic import SyntheticPlan, networks, write_logs
from cowrie_pipeline.cowrie.synthetic_networks import draw_addresses
from cowrie_pipeline.enrichment.made_geoip import GeoRow, write_geoip

__all__ = ["DAYS", "FIRST_DAY", "FIRST_DAY_OF_YEAR", "YEAR_DAYS", "Inputs", "contiguous_real_days", "day_of"]

FIRST_DAY = date(2026, 3, 1)
DAYS = 30
FIRST_DAY_OF_YEAR = date(2025, 3, 1)
YEAR_DAYS = 365
_SHARED_LOGS = Path(__file__).resolve().parents[2] / "shared" / "data" / "logs" / "docker-ssh-2018"

_SEED = 20_260_301
# Measured of the synthetic logs: 1,000,000 events are 150,000 sessions, as in the table of targets.
_EVENTS_PER_SESSION = 6.65
_SESSIONS_A_DAY_OF_YEAR = 110
_ADDRESSES_OF_YEAR = 8_000
_GEOIP_NETWORKS = 28_000
_GEOIP_BUILD_EPOCH = 1_772_323_200  # 2026-03-01
_SEVERAL = 100  # addresses at least, however small the scale


class Inputs:
    """Makes each input when it is asked for first, below one folder; `scale` makes all of them larger or smaller."""

    def __init__(self, folder: Path, scale: float) -> None:
        self._folder = folder
        self._scale = scale

    def count(self, full: int) -> int:
        """Return how many of something there are at this scale."""
        return max(_SEVERAL, round(full * self._scale))

    def logs(self, events: int, *, compress: bool = False) -> Path:
        """Return a folder with logs of about `events` events, before scaling, on 30 days from two honeypots."""
        folder = self._folder / f"logs-{events}{'-gz' if compress else ''}"
        if not folder.exists():
            sessions_per_day = max(1, round(self.count(events) / _EVENTS_PER_SESSION / DAYS))
            plan = SyntheticPlan(
                seed=_SEED,
                first_day=FIRST_DAY,
                days=DAYS,
                sessions_per_day=sessions_per_day,
                addresses=max(_SEVERAL, sessions_per_day * DAYS // 5),
            )
            write_logs(plan, folder, compress=compress)
        return folder

    def growing(self, events: int, *, addresses: int, days: int) -> Path:
        """Return a folder with logs of about `events` events on `days` days, by addresses that `geoip` knows.

        `addresses` are those that there are to attack from; of few sessions for each, not all come.
        """
        folder = self._folder / f"logs-{events}-on-{days}-days"
        if not folder.exists():
            plan = SyntheticPlan(
                seed=_SEED,
                first_day=FIRST_DAY,
                days=days,
                sessions_per_day=max(1, round(self.count(events) / _EVENTS_PER_SESSION / days)),
                addresses=self.count(addresses),
                networks=_GEOIP_NETWORKS,
            )
            write_logs(plan, folder)
        return folder

    @cached_property
    def year(self) -> Path:
        """A folder with logs of 365 days, about 740 events on each before scaling, by addresses that `geoip` knows."""
        folder = self._folder / "logs-year"
        plan = SyntheticPlan(
            seed=_SEED,
            first_day=FIRST_DAY_OF_YEAR,
            days=YEAR_DAYS,
            sessions_per_day=max(1, round(_SESSIONS_A_DAY_OF_YEAR * self._scale)),
            addresses=self.count(_ADDRESSES_OF_YEAR),
            networks=_GEOIP_NETWORKS,
        )
        write_logs(plan, folder)
        return folder

    def addresses(self, count: int) -> tuple[str, ...]:
        """Return `count` distinct IPv4 addresses, before scaling, that `geoip` knows."""
        return draw_addresses(_SEED, networks(self._network_plan), self.count(count), ipv6_share=0.0)

    def visits(self, count: int) -> Path:
        """Return a folder with logs in which each of `count` addresses, before scaling, connects once."""
        folder = self._folder / f"visits-{count}"
        if not folder.exists():
            folder.mkdir()
            addresses = self.addresses(count)
            for number in range(DAYS):
                day = FIRST_DAY + timedelta(days=number)
                lines = "".join(
                    f'{{"eventid":"cowrie.session.connect","src_ip":"{address}","src_port":40000,'
                    f'"dst_ip":"10.0.0.2","dst_port":2222,"session":"{index:012x}","protocol":"ssh",'
                    f'"sensor":"honeypot-01","timestamp":"{day}T12:00:00.{index % 1_000_000:06d}Z"}}\n'
                    for index, address in enumerate(addresses)
                    if index % DAYS == number
                )
                (folder / f"cowrie.json.{day}").write_text(lines, encoding="ascii")
        return folder

    @cached_property
    def geoip(self) -> Path:
        """A folder with made City and ASN databases that know every address."""
        folder = self._folder / "geoip"
        rows = (GeoRow(**asdict(network)) for network in networks(self._network_plan))
        write_geoip(folder, rows, build_epoch=_GEOIP_BUILD_EPOCH)
        return folder

    @property
    def _network_plan(self) -> SyntheticPlan:
        return SyntheticPlan(
            seed=_SEED, first_day=FIRST_DAY, days=1, sessions_per_day=1, addresses=1, networks=_GEOIP_NETWORKS
        )


def contiguous_real_days(count: int) -> list[Path]:
    """Return the first `count` real log files of days without a gap between them.

    Raises:
        FileNotFoundError: the shared logs are not there, or have no such days.
    """
    if not _SHARED_LOGS.is_dir():
        raise FileNotFoundError("the real logs of docker-ssh-2018 are not beside this checkout")
    run: list[Path] = []
    for path in sorted(_SHARED_LOGS.glob("cowrie.json.2*")):
        if run and day_of(path) - day_of(run[-1]) != timedelta(days=1):
            run = []
        run.append(path)
        if len(run) == count:
            return run
    raise FileNotFoundError(f"docker-ssh-2018 has no {count} days in a row")


def day_of(path: Path) -> date:
    """Return the day that the name of a rotated log says."""
    return date.fromisoformat(path.name.removeprefix("cowrie.json."))
