"""Have a service asked again about what it was asked before, everywhere where its answers are kept.

The ledger says when a key may be asked again, but a run does not even look at an address, file or password before the
time that stands in its own row; and an address's document says of each service's facts when they expire. So all of them
are made due. No fact is removed: what is known is kept until another answer replaces it.

Belongs here: which rows follow from a service's answers. Does not belong here: the ledger (warehouse/cache_care.py).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from ipaddress import ip_address
from typing import Any

from sqlalchemy import ColumnElement, Connection, Table, bindparam, func, select, update

from cowrie_pipeline.enrichment.cascade import NETWORK_SERVICE
from cowrie_pipeline.enrichment.documents import Document, asked_again_at, is_answer, read_document
from cowrie_pipeline.enrichment.sources.pwned_passwords import PwnedPasswordsSource, prefix_of
from cowrie_pipeline.enrichment.sources.virustotal import VirusTotalSource
from cowrie_pipeline.enrichment.values import asn_number, moment
from cowrie_pipeline.observability.progress import ProgressListener
from cowrie_pipeline.steps.inventories import encoded
from cowrie_pipeline.warehouse.bulk import staged
from cowrie_pipeline.warehouse.cache_care import Selection, invalidate, invalidate_keys
from cowrie_pipeline.warehouse.engine import Warehouse
from cowrie_pipeline.warehouse.tables import file_reputation, ip_inventory, password_exposure

__all__ = ["InvalidationReport", "invalidate_answers", "make_addresses_due"]

# So few that a transaction is short, and others get in between.
_ROWS_AT_ONCE = 1_000
_addresses = ip_inventory.c


@dataclass(frozen=True, slots=True)
class InvalidationReport:
    """How many rows became due: answers in the ledger, and the addresses, files and passwords that have them."""

    answers: int = 0
    addresses: int = 0
    files: int = 0
    passwords: int = 0


def _unheard(step: str, done: int, total: int) -> None:
    del step, done, total


def invalidate_answers(
    warehouse: Warehouse, selection: Selection, *, now: datetime, on_progress: ProgressListener = _unheard
) -> InvalidationReport:
    """Make due what a service said, as far as it is selected; the next run asks again.

    Killed, it is done again from the beginning, and what is due already is left alone.

    Raises:
        ValueError: the selection names no service.
    """
    service = selection.service
    if service is None:
        raise ValueError("expected a service whose answers are made due, found none: name it")
    if selection.key is not None:
        selection = replace(selection, key=_as_kept(service, selection.key))
    # The ledger first: a document that is due asks the ledger, and must not find there that nothing is.
    answers = invalidate(
        warehouse, selection, now=now, on_progress=lambda done, total: on_progress("answers", done, total)
    )
    if service == VirusTotalSource.terms.service:
        is_meant = [] if selection.key is None else [file_reputation.c.sha256 == selection.key]
        return InvalidationReport(
            answers=answers,
            files=_make_rows_due(
                warehouse, file_reputation, selection, asked_at="reputation_at", is_meant=is_meant, now=now
            ),
        )
    if service == PwnedPasswordsSource.terms.service:
        is_meant = [] if selection.key is None else [password_exposure.c.sha1.startswith(selection.key)]
        return InvalidationReport(
            answers=answers,
            passwords=_make_rows_due(
                warehouse, password_exposure, selection, asked_at="exposure_at", is_meant=is_meant, now=now
            ),
        )
    if service == NETWORK_SERVICE:
        return InvalidationReport(answers=answers, addresses=_make_networks_due(warehouse, selection, now))
    return InvalidationReport(
        answers=answers, addresses=_make_documents_due(warehouse, service, selection, now, on_progress)
    )


def _make_documents_due(
    warehouse: Warehouse, service: str, selection: Selection, now: datetime, on_progress: ProgressListener
) -> int:
    """Make the entry of `service` due in the documents of addresses; return in how many it was not."""
    status = _addresses.enrichment[(service, "status")].as_string()
    conditions = [status.is_not(None) if selection.status is None else status == selection.status.value]
    if selection.key is not None:
        if not _is_address(selection.key):
            return 0  # an AS number, of which no address's document tells
        conditions.append(_addresses.ip_address == selection.key)
    with warehouse.read() as connection:
        total = connection.execute(select(func.count()).select_from(ip_inventory).where(*conditions)).scalar_one()
    changed = done = 0
    last: list[ColumnElement[bool]] = []
    while True:
        # Under the lock of those who write what the cascade found: nothing that they write meanwhile is undone.
        with warehouse.begin(lock="facts") as connection:
            rows = connection.execute(
                select(_addresses.ip_address, _addresses.enrichment)
                .where(*conditions, *last)
                .order_by(_addresses.ip_address)
                .limit(_ROWS_AT_ONCE)
            ).all()
            if not rows:
                return changed
            due = {
                address: document
                for address, stored in rows
                if (document := _made_due(read_document(stored), service, selection, now)) is not None
            }
            _write(connection, due, now)
        last = [_addresses.ip_address > rows[-1][0]]
        changed += len(due)
        done += len(rows)
        on_progress("addresses", done, max(done, total))


def make_addresses_due(
    warehouse: Warehouse, services: Sequence[str], addresses: Sequence[str], *, older_than: datetime, now: datetime
) -> None:
    """Make due what services said of some addresses before `older_than`, in the ledger and in their documents."""
    # The ledger first, as above.
    invalidate_keys(warehouse, services, addresses, older_than=older_than, now=now)
    kind = _addresses.ip_address.type
    with (
        warehouse.begin(lock="facts") as connection,
        staged(connection, "addresses_made_due", {"ip_address": kind}, ((each,) for each in addresses)) as meant,
    ):
        rows = connection.execute(
            select(_addresses.ip_address, _addresses.enrichment)
            .join(meant, meant.c.ip_address == _addresses.ip_address)
            .order_by(_addresses.ip_address)
        ).all()
        due: dict[str, Document] = {}
        for address, stored in rows:
            document = read_document(stored)
            for service in services:
                selection = Selection(service=service, older_than=older_than)
                changed = _made_due(due.get(address, document), service, selection, now)
                if changed is not None:
                    due[address] = changed
        _write(connection, due, now)


def _as_kept(service: str, key: str) -> str:
    """Return a key as the ledger has it, however somebody wrote it."""
    if service == VirusTotalSource.terms.service:
        return key.lower()
    if service == PwnedPasswordsSource.terms.service:
        return prefix_of(key.upper())
    return str(ip_address(key)) if _is_address(key) else key.upper()


def _is_address(key: str) -> bool:
    try:
        ip_address(key)
    except ValueError:
        return False
    return True


def _made_due(document: Document, service: str, selection: Selection, now: datetime) -> Document | None:
    """Return the document in which the entry of `service` is due, None where it is, or is not selected."""
    entry = document.get(service)
    if entry is None:
        return None
    again = asked_again_at(entry)
    if again is None or again <= now:
        return None
    if selection.older_than is not None:
        fetched_at = moment(entry.get("fetched_at"))
        if fetched_at is None or fetched_at >= selection.older_than:
            return None
    changed = {name: value for name, value in entry.items() if name != "retry_at"}
    expires_at = moment(entry.get("expires_at"))
    if is_answer(entry) and expires_at is not None:
        changed["expires_at"] = min(expires_at, now).astimezone(UTC).isoformat()
    return {**document, service: changed}


def _write(connection: Connection, documents: Mapping[str, Document], now: datetime) -> None:
    if not documents:
        return
    connection.execute(
        update(ip_inventory)
        .where(_addresses.ip_address == bindparam("address"))
        .values(
            enrichment=bindparam("document"),
            enrichment_digest=bindparam("digest"),
            enrichment_version=_addresses.enrichment_version + 1,
            enrichment_due_at=now,
        ),
        [
            {"address": address, "document": document, "digest": encoded(document)[1]}
            for address, document in documents.items()
        ],
    )


def _make_networks_due(warehouse: Warehouse, selection: Selection, now: datetime) -> int:
    """Have the addresses looked at again whose network only Team Cymru told; what of it is due the ledger knows."""
    is_meant = [_addresses.asn_source == "cymru"]
    if selection.key is not None:
        number = asn_number(selection.key.removeprefix("AS"))
        if number is None:
            return 0
        is_meant.append(_addresses.current_asn == number)
    return _update_in_parts(warehouse, ip_inventory, "enrichment_due_at", is_meant, now)


def _make_rows_due(
    warehouse: Warehouse,
    table: Table,
    selection: Selection,
    *,
    asked_at: str,
    is_meant: Sequence[ColumnElement[bool]],
    now: datetime,
) -> int:
    """Make due what is kept of the answers of a service that is not asked about addresses; return how many rows."""
    conditions = list(is_meant)
    if selection.status is not None:
        conditions.append(table.c.status == selection.status.value)
    if selection.older_than is not None:
        conditions.append(table.c[asked_at] < selection.older_than)
    return _update_in_parts(warehouse, table, "due_at", conditions, now)


def _update_in_parts(
    warehouse: Warehouse, table: Table, due_at: str, conditions: Sequence[ColumnElement[Any]], now: datetime
) -> int:
    """Make rows due at `now` that are due later; return how many."""
    (key,) = table.primary_key.columns
    done = 0
    while True:
        with warehouse.begin(lock="facts") as connection:
            some = select(key).where(table.c[due_at] > now, *conditions).limit(_ROWS_AT_ONCE)
            changed = connection.execute(update(table).where(key.in_(some)).values({due_at: now})).rowcount
        if not changed:
            return done
        done += changed
