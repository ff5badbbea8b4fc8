"""The charts as Vega-Lite: one specification for each kind of axes, and for each chart of a page the rows of its lines.

A specification knows hover (the values at the step nearest to the pointer), zoom, and lines that are switched off;
charts.js puts rows into it and draws. Colours are the page's own variables, so that charts follow light and dark.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from typing import Any

import altair as alt
import numpy as np
import vl_convert

from experiments.report.curves import Chart, Series
from experiments.results import band

HEIGHT = 190
_MARKED = 24  # points are marked on lines that have no more of them
_SHORT = "abs(datum.value) >= 10000 ? format(datum.value, '~s') : datum.label"


@functools.cache
def library() -> str:
    """Vega, Vega-Lite and vega-embed as one script, which defines the function vegaEmbed."""
    return vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")


def specifications(charts: Iterable[Chart]) -> dict[str, dict[str, Any]]:
    """The Vega-Lite specifications of some charts, by the names that `data` gives as spec."""
    return {_kind(chart): _specification(chart.by_k, chart.log) for chart in charts}


def data(chart: Chart, colour: Mapping[str, str]) -> dict[str, Any]:
    """A chart's lines as JSON: label, dash and colour (the page's name for it) of each, and its points.

    x, value: [n], null where nothing finite was logged. low, high: [n], the edges of the band of one standard error;
    empty for a line without one.
    """
    lines = [_line(series, chart.log) | {"colour": colour[series.look.colour]} for series in chart.series]
    return {"spec": _kind(chart), "lines": lines}


def _kind(chart: Chart) -> str:
    return f"{'k' if chart.by_k else 'step'}{' log' if chart.log else ''}"


def _line(series: Series, log: bool) -> dict[str, Any]:
    low, high = band.edges(series.value, series.error, log=log)
    has_band = bool(np.isfinite(low).any())
    return {
        "label": series.label,
        "dash": series.look.dash,
        "marked": int(np.isfinite(series.value).sum()) <= _MARKED,
        "x": _short(series.step),
        "value": _short(series.value),
        "low": _short(low) if has_band else [],
        "high": _short(high) if has_band else [],
    }


def _short(values: np.ndarray) -> list[float | None]:
    """Five significant digits, more than a chart can show; None for a value that is not finite."""
    return [float(f"{value:.5g}") if np.isfinite(value) else None for value in values]


def _specification(by_k: bool, log: bool) -> dict[str, Any]:
    # Dragging is the mouse's alone and the wheel needs a key: a page is scrolled across its charts.
    zoom = alt.selection_interval(
        name="zoom",
        bind="scales",
        zoom="wheel![event.ctrlKey || event.metaKey]",
        translate="[pointerdown[event.pointerType === 'mouse'], window:pointerup] > window:pointermove!",
    )
    hover = alt.selection_point(
        name="hover", fields=["at"], nearest=True, on="pointermove", clear="pointerout", empty=False
    )
    # k goes in powers of two.
    scale = alt.Scale(type="log", base=2) if by_k else alt.Scale(zero=False, nice=False)
    x = alt.X("at:Q", title=None, scale=scale, axis=alt.Axis(grid=False, labelFlush=True, tickCount=5))
    vertical = {
        "title": None,
        "scale": alt.Scale(type="log") if log else alt.Scale(zero=False),
        "axis": alt.Axis(tickCount=4, domain=False, ticks=False),
    }
    lines = alt.Chart().encode(
        x=x, y=alt.Y("value:Q", **vertical), color=alt.Color("colour:N", scale=None), detail="line:N"
    )
    bands = lines.mark_area(opacity=band.OPACITY).encode(y=alt.Y("low:Q", **vertical), y2="high:Q")
    curves = lines.mark_line(strokeWidth=1.8, strokeJoin="round").encode(
        strokeDash=alt.StrokeDash("dash:N", scale=None)
    )
    points = lines.mark_point(filled=True, size=18, opacity=1)
    marks, picked = points.transform_filter("datum.marked"), points.transform_filter(hover)
    rule = (
        alt.Chart()
        .mark_rule(color="var(--quiet)")
        .transform_aggregate(count="count()", groupby=["at"])
        .encode(x="at:Q", opacity=alt.condition(hover, alt.value(0.6), alt.value(0)))
    )
    chart = (
        alt.layer(bands, curves.add_params(zoom), marks, rule.add_params(hover), picked, data=alt.NamedData("rows"))
        .transform_filter("indexof(hidden, datum.line) < 0")
        .add_params(alt.param(name="hidden", value=[]))
        .properties(width="container", height=HEIGHT, background="transparent")
        .configure_view(stroke=None)
        .configure_axis(
            labelColor="var(--quiet)",
            gridColor="var(--rule)",
            domainColor="var(--quiet)",
            tickColor="var(--quiet)",
            labelFont="inherit",
            labelFontSize=11,
            labelExpr=_SHORT,
        )
    )
    spec = chart.to_dict()
    del spec["$schema"]  # an address, in a page that has none
    return spec
