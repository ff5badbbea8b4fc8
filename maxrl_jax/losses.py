"""Losses: the one place that stops gradients at the advantages and the one place that averages.

The loss value is only a surrogate; its gradient is what matters. With `sequence_sum` it is exactly
minus the mean over prompts of (1/N) sum_i A_i S_i, S_i the gradient of the SUM of a rollout's token
log-probabilities. The other two aggregations change the estimated quantity (docs/theory.md, section 7):
`token_mean` divides the whole batch by its mean length, `sequence_mean` each score by its own length; neither is
unbiased for the objective its advantages were made for.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from maxrl_jax.advantages import contracts
from maxrl_jax.advantages.binomial_ratios import choose_ratio
from maxrl_jax.categorical import categorical_rollouts

__all__ = [
    "AGGREGATIONS",
    "LOSSES",
    "aggregate",
    "categorical_rollouts",
    "denominator",
    "entropy",
    "max_at_k",
    "max_at_k_advantages",
    "may_skip_zero_advantages",
    "policy_gradient",
]

AGGREGATIONS = ("sequence_sum", "token_mean", "sequence_mean")
LOSSES = ("policy_gradient", "max_at_k")


def _check_aggregation(aggregation: str) -> None:
    if aggregation not in AGGREGATIONS:
        raise ValueError(f"unknown aggregation {aggregation!r}; allowed: {', '.join(AGGREGATIONS)}")


def denominator(mask: Bool[Array, "*batch T"], aggregation: str) -> Float[Array, ""]:
    """The divisor of `aggregate`: the number of answers (sequence_*) or of answer tokens (token_mean), float32.

    Args:
        mask: true on answer tokens, of the WHOLE global batch.
        aggregation: one of `AGGREGATIONS`.

    Returns:
        A number >= 1.
    """
    _check_aggregation(aggregation)
    if aggregation == "token_mean":
        return jnp.maximum(jnp.sum(mask, dtype=jnp.float32), 1)
    return jnp.asarray(mask.size // mask.shape[-1], jnp.float32)


def aggregate(
    values: Float[Array, "*batch T"],
    mask: Bool[Array, "*batch T"],
    aggregation: str,
    total: Float[Array, ""] | None = None,
) -> Float[Array, ""]:
    """Averages per-token values to a scalar.

    Args:
        values: one a token; entries outside the mask are ignored, whatever they hold.
        mask: true on answer tokens.
        aggregation: `sequence_sum` sums an answer's tokens and averages over answers; `token_mean` averages over
            all answer tokens; `sequence_mean` averages within an answer, then over answers.
        total: denominator of the whole batch when this is a part of it (a micro-batch, a shard, or a batch whose
            all-zero groups were left out); from `mask` when None.

    Returns:
        The average. With `total` given, the values of the parts add up to the whole batch's.

    Raises:
        ValueError: an unknown aggregation, or a mask of another shape than the values.
    """
    if mask.shape != values.shape:
        raise ValueError(f"aggregate: mask must have the shape of values, {values.shape}, got {mask.shape}")
    mask = mask.astype(bool)
    if total is None:
        total = denominator(mask, aggregation)
    else:
        _check_aggregation(aggregation)
    sums = jnp.sum(jnp.where(mask, values, 0), axis=-1)
    if aggregation == "sequence_mean":
        sums = sums / jnp.maximum(jnp.sum(mask, axis=-1), 1)
    return jnp.sum(sums) / total


def _surrogate(
    log_probs: jax.Array,
    weights: jax.Array,
    old_log_probs: jax.Array | None,
    clip_epsilon: float | None,
) -> jax.Array:
    """Per-token objective whose gradient is the policy gradient, clipped as in PPO when asked for."""
    if old_log_probs is None:
        return weights * log_probs
    ratio = jnp.exp(log_probs - old_log_probs)
    if clip_epsilon is None:
        return weights * ratio
    clipped = jnp.clip(ratio, 1 - clip_epsilon, 1 + clip_epsilon)
    return jnp.minimum(weights * ratio, weights * clipped)


def _kl_term(log_probs: jax.Array, reference: jax.Array, old_log_probs: jax.Array | None) -> jax.Array:
    """Per-token terms whose sum has the gradient of KL(policy || reference) of whole answers, in expectation.

    Token t changes the tokens after it as well, so its score is weighted by sum_{s >= t} w_s log(pi_s / ref_s), with
    w_s the ratio of the answer up to s when another policy sampled it. The value is the estimate k3 of the KL,
    exp(d) - d - 1 with d = log(ref / pi); the gradient of k3 would be that of KL(reference || policy).
    """
    now = jax.lax.stop_gradient(log_probs)
    difference = jax.lax.stop_gradient(reference) - now
    weight = 1.0 if old_log_probs is None else jnp.exp(jnp.cumsum(now - old_log_probs, axis=-1))
    to_go = -jnp.cumsum((weight * difference)[..., ::-1], axis=-1)[..., ::-1]
    return weight * (jnp.expm1(difference) - difference) + to_go * (log_probs - now)


def policy_gradient(
    log_probs: Float[Array, "*batch N T"],
    mask: Bool[Array, "*batch N T"],
    advantages: Float[Array, "*batch N"],
    aggregation: str = "sequence_sum",
    old_log_probs: Float[Array, "*batch N T"] | None = None,
    clip_epsilon: float | None = None,
    *,
    entropies: Float[Array, "*batch N T"] | None = None,
    entropy_coef: float = 0.0,
    reference_log_probs: Float[Array, "*batch N T"] | None = None,
    kl_coef: float = 0.0,
    denominator: Float[Array, ""] | None = None,
) -> Float[Array, ""]:
    """Loss whose gradient is minus the policy gradient; nothing is differentiated through the advantages.

    Args:
        log_probs: log-probabilities of the sampled tokens under the current policy.
        mask: true on answer tokens, the stop token among them.
        advantages: one a rollout.
        aggregation: one of `AGGREGATIONS`, see `aggregate`.
        old_log_probs: those under the policy that sampled; None when that is the current one.
        clip_epsilon: PPO's clip range of the ratio; needs `old_log_probs`.
        entropies: of the policy at each token, differentiated through, when `entropy_coef` > 0.
        entropy_coef: weight of the entropy bonus.
        reference_log_probs: of the sampled tokens under a reference, when `kl_coef` > 0.
        kl_coef: weight of KL(policy || reference); its gradient is the score form, importance-weighted by the whole
            answer's ratio when `old_log_probs` is given, and never clipped. Exact in expectation with `sequence_sum`.
        denominator: of the whole global batch, when this is a part of it (see `aggregate`).

    Raises:
        ValueError: shapes that do not match, an unknown aggregation, or a term without its input.
    """
    _check_aggregation(aggregation)
    if log_probs.ndim < 2 or log_probs.shape != mask.shape or log_probs.shape[:-1] != advantages.shape:
        raise ValueError(
            "policy_gradient: log_probs and mask must have shape [*batch, N, T] and advantages [*batch, N], got "
            f"{log_probs.shape}, {mask.shape} and {advantages.shape}"
        )
    for name, array in (
        ("old_log_probs", old_log_probs),
        ("entropies", entropies),
        ("reference_log_probs", reference_log_probs),
    ):
        if array is not None and array.shape != log_probs.shape:
            raise ValueError(
                f"policy_gradient: {name} must have the shape of log_probs, {log_probs.shape}, got {array.shape}"
            )
    if clip_epsilon is not None and old_log_probs is None:
        raise ValueError("policy_gradient: clip_epsilon needs old_log_probs")
    for coefficient, array, name in (
        (entropy_coef, entropies, "entropies"),
        (kl_coef, reference_log_probs, "reference_log_probs"),
    ):
        if coefficient and array is None:
            raise ValueError(f"policy_gradient: a non-zero coefficient needs {name}")
    mask = mask.astype(bool)
    log_probs = jnp.where(mask, log_probs, 0)
    weights = jax.lax.stop_gradient(advantages)[..., None]
    if old_log_probs is not None:
        old_log_probs = jax.lax.stop_gradient(jnp.where(mask, old_log_probs, 0))
    objective = _surrogate(log_probs, weights, old_log_probs, clip_epsilon)
    if entropy_coef and entropies is not None:
        objective = objective + entropy_coef * entropies
    if kl_coef and reference_log_probs is not None:
        reference = jnp.where(mask, reference_log_probs, 0)
        objective = objective - kl_coef * _kl_term(log_probs, reference, old_log_probs)
    return -aggregate(objective, mask, aggregation, denominator)


def max_at_k(
    log_probs: Float[Array, "*batch N T"],
    mask: Bool[Array, "*batch N T"],
    rewards: Float[Array, "*batch N"],
    old_log_probs: Float[Array, "*batch N T"],
    *,
    k: int,
) -> Float[Array, ""]:
    """Loss for max@k on rollouts of an older policy, importance-weighted exactly (Bagirov et al. 2510.23393).

    Minus the gradient is the mean over prompts of (1/N) sum_i A_i S_i with A of `max_at_k_advantages`.

    Args:
        log_probs: of the sampled tokens under the current policy.
        mask: true on answer tokens.
        rewards: real.
        old_log_probs: under the policy that sampled.
        k: 1 <= k <= N - 1.
    """
    if not log_probs.shape == mask.shape == old_log_probs.shape or log_probs.shape[:-1] != rewards.shape:
        raise ValueError(
            "max_at_k: log_probs, mask and old_log_probs must have shape [*batch, N, T] and rewards [*batch, N], got "
            f"{log_probs.shape}, {mask.shape}, {old_log_probs.shape} and {rewards.shape}"
        )
    moved = jnp.sum(jnp.where(mask, jax.lax.stop_gradient(log_probs - old_log_probs), 0), axis=-1)
    return policy_gradient(log_probs, mask, max_at_k_advantages(rewards, moved, k=k))


def max_at_k_advantages(
    rewards: Float[Array, "*batch N"], log_ratios: Float[Array, "*batch N"], *, k: int
) -> Float[Array, "*batch N"]:
    """Advantages of rollouts of an older policy with which (1/N) sum_i A_i S_i is unbiased for grad max@k.

    With rho_i the ratio of answer i, A_i / (k rho_i) is the mean over (k-1)-subsets I of the others of
    prod_I rho x max(g_i, g_I), less the mean over their k-subsets J of prod_J rho x max g_J. The second term depends
    on the others alone, and E[S_i rho_i] = 0; at rho = 1 this is `maxpo`.

    Args:
        rewards: real.
        log_ratios: log of the current policy's probability of each whole answer over that of the policy that sampled.
        k: 1 <= k <= N - 1.
    """
    n = rewards.shape[-1]
    contracts.count("max_at_k", "k", k, low=1, num_rollouts=n, below_n=1)
    ratios = jnp.exp(log_ratios)
    own = jax.grad(lambda r: jnp.sum(_weighted_max(r, rewards, k)))(ratios)
    value = _weighted_max(ratios, rewards, k)[..., None]
    # The mean over all k-subsets is linear in each ratio: (k/N) G_i rho_i + (1 - k/N) B_i.
    containing = own * (n / k)
    excluding = (value - ratios * own) * (n / (n - k))
    return k * ratios * (containing - excluding)


def _weighted_max(ratios: jax.Array, rewards: jax.Array, k: int) -> jax.Array:
    """Mean over k-subsets I of prod_I ratios x max g_I, [*batch], in O(N k) by symmetric means of the sorted ratios."""
    order = jnp.argsort(rewards, axis=-1)
    g, r = (jnp.moveaxis(jnp.take_along_axis(x, order, axis=-1), -1, 0) for x in (rewards, ratios))
    n = g.shape[0]
    j = jnp.arange(k)
    largest = jnp.asarray(choose_ratio(n - 1, k - 1) * k / n, g.dtype)  # chance that the i-th smallest is the max

    def add(means: jax.Array, item: tuple[jax.Array, ...]) -> tuple[jax.Array, jax.Array]:
        """means[..., j]: of the products of j of the smaller ones, 0 where there are fewer than j."""
        i, g, r, chance = item
        term = chance * g * r * means[..., -1]
        lower = jnp.concatenate([jnp.zeros_like(means[..., :1]), means[..., :-1]], axis=-1)
        return jnp.maximum(i + 1 - j, 0) / (i + 1) * means + j / (i + 1) * r[..., None] * lower, term

    start = jnp.zeros((*g.shape[1:], k), g.dtype).at[..., 0].set(1)
    return jnp.sum(jax.lax.scan(add, start, (jnp.arange(n), g, r, largest))[1], axis=0)


def may_skip_zero_advantages(entropy_coef: float, kl_coef: float) -> bool:
    """Whether prompts whose advantages are all zero may be left out: only when nothing else acts on them."""
    return entropy_coef == 0 and kl_coef == 0


def entropy(logits: Float[Array, "*batch classes"]) -> Float[Array, "*batch"]:
    """Entropy in nats of softmax(logits); finite also for logits of -inf."""
    log_pi = jax.nn.log_softmax(logits, axis=-1)
    pi = jnp.exp(log_pi)
    return -jnp.sum(jnp.where(pi > 0, pi * jnp.where(pi > 0, log_pi, 0), 0), axis=-1)
