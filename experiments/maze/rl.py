"""One reinforcement-learning step: mazes, rollouts, verdicts, advantages, update; nothing leaves the device."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from experiments.maze.problem import Problem, by_platform
from maxrl_jax import losses
from maxrl_jax.advantages import Advantage
from maxrl_jax.lm.rollout import Rollouts, rollout
from maxrl_jax.lm.update import Batch, Objective, Plan, loss_and_gradients, score
from maxrl_jax.runs import keys
from maxrl_jax.runs.devices.data_parallel import Share, over_batch
from maxrl_jax.runs.loop import optimizer
from maxrl_jax.runs.loop.chunks import scan
from maxrl_jax.tasks import maze
from maxrl_jax.tasks.maze import verifier

PROVIDES = ("mean_log_probs", "greedy_rewards")
"""What an estimator can be given beside the rewards."""

REASON_NAMES = tuple(reason.replace(" ", "_").lower() for reason in maze.REASONS)


def make_optimizer(config: Any) -> optax.GradientTransformation:
    """The optimizer of the phase, at a constant learning rate or as scheduled."""
    return optimizer.from_config(config.rl.optimizer, config.rl.steps, learning_rate=config.rl.learning_rate)


def make_state(config: Any, params: Any) -> dict[str, Any]:
    """State before the first RL step; with a KL term the starting policy stays beside it as the reference."""
    state = {"params": params, "opt": make_optimizer(config).init(params)}
    return {**state, "reference": params} if config.rl.kl_coef else state


def make_chunk(problem: Problem, advantage: Advantage) -> Callable[..., Any]:
    """One RL step with this estimator, scanned: ``chunk(state, steps) -> (state, metrics)``."""
    config = problem.config
    update = make_optimizer(config).update

    def step(state: dict[str, Any], index: jax.Array) -> tuple[dict[str, Any], dict[str, jax.Array]]:
        def share_of_batch(share: Share, params: Any, reference: Any) -> Any:
            return share_gradients(problem, advantage, share, params, reference, index)

        loss, gradients, sums = over_batch(share_of_batch, problem.mesh, state["params"], state.get("reference"))
        updates, opt_state = update(gradients, state["opt"], state["params"])
        params = optax.apply_updates(state["params"], updates)
        metrics = {"loss": loss, "gradient_norm": optax.tree.norm(gradients), **means(config, sums)}
        if config.rl.optimizer.name != "sgd":
            metrics["adam_variance_proxy"] = optimizer.adam_variance_proxy(
                opt_state, b1=config.rl.optimizer.b1, b2=config.rl.optimizer.b2
            )
        return {**state, "params": params, "opt": opt_state}, metrics

    return scan(step)


def share_gradients(
    problem: Problem, advantage: Advantage, share: Share, params: Any, reference: Any, index: jax.Array
) -> tuple[jax.Array, Any, dict[str, jax.Array]]:
    """Loss, gradients and metric sums of the whole batch, each device working on its share of the prompts."""
    config = problem.config
    ids = share.ids(config.rl.num_prompts)
    mazes = problem.training_mazes("rl_mazes", index, ids, config.rl.num_prompts)
    prompts = maze.encode_prompt(mazes.walls)
    sampler = problem.model(params, problem.dtype)
    answers = rollout(
        sampler,
        prompts,
        keys.stream(config.seed, "rollouts", index),
        config.rl.num_rollouts,
        problem.settings(),
        prompt_ids_P=ids,
        max_rows=config.rl.decode_rows or None,
    )
    verdict = maze.judge(mazes.walls, answers.tokens)
    rewards = (verdict.reason == verifier.SOLVED).astype(jnp.float32)
    arrays = companions(problem, advantage, sampler, mazes, prompts, answers)
    advantages = advantage(rewards, **arrays)

    objective = make_objective(config)
    plan = make_plan(problem, len(prompts), config.rl.num_rollouts)
    batch = Batch(prompts, answers.tokens, answers.mask, advantages)
    if config.rl.kl_coef:
        frozen = problem.model(reference, problem.dtype)
        batch = Batch(
            prompts,
            answers.tokens,
            answers.mask,
            advantages,
            reference_log_probs=score(frozen, prompts, answers.tokens, objective, plan),
        )
    total = share.sum(losses.denominator(answers.mask, config.rl.aggregation))
    result = loss_and_gradients(
        problem.model(params), batch, objective, plan, denominator=total, compute_dtype=problem.dtype
    )
    sums = metric_sums(rewards, verdict, answers, result.prompts_skipped)
    return share.sum((result.loss, result.gradients, sums))


def companions(
    problem: Problem,
    advantage: Advantage,
    sampler: Any,
    mazes: maze.Mazes,
    prompts: jax.Array,
    answers: Rollouts,
) -> dict[str, jax.Array]:
    """The arrays the estimator asks for beside the rewards."""
    arrays = {}
    if "mean_log_probs" in advantage.needs:
        arrays["mean_log_probs"] = answers.log_probs.sum(-1) / answers.lengths
    if "greedy_rewards" in advantage.needs:
        # Greedy decoding draws nothing: any key gives the same answers.
        greedy = rollout(sampler, prompts, jax.random.key(0), 1, problem.settings(greedy=True))
        arrays["greedy_rewards"] = maze.verify(mazes.walls, greedy.tokens)[:, 0]
    return arrays


def make_objective(config: Any) -> Objective:
    """The loss of the config."""
    return Objective(
        aggregation=config.rl.aggregation,
        entropy_coef=config.rl.entropy_coef,
        kl_coef=config.rl.kl_coef,
        temperature=config.rl.temperature,
        top_p=config.rl.top_p,
    )


def make_plan(problem: Problem, num_prompts: int, num_rollouts: int) -> Plan:
    """How a device cuts its share of the batch."""
    size = by_platform(problem.config.rl.micro_batch_tokens, cpu=1024, accelerator=65_536)
    return Plan.make(num_prompts, num_rollouts, problem.length, micro_batch_tokens=size)


def metric_sums(
    rewards: jax.Array, verdict: maze.Verdict, answers: Rollouts, prompts_skipped: jax.Array
) -> dict[str, jax.Array]:
    """Sums over this share; `means` divides them once they are the whole batch's."""
    sums = {
        "reward": jnp.sum(rewards),
        "all_fail": jnp.sum(jnp.max(rewards, axis=1) == 0, dtype=jnp.float32),
        "all_solved": jnp.sum(jnp.min(rewards, axis=1) == 1, dtype=jnp.float32),
        "entropy": jnp.sum(answers.entropies),
        "length": jnp.sum(answers.lengths, dtype=jnp.float32),
        "skipped": prompts_skipped.astype(jnp.float32),
    }
    for code, name in enumerate(REASON_NAMES):
        sums[name] = jnp.sum(verdict.reason == code, dtype=jnp.float32)
    return sums


def means(config: Any, sums: dict[str, jax.Array]) -> dict[str, jax.Array]:
    """Metrics of a step from the sums over its batch."""
    prompts = config.rl.num_prompts
    answers = prompts * config.rl.num_rollouts
    failures = {f"fail_{name}": sums[name] / answers for name in REASON_NAMES if name != "solved"}
    return {
        "reward_mean": sums["reward"] / answers,
        "all_fail": sums["all_fail"] / prompts,
        "all_solved": sums["all_solved"] / prompts,
        "entropy": sums["entropy"] / sums["length"],  # nats a token of the sampling distribution
        "answer_length": sums["length"] / answers,
        "skipped": sums["skipped"] / prompts,
        **failures,
    }
