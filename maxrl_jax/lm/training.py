"""RL steps of a run on all its devices: prompts, answers, verdicts, and the updates that a judged batch makes.

A step is ``step(state, index) -> (state, metrics)``, whoever judges: `DeviceStep` is one traced program,
`maxrl_jax.lm.host.step.HostStep` works on the host between programs. `maxrl_jax.lm.engine` makes the one a task needs.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from maxrl_jax.devices.data_parallel import Share, over_batch
from maxrl_jax.lm import rollout, step
from maxrl_jax.lm.policy import Policy
from maxrl_jax.lm.schedule import Estimator, Schedule
from maxrl_jax.lm.task import Prompts, Task, Verdict

State = dict[str, Any]
Metrics = dict[str, jax.Array]

CUMULATIVE = "cumulative_solve_rate"


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Drawn:
    """Answers to a batch of prompts, before they are judged.

    ``old_log_probs`` are the log-probabilities of their tokens, where more than one update follows.
    """

    prompts: Prompts
    answers: rollout.Rollouts
    old_log_probs: jax.Array | None


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

    @property
    def on_host(self) -> bool:
        """Whether the host works between the programs of a step: it judges, or looks which answers are complete."""
        return self.task.judged_on_host or bool(self.settings.decode_segments)

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

    def prompts(self, index: Any) -> Prompts:
        """The batch of a step: with a traced index traced arrays, else NumPy arrays."""
        count, traced = self.settings.num_prompts, isinstance(index, jax.Array)
        ids = jnp.arange(count, dtype=jnp.int32) if traced else np.arange(count, dtype=np.int32)
        return self.task.prompts("rl", index if traced else np.int32(index), ids, count)

    def draw(self, params: Any, prompts: Prompts, key: jax.Array) -> Drawn:
        """Answers to all the prompts of a batch, every device drawing those to its part of them."""
        policy, settings = self.policy, self.settings

        def of_share(share: Share, params: Any, prompts: Prompts) -> Drawn:
            ids = share.ids(len(prompts))
            own = prompts.at(ids)
            answers = step.draw(policy, settings, params, own, key, ids)
            old = step.log_probs(policy, settings, params, own, answers) if settings.minibatches > 1 else None
            return Drawn(own, answers, old)

        return over_batch(of_share, self.mesh, params, prompts, params=1, batch_outputs=True)

    def old_log_probs(self, params: Any, prompts: Prompts, answers: rollout.Rollouts) -> jax.Array:
        """Log-probabilities [P, N, T] of the answers to a batch, each device computing those of its prompts."""

        def of_share(share: Share, params: Any, prompts: Prompts, answers: rollout.Rollouts) -> jax.Array:
            own = jax.tree.map(lambda leaf: leaf[share.ids(len(prompts))], (prompts, answers))
            return step.log_probs(self.policy, self.settings, params, *own)

        return over_batch(of_share, self.mesh, params, prompts, answers, params=1, batch_outputs=True)

    def learn(self, estimator: Estimator, state: State, drawn: Drawn, verdict: Verdict) -> tuple[State, Metrics]:
        """The updates that a judged batch makes, one a mini-batch; metrics are their means."""
        settings = self.settings.minibatch

        def update(state: State, part: jax.Array) -> tuple[State, Metrics]:
            def of_share(share: Share, params: Any, reference: Any, drawn: Drawn, verdict: Verdict) -> step.Result:
                ids = part * settings.num_prompts + share.ids(settings.num_prompts)
                own, judged = jax.tree.map(lambda leaf: leaf[ids], (drawn, verdict))
                return step.learn(
                    self.policy,
                    self.task,
                    estimator,
                    settings,
                    params,
                    own.prompts,
                    own.answers,
                    judged,
                    old_log_probs=own.old_log_probs,
                    reference=reference,
                    share=share,
                )

            return self.updated(of_share, state, drawn, verdict)

        state, metrics = jax.lax.scan(update, state, jnp.arange(self.settings.minibatches, dtype=jnp.int32))
        return state, {name: values[-1] if name == CUMULATIVE else values.mean() for name, values in metrics.items()}

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


class DeviceStep:
    """RL steps that never leave the devices: ``step(state, index) -> (state, metrics)``, traced."""

    traced = True

    def __init__(self, trainer: Trainer):
        self._trainer = trainer

    def __call__(self, state: State, index: jax.Array) -> tuple[State, Metrics]:
        """The step with this number."""
        trainer, estimator = self._trainer, self._trainer.schedule.at(index)
        if trainer.settings.minibatches > 1:
            prompts = trainer.prompts(index)
            drawn = trainer.draw(state["params"], prompts, trainer.key(index))
            verdict = trainer.task.judge(prompts.state, drawn.answers.tokens)
            return trainer.learn(estimator, state, drawn, verdict)

        def of_share(share: Share, params: Any, reference: Any) -> step.Result:
            return step.gradients(
                trainer.policy,
                trainer.task,
                estimator,
                trainer.settings,
                params,
                step=index,
                key=trainer.key(index),
                reference=reference,
                share=share,
            )

        return trainer.updated(of_share, state)
