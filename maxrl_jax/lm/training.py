"""RL steps of a run on all its devices: prompts, answers, verdicts, and the updates that a judged batch makes.

`Trainer.traced_step` is one program. Where the host takes part, `HostStep` makes a step of three: an engine
draws the answers, a judge judges them, and `Trainer.learn` learns from them.
"""

import dataclasses
import time
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Float

from maxrl_jax.devices import sharding
from maxrl_jax.devices.data_parallel import Share, over_batch
from maxrl_jax.lm import step
from maxrl_jax.lm.engine import Engine, OneLoop
from maxrl_jax.lm.judging import answered
from maxrl_jax.lm.policy import Policy
from maxrl_jax.lm.rollout import Rollouts
from maxrl_jax.lm.schedule import Schedule
from maxrl_jax.lm.task import Prompts, Task, Verdict

State = dict[str, Any]
Metrics = dict[str, jax.Array]

CUMULATIVE = "cumulative_solve_rate"


@dataclasses.dataclass(frozen=True, eq=False)
class Trainer:
    """The parts that all RL steps of a run share.

    Attributes:
        policy: without its parameters.
        task: gives prompts and judges answers.
        settings: sizes, sampling and loss of a step.
        schedule: the estimator of each step.
        mesh: of the run.
        key: ``key(index)``, of the rollouts of a step.
        move: ``move(state, result) -> (state, metrics)``, one update of the optimizer.
    """

    policy: Policy
    task: Task
    settings: step.Settings
    schedule: Schedule
    mesh: Mesh
    key: Callable[[Any], jax.Array]
    move: Callable[[State, step.Result], tuple[State, Metrics]]

    def state(self, params: Any, opt: Any) -> State:
        """The state before the first step.

        With a KL term the starting policy stays beside it as the reference; for a finite training set, so does which
        problems were ever solved.
        """
        state = {"params": params, "opt": opt}
        if self.settings.kl_coef:
            state["reference"] = params
        if self.task.num_problems:
            state["solved"] = jnp.zeros(self.task.num_problems, bool)
        return state

    def traced_step(self, state: State, index: jax.Array) -> tuple[State, Metrics]:
        """The step with this number, traced: of a task whose judge is traced."""
        settings = self.settings
        if settings.minibatches > 1:
            prompts, ids = self.prompts(index), jnp.arange(settings.num_prompts, dtype=jnp.int32)
            engine = OneLoop(self.policy, settings.sampling, self.mesh, settings.decode_rows)
            answers = engine.rollouts(prompts, settings.num_rollouts, self.key(index), state["params"], ids)
            verdict = self.task.judge(prompts.state, answers.tokens)
            return self.learn(state, index, prompts.bare, answers, verdict)

        def of_share(share: Share, params: Any, reference: Any) -> step.Result:
            return step.gradients(
                self.policy,
                self.task,
                self.schedule.at(index),
                settings,
                params,
                step=index,
                key=self.key(index),
                reference=reference,
                share=share,
            )

        return self.updated(of_share, state)

    def prompts(self, index: Any) -> Prompts:
        """The batch of a step: with a traced index traced arrays, else NumPy arrays."""
        count, traced = self.settings.num_prompts, isinstance(index, jax.Array)
        ids = jnp.arange(count, dtype=jnp.int32) if traced else np.arange(count, dtype=np.int32)
        return self.task.prompts("rl", index if traced else np.int32(index), ids, count)

    def log_probs(self, params: Any, prompts: Prompts, answers: Rollouts) -> Float[Array, "P N T"]:
        """Log-probabilities of the answers to a batch, each device computing those of its prompts."""

        def of_share(share: Share, params: Any, prompts: Prompts, answers: Rollouts) -> jax.Array:
            own = jax.tree.map(lambda leaf: leaf[share.ids(len(prompts))], (prompts, answers))
            return step.log_probs(self.policy, self.settings, params, *own)

        return over_batch(of_share, self.mesh, params, prompts, answers, params=1, batch_outputs=True)

    def learn(
        self, state: State, index: Any, prompts: Prompts, answers: Rollouts, verdict: Verdict
    ) -> tuple[State, Metrics]:
        """The updates that a judged batch makes, one a mini-batch; metrics are their means."""
        settings, estimator = self.settings.minibatch, self.schedule.at(index)
        old, weights, gap = None, None, {}
        if self.settings.minibatches > 1 or self.settings.largest_weight:
            now = self.log_probs(state["params"], prompts, answers)
            old = now if self.settings.minibatches > 1 else None
            if self.settings.largest_weight:
                weights = step.weights(now, answers)
                gap = {"rollout_gap_mean": weights.mean(), "rollout_gap_max": weights.max()}
                weights = jnp.minimum(weights, self.settings.largest_weight)
        batch = prompts, answers, verdict, old, weights

        def update(state: State, part: jax.Array) -> tuple[State, Metrics]:
            def of_share(share: Share, params: Any, reference: Any, batch: Any) -> step.Result:
                ids = part * settings.num_prompts + share.ids(settings.num_prompts)
                prompts, answers, verdict, old, weights = jax.tree.map(lambda leaf: leaf[ids], batch)
                return step.learn(
                    self.policy,
                    self.task,
                    estimator,
                    settings,
                    params,
                    prompts,
                    answers,
                    verdict,
                    old_log_probs=old,
                    weights=weights,
                    reference=reference,
                    share=share,
                )

            return self.updated(of_share, state, batch)

        state, metrics = jax.lax.scan(update, state, jnp.arange(self.settings.minibatches, dtype=jnp.int32))
        means = {name: values[-1] if name == CUMULATIVE else values.mean() for name, values in metrics.items()}
        return state, means | gap

    def updated(self, of_share: Callable[..., step.Result], state: State, *arguments: Any) -> tuple[State, Metrics]:
        """The state after one update, of ``of_share(share, params, reference, *arguments)``, and its metrics."""

        def apart(share: Share, *given: Any) -> tuple[step.Result, Any]:
            result = of_share(share, *given)
            return dataclasses.replace(result, gradients=None), result.gradients

        policies = state["params"], state.get("reference")
        result, gradients = over_batch(apart, self.mesh, *policies, *arguments, params=2, gradients=True)
        state, metrics = self.move(state, dataclasses.replace(result, gradients=gradients))
        if result.solved is not None:
            # PKPO section 5.2: the share of the problems of which a right answer was ever drawn.
            state = {**state, "solved": state["solved"] | result.solved}
            metrics[CUMULATIVE] = state["solved"].mean(dtype=jnp.float32)
        return state, metrics


class HostStep:
    """RL steps with the host between their programs: ``step(state, index) -> (state, metrics)``, the state consumed.

    Args:
        trainer: of the run.
        engine: draws the answers.
        log: ``log(index, {"perf/...": number})``: times, and the judge's counts.
    """

    def __init__(self, trainer: Trainer, engine: Engine, log: Callable[[int, Mapping[str, Any]], None]):
        self._trainer, self._engine, self._log = trainer, engine, log
        traced = jax.jit(trainer.prompts)
        on_host = trainer.task.judged_on_host
        self._prompts = trainer.prompts if on_host else lambda index: jax.device_get(traced(np.int32(index)))
        self._learn: Any = None

    def __call__(self, state: State, index: int) -> tuple[State, Metrics]:
        """The step with this number."""
        trainer, prompts = self._trainer, self._prompts(index)
        began = time.perf_counter()
        num_rollouts, key = trainer.settings.num_rollouts, trainer.key(index)
        answers, pending = answered(self._engine, trainer.task, prompts, num_rollouts, key, state["params"])
        jax.block_until_ready(answers.tokens)
        drawn_at = time.perf_counter()
        verdict = pending()
        seconds = {"draw_seconds": drawn_at - began, "judge_seconds": time.perf_counter() - drawn_at}
        self._log(index, {f"perf/{name}": value for name, value in (seconds | trainer.task.counts()).items()})
        if self._learn is None:
            places = jax.tree.map(lambda leaf: leaf.sharding, state), sharding.replicated(trainer.mesh)
            self._learn = jax.jit(trainer.learn, donate_argnums=0, out_shardings=places)
        return self._learn(state, np.int32(index), prompts.bare, answers, verdict)
