"""Charts as inline SVG: columns over time, bars of a ranking, and the line of a trend.

Geometry is reckoned here; the templates of `pages/` draw it, and escape what they write. A picture has a title and a
description for those who do not see it, and stands above a table of the same numbers.

Belongs here: places and sizes, and pictures that stand alone. Does not belong here: what is drawn.
"""

from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from cowrie_pipeline.steps.harmless import harmless

__all__ = ["Bar", "BarChart", "ColumnChart", "Trend", "bar_chart", "column_chart", "image_of", "templates", "trend"]

# In units of the picture; a page shows it as wide as there is room, so that letters are read on a phone too.
WIDTH = 420
_COLUMNS_HEIGHT = 150
_BAR_HEIGHT, _BAR_GAP = 14, 6
# so many of the widest digits, as a file's hash has, fit beside a bar
_LABEL_WIDTH, _VALUE_WIDTH = 150, 62
_LABEL_LONGEST = 18
_TREND_WIDTH, _TREND_HEIGHT = 110, 22


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar or column; `label` and `value` are what is written of it."""

    x: float
    y: float
    width: float
    height: float
    label: str
    value: str


@dataclass(frozen=True, slots=True)
class BarChart:
    """Bars from left to right, one below the other."""

    title: str
    description: str
    height: int
    bars: tuple[Bar, ...]
    width: int = WIDTH
    label_end: int = _LABEL_WIDTH - 8


@dataclass(frozen=True, slots=True)
class ColumnChart:
    """Columns side by side, in the order of time; `top` is what the highest stands for."""

    title: str
    description: str
    top: str
    first: str
    last: str
    columns: tuple[Bar, ...]
    width: int = WIDTH
    height: int = _COLUMNS_HEIGHT


@dataclass(frozen=True, slots=True)
class Trend:
    """A line; `parts` are its pieces between gaps, each as the points of a polyline from left to right."""

    description: str
    parts: tuple[tuple[tuple[float, float], ...], ...]
    width: int = _TREND_WIDTH
    height: int = _TREND_HEIGHT


def bar_chart(title: str, rows: Sequence[tuple[object, float]], *, as_share: bool = False) -> BarChart:
    """Return the bars of a ranking; a negative value's bar is as long as a positive one's.

    Args:
        title: what is shown.
        rows: label and value, in the order in which they are drawn.
        as_share: whether values are shares, 0 to 1, of a whole that is as wide as the picture.
    """
    longest = 1.0 if as_share else max((abs(value) for _, value in rows), default=0) or 1.0
    room = WIDTH - _LABEL_WIDTH - _VALUE_WIDTH
    bars = tuple(
        Bar(
            x=_LABEL_WIDTH,
            y=number * (_BAR_HEIGHT + _BAR_GAP),
            width=round(max(room * min(abs(value) / longest, 1.0), 1.0 if value else 0.0), 1),
            height=_BAR_HEIGHT,
            label=_label(label),
            value=f"{value:.1%}" if as_share else harmless(value),
        )
        for number, (label, value) in enumerate(rows)
    )
    described = "; ".join(f"{bar.label} {bar.value}" for bar in bars[:5])
    return BarChart(title, described or "nothing to show", max(len(bars) * (_BAR_HEIGHT + _BAR_GAP), 1), bars)


def _label(label: object) -> str:
    text = "not known" if label is None else str(label)
    return harmless(text, longest=_LABEL_LONGEST)


def column_chart(title: str, rows: Sequence[tuple[object, int]]) -> ColumnChart:
    """Return columns over time."""
    highest = max((value for _, value in rows), default=0)
    step = WIDTH / max(len(rows), 1)
    room = _COLUMNS_HEIGHT - 32
    columns = tuple(
        Bar(
            x=round(number * step, 2),
            y=round(14 + room * (1 - value / (highest or 1)), 2),
            width=round(max(step * 0.8, 0.5), 2),
            height=round(room * value / (highest or 1), 2),
            label=harmless(label),
            value=harmless(value),
        )
        for number, (label, value) in enumerate(rows)
    )
    described = f"the most are {highest:,}" if columns else "nothing to show"
    first, last = (columns[0].label, columns[-1].label) if columns else ("", "")
    return ColumnChart(title, described, harmless(highest), first, last, columns)


def trend(values: Sequence[float | None], *, highest: float | None = None) -> Trend:
    """Return the line of values over time, as high as the highest of them or as `highest`; None is a gap."""
    known = [value for value in values if value is not None]
    top = highest or max(known, default=0) or 1
    step = _TREND_WIDTH / max(len(values) - 1, 1)
    parts: list[list[tuple[float, float]]] = [[]]
    for number, value in enumerate(values):
        if value is None:
            parts.append([])
            continue
        y = 2 + (_TREND_HEIGHT - 4) * (1 - min(value / top, 1))
        parts[-1].append((round(number * step, 1), round(y, 1)))
    # a single point would not be seen
    drawn = tuple((*part, (part[-1][0] + 1, part[-1][1])) for part in parts if part)
    said = f"from {_rounded(known[0])} to {_rounded(known[-1])}, most {_rounded(max(known))}" if known else "no values"
    return Trend(said, drawn)


def _rounded(value: float) -> str:
    return harmless(value if isinstance(value, int) else round(value, 2))


@cache
def templates() -> Environment:
    """Return the templates of pages and pictures: every value is made harmless and then escaped, always."""
    environment = Environment(
        loader=PackageLoader("cowrie_pipeline.steps", "pages"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        # what a template's own macro drew, and a size, are markup already; nothing else is ever `Markup`
        finalize=lambda value: value if isinstance(value, Markup) else harmless(value),
    )
    environment.filters["size"] = _size
    return environment


def _size(value: float) -> Markup:
    """Return a size or place as SVG wants it; what is no number raises."""
    # thousands on each page, and Markup's own format takes ten times as long
    return Markup(f"{float(value):g}")  # noqa: S704 - a number, whatever it was made of


def image_of(chart: BarChart | ColumnChart) -> str:
    """Return a picture that stands alone as a `data:` URI, readable on light and on dark ground."""
    kind = "bars" if isinstance(chart, BarChart) else "columns"
    drawn = templates().get_template("picture.svg").render(chart=chart, kind=kind)
    return f"data:image/svg+xml;base64,{b64encode(drawn.encode()).decode('ascii')}"
