"""Statements of `sql/` with their parameters typed, so that both databases understand them."""

from datetime import date, datetime
from typing import Any

from sqlalchemy import Date, TextClause, bindparam, text

from cowrie_pipeline.warehouse.tables import UtcDateTime

__all__ = ["with_parameters"]


def with_parameters(statement: str, **parameters: Any) -> TextClause:
    """Bind `:name` parameters of a statement: times, days, and plain numbers or texts.

    A parameter that the statement does not name is left out.
    """
    clause = text(statement)
    named = {name: value for name, value in parameters.items() if name in clause._bindparams}  # noqa: SLF001
    return clause.bindparams(*(_typed(name, value) for name, value in named.items()))


def _typed(name: str, value: Any) -> Any:
    if isinstance(value, datetime):
        return bindparam(name, value, type_=UtcDateTime())
    if isinstance(value, date):
        return bindparam(name, value, type_=Date())
    return bindparam(name, value)
