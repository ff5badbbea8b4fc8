"""A phase of a run: its compiled steps, how many, and what is done on the host between them."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from maxrl_jax.runs.folder import headline
from maxrl_jax.runs.loop.chunks import Chunk


@dataclasses.dataclass(frozen=True)
class Every:
    """Something done on the host between calls, such as an evaluation.

    Attributes:
        steps: done after each so many steps; 0 for never but at the ends.
        action: ``action(state, step) -> {"eval/name": value} or None``, step = updates done. What it returns
            is logged at that step. It must not keep the state, whose memory the next call reuses.
        at_start: also before the first step.
        at_end: also after the last step.
        at_steps: also after exactly these numbers of steps.
        show: what of its values the line about it tells, see `headline.of`.
    """

    steps: int
    action: Callable[[Any, int], Mapping[str, Any] | None]
    at_start: bool = False
    at_end: bool = True
    at_steps: Sequence[int] = ()
    show: Sequence[str] = headline.DEFAULT

    def due(self, step: int, num_steps: int) -> bool:
        """Whether it is done after ``step`` of ``num_steps`` updates."""
        if step == 0:
            return self.at_start
        if (step == num_steps and self.at_end) or step in self.at_steps:
            return True
        return self.steps > 0 and step % self.steps == 0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Phase:
    """One phase of a run, for `steps.run_steps`.

    Attributes:
        name: the prefix of its metrics: sft, train.
        chunk: pure ``chunk(state, steps int32 [n]) -> (state, {name: [n, ...]})`` (`chunks.scan` makes one), or
            ``[(first_step, chunk), ...]``; compiled once for every n that occurs. With ``data`` it takes a third
            argument, the steps' batches stacked: ``[n, ...]``.
        num_steps: steps of the phase; 0 to leave it out.
        steps_per_call: steps of one compiled call.
        every: what is done on the host between calls.
        data: ``data(step) -> iterator`` of host batches from that step on, one a step (this process's part of
            each); the data's position is the step.
        finite: metrics that stop the run when they are NaN or infinite.
        show: metrics shown live.
        rates: what a step gets through, by name, such as ``{"images": 256}``: logged as perf/images_per_second,
            beside perf/input_bound, the share of the time in which the devices had nothing to do but wait for
            ``data`` (0 without).
    """

    name: str
    chunk: Chunk | Sequence[tuple[int, Chunk]]
    num_steps: int
    steps_per_call: int = 1
    every: Sequence[Every] = ()
    data: Callable[[int], Iterator[Any]] | None = None
    finite: Sequence[str] = ("loss", "gradient_norm")
    show: Sequence[str] = ("loss", "reward_mean")
    rates: Mapping[str, float] = dataclasses.field(default_factory=dict)
