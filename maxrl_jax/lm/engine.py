"""Makes the steps and evaluations of a run: one program on the devices, or with a judge on the host, alike to use."""

from collections.abc import Callable, Mapping
from typing import Any

from jax.sharding import Mesh

from maxrl_jax.lm import evaluation, rollout
from maxrl_jax.lm.host.sampler import HostSampler
from maxrl_jax.lm.host.step import HostStep
from maxrl_jax.lm.policy import Policy
from maxrl_jax.lm.task import Prompts, Task
from maxrl_jax.lm.training import DeviceStep, Trainer


def make_step(trainer: Trainer, log: Callable[[int, Mapping[str, Any]], None]) -> DeviceStep | HostStep:
    """RL steps: ``step(state, index) -> (state, metrics)``, to be compiled where ``step.traced``.

    ``log(index, {"perf/...": number})`` takes times and counts of what happens on the host.
    """
    return HostStep(trainer, log) if trainer.on_host else DeviceStep(trainer)


def make_sampler(
    policy: Policy,
    task: Task,
    prompts: Prompts,
    num_samples: int,
    sampling: rollout.Settings,
    mesh: Mesh | None,
    max_rows: int,
    segments: tuple[int, ...] = (),
) -> evaluation.Sampler | HostSampler:
    """Evaluations: ``sampler(params, key) -> {name: array}``, see `evaluation.sample`.

    Args:
        policy: without its parameters.
        task: judges the answers.
        prompts: every device takes a part of them.
        num_samples: of each prompt.
        sampling: how answers are drawn.
        mesh: of the run.
        max_rows: answers drawn at a time on a device.
        segments: tokens after which the host takes finished answers out; () for one loop.
    """
    if task.judged_on_host or segments:
        return HostSampler(policy, task, prompts, num_samples, sampling, mesh, max_rows, segments)
    return evaluation.Sampler(policy, task, prompts, num_samples, sampling, mesh, max_rows)
