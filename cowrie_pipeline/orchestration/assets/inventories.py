"""The assets ip_inventory and asn_inventory: one graph of ops around the cascade enricher."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from time import monotonic
from typing import Any

import dagster as dg
from sqlalchemy import Connection, Select, select

from cowrie_pipeline.observability.progress import progress_of
from cowrie_pipeline.orchestration.assets.shared import BACKFILL, OWNERS, RETRY, describe_days, typed_failures
from cowrie_pipeline.orchestration.metadata import preview, stats_metadata, table_metadata, table_of
from cowrie_pipeline.orchestration.partitions import day_range
from cowrie_pipeline.orchestration.pools import CASCADE
from cowrie_pipeline.orchestration.reports import report_metadata
from cowrie_pipeline.orchestration.resources import Pipeline
from cowrie_pipeline.settings import Settings
from cowrie_pipeline.steps.checks import asset_of, look_ups_by_day
from cowrie_pipeline.steps.days import DayRange
from cowrie_pipeline.steps.inventories import Chunk, InventoryReport, enrich_chunk, finish_inventories, plan_chunks
from cowrie_pipeline.steps.journal import journaled
from cowrie_pipeline.warehouse.tables import asn_inventory, ip_inventory, session_days

__all__ = ["build_inventories"]

_IP_LINEAGE = {
    "ip_address": [("raw_sessions", "source_ip")],
    "first_seen": [("raw_sessions", "first_event_at")],
    "last_seen": [("raw_sessions", "last_event_at")],
    "session_count": [("raw_sessions", "session_key")],
}
_ASN_LINEAGE = {
    "asn_number": [("ip_inventory", "current_asn")],
    "first_seen": [("ip_inventory", "first_seen")],
    "last_seen": [("ip_inventory", "last_seen")],
    "unique_ip_count": [("ip_inventory", "ip_address")],
    "total_session_count": [("raw_sessions", "session_key")],
}
# Statuses are those of documents: a failure to renew an answer leaves the answer.
_ANSWER_COLUMNS = ("source", "hit", "not_found", "error", "rate_limited", "skipped_budget")


@dataclass(frozen=True, slots=True)
class LookedUp:
    """What the look-up of a chunk came to, and the seconds that it took."""

    report: InventoryReport
    seconds: float


@dg.op(
    ins={"raw_sessions": dg.In(dg.Nothing)},
    out=dg.DynamicOut(Chunk),
    retry_policy=RETRY,
    description=(
        "Divide the days' addresses that are new or stale into chunks of COWRIE_CHUNK_ADDRESSES, which several workers "
        "look up; in one process all of them are one."
    ),
)
@typed_failures
def plan_chunks_op(context: dg.AssetExecutionContext, pipeline: Pipeline) -> Iterator[dg.DynamicOutput[Chunk]]:
    """Give each chunk to a step of its own."""
    chunks = plan_chunks(
        pipeline.warehouse,
        pipeline.enrichment.cascade,
        day_range(context),
        size=pipeline.settings.addresses_together,
        now=datetime.now(UTC),
    )
    for number, chunk in enumerate(chunks, 1):
        yield dg.DynamicOutput(chunk, mapping_key=f"{number}_of_{len(chunks)}")


def _enrich_addresses_op(settings: Settings) -> dg.OpDefinition:
    @dg.op(
        name="enrich_addresses_op",
        # several workers ask at once: who asks about what, and how often, is agreed on in the database
        pool=None if settings.has_several_workers else CASCADE,
        retry_policy=RETRY,
        description="Ask the sources, in the order of the policy, about a chunk of the addresses that are due.",
    )
    @typed_failures
    def enrich_addresses_op(context: dg.AssetExecutionContext, pipeline: Pipeline, chunk: Chunk) -> LookedUp:
        days = day_range(context)
        now = datetime.now(UTC)
        with journaled(pipeline.warehouse, "ip_inventory", days) as entry:
            report = enrich_chunk(
                pipeline.warehouse,
                pipeline.enrichment.cascade,
                days,
                chunk,
                ledger=pipeline.ledger(now),
                now=now,
                on_progress=progress_of("ip_inventory"),
            )
            entry.report = {"addresses_due": report.addresses_due, "look_ups": report.outcomes}
            entry.findings = report.findings
        for finding in report.findings:
            context.log.warning(finding)
        return LookedUp(report, entry.seconds)

    return enrich_addresses_op


@dg.op(
    out={"ip_inventory": dg.Out(dg.Nothing), "asn_inventory": dg.Out(dg.Nothing)},
    pool=CASCADE,
    retry_policy=RETRY,
    description=(
        "Ask about networks that lack a fact, and put on each day's materializations what its addresses and networks "
        "are."
    ),
)
@typed_failures
def finish_inventories_op(context: dg.AssetExecutionContext, pipeline: Pipeline, chunks: list[LookedUp]) -> Any:
    """Complete the networks, then describe both inventories by day."""
    days = day_range(context)
    now = datetime.now(UTC)
    began = monotonic()
    report = finish_inventories(
        pipeline.warehouse,
        pipeline.enrichment.cascade,
        days,
        [chunk.report for chunk in chunks],
        ledger=pipeline.ledger(now),
        now=now,
    )
    seconds = sum(chunk.seconds for chunk in chunks) + monotonic() - began
    common = {
        "addresses_due": report.addresses_due,
        "chunks": len(chunks),
        **stats_metadata(report.stats),
        "look_ups": report.outcomes,
        "cache_hits": report.cache_hits,
        "not_asked": pipeline.enrichment.not_asked,
        "findings": list(report.findings),
    }
    with pipeline.warehouse.read() as connection:
        of_addresses, of_networks = {}, {}
        answers = _answers(connection, days)
        today = datetime.now(UTC).date()
        ip_reports = report_metadata(connection, "ip_inventory", days, today=today)
        asn_reports = report_metadata(connection, "asn_inventory", days, today=today)
        for day, inventory in report.days.items():
            of_addresses[day] = {
                "dagster/row_count": inventory.addresses,
                "states": inventory.states,
                "answers_by_source": table_of(_ANSWER_COLUMNS, answers["ip_inventory", day]),
                "preview": preview(connection, _addresses_of(DayRange(day, day))),
                **ip_reports[day],
            }
            of_networks[day] = {
                "dagster/row_count": inventory.networks,
                "answers_by_source": table_of(_ANSWER_COLUMNS, answers["asn_inventory", day]),
                "preview": preview(connection, _networks_of(DayRange(day, day))),
                **asn_reports[day],
            }
    for asset, of_days, table, upstream in (
        ("ip_inventory", of_addresses, ip_inventory, _IP_LINEAGE),
        ("asn_inventory", of_networks, asn_inventory, _ASN_LINEAGE),
    ):
        describe_days(context, asset, of_days, seconds=seconds, common={**table_metadata(table, upstream), **common})
    yield dg.Output(None, "ip_inventory")
    yield dg.Output(None, "asn_inventory")


def build_inventories(partitions: dg.DailyPartitionsDefinition, settings: Settings) -> dg.AssetsDefinition:
    """Return both assets.

    Args:
        partitions: the days.
        settings: of which it is used whether there are several workers; all others are read anew by each step.
    """
    enrich_addresses_op = _enrich_addresses_op(settings)

    @dg.graph_multi_asset(
        name="inventories",
        ins={"raw_sessions": dg.AssetIn(dagster_type=dg.Nothing)},
        outs={
            "ip_inventory": dg.AssetOut(
                dagster_type=dg.Nothing,
                kinds={"python", "sql"},
                owners=OWNERS,
                code_version="1",
                description=(
                    "Every address that ever attacked, and what is known of it now: bogon, network, place, by source. "
                    "The day's addresses that are new or stale are looked up; the others cost nothing. Lists are "
                    "used where `downloaded_lists` has fetched them; a new machine, which has none, does without."
                ),
            ),
            "asn_inventory": dg.AssetOut(
                dagster_type=dg.Nothing,
                kinds={"python", "sql"},
                owners=OWNERS,
                code_version="1",
                description="Every network (ASN) that an attacking address belongs or belonged to, with its counts.",
            ),
        },
        partitions_def=partitions,
        backfill_policy=BACKFILL,
        group_name="inventories",
    )
    def inventories(raw_sessions: Any) -> dict[str, Any]:
        looked_up = plan_chunks_op(raw_sessions).map(enrich_addresses_op)
        finished = finish_inventories_op(looked_up.collect())
        return {"ip_inventory": finished.ip_inventory, "asn_inventory": finished.asn_inventory}

    return inventories


def _answers(connection: Connection, days: DayRange) -> Mapping[tuple[str, date], Sequence[Sequence[Any]]]:
    """Return for each asset and day a row for each source: how many of the look-ups ended in which way."""
    counts: dict[tuple[str, date], dict[str, dict[str, int]]] = {}
    for day, source, status, looked_up in look_ups_by_day(connection, days):
        counts.setdefault((asset_of(source), day), {}).setdefault(source, {})[status] = looked_up
    rows: defaultdict[tuple[str, date], list[Sequence[Any]]] = defaultdict(list)
    for key, sources in counts.items():
        for source, of_source in sources.items():
            rows[key].append((source, *(of_source.get(status, 0) for status in _ANSWER_COLUMNS[1:])))
    return rows


def _active(days: DayRange) -> Select[Any]:
    return select(session_days.c.source_ip).where(session_days.c.day.between(days.first, days.last))


def _addresses_of(days: DayRange) -> Select[Any]:
    table = ip_inventory.c
    return (
        select(
            table.ip_address,
            table.current_asn,
            table.geo_country,
            table.country_basis,
            table.is_bogon,
            table.session_count,
            table.enrichment_state,
        )
        .where(table.ip_address.in_(_active(days)))
        .order_by(table.session_count.desc(), table.ip_address)
    )


def _networks_of(days: DayRange) -> Select[Any]:
    table = asn_inventory.c
    return (
        select(
            table.asn_number,
            table.organization_name,
            table.rir_registry,
            table.unique_ip_count,
            table.total_session_count,
        )
        .where(
            table.asn_number.in_(select(ip_inventory.c.current_asn).where(ip_inventory.c.ip_address.in_(_active(days))))
        )
        .order_by(table.unique_ip_count.desc(), table.asn_number)
    )
