"""The RL phase: the step of `maxrl_jax.lm.step`, its optimizer, and the state it carries."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from experiments.lm_driver.problem import Problem
from maxrl_jax.advantages import Advantage
from maxrl_jax.lm import rollout, step
from maxrl_jax.lm.task import Prompts, Verdict
from maxrl_jax.runs import keys
from maxrl_jax.runs.devices.data_parallel import Share, over_batch
from maxrl_jax.runs.loop import optimizer
from maxrl_jax.runs.loop.chunks import scan

State = dict[str, Any]
Metrics = dict[str, jax.Array]

CUMULATIVE = "cumulative_solve_rate"


def make_optimizer(problem: Problem) -> optax.GradientTransformation:
    """The optimizer of the phase, at a constant learning rate or as scheduled."""
    rl = problem.config.rl
    updates = rl.steps * problem.step.minibatches
    return optimizer.from_config(rl.optimizer, updates, learning_rate=rl.learning_rate)


def make_state(problem: Problem, params: Any) -> State:
    """State before the first RL step.

    With a KL term the starting policy stays beside it as the reference; of a finite training set, which problems were
    ever solved.
    """
    state = {"params": params, "opt": make_optimizer(problem).init(params)}
    if problem.config.rl.kl_coef:
        state["reference"] = params
    if problem.task.num_problems:
        state["solved"] = jnp.zeros(problem.task.num_problems, bool)
    return state


def make_chunk(problem: Problem, advantage: Advantage) -> Callable[..., Any]:
    """One RL step with this estimator, scanned: ``chunk(state, steps) -> (state, metrics)``."""
    transformation = make_optimizer(problem)

    def whole(state: State, index: jax.Array) -> tuple[State, Metrics]:
        def share_of_batch(share: Share, params: Any, reference: Any) -> step.Result:
            return step.gradients(
                problem.policy,
                problem.task,
                advantage,
                problem.step,
                params,
                step=index,
                key=rollout_key(problem, index),
                reference=reference,
                share=share,
            )

        result = over_batch(share_of_batch, problem.mesh, state["params"], state.get("reference"))
        return _moved(problem, transformation, state, result)

    def in_parts(state: State, index: jax.Array) -> tuple[State, Metrics]:
        count = problem.step.num_prompts
        prompts = problem.task.prompts("rl", index, jnp.arange(count, dtype=jnp.int32), count)
        drawn = draw(problem, state["params"], prompts, rollout_key(problem, index))
        verdict = problem.task.judge(prompts.state, drawn.answers.tokens)
        return learn(problem, advantage, transformation, state, drawn, verdict)

    return scan(whole if problem.step.minibatches == 1 else in_parts)


def rollout_key(problem: Problem, index: int | jax.Array) -> jax.Array:
    """The key of the rollouts of a step."""
    return keys.stream(problem.config.seed, "rollouts", index)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Drawn:
    """Answers to a batch of prompts, before they are judged.

    ``old_log_probs`` are the log-probabilities of their tokens, where more than one update follows.
    """

    prompts: Prompts
    answers: rollout.Rollouts
    old_log_probs: jax.Array | None


def draw(problem: Problem, params: Any, prompts: Prompts, key: jax.Array) -> Drawn:
    """Answers to all the prompts of a batch, every device drawing those to its part of them."""
    policy, settings = problem.policy, problem.step

    def of_share(share: Share, params: Any, prompts: Prompts) -> Drawn:
        ids = share.ids(len(prompts))
        own = prompts.at(ids)
        answers = step.draw(policy, settings, params, own, key, ids)
        old = step.log_probs(policy, settings, params, own, answers) if settings.minibatches > 1 else None
        return Drawn(own, answers, old)

    return over_batch(of_share, problem.mesh, params, prompts, batch_outputs=True)


def old_log_probs(problem: Problem, params: Any, prompts: Prompts, answers: rollout.Rollouts) -> jax.Array:
    """Log-probabilities [P, N, T] of the answers to a batch, every device finding those to its part of the prompts."""

    def of_share(share: Share, params: Any, prompts: Prompts, answers: rollout.Rollouts) -> jax.Array:
        own = jax.tree.map(lambda leaf: leaf[share.ids(len(prompts))], (prompts, answers))
        return step.log_probs(problem.policy, problem.step, params, *own)

    return over_batch(of_share, problem.mesh, params, prompts, answers, batch_outputs=True)


def learn(
    problem: Problem,
    advantage: Advantage,
    transformation: optax.GradientTransformation,
    state: State,
    drawn: Drawn,
    verdict: Verdict,
) -> tuple[State, Metrics]:
    """The updates that a judged batch makes, one a mini-batch; metrics are their means."""
    settings = problem.step.minibatch

    def update(state: State, part: jax.Array) -> tuple[State, Metrics]:
        def of_share(share: Share, params: Any, reference: Any, drawn: Drawn, verdict: Verdict) -> step.Result:
            ids = part * settings.num_prompts + share.ids(settings.num_prompts)
            own, judged = jax.tree.map(lambda leaf: leaf[ids], (drawn, verdict))
            return step.learn(
                problem.policy,
                problem.task,
                advantage,
                settings,
                params,
                own.prompts,
                own.answers,
                judged,
                old_log_probs=own.old_log_probs,
                reference=reference,
                share=share,
            )

        result = over_batch(of_share, problem.mesh, state["params"], state.get("reference"), drawn, verdict)
        return _moved(problem, transformation, state, result)

    state, metrics = jax.lax.scan(update, state, jnp.arange(problem.step.minibatches, dtype=jnp.int32))
    return state, {name: values[-1] if name == CUMULATIVE else values.mean() for name, values in metrics.items()}


def _moved(
    problem: Problem, transformation: optax.GradientTransformation, state: State, result: step.Result
) -> tuple[State, Metrics]:
    """The state after one update, and what is logged of it."""
    settings = problem.config.rl.optimizer
    signal = result.has_signal if settings.skip_zero else None
    params, opt = optimizer.apply(transformation, result.gradients, state["opt"], state["params"], signal=signal)
    metrics = {"loss": result.loss, "gradient_norm": optax.tree.norm(result.gradients), **result.metrics}
    if settings.name in ("adam", "adamw"):
        metrics["adam_variance_proxy"] = optimizer.adam_variance_proxy(opt, b1=settings.b1, b2=settings.b2)
    state = {**state, "params": params, "opt": opt}
    if result.solved is not None:
        # PKPO section 5.2: the share of the problems of which a right answer was ever drawn.
        state["solved"] |= result.solved
        metrics[CUMULATIVE] = state["solved"].mean(dtype=jnp.float32)
    return state, metrics
