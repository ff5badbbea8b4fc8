"""The SFT phase: the step of `maxrl_jax.lm.sft` and its optimizer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import optax

from experiments.lm.setup import Setup, by_platform
from maxrl_jax.lm import sft
from maxrl_jax.runs.devices.data_parallel import Share, over_batch
from maxrl_jax.runs.loop import optimizer
from maxrl_jax.runs.loop.chunks import scan


def make_optimizer(config: Any) -> optax.GradientTransformation:
    """The optimizer of the phase."""
    return optimizer.from_config(config.sft.optimizer, config.sft.steps)


def make_chunk(setup: Setup) -> Callable[..., Any]:
    """One SFT step, scanned: ``chunk(state, steps) -> (state, metrics)``."""
    batch_size = setup.config.sft.batch_size
    micro_batch = by_platform(setup.config.sft.micro_batch, cpu=4, accelerator=batch_size)
    transformation = make_optimizer(setup.config)

    def one(state: dict[str, Any], index: jax.Array) -> tuple[dict[str, Any], dict[str, jax.Array]]:
        def share_of_batch(share: Share, params: Any) -> tuple[jax.Array, Any]:
            return sft.gradients(
                setup.policy,
                setup.task,
                params,
                step=index,
                batch_size=batch_size,
                micro_batch=micro_batch,
                train_on_prompts=setup.config.sft.train_on_prompts,
                share=share,
            )

        loss, gradients = over_batch(share_of_batch, setup.mesh, state["params"])
        params, opt = optimizer.apply(transformation, gradients, state["opt"], state["params"])
        metrics = {"loss": loss, "gradient_norm": optax.tree.norm(gradients)}
        return {**state, "params": params, "opt": opt}, metrics

    return scan(one)
