"""Attention over one or two segments of keys: a causal sequence, or a shared prefix and an answer.

Prompts of different lengths are padded on the right: their padding comes after every real token, so a causal pass
never sees it, and only answers must be kept from it, by their prompt's length.

Letters: P prompts (or sequences), N rollouts of a prompt, S positions of the prompt, T positions of the
answer, K key-value heads, G query heads that share one of them (H = K G), h width of a head. Keys and
values of a prompt are stored [P, K, S, h], once, whatever N is: the queries of all its rollouts are the
rows of one (N T G) x S matrix product for each prompt and key-value head.
Products take the type of the model's weights and accumulate in float32; softmaxes are float32.
"""

import functools

import jax
import jax.numpy as jnp

from maxrl_jax.lm.decoder.config import Rule
from maxrl_jax.lm.decoder.layers import soft_cap, wide

MASKED = -1e30  # finite: a row with no valid key in one segment must not make a NaN there


def causal(
    q_BxTxHxh: jax.Array,
    k_BxKxSxh: jax.Array,
    v_BxKxSxh: jax.Array,
    rule: Rule,
    positions_BxT: jax.Array | None = None,
) -> jax.Array:
    """Attention of T of S positions, by default the last, to themselves and those before; [B, T, H, h]."""
    B, T, H, h = q_BxTxHxh.shape
    K, S = k_BxKxSxh.shape[1:3]
    G = H // K
    q_BxKxRxh = q_BxTxHxh.reshape(B, T, K, G, h).transpose(0, 2, 1, 3, 4).reshape(B, K, -1, h)
    s_BxKxRxS = _scores(q_BxKxRxh, k_BxKxSxh, rule)
    if positions_BxT is not None:
        seen = _seen(jnp.repeat(positions_BxT, G, axis=1), jnp.arange(S), rule.window)
        s_BxKxRxS = jnp.where(seen[:, None], s_BxKxRxS, MASKED)
    elif T > 1 or rule.window is not None:
        s_BxKxRxS = jnp.where(_seen(jnp.arange(T * G) // G + (S - T), jnp.arange(S), rule.window), s_BxKxRxS, MASKED)
    e_BxKxRxS, sum_BxKxR = _exponentials(s_BxKxRxS, s_BxKxRxS.max(-1))
    o_BxKxRxh = _weighted(e_BxKxRxS, v_BxKxSxh) / sum_BxKxR[..., None]
    o = o_BxKxRxh.reshape(B, K, T, G, h).transpose(0, 2, 1, 3, 4).reshape(B, T, H, h)
    return o.astype(q_BxTxHxh.dtype)


def shared_prefix(
    q_PxNxTxHxh: jax.Array,
    k_PxNxTxKxh: jax.Array,
    v_PxNxTxKxh: jax.Array,
    prefix_k_PxKxSxh: jax.Array,
    prefix_v_PxKxSxh: jax.Array,
    rule: Rule,
    lengths_P: jax.Array | None = None,
) -> jax.Array:
    """Attention of answers to their prompt and causally to themselves; [P, N, T, H, h].

    `lengths_P` are the prompts' lengths; None: all of S.
    """
    P, N, T, H, h = q_PxNxTxHxh.shape
    K = k_PxNxTxKxh.shape[3]
    G = H // K
    q = q_PxNxTxHxh.reshape(P, N, T, K, G, h).transpose(0, 3, 1, 2, 4, 5)
    q_PxKxNxRxh = q.reshape(P, K, N, T * G, h)
    k_PxKxNxTxh, v_PxKxNxTxh = (a.transpose(0, 3, 1, 2, 4) for a in (k_PxNxTxKxh, v_PxNxTxKxh))
    place_R = jnp.arange(T * G) // G  # of a row's query in its answer
    near = _scores(q_PxKxNxRxh, k_PxKxNxTxh, rule)  # [P, K, N, TG, T]
    near = jnp.where(_seen(place_R, jnp.arange(T), rule.window), near, MASKED)
    far = _scores(q_PxKxNxRxh.reshape(P, K, -1, h), prefix_k_PxKxSxh, rule)  # [P, K, NTG, S]
    far = _mask_prompt(far, lengths_P, jnp.tile(place_R, N), rule.window)
    near_max, far_max = near.max(-1), far.max(-1).reshape(P, K, N, -1)
    top = jnp.maximum(near_max, far_max)
    near_e, near_sum = _exponentials(near, top)
    far_e, far_sum = _exponentials(far, top.reshape(P, K, -1))
    o = _weighted(near_e, v_PxKxNxTxh) + _weighted(far_e, prefix_v_PxKxSxh).reshape(P, K, N, -1, h)
    o = o / (near_sum + far_sum.reshape(near_sum.shape))[..., None]
    o = o.reshape(P, K, N, T, G, h).transpose(0, 2, 3, 1, 4, 5)
    return o.reshape(P, N, T, H, h).astype(q_PxNxTxHxh.dtype)


def decode(
    q_PxNxHxh: jax.Array,
    cache_k_PxNxKxhxT: jax.Array,
    cache_v_PxNxKxTxh: jax.Array,
    last: jax.Array,
    prefix_k_PxKxSxh: jax.Array,
    prefix_v_PxKxSxh: jax.Array,
    rule: Rule,
    lengths_P: jax.Array | None = None,
) -> jax.Array:
    """Attention of one new token of every rollout to the prompt and cache slots 0..last; [P, N, H, h].

    `lengths_P` are the prompts' lengths; None: all of S.

    A rollout's own cache serves G queries only, so it is read by multiply-and-sum loops over its
    contiguous axis (keys are stored with positions last for that) and not by tiny matrix products.
    """
    P, N, H, h = q_PxNxHxh.shape
    K, T = cache_k_PxNxKxhxT.shape[2], cache_k_PxNxKxhxT.shape[4]
    G = H // K
    q_PxNxKxGxh = q_PxNxHxh.reshape(P, N, K, G, h)
    far = _scores(q_PxNxKxGxh.transpose(0, 2, 1, 3, 4).reshape(P, K, N * G, h), prefix_k_PxKxSxh, rule)
    far = _mask_prompt(far, lengths_P, last[None], rule.window)
    near = (q_PxNxKxGxh[..., None].astype(wide(q_PxNxHxh.dtype)) * cache_k_PxNxKxhxT[:, :, :, None]).sum(-2)
    near = soft_cap(near * rule.scale, rule.soft_cap)
    near = jnp.where(_seen(last, jnp.arange(T), rule.window), near, MASKED)  # [P, N, K, G, T]
    far_max = far.max(-1).reshape(P, K, N, G).transpose(0, 2, 1, 3)
    top_PxNxKxG = jnp.maximum(near.max(-1), far_max)
    near_e, near_sum = _exponentials(near, top_PxNxKxG)
    far_e, far_sum = _exponentials(far, top_PxNxKxG.transpose(0, 2, 1, 3).reshape(P, K, N * G))
    near_o = (near_e[..., None] * cache_v_PxNxKxTxh[:, :, :, None]).sum(-2)
    far_o = _weighted(far_e, prefix_v_PxKxSxh).reshape(P, K, N, G, h).transpose(0, 2, 1, 3, 4)
    total = near_sum + far_sum.reshape(P, K, N, G).transpose(0, 2, 1, 3)
    return ((near_o + far_o) / total[..., None]).reshape(P, N, H, h).astype(q_PxNxHxh.dtype)


def _scores(q_xRxh: jax.Array, k_xTxh: jax.Array, rule: Rule) -> jax.Array:
    """Scaled and capped q . k for every row and key, [..., R, T]; masks come after."""
    return soft_cap(_product(q_xRxh * rule.scale, k_xTxh, -1), rule.soft_cap)


def _seen(query_x: jax.Array, key_T: jax.Array, window: int | None) -> jax.Array:
    """Which keys a query sees by their positions, [..., T]: itself and those before, as far as the window goes."""
    ago = query_x[..., None] - key_T
    return (ago >= 0) if window is None else (ago >= 0) & (ago < window)


def _mask_prompt(
    far_PxKxRxS: jax.Array, lengths_P: jax.Array | None, place_R: jax.Array, window: int | None
) -> jax.Array:
    """Scores against prompts, without padding and what lies before the window; `place` counts from the prompt's end."""
    S = far_PxKxRxS.shape[-1]
    if lengths_P is None and window is None:
        return far_PxKxRxS
    ends = jnp.asarray([S]) if lengths_P is None else lengths_P
    seen_PxRxS = jnp.arange(S) < ends[:, None, None]
    if window is not None:
        seen_PxRxS &= _seen(ends[:, None] + place_R, jnp.arange(S), window)
    return jnp.where(seen_PxRxS[:, None], far_PxKxRxS, MASKED)


def _exponentials(s_xT: jax.Array, top: jax.Array) -> tuple[jax.Array, jax.Array]:
    """exp(s - top) and its sum over the last axis; `top` only keeps it in range, it cancels in the end."""
    e_xT = jnp.exp(s_xT - jax.lax.stop_gradient(top)[..., None])
    return e_xT, e_xT.sum(-1)


def _weighted(e_xRxT: jax.Array, v_xTxh: jax.Array) -> jax.Array:
    """Sum over keys of e v, [..., R, h]."""
    return _product(e_xRxT.astype(v_xTxh.dtype), v_xTxh, -2)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def _product(a: jax.Array, b: jax.Array, axis: int) -> jax.Array:
    """Matrix product of a [..., R, C] with b [..., C, E] (axis -2) or b [..., E, C] (axis -1) over C.

    Accumulated and returned in float32 (or wider). In the gradient the incoming float32 array is rounded to
    the type of a and b first, as every other product of the model rounds: a product of bfloat16 with float32
    would run in float32. No operand is transposed: a transposed copy would be made again in each decode step.
    """
    return _contract(a, b, -1, axis, wide(a.dtype))


def _product_forward(a: jax.Array, b: jax.Array, axis: int) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    return _product(a, b, axis), (a, b)


def _product_backward(axis: int, saved: tuple[jax.Array, jax.Array], dy: jax.Array) -> tuple[jax.Array, jax.Array]:
    a, b = saved
    dy = dy.astype(a.dtype)
    da = _contract(dy, b, -1, -3 - axis, a.dtype)  # over the other of b's two axes
    left, right = (dy, a) if axis == -1 else (a, dy)
    return da, _contract(left, right, -2, -2, b.dtype)


_product.defvjp(_product_forward, _product_backward)


def _contract(a: jax.Array, b: jax.Array, a_axis: int, b_axis: int, dtype: jax.typing.DTypeLike) -> jax.Array:
    """Product of the last two axes of a and b over one axis of each, the leading axes being common."""
    batch = tuple(range(a.ndim - 2))
    dimensions = (((a.ndim + a_axis,), (b.ndim + b_axis,)), (batch, batch))
    return jax.lax.dot_general(a, b, dimensions, preferred_element_type=dtype)
