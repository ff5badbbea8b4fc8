"""Engines draw the answers to a batch of prompts: ``engine(prompts, num_rollouts, key, params) -> Rollouts``.

`OneLoop` is one program on all devices; `rollout.Segments` lets the host take finished answers out; `External` asks a
function of the user's, ``--config.rl.rollouts=my.module:factory``, such as the client of an inference server.

Letters: P prompts, N rollouts of each, T answer tokens.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, TypeVar

import jax
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Bool, Float32, Int32

from maxrl_jax.devices.data_parallel import Share, over_batch
from maxrl_jax.lm.policy import Policy
from maxrl_jax.lm.rollout import Finished, Rollouts, Settings, rollout
from maxrl_jax.lm.task import Prompts

Tree = TypeVar("Tree")


class Engine(Protocol):
    """Draws N answers to each prompt of a batch."""

    def __call__(
        self,
        prompts: Prompts,
        num_rollouts: int,
        key: jax.Array,
        params: Any,
        *,
        ids: Int32[np.ndarray, " P"] | None = None,
        finished: Finished | None = None,
    ) -> Rollouts:
        """The answers.

        Args:
            prompts: P of them, a multiple of the number of devices.
            num_rollouts: N.
            key: consumed.
            params: of the policy, in their master type.
            ids: the prompts' numbers, which the keys of their answers follow; 0 .. P-1 by default.
            finished: is given complete answers, at the latest before the call returns.
        """
        ...


class OneLoop:
    """Decodes all answers by one program on every device.

    Args:
        policy: without its parameters.
        sampling: how answers are drawn.
        mesh: of the run.
        max_rows: answers decoded at a time on a device; None for all.
    """

    def __init__(self, policy: Policy, sampling: Settings, mesh: Mesh | None, max_rows: int | None = None):
        self._policy, self._sampling, self._mesh, self._max_rows = policy, sampling, mesh, max_rows
        self._rollouts = jax.jit(self.rollouts, static_argnums=1)

    def __call__(
        self, prompts: Prompts, num_rollouts: int, key: jax.Array, params: Any, *, ids: Any = None, finished: Any = None
    ) -> Rollouts:
        """See `Engine`."""
        return _reported(self._rollouts(prompts.bare, num_rollouts, key, params, _ids(ids, prompts)), finished)

    def rollouts(self, prompts: Prompts, num_rollouts: int, key: jax.Array, params: Any, ids: jax.Array) -> Rollouts:
        """The answers, traced."""

        def of_share(share: Share, params: Any, key: jax.Array, prompts: Prompts, ids: jax.Array) -> Rollouts:
            places = share.ids(len(prompts))
            own = prompts.at(places)
            return rollout(
                self._policy.model(params),
                own.tokens,
                key,
                num_rollouts,
                self._sampling,
                prompt_lengths=own.lengths,
                prompt_ids=ids[places],
                max_rows=self._max_rows,
            )

        return over_batch(of_share, self._mesh, params, key, prompts.bare, ids, params=1, batch_outputs=True)


class Answers(NamedTuple):
    """The answers that a function of the user's returns.

    Attributes:
        tokens: the pad token after the end of an answer.
        log_probs: of each token under the distribution that it was drawn from, in nats.
        finished: whether an answer ends with a stop token; one that does not has T tokens.
    """

    tokens: Int32[np.ndarray, "P N T"]
    log_probs: Float32[np.ndarray, "P N T"]
    finished: Bool[np.ndarray, "P N"]


Draw = Callable[[Prompts, int, jax.Array, Any], Answers]
"""``draw(prompts, num_rollouts, key, params)``, on the host; the prompts have no state. Each process of a run calls it
for its part of the prompts, with a key of its own."""


class External:
    """Asks a function of the user's for the answers.

    Args:
        draw: the function.
        sampling: how answers are to be drawn.
    """

    def __init__(self, draw: Draw, sampling: Settings):
        self._draw, self._sampling = draw, sampling

    def __call__(
        self, prompts: Prompts, num_rollouts: int, key: jax.Array, params: Any, *, ids: Any = None, finished: Any = None
    ) -> Rollouts:
        """See `Engine`. Entropies are estimates without bias: minus the log-probabilities of what was drawn."""
        own = own_part(len(prompts))
        first = int(_ids(ids, prompts)[own][0])
        key = jax.random.fold_in(key, first) if first else key
        found = self._draw(jax.device_get(prompts.bare.at(own)), num_rollouts, key, params)
        tokens, log_probs, ended = (np.asarray(part) for part in found)
        settings, shape = self._sampling, (own.stop - own.start, num_rollouts, self._sampling.max_new_tokens)
        shapes = {"tokens": (tokens, shape), "log_probs": (log_probs, shape), "finished": (ended, shape[:2])}
        for name, (got, wanted) in shapes.items():
            if got.shape != wanted:
                raise ValueError(f"{name} of rl.rollouts: got {list(got.shape)}, allowed: {list(wanted)}")
        stops = np.isin(tokens, settings.stop_tokens)
        if (stops.any(-1) != ended).any():
            raise ValueError(
                f"finished of rl.rollouts: got {int((stops.any(-1) != ended).sum())} answers that differ from their "
                f"tokens, allowed: true where one of the stop tokens {settings.stop_tokens} is in the answer"
            )
        lengths = np.where(ended, stops.argmax(-1) + 1, shape[-1]).astype(np.int32)
        mask = np.arange(shape[-1]) < lengths[..., None]
        if not np.isfinite(log_probs[mask]).all():
            raise ValueError("log_probs of rl.rollouts: got numbers that are not finite, allowed: log-probabilities")
        log_probs = np.where(mask, log_probs, 0).astype(np.float32)
        tokens = np.where(mask, tokens, settings.pad_token).astype(np.int32)
        parts: Any = known_to_all((tokens, mask, log_probs, -log_probs.sum(axis=-1), lengths))
        return _reported(Rollouts(*parts), finished)


def own_part(num_prompts: int) -> slice:
    """The prompts that this process works for; their number is a multiple of the number of processes."""
    size = num_prompts // jax.process_count()
    return slice(jax.process_index() * size, (jax.process_index() + 1) * size)


def known_to_all(tree: Tree) -> Tree:
    """The parts of all processes, laid end to end."""
    if jax.process_count() == 1:
        return tree
    from jax.experimental import multihost_utils

    return multihost_utils.process_allgather(tree, tiled=True)


def _ids(ids: Any, prompts: Prompts) -> Any:
    return np.arange(len(prompts), dtype=np.int32) if ids is None else ids


def _reported(answers: Rollouts, finished: Finished | None) -> Rollouts:
    """Hands all answers on at once."""
    if finished is not None:
        P, N, T = answers.tokens.shape
        finished(*np.divmod(np.arange(P * N), N), np.asarray(answers.tokens).reshape(-1, T))
    return answers
