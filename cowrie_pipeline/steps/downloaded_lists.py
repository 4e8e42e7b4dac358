"""Bring the downloaded lists up to date: Tor exits, block lists, research scanners, registries, GeoIP databases.

Belongs here: which lists a refresh asks for, and what came of it. Does not belong here: fetching (enrichment/).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from cowrie_pipeline.enrichment.build import lists_configuration
from cowrie_pipeline.enrichment.downloads import Change, Downloader, DownloadReport, read_provenance
from cowrie_pipeline.enrichment.http_client import user_agent_of
from cowrie_pipeline.enrichment.lists.catalog import ALL_LISTS, ListsConfiguration, refresh_all
from cowrie_pipeline.enrichment.lists.published import PublishedList
from cowrie_pipeline.settings import Settings, SettingsError

__all__ = ["ListsReport", "refresh_lists"]


@dataclass(frozen=True, slots=True)
class ListsReport:
    """What became of each list, and of what day it is; `not_asked` says why nobody was asked, if nobody was."""

    lists: tuple[DownloadReport, ...]
    not_asked: str | None = None

    @property
    def findings(self) -> tuple[str, ...]:
        """Lists that should have been fetched and could not be, in words for the operator."""
        return tuple(f"{each.name}: {each.reason}" for each in self.lists if each.change is Change.FAILED)


def refresh_lists(settings: Settings, *, now: datetime, lists: Sequence[PublishedList] = ALL_LISTS) -> ListsReport:
    """Fetch every list that is configured and has changed; offline, only say what is there.

    Raises:
        SettingsError: the contact cannot be sent.
    """
    configuration = lists_configuration(settings)
    if settings.offline:
        reason = "COWRIE_OFFLINE is set"
        return ListsReport(tuple(_kept(each, configuration, reason) for each in lists), reason)
    try:
        downloader = Downloader(user_agent=user_agent_of(settings.contact))
    except ValueError as error:
        raise SettingsError(f"COWRIE_CONTACT: {error}") from error
    try:
        return ListsReport(refresh_all(configuration, downloader, now=now, lists=lists))
    finally:
        downloader.close()


def _kept(published: PublishedList, configuration: ListsConfiguration, reason: str) -> DownloadReport:
    """Say what is there of a list that is not asked for."""
    known = read_provenance(configuration.folder_of(published) / published.file.file_name)
    if known is None:
        return DownloadReport(published.name, Change.NOT_CONFIGURED, reason)
    return DownloadReport(
        published.name, Change.NOT_CONFIGURED, reason, known.list_date, records=known.records, size=known.size
    )
