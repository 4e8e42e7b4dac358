"""All lists that can be downloaded, and the refresh of all that are wanted.

Belongs here: which lists there are, which of them can be fetched, their order.
Does not belong here: fetching one (../downloads.py), what is in them, when this runs.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cowrie_pipeline.enrichment.downloads import Change, Credentials, Downloader, DownloadReport, read_provenance
from cowrie_pipeline.enrichment.lists.delegated import DELEGATED
from cowrie_pipeline.enrichment.lists.geoip import DBIP_ASN, DBIP_CITY, GEOLITE2_ASN, GEOLITE2_CITY
from cowrie_pipeline.enrichment.lists.published import PublishedList
from cowrie_pipeline.enrichment.lists.research_scanners import RESEARCH_SCANNERS
from cowrie_pipeline.enrichment.lists.spamhaus import ASN_DROP, DROP_V4, DROP_V6
from cowrie_pipeline.enrichment.lists.tor import TOR_EXITS

__all__ = ["ALL_LISTS", "ListsConfiguration", "not_configured", "refresh_all"]

ALL_LISTS: tuple[PublishedList, ...] = (
    GEOLITE2_CITY,
    GEOLITE2_ASN,
    DBIP_CITY,
    DBIP_ASN,
    TOR_EXITS,
    DROP_V4,
    DROP_V6,
    ASN_DROP,
    RESEARCH_SCANNERS,
    *DELEGATED,
)
_IN_PLACE_OF_GEOLITE2 = (DBIP_CITY.name, DBIP_ASN.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class ListsConfiguration:
    """Where lists are kept, and what there is to fetch them with.

    `contact` is the address that the User-Agent names. `maxmind` is the account id and the licence key. `switched_off`
    holds names of lists that are not wanted.
    """

    folder: Path
    geoip_folder: Path
    contact: str | None = None
    maxmind: Credentials | None = None
    switched_off: Collection[str] = ()

    def folder_of(self, published: PublishedList) -> Path:
        """Return the folder in which a list is kept."""
        return self.geoip_folder if published.in_geoip_folder else self.folder


def not_configured(published: PublishedList, configuration: ListsConfiguration) -> str | None:
    """Say why a list is not fetched, None where it is."""
    if published.name in configuration.switched_off:
        return "switched off"
    if published.terms.needs_key and configuration.maxmind is None:
        return f"needs an account id and a licence key, free at {published.terms.url}"
    if published.terms.needs_contact and configuration.contact is None:
        return "needs a contact address, by which the publisher can write to you"
    if published.name in _IN_PLACE_OF_GEOLITE2 and configuration.maxmind is not None:
        return "GeoLite2 is fetched instead"
    return None


def refresh_all(
    configuration: ListsConfiguration,
    downloader: Downloader,
    *,
    now: datetime,
    lists: Sequence[PublishedList] = ALL_LISTS,
) -> tuple[DownloadReport, ...]:
    """Bring every list up to date that is configured; give a report for each, in their order; never raises."""
    return tuple(_refresh(each, configuration, downloader, now) for each in lists)


def _refresh(
    published: PublishedList, configuration: ListsConfiguration, downloader: Downloader, now: datetime
) -> DownloadReport:
    folder = configuration.folder_of(published)
    reason = not_configured(published, configuration)
    if reason is not None:
        # What was fetched while it was configured is still there, and used.
        known = read_provenance(folder / published.file.file_name)
        return DownloadReport(published.name, Change.NOT_CONFIGURED, reason, known.list_date if known else None)
    credentials = configuration.maxmind if published.terms.needs_key else None
    return downloader.fetch(published.file, folder, now=now, credentials=credentials)
