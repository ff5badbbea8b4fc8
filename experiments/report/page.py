"""Collects the contents of page.html from some runs, in the order in which the page shows them."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jinja2
import pandas as pd

from experiments.report import curves, mazes, plots
from experiments.report.curves import Chart
from experiments.results import completions
from experiments.results.completions import before_and_after
from experiments.results.folders import RunFolder
from experiments.results.groups import Group, differing, group

LARGEST_PICTURE = 6 * 2**20
"""Bytes; larger pictures are named and left out."""

_FOLDER = Path(__file__).parent
_MOST_TILES = 6
_MOST_PROMPTS = 12
_TITLES = {
    "eval": "Evaluation",
    "train": "Training",
    "sft": "Supervised fine-tuning",
    "perf": "Speed of this machine",
}


class Section(NamedTuple):
    """Charts below one heading; `number` is for their ids, `kind` the class of their grid."""

    number: int
    title: str
    about: str
    kind: str
    charts: Sequence[Chart]


def write(found: Sequence[RunFolder], title: str = "") -> str:
    """The whole page as HTML, nothing in it fetched from elsewhere."""
    groups = group(found)
    table = curves.frame(groups)
    last = curves.final_table(table)
    by_prefix = curves.charts(groups, table)
    sections = _sections(curves.headline(groups, table, last), by_prefix)
    charts = [chart for section in sections for chart in section.charts]
    shades = dict.fromkeys(series.look.colour for chart in charts for series in chart.series)
    colour = {shade: f"var(--line-{i})" for i, shade in enumerate(shades)}
    return _template().render(
        heading=title or (", ".join(run.name for run in found) if len(found) <= 3 else f"{len(found)} runs"),
        found=found,
        groups=groups,
        seeds=[len(group.runs) for group in groups],
        sections=sections,
        colour=colour,
        plots={
            "specs": plots.specifications(chart for chart in charts if chart.drawn),
            "charts": {
                f"chart-{section.number}-{i}": plots.data(chart, colour)
                for section in sections
                for i, chart in enumerate(section.charts)
                if chart.drawn
            },
        },
        finals=_finals(groups, by_prefix, last),
        mazes={
            run.name: mazes.read(run.folder / "figures" / "answers.npz")
            for run in found
            if (run.folder / "figures" / "answers.npz").exists()
        },
        completions={
            run.name: before_and_after(completions.read(run.folder))[:_MOST_PROMPTS]
            for run in found
            if (run.folder / completions.FILE).exists()
        },
        pictures=list(_pictures(found)),
        environments=_environments(found),
        style=(_FOLDER / "style.css").read_text(encoding="utf-8"),
        library=plots.library(),
        script=(_FOLDER / "charts.js").read_text(encoding="utf-8"),
        **_about(groups, last),
        **_config(found),
    )


def number(value: float) -> str:
    """Four significant digits; an en dash for a value that is not finite."""
    if not math.isfinite(value):
        return "–"
    if value and (abs(value) >= 1e6 or abs(value) < 1e-4):
        return f"{value:.3e}".replace("e+0", "e").replace("e-0", "e-").replace("e+", "e")
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.4g}"


def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_FOLDER),
        undefined=jinja2.StrictUndefined,
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(number=number, finite=math.isfinite, setting=_setting)
    return environment.get_template("page.html")


def _sections(headline: Sequence[Chart], by_prefix: Mapping[str, Sequence[Chart]]) -> list[Section]:
    parts = (
        [("What the runs found", "with one sample, and with the best of k", "headline", headline)] if headline else []
    )
    parts += [(_TITLES[prefix], f"{prefix}/, by step", "", charts) for prefix, charts in by_prefix.items()]
    return [Section(i, *part) for i, part in enumerate(parts)]


def _about(groups: Sequence[Group], last: pd.DataFrame) -> dict[str, Any]:
    """The header: how far the runs are, and of one run its last values and the digest of its parameters."""
    found = [run for group in groups for run in group.runs]
    if len(found) > 1:
        about = f"{sum(run.finished for run in found)} of {len(found)} finished"
        seeds = max(len(group.runs) for group in groups)
        about += f", {len(groups)} settings with up to {seeds} seeds each." if seeds > 1 else "."
        return {"about": about, "tiles": [], "parameters": ""}
    run = found[0]
    logged = {phase: run.values(phase) for phase in ("sft", "train")}
    steps = ", ".join(f"{phase} {max(values) + 1:,}" for phase, values in logged.items() if values)
    about = f"{'Finished' if run.finished else 'Not finished'}{' after ' + steps + ' steps' if steps else ''}."
    digest = str(run.final().get("final/params_sha256", ""))[:16]
    return {"about": about, "tiles": _tiles(last), "parameters": digest}


def _tiles(last: pd.DataFrame) -> list[dict[str, Any]]:
    """The last evaluations, or the last training metrics of a run without any."""
    found = (last[last.metric.str.startswith(prefix)] for prefix in ("eval/", "train/"))
    return next((rows[:_MOST_TILES].to_dict("records") for rows in found if len(rows)), [])


def _finals(groups: Sequence[Group], by_prefix: Mapping[str, Sequence[Chart]], last: pd.DataFrame) -> dict[str, Any]:
    """Last values by prefix: metric -> one cell a group, a row of `curves.final_table`, a text, or None."""
    values = {(row["label"], row["metric"]): row for row in last.to_dict("records")}
    blocks = {
        prefix: {m: [values.get((group.label, m)) for group in groups] for chart in charts for m in chart.metrics}
        for prefix, charts in by_prefix.items()
    }
    finals = dict.fromkeys(key for group in groups for run in group.runs for key in run.final())
    blocks["final"] = {key: [_final(group, key) for group in groups] for key in finals}
    return {prefix: rows for prefix, rows in blocks.items() if rows}


def _final(group: Group, key: str) -> str:
    """A final/ value of every run of a group, in short."""
    return "; ".join(dict.fromkeys(_short(run.final().get(key)) for run in group.runs))


def _short(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, str):
        return value[:16]
    if isinstance(value, list):
        return f"[{', '.join(map(_short, value[:6]))}{', …' if len(value) > 6 else ''}]"
    return number(float(value)) if isinstance(value, int | float) else str(value)


def _pictures(found: Sequence[RunFolder]) -> Iterator[dict[str, Any]]:
    """The pictures of the runs' figures/ folders, PNG where a figure is there as PNG and SVG."""
    for run in found:
        files = {
            file.stem: file for kind in ("svg", "png") for file in sorted((run.folder / "figures").glob(f"*.{kind}"))
        }
        for file in sorted(files.values()):
            name, size = f"{run.name}: {file.name}" if len(found) > 1 else file.name, file.stat().st_size
            if size > LARGEST_PICTURE:
                yield {"name": name, "source": "", "megabytes": f"{size / 2**20:.0f}"}
            else:
                kind = {".png": "png", ".svg": "svg+xml"}[file.suffix]
                data = base64.b64encode(file.read_bytes()).decode()
                yield {"name": name, "source": f"data:image/{kind};base64,{data}"}


def _config(found: Sequence[RunFolder]) -> dict[str, Any]:
    """The fields that differ between the runs, and those that they share, by group of fields."""
    differ = differing(found)
    same: dict[str, dict[str, Any]] = {}
    for key, value in found[0].fields.items():
        if key not in differ:
            same.setdefault(key.rpartition(".")[0], {})[key] = value
    return {"differing": differ, "shared_fields": same}


def _environments(found: Sequence[RunFolder]) -> list[tuple[dict[str, Any], list[str]]]:
    """Where each run ran: rows, and the names of the runs of which they are true."""
    tables: dict[str, tuple[dict[str, Any], list[str]]] = {}
    for run in found:
        if run.environment:
            rows = _environment(run, with_command=len(found) == 1)
            tables.setdefault(json.dumps(rows), (rows, []))[1].append(run.name)
    return list(tables.values())


def _environment(run: RunFolder, with_command: bool) -> dict[str, Any]:
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


def _setting(value: Any) -> str:
    """A config's value as it is shown."""
    return (value or '""') if isinstance(value, str) else "–" if value is None else json.dumps(value)
