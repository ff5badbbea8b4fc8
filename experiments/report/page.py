"""The page: a header with what matters most, then curves, final values, mazes, figures, config, environment."""

from __future__ import annotations

import base64
import html
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from experiments.report import chart, curves, mazes, runs
from experiments.report.look import CSS
from experiments.report.runs import Group
from experiments.results.folders import RunFolder

Charts = Mapping[str, Sequence[curves.Chart]]

LARGEST_PICTURE = 6 * 2**20
"""Bytes; larger pictures are named and left out."""

_TITLES = {
    "sft": "Supervised fine-tuning",
    "train": "Training",
    "eval": "Evaluation",
    "perf": "Speed of this machine",
}


def write(found: Sequence[RunFolder], title: str = "") -> str:
    """The whole page as HTML, nothing in it fetched from elsewhere."""
    groups = runs.group(found)
    heading = title or (", ".join(run.name for run in found) if len(found) <= 3 else f"{len(found)} runs")
    table = curves.frame(groups)
    charts, last = curves.charts(groups, table), curves.final_table(table)
    sections = [
        _header(heading, groups, last),
        _curves(groups, charts),
        _finals(groups, charts, last),
        _mazes(found),
        _pictures(found),
        _config(found),
        _environment(found),
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{html.escape(heading)}</title><style>{CSS}</style></head><body>\n" + "\n".join(sections) + "\n"
        "</body></html>\n"
    )


def _header(heading: str, groups: Sequence[Group], last: pd.DataFrame) -> str:
    found = [run for group in groups for run in group.runs]
    done = sum(run.finished for run in found)
    tiles: dict[str, str] = {}
    if len(found) == 1:
        run = found[0]
        steps = ", ".join(f"{phase} {count:,}" for phase, count in runs.steps(run).items())
        about = f"{'Finished' if run.finished else 'Not finished'}{' after ' + steps + ' steps' if steps else ''}."
        tiles = {name: _with_error(mean, error) for name, mean, error in _headline(last)}
        if "final/params_sha256" in run.final():
            about += f" Parameters <code>{html.escape(str(run.final()['final/params_sha256'])[:16])}</code>"
    else:
        about = f"{done} of {len(found)} finished"
        seeds = max(len(group.runs) for group in groups)
        about += f", {len(groups)} settings with up to {seeds} seeds each." if seeds > 1 else "."
    cells = "".join(f"<div><dt>{html.escape(k)}</dt><dd>{v}</dd></div>" for k, v in tiles.items())
    return f"<header><h1>{html.escape(heading)}</h1><p>{about}</p>" + (
        f'<dl class="tiles">{cells}</dl></header>' if cells else "</header>"
    )


def _headline(last: pd.DataFrame, most: int = 6) -> list[tuple[str, float, float]]:
    """The last evaluations, or the last training metrics of a run without any."""
    for prefix in ("eval/", "train/"):
        rows = last[last.metric.str.startswith(prefix)]
        if len(rows):
            return [(row.metric, row.mean, row.standard_error) for row in _named(rows)[:most]]
    return []


def _named(rows: Any) -> list[Any]:
    """Rows as tuples; DataFrame.mean is a method, so they are read by position through itertuples."""
    return list(rows[["label", "metric", "mean", "standard_error", "n"]].itertuples(index=False, name="Row"))


def _curves(groups: Sequence[Group], charts: Charts) -> str:
    parts = []
    for prefix, some in charts.items():
        shared = not some[0].by_metric
        head = f"<h2>{_TITLES[prefix]} <span class='quiet'>{prefix}/, by step</span></h2>"
        if shared:
            head += chart.legend(some[0].series, values=False).replace('class="legend"', 'class="legend shared"')
        drawn = "".join(_chart(one) for one in some)
        parts.append(f'<section>{head}<div class="charts">{drawn}</div></section>')
    spread = any(len(group.runs) > 1 for group in groups)
    note = '<p class="note">Lines are means over seeds, bands one standard error.</p>' if spread else ""
    return note + "\n".join(parts)


def _chart(one: curves.Chart) -> str:
    binned = max(series.binned for series in one.series)
    note = f' <span class="quiet">mean of {binned} steps a point</span>' if binned > 1 else ""
    legend, last = "", ""
    if one.by_metric and len(one.series) > 1:
        legend = chart.legend(one.series, values=True)
    elif one.by_metric and not one.by_k:
        last = f"<b>{chart.number(one.series[0].last)}</b>"
    caption = f"<figcaption><span>{html.escape(one.title)}{note}</span>{last}</figcaption>"
    return f'<figure class="chart">{caption}{chart.draw(one)}{legend}</figure>'


def _finals(groups: Sequence[Group], charts: Charts, last: pd.DataFrame) -> str:
    """Last values: a row a metric, a column a group; of one group, a table for each prefix."""
    values = {(row.label, row.metric): _with_error(row.mean, row.standard_error) for row in _named(last)}
    blocks = {
        prefix: {m: [values.get((group.label, m), "–") for group in groups] for c in some for m in c.metrics}
        for prefix, some in charts.items()
    }
    finals = dict.fromkeys(key for group in groups for run in group.runs for key in run.final())
    blocks["final"] = {key: [_final(group, key) for group in groups] for key in finals}
    blocks = {prefix: rows for prefix, rows in blocks.items() if rows}
    counts = [len(group.runs) for group in groups]
    note = f'<p class="note">Mean ± standard error over {_span(counts)} seeds.</p>' if max(counts) > 1 else ""
    if len(groups) == 1:
        tables = "".join(f"<div>{_rows('', rows)}</div>" for rows in blocks.values())
        return f'<section><h2>Final values</h2>{note}<div class="columns">{tables}</div></section>'
    head = "".join(f"<th>{html.escape(group.label)}</th>" for group in groups)
    rows = {name: cells for block in blocks.values() for name, cells in block.items()}
    head = f"<thead><tr><th>metric</th>{head}</tr></thead>"
    return f"<section><h2>Final values</h2>{note}{_rows(head, rows)}</section>"


def _rows(head: str, rows: dict[str, list[str]]) -> str:
    body = "".join(
        f"<tr><th>{html.escape(name)}</th>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"
        for name, cells in rows.items()
    )
    return f'<div class="scroll wide"><table>{head}<tbody>{body}</tbody></table></div>'


def _final(group: Group, key: str) -> str:
    """A final/ value of every run of a group, in short."""
    shown = [_short(run.final().get(key)) for run in group.runs]
    return "<br>".join(dict.fromkeys(shown))


def _short(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, str):
        return f"<code>{html.escape(value[:16])}</code>"
    if isinstance(value, list):
        flat = ", ".join(_short(entry) for entry in value[:6])
        return f"[{flat}{', …' if len(value) > 6 else ''}]"
    return chart.number(float(value)) if isinstance(value, int | float) else html.escape(str(value))


def _with_error(mean: float, error: float) -> str:
    spread = f' <span class="quiet">± {error:.2g}</span>' if math.isfinite(error) else ""
    return chart.number(mean) + spread


def _span(counts: Sequence[int]) -> str:
    return str(counts[0]) if min(counts) == max(counts) else f"{min(counts)} to {max(counts)}"


def _mazes(found: Sequence[RunFolder]) -> str:
    parts = []
    for run in found:
        path = run.folder / "figures" / "answers.npz"
        if path.exists():
            name = f"<h3>{html.escape(run.name)}</h3>" if len(found) > 1 else ""
            parts.append(name + mazes.draw(path))
    if not parts:
        return ""
    dots = {"right": "right answer", "failed": "failed answer", "start": "start", "goal": "goal"}
    key = "".join(f'<span class="dot" style="background: var(--{name})"></span>{text}' for name, text in dots.items())
    return f'<section><h2>Held-out mazes</h2><p class="note">{key}</p>{"".join(parts)}</section>'


def _pictures(found: Sequence[RunFolder]) -> str:
    """The pictures of the runs' figures/ folders, PNG where a figure is there as PNG and SVG."""
    parts = []
    for run in found:
        files = sorted((run.folder / "figures").glob("*.png")) + sorted((run.folder / "figures").glob("*.svg"))
        names = [file.stem for file in files]
        for i, file in enumerate(files):
            if file.stem not in names[:i]:
                parts.append(_picture(file, f"{run.name}: {file.name}" if len(found) > 1 else file.name))
    return f'<section><h2>Figures</h2><div class="pictures">{"".join(parts)}</div></section>' if parts else ""


def _picture(file: Path, caption: str) -> str:
    caption = html.escape(caption)
    if file.stat().st_size > LARGEST_PICTURE:
        return f"<figure><figcaption>{caption}: {file.stat().st_size / 2**20:.0f} MB, left out</figcaption></figure>"
    kind = {"png": "png", "svg": "svg+xml"}[file.suffix[1:]]
    data = base64.b64encode(file.read_bytes()).decode()
    image = f'<img alt="{caption}" src="data:image/{kind};base64,{data}">'
    return f"<figure>{image}<figcaption>{caption}</figcaption></figure>"


def _config(found: Sequence[RunFolder]) -> str:
    """What differs between the runs, marked, then what they share by group of fields."""
    if not any(run.config for run in found):
        return ""
    differ = runs.differing(found)
    parts = []
    if differ:
        head = "".join(f"<th>{html.escape(run.name)}</th>" for run in found)
        body = "".join(
            f"<tr class='differs'><th><code>{html.escape(key)}</code></th>"
            + "".join(f"<td><code>{_value(run.fields.get(key))}</code></td>" for run in found)
            + "</tr>"
            for key in differ
        )
        count = "1 field differs" if len(differ) == 1 else f"{len(differ)} fields differ"
        parts.append(
            f'<p class="note">{count} between the runs.</p><div class="scroll wide"><table>'
            f"<thead><tr><th>field</th>{head}</tr></thead><tbody>{body}</tbody></table></div>"
        )
    same = {key: value for key, value in found[0].fields.items() if key not in differ}
    blocks: dict[str, dict[str, Any]] = {}
    for key, value in same.items():
        blocks.setdefault(key.rpartition(".")[0], {})[key] = value
    tables = "".join(f"<div>{_values(fields)}</div>" for fields in blocks.values())
    summary = "Fields all runs share" if len(found) > 1 else "All fields"
    parts.append(f"<details{' open' if len(found) == 1 else ''}><summary>{summary}</summary>")
    parts.append(f'<div class="columns">{tables}</div></details>')
    return f"<section><h2>Config</h2>{''.join(parts)}</section>"


def _environment(found: Sequence[RunFolder]) -> str:
    """Where each run ran; runs of one environment share a table."""
    tables: dict[str, list[str]] = {}
    for run in found:
        if run.environment:
            tables.setdefault(_values(_environment_rows(run, with_command=len(found) == 1)), []).append(run.name)
    if not tables:
        return ""
    parts = []
    for table, names in tables.items():
        title = "" if len(tables) == 1 else f"<h3>{html.escape(', '.join(names))}</h3>"
        parts.append(title + table)
    return f"<section><h2>Environment</h2>{''.join(parts)}</section>"


def _environment_rows(run: RunFolder, with_command: bool) -> dict[str, Any]:
    there = run.environment
    devices, git = there.get("devices", {}), there.get("git", {})
    rows = {
        "command": " ".join(there.get("command", [])) if with_command else None,
        "devices": f"{devices.get('count')} x {devices.get('kind')} ({devices.get('platform')}), "
        f"{devices.get('processes')} process(es)" if devices else None,
        "host": there.get("host"),
        "git": f"{git['commit'][:12]} on {git.get('branch')}" if git.get("commit") else None,
        "changed files": ", ".join(git.get("changed_files", [])) or None,
        "python": there.get("python"),
        "platform": there.get("platform"),
        "XLA flags": there.get("xla_flags") or None,
        "versions": ", ".join(f"{name} {version}" for name, version in there.get("versions", {}).items()) or None,
        "launched": there.get("time") if with_command else None,
        "launches before": len(there.get("earlier", [])) or None if with_command else None,
    }  # fmt: skip
    return {key: value for key, value in rows.items() if value is not None}


def _values(rows: dict[str, Any]) -> str:
    body = "".join(f"<tr><th>{html.escape(k)}</th><td><code>{_value(v)}</code></td></tr>" for k, v in rows.items())
    return f'<div class="scroll values"><table><tbody>{body}</tbody></table></div>'


def _value(value: Any) -> str:
    if isinstance(value, str):
        return html.escape(value) or '<span class="quiet">""</span>'
    return "–" if value is None else html.escape(json.dumps(value))
