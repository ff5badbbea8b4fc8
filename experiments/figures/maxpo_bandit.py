"""MaxPO Figures 1, 4 and 5: the bandit's bias and variance (constants are ours, see configs/bandit.py)."""

from __future__ import annotations

import functools

import pandas as pd

from configs.bandit import get_config
from experiments.bandit.maxpo import draw, study
from experiments.figures.registry import Context, figure
from experiments.results.drawing import Drawing


@functools.lru_cache(maxsize=6)
def _table(part: str, quick: bool, seed: int) -> pd.DataFrame:
    """A table of the study, kept: Figure 1 shares its variances with Figures 4 and 5."""
    config = get_config("maxpo_quick" if quick else "maxpo")
    config.seed = seed
    return getattr(study, part)(config)


@figure("maxpo_fig1", title="MaxPO Figure 1: error of the mean gradient, and total variance over actions and k")
def maxpo_fig1(context: Context) -> Drawing:
    """EI and EI+L2O fall as 1/sqrt(M), EI+L1O stops at its bias; L2O narrows EI most with many actions."""
    parts = ("error_table", "variance_over_actions", "variance_over_k")
    config = get_config("maxpo_quick" if context.quick else "maxpo")
    found = [_table(part, context.quick, context.seed) for part in parts]
    return draw.draw_figure_1(*found, config.arms.error_rollouts)


@figure("maxpo_fig4", title="MaxPO Figure 4: total variance over the number of actions, for several N")
def maxpo_fig4(context: Context) -> Drawing:
    """Total variance of EI, EI+L2O and EI+L1O over the number of actions."""
    return draw.draw_variance(_table("variance_over_actions", context.quick, context.seed), "actions")


@figure("maxpo_fig5", title="MaxPO Figure 5: total variance over k, for several N")
def maxpo_fig5(context: Context) -> Drawing:
    """Total variance of EI, EI+L2O and EI+L1O over k."""
    return draw.draw_variance(_table("variance_over_k", context.quick, context.seed), "k")
