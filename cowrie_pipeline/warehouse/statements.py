"""Statements of `sql/` with their parameters typed, so that both databases understand them."""

import re
from datetime import date, datetime
from typing import Any

from sqlalchemy import Date, TextClause, bindparam, text

from cowrie_pipeline.warehouse.tables import UtcDateTime

__all__ = ["with_parameters"]

# not `::`, PostgreSQL's cast
_PARAMETER = re.compile(r"(?<!:):([a-z_][a-z0-9_]*)")


def with_parameters(statement: str, **parameters: Any) -> TextClause:
    """Bind the `:name` parameters that a statement names, of those given: times, days, numbers and texts."""
    named = {name: parameters[name] for name in _PARAMETER.findall(statement) if name in parameters}
    return text(statement).bindparams(*(_typed(name, value) for name, value in named.items()))


def _typed(name: str, value: Any) -> Any:
    if isinstance(value, datetime):
        return bindparam(name, value, type_=UtcDateTime())
    if isinstance(value, date):
        return bindparam(name, value, type_=Date())
    return bindparam(name, value)
