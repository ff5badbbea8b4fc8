"""A line chart as inline SVG, coloured by the page's style sheet, so that it follows light and dark."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence

import numpy as np

from experiments.report.curves import Chart, Series

WIDTH, HEIGHT = 400, 220
RIGHT, TOP, BOTTOM = 8, 8, 24
_CHARACTER = 6.4  # width of a tick label's character
COLOURS = 8
DASHES = ("", "6 3", "2 2.5", "8 3 2 3")
_MARKED = 24


def draw(chart: Chart) -> str:
    """The chart's ``<svg>``: axes, grid, one line a series, a band of one standard error over seeds."""
    lines = [series for series in chart.series if np.isfinite(series.value).any()]
    name = html.escape(chart.title)
    if not lines:
        return f'<p class="none">{name}: no finite value</p>'
    values = np.concatenate([_extent(series) for series in lines])
    values = values[np.isfinite(values)]
    log = values.min() > 0 and values.max() / values.min() > 1000
    steps = np.concatenate([series.step for series in lines])
    y_axis = _Axis(values.min(), values.max(), HEIGHT - BOTTOM, TOP, 4, log)
    left = 12 + _CHARACTER * max(map(len, y_axis.labels()))
    x_axis = _Axis(steps.min(), steps.max(), left, WIDTH - RIGHT, 5, chart.by_k)
    parts = [_grid(x_axis, y_axis)]
    parts += [_band(series, i, x_axis, y_axis) for i, series in enumerate(chart.series) if series in lines]
    parts += [_line(series, i, x_axis, y_axis) for i, series in enumerate(chart.series) if series in lines]
    label = f"{chart.title} by {'k' if chart.by_k else 'step'}" + (", logarithmic" if log else "")
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{html.escape(label, quote=True)}">'
        + "".join(parts)
        + "</svg>"
    )


def legend(series: Sequence[Series], values: bool) -> str:
    """The legend of a chart or of a whole section; with each line's last value where asked for."""
    entries = []
    for i, line in enumerate(series):
        last = f" <b>{number(line.last)}</b>" if values else ""
        seeds = f' <span class="quiet">n={line.seeds}</span>' if line.seeds > 1 else ""
        swatch = f'<svg viewBox="0 0 18 8" class="swatch"><path d="M1 4H17" {_look(i)}/></svg>'
        entries.append(f"<li>{swatch}{html.escape(line.label)}{last}{seeds}</li>")
    return f'<ul class="legend">{"".join(entries)}</ul>'


def number(value: float) -> str:
    """Four significant digits; an en dash for what is not finite."""
    if not math.isfinite(value):
        return "–"
    if value and (abs(value) >= 1e6 or abs(value) < 1e-4):
        return f"{value:.3e}".replace("e+0", "e").replace("e-0", "e-").replace("e+", "e")
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.4g}"


class _Axis:
    """Maps values to the picture, and says where its ticks are."""

    def __init__(self, low: float, high: float, start: float, end: float, ticks: int, log: bool):
        self.log, self.start, self.end = log, start, end
        if log:
            vertical = end < start
            base = 10.0 if vertical else 2.0  # k goes in powers of two
            self.low, self.high = math.log10(low), math.log10(high)
            first, last = math.floor(math.log(low, base) + 1e-9), math.ceil(math.log(high, base) - 1e-9)
            stride = max(1, -(-(last - first) // ticks))
            self.ticks = [base**e for e in range(first, last + 1, stride)]
            if vertical:
                self.low = min(self.low, math.log10(self.ticks[0]))
                self.high = max(self.high, math.log10(self.ticks[-1]))
        else:
            if high - low <= 1e-9 * max(abs(low), abs(high)):  # a constant: room on both sides
                low, high = (low - 0.05 * abs(low), high + 0.05 * abs(high)) if low else (0.0, 1.0)
            self.ticks = _nice(low, high, ticks)
            vertical = end < start
            self.low = min(low, self.ticks[0]) if vertical else low
            self.high = max(high, self.ticks[-1]) if vertical else high

    def labels(self) -> list[str]:
        """The ticks' labels, with as many decimals as tell them apart."""
        if self.log:
            return [f"{tick:g}" for tick in self.ticks]
        step = self.ticks[1] - self.ticks[0]
        largest = max(map(abs, self.ticks))
        unit, letter = next(
            ((u, c) for u, c in ((1e9, "G"), (1e6, "M"), (1e3, "k")) if largest >= u and step >= u / 1000), (1.0, "")
        )
        if largest < 1e-3:
            return [f"{tick:.1e}".replace("e-0", "e-").replace("0.0e+00", "0") for tick in self.ticks]
        decimals = max(0, -math.floor(math.log10(step / unit) + 1e-9))
        decimals += not math.isclose(step / unit * 10**decimals, round(step / unit * 10**decimals), rel_tol=1e-6)
        return [f"{tick / unit:.{decimals}f}{letter}" if tick else "0" for tick in self.ticks]

    def __call__(self, values: np.ndarray | float) -> np.ndarray:
        values = np.asarray(values, float)
        if self.log:
            values = np.log10(np.maximum(values, 10.0**self.low))
        return self.start + (values - self.low) / (self.high - self.low) * (self.end - self.start)


def _nice(low: float, high: float, count: int) -> list[float]:
    """Round numbers that reach from below ``low`` to above ``high``, about ``count`` of them."""
    raw = (high - low) / count
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * m for m in (1, 2, 2.5, 5, 10) if power * m >= raw * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(i * step, 12) for i in range(first, last + 1)]


def _grid(x_axis: _Axis, y_axis: _Axis) -> str:
    parts, left = [], x_axis.start
    for tick, label in zip(y_axis.ticks, y_axis.labels(), strict=True):
        y = float(y_axis(tick))
        parts.append(f'<path class="grid" d="M{left:.1f} {y:.1f}H{WIDTH - RIGHT}"/>')
        parts.append(f'<text class="tick" x="{left - 6:.1f}" y="{y + 3.5:.1f}" text-anchor="end">{label}</text>')
    for tick, label in zip(x_axis.ticks, x_axis.labels(), strict=True):
        x = float(x_axis(tick))
        if left - 1 <= x <= WIDTH - RIGHT + 1:
            anchor = "end" if x > WIDTH - 24 else "middle"
            y = HEIGHT - BOTTOM + 15
            parts.append(f'<text class="tick" x="{x:.1f}" y="{y}" text-anchor="{anchor}">{label}</text>')
    parts.append(f'<path class="axis" d="M{left:.1f} {HEIGHT - BOTTOM + 0.5}H{WIDTH - RIGHT}"/>')
    return "".join(parts)


def _extent(series: Series) -> np.ndarray:
    error = np.nan_to_num(series.error)
    low = np.where(series.value - error > 0, series.value - error, np.minimum(series.value, series.value - error))
    return np.concatenate([low, series.value + error])


def _band(series: Series, index: int, x_axis: _Axis, y_axis: _Axis) -> str:
    keep = np.isfinite(series.value) & np.isfinite(series.error)
    if series.seeds < 2 or keep.sum() < 2:
        return ""
    x = x_axis(series.step[keep])
    high = y_axis((series.value + series.error)[keep])
    low = y_axis((series.value - series.error)[keep])
    points = [*zip(x, high, strict=True), *zip(x[::-1], low[::-1], strict=True)]
    return f'<path class="band f{index % COLOURS}" d="M{_join(points)}Z"/>'


def _line(series: Series, index: int, x_axis: _Axis, y_axis: _Axis) -> str:
    """A path for each stretch without gaps, and marks where points are few."""
    x, y = x_axis(series.step), y_axis(series.value)
    finite = np.isfinite(series.value)
    stretches = np.split(np.arange(len(x)), np.flatnonzero(~finite))
    paths = []
    for stretch in stretches:
        stretch = stretch[finite[stretch]]
        if len(stretch) > 1:
            paths.append("M" + _join(zip(x[stretch], y[stretch], strict=True)))
    parts = [f'<path d="{"".join(paths)}" {_look(index)}/>'] if paths else []
    if finite.sum() <= _MARKED:
        parts += [
            f'<circle cx="{a:.1f}" cy="{b:.1f}" r="2.2" class="f{index % COLOURS}"/>'
            for a, b in zip(x[finite], y[finite], strict=True)
        ]
    return "".join(parts)


def _join(points) -> str:
    return "L".join(f"{x:.1f} {y:.1f}" for x, y in points)


def _look(index: int) -> str:
    dash = DASHES[index // COLOURS % len(DASHES)]
    return f'class="line s{index % COLOURS}"' + (f' stroke-dasharray="{dash}"' if dash else "")
