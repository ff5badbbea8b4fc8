"""Attention over one or two segments of keys: a causal sequence, or a shared prefix and an answer.

Prompts of different lengths are padded on the right: their padding comes after every real token, so a causal pass
never sees it, and only answers must be kept from it, by their prompt's length.

Letters: P prompts (or sequences), N rollouts of a prompt, S positions of the prompt, T positions of the
answer, K key-value heads, G query heads that share one of them (H = K G), h width of a head, M rows of a
matrix product. Keys and values of a prompt are stored [P, K, S, h], once, whatever N is: the queries of all its
rollouts are the rows of one (N T G) x S matrix product for each prompt and key-value head.
Products take the type of the model's weights and accumulate in float32; softmaxes are float32.

More than `FULL` query positions are processed in blocks, and a gradient computes each block's scores again: memory
grows with the number of positions, not with its square.
"""

import functools
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Int32

from maxrl_jax.lm.decoder.config import Rule
from maxrl_jax.lm.decoder.layers import soft_cap, wide

Operands = tuple[Float[Array, "... M C"], Float[Array, "..."]]
FULL = 512  # the most query positions processed at once
BLOCK = 128  # query positions of a block, where there are more
GROUPS = 4  # of blocks: those of a group read the same keys, so that the first blocks do not read them all
MASKED = -1e30  # finite: a row with no valid key in one segment must not make a NaN there


def causal(
    q: Float[Array, "P T H h"],
    k: Float[Array, "P K S h"],
    v: Float[Array, "P K S h"],
    rule: Rule,
    positions: Int[Array, "P T"] | None = None,
) -> Float[Array, "P T H h"]:
    """Attention of T of S positions, by default the last, to themselves and those before."""
    P, _, H, h = q.shape
    K, S = k.shape[1:3]
    G = H // K
    before = S - q.shape[1]

    def attend(q: Float[Array, "P T H h"], first: jax.typing.ArrayLike, end: int) -> Float[Array, "P T H h"]:
        T, keys = q.shape[1], before + end
        rows = q.reshape(P, T, K, G, h).transpose(0, 2, 1, 3, 4).reshape(P, K, -1, h)  # [P, K, T G, h]
        s = _scores(rows, k[:, :, :keys], rule)  # [P, K, T G, keys]
        if positions is not None:
            seen = _seen(jnp.repeat(positions, G, axis=1), jnp.arange(keys), rule.window)
            s = jnp.where(seen[:, None], s, MASKED)
        elif T > 1 or rule.window is not None:
            s = jnp.where(_seen(jnp.arange(T * G) // G + (before + first), jnp.arange(keys), rule.window), s, MASKED)
        e, total = _exponentials(s, s.max(-1))
        o = _weighted(e, v[:, :, :keys]) / total[..., None]
        o = o.reshape(P, K, T, G, h).transpose(0, 2, 1, 3, 4).reshape(P, T, H, h)
        return o.astype(q.dtype)

    return _in_blocks(attend, q)


def shared_prefix(
    q: Float[Array, "P N T H h"],
    k: Float[Array, "P N T K h"],
    v: Float[Array, "P N T K h"],
    prefix_k: Float[Array, "P K S h"],
    prefix_v: Float[Array, "P K S h"],
    rule: Rule,
    prompt_lengths: Int[Array, " P"] | None = None,
) -> Float[Array, "P N T H h"]:
    """Attention of answers to their prompt, of S tokens or its own length, and causally to themselves."""
    P, N, _, H, h = q.shape
    K = k.shape[3]
    G = H // K
    k, v = (a.transpose(0, 3, 1, 2, 4) for a in (k, v))  # [P, K, N, T, h]

    def attend(q: Float[Array, "P N T H h"], first: jax.typing.ArrayLike, end: int) -> Float[Array, "P N T H h"]:
        T = q.shape[2]
        rows = q.reshape(P, N, T, K, G, h).transpose(0, 3, 1, 2, 4, 5)
        rows = rows.reshape(P, K, N, T * G, h)
        place = jnp.arange(T * G) // G + first  # of a row's query in its answer
        near = _scores(rows, k[..., :end, :], rule)  # [P, K, N, T G, end]
        near = jnp.where(_seen(place, jnp.arange(end), rule.window), near, MASKED)
        far = _scores(rows.reshape(P, K, -1, h), prefix_k, rule)  # [P, K, N T G, S]
        far = _mask_prompt(far, prompt_lengths, jnp.tile(place, N), rule.window)
        near_max, far_max = near.max(-1), far.max(-1).reshape(P, K, N, -1)
        top = jnp.maximum(near_max, far_max)  # [P, K, N, T G]
        near_e, near_sum = _exponentials(near, top)
        far_e, far_sum = _exponentials(far, top.reshape(P, K, -1))
        o = _weighted(near_e, v[..., :end, :]) + _weighted(far_e, prefix_v).reshape(P, K, N, -1, h)
        o = o / (near_sum + far_sum.reshape(near_sum.shape))[..., None]
        o = o.reshape(P, K, N, T, G, h).transpose(0, 2, 3, 1, 4, 5)
        return o.reshape(P, N, T, H, h).astype(q.dtype)

    return _in_blocks(attend, q)


def decode(
    q: Float[Array, "P N H h"],
    cache_k: Float[Array, "P N K h T"],
    cache_v: Float[Array, "P N K T h"],
    last: Int32[Array, ""],
    prefix_k: Float[Array, "P K S h"],
    prefix_v: Float[Array, "P K S h"],
    rule: Rule,
    prompt_lengths: Int[Array, " P"] | None = None,
) -> Float[Array, "P N H h"]:
    """Attention of one new token of every rollout to its prompt, as `shared_prefix`, and to cache slots 0..last.

    A rollout's own cache serves G queries only, so multiply-and-sum loops over its contiguous axis read it (keys are
    stored with positions last for that), and not tiny matrix products.
    """
    P, N, H, h = q.shape
    K, T = cache_k.shape[2], cache_k.shape[4]
    G = H // K
    rows = q.reshape(P, N, K, G, h)
    far = _scores(rows.transpose(0, 2, 1, 3, 4).reshape(P, K, N * G, h), prefix_k, rule)  # [P, K, N G, S]
    far = _mask_prompt(far, prompt_lengths, last[None], rule.window)
    near = (rows[..., None].astype(wide(q.dtype)) * cache_k[:, :, :, None]).sum(-2)
    near = soft_cap(near * rule.scale, rule.soft_cap)
    near = jnp.where(_seen(last, jnp.arange(T), rule.window), near, MASKED)  # [P, N, K, G, T]
    far_max = far.max(-1).reshape(P, K, N, G).transpose(0, 2, 1, 3)
    top = jnp.maximum(near.max(-1), far_max)  # [P, N, K, G]
    near_e, near_sum = _exponentials(near, top)
    far_e, far_sum = _exponentials(far, top.transpose(0, 2, 1, 3).reshape(P, K, N * G))
    near_o = (near_e[..., None] * cache_v[:, :, :, None]).sum(-2)
    far_o = _weighted(far_e, prefix_v).reshape(P, K, N, G, h).transpose(0, 2, 1, 3, 4)
    total = near_sum + far_sum.reshape(P, K, N, G).transpose(0, 2, 1, 3)
    return ((near_o + far_o) / total[..., None]).reshape(P, N, H, h).astype(q.dtype)


def _in_blocks(
    attend: Callable[[Float[Array, "... B H h"], jax.typing.ArrayLike, int], Float[Array, "... B H h"]],
    q: Float[Array, "... T H h"],
) -> Float[Array, "... T H h"]:
    """`attend` over all query positions, block by block where there are many.

    Args:
        attend: ``attend(queries, first, end)`` of positions first, first + 1, ..., which see no key from `end` on.
        q: the queries.
    """
    T = q.shape[-3]
    if T <= FULL:
        return attend(q, 0, T)
    count = math.ceil(T / BLOCK)
    padded = jnp.pad(q, [(0, 0)] * (q.ndim - 3) + [(0, count * BLOCK - T), (0, 0), (0, 0)])
    blocks = jnp.moveaxis(padded.reshape(*q.shape[:-3], count, BLOCK, *q.shape[-2:]), -4, 0)
    parts = []
    for start in range(0, count, size := math.ceil(count / GROUPS)):
        stop = min(start + size, count)
        end = min(stop * BLOCK, T)
        block = jax.checkpoint(lambda q, first, end=end: attend(q, first, end), prevent_cse=False)
        firsts = BLOCK * jnp.arange(start, stop)
        parts.append(jax.lax.map(lambda part, block=block: block(*part), (blocks[start:stop], firsts)))
    o = jnp.moveaxis(jnp.concatenate(parts), 0, -4)
    return o.reshape(*padded.shape)[..., :T, :, :]


def _scores(q: Float[Array, "... M h"], k: Float[Array, "... S h"], rule: Rule) -> Float[Array, "... M S"]:
    """Scaled and capped q . k for every row and key; masks come after."""
    return soft_cap(_product(q * rule.scale, k, -1), rule.soft_cap)


def _seen(queries: Int[Array, "..."], keys: Int[Array, " S"], window: int | None) -> Bool[Array, "... S"]:
    """The keys that a query sees, by their positions: itself and those before, as far as the window goes."""
    last = queries[..., None]
    return (keys <= last) if window is None else (keys <= last) & (keys > last - window)


def _mask_prompt(
    far: Float[Array, "P K M S"],
    prompt_lengths: Int[Array, " P"] | None,
    place: Int[Array, " #M"],
    window: int | None,
) -> Float[Array, "P K M S"]:
    """Scores against prompts, without padding and what lies before the window; `place` counts from the prompt's end."""
    S = far.shape[-1]
    if prompt_lengths is None and window is None:
        return far
    ends = jnp.asarray([S]) if prompt_lengths is None else prompt_lengths
    seen = jnp.arange(S) < ends[:, None, None]  # [P, 1, S]
    if window is not None:
        seen &= _seen(ends[:, None] + place, jnp.arange(S), window)  # [P, M, S]
    return jnp.where(seen[:, None], far, MASKED)


def _exponentials(
    s: Float[Array, "... S"], top: Float[Array, "..."]
) -> tuple[Float[Array, "... S"], Float[Array, "..."]]:
    """exp(s - top) and its sum over the last axis; `top` only keeps it in range, it cancels in the end."""
    e = jnp.exp(s - jax.lax.stop_gradient(top)[..., None])
    return e, e.sum(-1)


def _weighted(e: Float[Array, "... M S"], v: Float[Array, "... S h"]) -> Float[Array, "... M h"]:
    """Sum over keys of e v."""
    return _product(e.astype(v.dtype), v, -2)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def _product(a: Float[Array, "... M C"], b: Float[Array, "..."], axis: int) -> Float[Array, "... M E"]:
    """Matrix product of a with b [..., C, E] (axis -2) or b [..., E, C] (axis -1) over C.

    Accumulated and returned in float32 (or wider). In the gradient the incoming float32 array is rounded to
    the type of a and b first, as every other product of the model rounds: a product of bfloat16 with float32
    would run in float32. No operand is transposed: a transposed copy would be made again in each decode step.
    """
    return _contract(a, b, -1, axis, wide(a.dtype))


def _product_forward(
    a: Float[Array, "... M C"], b: Float[Array, "..."], axis: int
) -> tuple[Float[Array, "... M E"], Operands]:
    return _product(a, b, axis), (a, b)


def _product_backward(axis: int, saved: Operands, dy: Float[Array, "... M E"]) -> Operands:
    a, b = saved
    dy = dy.astype(a.dtype)
    da = _contract(dy, b, -1, -3 - axis, a.dtype)  # over the other of b's two axes
    left, right = (dy, a) if axis == -1 else (a, dy)
    return da, _contract(left, right, -2, -2, b.dtype)


_product.defvjp(_product_forward, _product_backward)


def _contract(
    a: Float[Array, "..."], b: Float[Array, "..."], a_axis: int, b_axis: int, dtype: jax.typing.DTypeLike
) -> Float[Array, "..."]:
    """Product of the last two axes of a and b over one axis of each, the leading axes being common."""
    batch = tuple(range(a.ndim - 2))
    dimensions = (((a.ndim + a_axis,), (b.ndim + b_axis,)), (batch, batch))
    return jax.lax.dot_general(a, b, dimensions, preferred_element_type=dtype)
