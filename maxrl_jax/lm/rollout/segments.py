"""Long answers, decoded in segments: finished answers are removed and the rest continue in a smaller batch.

After each segment the host gathers the unfinished rows into one of a few smaller layouts (`tiles`), and only then
lengthens their caches: short answers never pay for long ones. Answers are those of one loop, up to the rounding
of their logits. Each layout is a program of its own; a run meets a few of the widths and counts that are allowed. The
cost: each segment copies the caches of the rows that continue, and each tile has its own copy of its prompt.

Letters: P prompts, N rollouts of each, S prompt tokens, T answer tokens; D, G, n as in `tiles`.
"""

import dataclasses
import functools
import itertools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.sharding import Mesh
from jaxtyping import Bool, Float, Int32

from maxrl_jax.devices.data_parallel import Share, over_batch, over_parts
from maxrl_jax.lm.decoder import Prefix
from maxrl_jax.lm.policy import Policy
from maxrl_jax.lm.rollout import engine
from maxrl_jax.lm.rollout.chunks import chunk_shape, uniforms_of
from maxrl_jax.lm.rollout.engine import Rollouts, Settings
from maxrl_jax.lm.rollout.tiles import Shapes, Tiles, gather
from maxrl_jax.lm.task import Prompts

LOOPS = 4
"""The most loops of a segment: lengths of the cache that it reads, each compiled separately."""

Finished = Callable[[Int32[np.ndarray, " m"], Int32[np.ndarray, " m"], Int32[np.ndarray, "m t"]], None]
"""``finished(prompts, numbers, tokens)``: m answers are complete, by their prompts, their numbers among the rollouts of
these, and their tokens, padded; none is longer than t."""


def ends_of(segments: Sequence[int], length: int) -> tuple[int, ...]:
    """The tokens after which answers of up to `length` are looked at; the last is the length.

    Raises:
        ValueError: they are not positive, or do not grow.
    """
    if any(end <= start for start, end in itertools.pairwise((0, *segments))):
        raise ValueError(f"segments: got {tuple(segments)}, allowed: positive integers that grow")
    return (*(end for end in segments if end < length), length)


class Segments:
    """Answers to batches of prompts, in segments; programs are compiled as layouts are met, and kept.

    An engine (`maxrl_jax.lm.engine`).

    Args:
        policy: without its parameters.
        settings: length, stop tokens, temperature, top-p.
        mesh: of the run, D devices; None for one.
        max_rows: the most rollouts decoded at a time on a device; None decodes all at once.
        segments: after how many tokens the host looks; those beyond the longest answer are never reached.
    """

    def __init__(
        self, policy: Policy, settings: Settings, mesh: Mesh | None, max_rows: int | None, segments: Sequence[int]
    ):
        self._policy, self._settings, self._max_rows = policy, settings, max_rows
        self._devices = mesh.size if mesh else 1
        self._ends = ends_of(segments, settings.max_new_tokens)

        def copied(share: Share, params: Any) -> Any:
            return nnx.state(policy.model(params))

        def begin(whole: Any, parts: Any) -> Any:
            return over_parts(self._begin, mesh, whole, parts)

        def advance(state: Any, prefix: Any, whole: Any, rows: Any, start: int) -> Any:
            return over_parts(functools.partial(self._advance, start=start), mesh, whole, (state, prefix, rows))

        def gathered(state: Any, prefix: Any, rows: Any, alive: Any, length: int) -> Any:
            grown = functools.partial(regroup, length=length, settings=settings)
            return over_parts(lambda _, part: (grown(*part), None), mesh, None, (state, prefix, rows, alive))[0]

        self._copied = jax.jit(functools.partial(over_batch, copied, mesh, params=1))
        self._run_begin = jax.jit(begin)
        self._run_advance = jax.jit(advance, static_argnames="start", donate_argnums=0)
        self._run_regroup = jax.jit(gathered, static_argnames="length")

    def __call__(
        self, prompts: Prompts, num_rollouts: int, key: jax.Array, params: Any, *, ids: Any = None, finished: Any = None
    ) -> Rollouts:
        """See `Engine`; the answers are on the host, and ``finished`` is told of some while the next are drawn."""
        params = self._copied(params)  # whole and in the compute type, for all segments
        given = {
            "tokens": np.asarray(prompts.tokens),
            "lengths": None if prompts.lengths is None else np.asarray(prompts.lengths),
            "ids": np.arange(len(prompts), dtype=np.int32) if ids is None else np.asarray(ids),
        }
        answers = _Answers((len(prompts), num_rollouts, self._settings.max_new_tokens), self._settings, finished)
        for tiles in self._chunks(len(prompts), num_rollouts):
            self._draw(params, given, tiles, key, answers)
        answers.tell()
        return answers.whole()

    def _chunks(self, num_prompts: int, num_rollouts: int) -> list[Tiles]:
        """First layouts, of one shape, that hold every answer once."""
        of_device = num_prompts // self._devices
        p, n = chunk_shape(of_device, num_rollouts, self._max_rows)
        found = []
        for first_prompt in range(0, of_device, p):
            for first_number in range(0, num_rollouts, n):
                places, numbers = first_prompt + np.arange(p), first_number + np.arange(n)
                devices = np.arange(self._devices)[:, None] * of_device
                alive = (places < of_device)[:, None] & (numbers < num_rollouts)
                shape = (self._devices, p, n)
                found.append(
                    Tiles(
                        (devices + np.minimum(places, of_device - 1)).astype(np.int32),
                        np.broadcast_to(np.minimum(numbers, num_rollouts - 1), shape).astype(np.int32),
                        np.broadcast_to(alive, shape),
                    )
                )
        return found

    def _draw(self, params: Any, prompts: dict[str, Any], tiles: Tiles, key: jax.Array, answers: "_Answers") -> None:
        """All segments of a chunk."""
        shapes = Shapes(*tiles.numbers.shape[1:])
        whole, start = (params, key), 0
        state = prefix = None
        for end in self._ends:
            rows = {
                "ids": prompts["ids"][tiles.prompts],
                "numbers": tiles.numbers,
                "lengths": None if prompts["lengths"] is None else prompts["lengths"][tiles.prompts],
            }
            if state is None:
                begun = {**rows, "tokens": prompts["tokens"][tiles.prompts], "alive": tiles.alive}
                (state, prefix), _ = self._run_begin(whole, begun)
            state, shown = self._run_advance(state, prefix, whole, rows, start=start)
            answers.tell()  # of those before, while the devices work
            shown = jax.device_get(shown)
            complete = tiles.alive & (shown.pop("done") | (end == self._ends[-1]))
            answers.write(tiles, shown, complete, start, end)
            tiles = dataclasses.replace(tiles, alive=tiles.alive & ~complete)
            if not tiles.alive.any():
                return
            start, end = end, self._ends[self._ends.index(end) + 1]
            tiles, picked = gather(tiles, shapes, prompts["tokens"].shape[1], end)
            state, prefix = self._run_regroup(state, prefix, picked, tiles.alive, length=end)

    def _begin(self, whole: Any, rows: dict[str, jax.Array]) -> tuple[tuple[engine.State, Prefix], None]:
        """Prompts run once, and the first token of every answer."""
        params, key = whole
        model, settings = self._policy.master(params), self._settings
        x, prefix = model.prefill(rows["tokens"], rows["lengths"])
        uniforms = self._uniforms(key, rows, self._ends[0])
        return (engine.begin(model.logits(x), prefix, uniforms, settings, ~rows["alive"]), prefix), None

    def _advance(self, whole: Any, part: Any, *, start: int) -> tuple[engine.State, dict[str, jax.Array]]:
        """One segment; shown are `done` and what it adds to the answers."""
        (params, key), (state, prefix, rows) = whole, part
        end = state.answers["tokens"].shape[0]
        stride = max(self._settings.cache_segment, -(-(end - start) // LOOPS))
        settings = dataclasses.replace(self._settings, cache_segment=stride)
        uniforms = self._uniforms(key, rows, end)
        model, written = self._policy.master(params), max(start, 1)
        state = engine.advance(model, state, prefix, uniforms, settings, rows["lengths"], written)
        added = {name: jnp.moveaxis(value[start:], 0, 2) for name, value in state.answers.items()}
        return state, {**added, "done": state.done}

    def _uniforms(self, key: jax.Array, rows: dict[str, jax.Array], length: int) -> jax.Array:
        """The first of the uniform numbers [G, n, T] of every row, which do not depend on the segments."""
        return uniforms_of(key, rows["ids"], rows["numbers"], self._settings.max_new_tokens)[..., :length]


def regroup(
    state: engine.State,
    prefix: Prefix,
    rows: Int32[jax.Array, "G n"],
    alive: Bool[jax.Array, "G n"],
    *,
    length: int,
    settings: Settings,
) -> tuple[engine.State, tuple[tuple[Float[jax.Array, "R G K S h"], Float[jax.Array, "R G K S h"]], ...]]:
    """Some rows alone, with room for `length` tokens; of what they have written only the caches go with them.

    Args:
        state: of tiles [P, N].
        prefix: of the same tiles.
        rows: which row each new one was, counted over all P N; all rows of a tile were of one prompt.
        alive: false for rows that only fill up.
        length: room for so many tokens.
        settings: of the answers.
    """
    N = state.done.shape[1]
    prefix = jax.tree.map(lambda leaf: jnp.take(leaf, rows[:, 0] // N, axis=-4, mode="clip"), prefix)
    grown = engine.initial(prefix, (length, rows.shape[0], rows.shape[1]), settings)

    def moved(old: jax.Array, new: jax.Array) -> jax.Array:
        return jax.lax.dynamic_update_slice(new, _rows(old, rows, -5), (0,) * new.ndim)

    state = dataclasses.replace(
        grown,
        step=state.step,
        last=_rows(state.last, rows, -2),
        done=~alive,
        caches=jax.tree.map(moved, state.caches, grown.caches),
    )
    return state, prefix


def _rows(leaf: jax.Array, rows: Int32[jax.Array, "G n"], axis: int) -> jax.Array:
    """The rows of a leaf whose axes `axis` and the next are [P, N], as [G, n]."""
    axis += leaf.ndim
    before, (P, N), after = leaf.shape[:axis], leaf.shape[axis : axis + 2], leaf.shape[axis + 2 :]
    picked = jnp.take(leaf.reshape(*before, P * N, *after), rows.reshape(-1), axis=axis, mode="clip")
    return picked.reshape(*before, *rows.shape, *after)


class _Answers:
    """The answers of a batch as they come to the host, and who is told of them."""

    def __init__(self, shape: tuple[int, int, int], settings: Settings, finished: Finished | None):
        self._arrays: dict[str, Any] = {
            "tokens": np.full(shape, settings.pad_token, np.int32),
            "mask": np.zeros(shape, bool),
            "log_probs": np.zeros(shape, np.float32),
            "entropies": np.zeros(shape, np.float32),
            "lengths": np.zeros(shape[:2], np.int32),
        }
        self._finished = finished
        self._waiting: list[tuple[np.ndarray, np.ndarray, int]] = []

    def write(self, tiles: Tiles, added: dict[str, np.ndarray], complete: np.ndarray, start: int, end: int) -> None:
        """Tokens a segment added to the rows that were alive in it, and which of them are complete."""
        alive = tiles.alive
        prompts, numbers = tiles.prompts_of_rows[alive], tiles.numbers[alive]
        for name, values in added.items():
            self._arrays[name][prompts, numbers, start:end] = values[alive]
        self._arrays["lengths"][prompts, numbers] += added["mask"][alive].sum(axis=-1, dtype=np.int32)
        self._waiting.append((tiles.prompts_of_rows[complete], tiles.numbers[complete], end))

    def whole(self) -> Rollouts:
        """All of them."""
        return Rollouts(**self._arrays | {"entropies": self._arrays["entropies"].sum(axis=-1)})

    def tell(self) -> None:
        """Hands on the answers that were completed since the last time."""
        for prompts, numbers, end in self._waiting:
            if self._finished is not None and len(prompts):
                self._finished(prompts, numbers, self._arrays["tokens"][prompts, numbers, :end])
        self._waiting.clear()
