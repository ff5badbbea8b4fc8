"""Figures of the maze experiment, all drawn from run folders, published points beside ours where there are any."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from experiments.figures.published import published
from experiments.figures.registry import Context, Drawing, Skipped, figure
from experiments.figures.style import COLOURS, LABELS, new_figure, shades
from experiments.maze import analysis
from experiments.maze.analysis import Record


def records(context: Context, keep: Callable[[Record], bool] = lambda record: True, what: str = "") -> list[Record]:
    """The maze runs among the given folders; Skipped when there is none that the figure can use."""
    found = [record for record in analysis.find(context.runs) if keep(record)]
    if not found:
        raise Skipped(f"no maze run {what or 'with an evaluation'} in {', '.join(map(str, context.runs))}")
    return found


def look(method: str) -> dict[str, Any]:
    """Colour and label of a method, hyper-parameters in the label."""
    base, _, k = method.removesuffix("_entropy").partition("_k")
    label = LABELS.get(base, base) + (f", k={k}" if k.isdigit() else "")
    entropy = method.endswith("_entropy")
    return {
        "color": COLOURS.get(base, "#7f7f7f"),
        "label": label + (" + entropy" if entropy else ""),
        "linestyle": "--" if entropy else "-",
    }


def over_steps(ax: Axes, found: Sequence[Record], values: Callable[[Record], pd.Series], name: str) -> list[dict]:
    """One line a method: the mean over its runs, a band of one standard error; returns the plotted rows."""
    rows = []
    for method, runs in analysis.groups(found).items():
        table = pd.concat([values(record) for record in runs], axis=1)
        mean, error = table.mean(axis=1), table.sem(axis=1)
        ax.plot(mean.index, mean, **look(method))
        if len(runs) > 1:
            ax.fill_between(mean.index, mean - error, mean + error, color=look(method)["color"], alpha=0.2, lw=0)
        rows += [
            {"metric": name, "method": method, "step": s, "mean": m, "standard_error": e, "runs": len(runs)}
            for s, m, e in zip(mean.index, mean, error, strict=True)
        ]
    return rows


def pass_at(k: int) -> Callable[[Record], pd.Series]:
    """pass@k at every evaluation, indexed by step."""
    return lambda record: pd.Series({s: float(record.pass_curve([k], s)[0]) for s in sorted(record.evaluations)})


def smoothed(name: str, transform: Callable[[pd.Series], pd.Series] = lambda s: s) -> Callable[[Record], pd.Series]:
    """A train/ metric over steps, averaged over windows of a fiftieth of the run."""

    def values(record: Record) -> pd.Series:
        series = transform(record.train.set_index("step")[name])
        window = max(1, len(series) // 50)
        return series.rolling(window, min_periods=1).mean().iloc[window - 1 :: window]

    return values


def panels(context: Context, names: dict[str, Callable[[Record], pd.Series]], found: Sequence[Record]) -> Drawing:
    """One panel a metric over RL steps."""
    columns = min(len(names), 4)
    fig, axes = new_figure(1, columns, width="page" if columns > 1 else "column", aspect=0.9, squeeze=False)
    rows: list[dict] = []
    for ax, (name, values) in zip(axes[0], names.items(), strict=True):
        rows += over_steps(ax, found, values, name)
        ax.set_xlabel("RL step")
        ax.set_title(name)
    _legend(fig, axes[0][0])
    return Drawing(fig, pd.DataFrame(rows))


def _legend(fig: Any, ax: Axes) -> None:
    handles, labels = ax.get_legend_handles_labels()
    fig.legend(handles, labels, loc="outside lower center", ncols=min(len(labels), 4))


def largest_ks(found: Sequence[Record], wanted: Sequence[int]) -> list[int]:
    """Those k that every run has the samples for."""
    most = min(record.num_samples for record in found)
    ks = [k for k in wanted if k <= most]
    return ks if ks[-1] == min(most, wanted[-1]) else [*ks, most]


@figure("maxrl_fig3", title="Held-out -log pass@k over the rollouts a prompt gets", needs_runs=True)
def maxrl_fig3(context: Context) -> Drawing:
    """One line a method over N at the last evaluation, at k = 1 and at the largest k of the runs."""
    found = records(context)
    most = min(record.num_samples for record in found)
    theirs = published("maze", "Figure 3")
    fig, axes = new_figure(1, 2, width="page", aspect=0.8)
    rows = []
    for ax, k in zip(axes, (1, most), strict=True):
        for method, runs in analysis.groups(found).items():
            points = {}
            for record in runs:
                points.setdefault(record.num_rollouts, []).append(-np.log(max(record.pass_curve([k])[0], 1e-6)))
            counts = sorted(points)
            stats = [analysis.spread(points[n]) for n in counts]
            ax.errorbar(counts, [s[0] for s in stats], [s[1] for s in stats], marker="o", capsize=2, **look(method))
            rows += [
                {"k": k, "source": "ours", "method": method, "rollouts": n, "value": s[0], "standard_error": s[1]}
                for n, s in zip(counts, stats, strict=True)
            ]
        for method, points in theirs[theirs.metric == f"-log pass@{k}"].groupby("method"):
            if method == "base":
                continue
            ax.plot(points.rollouts, points.value, "x", color=COLOURS.get(method), label=f"{LABELS[method]}, published")
            rows += [
                {"k": k, "source": "published", "method": method, "rollouts": r, "value": v}
                for r, v in zip(points.rollouts, points.value, strict=True)
            ]
        ax.set_xscale("log", base=2)
        ax.set_xlabel("rollouts a prompt, N")
        ax.set_ylabel(f"-log pass@{k}")
    _legend(fig, axes[0])
    return Drawing(fig, pd.DataFrame(rows))


@figure("maxrl_fig4", title="A fixed training set: pass@1 and pass@k over epochs", needs_runs=True)
def maxrl_fig4(context: Context) -> Drawing:
    """Runs with maze.training_set, over epochs of the set."""
    found = records(context, lambda r: r.config["maze"]["training_set"] > 0, "with a fixed training set")
    ks = largest_ks(found, (1, 256))
    fig, axes = new_figure(1, len(ks), width="page", aspect=0.8, squeeze=False)
    rows: list[dict] = []
    for ax, k in zip(axes[0], ks, strict=True):

        def by_epoch(record: Record, k: int = k) -> pd.Series:
            series = pass_at(k)(record)
            series.index = series.index * record.config["rl"]["num_prompts"] / record.config["maze"]["training_set"]
            return series

        rows += over_steps(ax, found, by_epoch, f"pass@{k}")
        ax.set_xlabel("epochs of the training set")
        ax.set_ylabel(f"held-out pass@{k}")
    _legend(fig, axes[0][0])
    return Drawing(fig, pd.DataFrame(rows).rename(columns={"step": "epoch"}))


@figure("maxrl_fig6", title="Gradient norm of a maze's own estimate against its pass rate", needs_runs=True)
def maxrl_fig6(context: Context) -> Drawing:
    """Held-out mazes at the final policy of the first finished run, three objectives on the same rollouts."""
    from ml_collections import ConfigDict

    from experiments.maze import gradient_norms
    from experiments.maze.problem import Problem
    from maxrl_jax import advantages

    finished = [r for r in records(context) if (r.folder / "model" / "config.json").exists()]
    if not finished:
        raise Skipped("no finished maze run with a model/ folder")
    settings = ConfigDict(finished[0].config)
    settings.model.init_from = str(finished[0].folder / "model")
    problem = Problem.make(settings)
    names = ("rloo", "grpo", "maxrl")
    rates, norms = gradient_norms.norms(
        problem,
        problem.init_params(),
        [advantages.get(name) for name in names],
        min(problem.num_eval, 32 if context.quick else 256),
        max(8, settings.rl.num_rollouts),
    )
    fig, axes = new_figure(1, 3, width="page", aspect=0.9, sharey=True)
    rows = []
    for j, (ax, name) in enumerate(zip(axes, names, strict=True)):
        ax.plot(rates, norms[:, j], "o", color=COLOURS[name], alpha=0.6, markersize=2.5)
        ax.set_title(LABELS[name])
        ax.set_xlabel("pass rate of the maze")
        rows += [
            {"method": name, "maze": i, "pass_rate": float(rates[i]), "gradient_norm": float(norms[i, j])}
            for i in range(len(rates))
        ]
    axes[0].set_ylabel("gradient norm")
    return Drawing(fig, pd.DataFrame(rows))


@figure("maxrl_fig10", title="A right and a failed answer to a held-out maze", needs_runs=True)
def maxrl_fig10(context: Context) -> Drawing:
    """Drawn from the samples the first run kept at its end."""
    from experiments.maze import pictures

    with_answers = [r for r in records(context) if (r.folder / "figures" / "answers.npz").exists()]
    if not with_answers:
        raise Skipped("no finished maze run with figures/answers.npz")
    samples = dict(np.load(with_answers[0].folder / "figures" / "answers.npz"))
    counts = pd.Series(samples["reason"].ravel()).value_counts().sort_index()
    from maxrl_jax.maze import REASONS

    data = pd.DataFrame({"outcome": [REASONS[i] for i in counts.index], "answers": counts.to_numpy()})
    return Drawing(pictures.draw_right_and_failed(samples), data)


@figure("maxrl_fig12", title="Share of training prompts with at least one success", needs_runs=True)
def maxrl_fig12(context: Context) -> Drawing:
    """1 - all_fail over RL steps."""
    return panels(
        context,
        {"prompts with a success": smoothed("all_fail", lambda s: 1 - s)},
        records(context, _trained, "trained"),
    )


@figure("maxrl_fig13", title="Answer length and entropy during training", needs_runs=True)
def maxrl_fig13(context: Context) -> Drawing:
    """Mean answer length in tokens and entropy in nats a token."""
    names = {"answer length (tokens)": smoothed("answer_length"), "entropy (nats a token)": smoothed("entropy")}
    return panels(context, names, records(context, _trained, "trained"))


def _trained(record: Record) -> bool:
    return len(record.train) > 0


@figure("maxrl_fig17", title="Held-out pass@k during training: GRPO, RLOO, MaxRL", needs_runs=True)
def maxrl_fig17(context: Context) -> Drawing:
    """pass@1, 32, 128, 256 over RL steps for the three objectives of the paper."""
    found = records(context, lambda r: r.method in ("grpo", "rloo", "maxrl"), "of grpo, rloo or maxrl")
    return panels(context, {f"pass@{k}": pass_at(k) for k in largest_ks(found, (1, 32, 128, 256))}, found)


@figure("maxrl_fig18", title="Held-out pass@k during training: every method", needs_runs=True)
def maxrl_fig18(context: Context) -> Drawing:
    """pass@1, 128, 256 over RL steps for all methods among the runs."""
    found = records(context)
    return panels(context, {f"pass@{k}": pass_at(k) for k in largest_ks(found, (1, 128, 256))}, found)


@figure("maxrl_table3", title="Final pass@1, pass@128, pass@256, published beside ours", needs_runs=True)
def maxrl_table3(context: Context) -> Drawing:
    """A table drawn as a figure; the CSV holds every number."""
    found = records(context)
    ks = largest_ks(found, (1, 128, 256))
    theirs = published("maze", "Table 3")
    rows, cells = [], []
    for method, runs in {"base": found[:1], **analysis.groups(found)}.items():
        step = 0 if method == "base" else None
        row = {"method": method, "runs": len(runs), "rl_steps": 0 if step == 0 else max(runs[0].evaluations)}
        line = [look(method)["label"], str(row["rl_steps"])]
        for k in ks:
            mean, error, _ = analysis.spread([float(r.pass_curve([k], step)[0]) for r in runs])
            row |= {f"pass@{k}": mean, f"pass@{k} standard error": error}
            line.append(f"{mean:.3f}" + ("" if np.isnan(error) else f" ± {error:.3f}"))
        for k in (1, 128, 256):
            value = theirs[(theirs.method == method) & (theirs.metric == f"pass@{k}")].value
            row[f"published pass@{k}"] = float(value.iloc[0]) if len(value) else np.nan
            line.append(f"{value.iloc[0]:.3f}" if len(value) else "")
        rows.append(row)
        cells.append(line)
    header = ["method", "RL steps", *(f"pass@{k}" for k in ks), *(f"published\npass@{k}" for k in (1, 128, 256))]
    fig, ax = new_figure(width="page", aspect=0.05 + 0.045 * (len(cells) + 1))
    ax.set_axis_off()
    table = ax.table(cells, colLabels=header, loc="center", cellLoc="center", edges="horizontal")
    table.auto_set_font_size(False)
    table.set_fontsize(7)
    table.scale(1, 1.4)
    return Drawing(fig, pd.DataFrame(rows))


@figure("maxpo_fig3", title="Gradient variance as Adam's moments see it", needs_runs=True)
def maxpo_fig3(context: Context) -> Drawing:
    """sum(v_hat - m_hat^2) over RL steps, logarithmic."""
    found = records(context, lambda r: "adam_variance_proxy" in r.train, "trained with Adam's moments")
    drawing = panels(context, {"Adam-moment variance proxy": smoothed("adam_variance_proxy")}, found)
    drawing.fig.axes[0].set_yscale("log")
    return drawing


@figure("maxpo_fig9", title="Held-out mazes whose support is kept, lost or gained by RL", needs_runs=True)
def maxpo_fig9(context: Context) -> Drawing:
    """Stacked bars a method: successes at step 0 against the last evaluation, as many samples of both."""
    found = records(context, lambda r: len(r.evaluations) > 1, "with evaluations before and after RL")
    parts = {"kept": "#009e73", "gained": "#56b4e9", "lost": "#d55e00", "neither": "#c8c8c8"}
    rows = []
    fig, ax = new_figure(width="column", aspect=0.8)
    for place, (method, runs) in enumerate(analysis.groups(found).items()):
        counts = pd.DataFrame(
            [analysis.support(r.evaluations[0]["solved"], r.evaluations[max(r.evaluations)]["solved"]) for r in runs]
        )
        bottom = 0.0
        for part, colour in parts.items():
            share = float(counts[part].mean() / counts.sum(axis=1).mean())
            ax.bar(place, share, bottom=bottom, color=colour, label=part if place == 0 else None, width=0.65)
            bottom += share
            rows.append({"method": method, "part": part, "share": share, "runs": len(runs)})
    ax.set_xticks(range(place + 1), [look(m)["label"] for m in analysis.groups(found)], rotation=20)
    ax.set_ylabel("share of held-out mazes")
    ax.grid(visible=False)
    _legend(fig, ax)
    return Drawing(fig, pd.DataFrame(rows))


@figure("maxpo_fig10", title="pass@k for MaxPO at several training k", needs_runs=True)
def maxpo_fig10(context: Context) -> Drawing:
    """Final pass@k over k for maxpo runs, one line a training k."""
    found = records(context, lambda r: r.method.startswith("maxpo_k"), "of maxpo")
    ks = [k for k in (2**j for j in range(12)) if k <= min(r.num_samples for r in found)]
    runs = sorted(analysis.groups(found).items(), key=lambda item: int(item[0].removeprefix("maxpo_k")))
    fig, ax = new_figure()
    rows = []
    for (method, group), colour in zip(runs, shades("maxrl", len(runs)), strict=True):
        curves = np.stack([record.pass_curve(ks) for record in group])
        ax.plot(ks, curves.mean(axis=0), marker="o", color=colour, label=f"k = {method.removeprefix('maxpo_k')}")
        rows += [{"training_k": method, "k": k, "pass_at_k": v} for k, v in zip(ks, curves.mean(axis=0), strict=True)]
    ax.set_xscale("log", base=2)
    ax.set_xlabel("k")
    ax.set_ylabel("held-out pass@k")
    ax.legend(title="MaxPO trained at")
    return Drawing(fig, pd.DataFrame(rows))
