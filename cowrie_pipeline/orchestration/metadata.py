"""What a materialization shows: rows, seconds, a preview, the table's columns and where they come from."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import date, datetime
from typing import Any

import dagster as dg
from sqlalchemy import Connection, Select, Table

from cowrie_pipeline.settings import Settings
from cowrie_pipeline.steps.harmless import visible
from cowrie_pipeline.steps.inventories import CascadeStats

__all__ = ["lineage", "page_value", "preview", "stats_metadata", "table_metadata", "table_of"]

_PREVIEW_ROWS = 5
_LARGEST_OF_BROWSERS = 2**53
_LONGEST = 200


def table_metadata(table: Table, upstream: Mapping[str, Sequence[tuple[str, str]]]) -> dict[str, Any]:
    """Return the name, columns and column lineage of a table as Dagster's metadata.

    Args:
        table: the table that the asset fills.
        upstream: for columns that come from another asset, that asset and its columns.
    """
    # of a key of several columns none is unique by itself
    key = [column.name for column in table.primary_key.columns]
    columns = [
        dg.TableColumn(
            column.name,
            str(column.type).split("(")[0].lower(),
            description=column.comment,
            constraints=dg.TableColumnConstraints(nullable=bool(column.nullable), unique=key == [column.name]),
        )
        for column in table.columns
    ]
    return {
        "dagster/table_name": table.name,
        "dagster/column_schema": dg.TableSchema(columns=columns),
        "dagster/column_lineage": lineage(upstream),
    }


def page_value(path: str, settings: Settings) -> dg.UrlMetadataValue | dg.PathMetadataValue:
    """Return a page of `docs/`, by its path from the project's root: a link, where it is known where docs are read."""
    page = settings.docs_page(path)
    return dg.MetadataValue.url(page) if settings.docs_url else dg.MetadataValue.path(page)


def stats_metadata(stats: CascadeStats) -> dict[str, Any]:
    """Return what the cascade did; numbers on networks stand by themselves, so that the UI draws them over time."""
    numbers = asdict(stats)
    return {"cascade_stats": numbers, **{name: value for name, value in numbers.items() if name.startswith("asn_")}}


def lineage(upstream: Mapping[str, Sequence[tuple[str, str]]]) -> dg.TableColumnLineage:
    """Return which columns of which assets each column is made from."""
    return dg.TableColumnLineage(
        {
            column: [dg.TableColumnDep(asset_key=dg.AssetKey(asset), column_name=name) for asset, name in sources]
            for column, sources in upstream.items()
        }
    )


def preview(connection: Connection, statement: Select[Any]) -> dg.TableMetadataValue:
    """Return the first rows of a query as a table that the UI shows."""
    result = connection.execute(statement.limit(_PREVIEW_ROWS))
    return table_of(list(result.keys()), [tuple(row) for row in result])


def table_of(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> dg.TableMetadataValue:
    """Return rows as a table that the UI shows; what is no number or truth is shown as text that deceives nobody."""
    kinds = [_kind([row[index] for row in rows]) for index in range(len(columns))]
    schema = dg.TableSchema(columns=[dg.TableColumn(name, kind) for name, kind in zip(columns, kinds, strict=True)])
    records = [
        dg.TableRecord({name: _shown(value, kind) for name, value, kind in zip(columns, row, kinds, strict=True)})
        for row in rows
    ]
    return dg.MetadataValue.table(records, schema=schema)


def _kind(values: Sequence[Any]) -> str:
    known = [value for value in values if value is not None]
    if known and all(isinstance(value, bool) for value in known):
        return "bool"
    # a browser rounds larger ones, such as the key of a session: as text they stay what they are
    if known and all(isinstance(value, int) and not isinstance(value, bool) for value in known):
        if any(abs(value) > _LARGEST_OF_BROWSERS for value in known):
            return "string"
        return "int"
    if known and all(isinstance(value, int | float) and not isinstance(value, bool) for value in known):
        return "float"
    return "string"


def _shown(value: Any, kind: str) -> str | int | float | bool | None:
    if value is None or kind != "string":
        return value  # type: ignore[no-any-return]
    if isinstance(value, datetime):
        return value.isoformat(" ", "seconds")
    if isinstance(value, date):
        return value.isoformat()
    text = str(value)
    return visible(text[:_LONGEST]) + ("..." if len(text) > _LONGEST else "")
