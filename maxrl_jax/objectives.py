"""Population objectives of one task with pass rate p, their weights, and exact finite-N expectations of estimators.

Every objective here is a function of p, so its gradient is w(p) grad p. Python and numpy inputs are computed in
float64; jax arrays, traced or not, in their own type. Concrete rates outside [0, 1] raise ValueError; traced ones
cannot be checked and are put into the formula.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from maxrl_jax import binomial
from maxrl_jax.advantages import contracts
from maxrl_jax.advantages.table import Estimator
from maxrl_jax.binomial import as_float, namespace

# Numbers or arrays in, arrays of the same shape out: numpy for numpy and Python, jax for jax.
Rates = Float[ArrayLike, "*batch"]
Values = Float[np.ndarray, "*batch"] | Float[Array, "*batch"]

OBJECTIVES = ("rl", "ml", "maxrl", "pass_at_k", "grpo", "mixture")


def _rate(name: str, p: Any) -> tuple[Any, Any]:
    """(p as floats, their namespace); ValueError for concrete rates outside [0, 1]."""
    contracts.probabilities(name, "p", p)
    xp = namespace(p)
    return as_float(p, xp), xp


def fail_at_k(p: Rates, k: int) -> Values:
    """(1-p)^k: the chance that k independent tries all fail."""
    rate, xp = _rate("fail_at_k", p)
    k = contracts.at_least("fail_at_k", "k", k, 1)
    below_one = xp.where(rate < 1, rate, 0)
    return xp.where(rate < 1, xp.exp(k * xp.log1p(-below_one)), 0)


def pass_at_k(p: Rates, k: int) -> Values:
    """1 - (1-p)^k, to full relative precision for small p."""
    rate, xp = _rate("pass_at_k", p)
    k = contracts.at_least("pass_at_k", "k", k, 1)
    below_one = xp.where(rate < 1, rate, 0)
    return xp.where(rate < 1, -xp.expm1(k * xp.log1p(-below_one)), 1)


def log_likelihood(p: Rates) -> Values:
    """log p, the maximum-likelihood objective (-inf at 0)."""
    rate, xp = _rate("log_likelihood", p)
    return xp.where(rate > 0, xp.log(xp.where(rate > 0, rate, 1)), -xp.inf)


def maxrl(p: Rates, order: int) -> Values:
    """-sum_{k=1..T} (1-p)^k / k, log p truncated at order T (MaxRL eq. 4); O(T) time, O(1) memory under jit.

    Args:
        p: pass rate in [0, 1].
        order: T >= 1.
    """
    rate, xp = _rate("maxrl", p)
    order = contracts.at_least("maxrl", "order", order, 1)
    q = 1 - rate
    if xp is np:
        total, power = np.zeros_like(q), np.ones_like(q)
        for k in range(1, order + 1):
            power = power * q
            total = total - power / k
        return total

    def add(k, carry):
        total, power = carry
        power = power * q
        return total - power / k.astype(q.dtype), power

    return jax.lax.fori_loop(1, order + 1, add, (jnp.zeros_like(q), jnp.ones_like(q)))[0]


def weight(name: str, p: Rates, **hyper: Any) -> Values:
    """w(p) with grad J = w(p) grad p (MaxRL Table 2): how strongly an objective pulls on a task of pass rate p.

    rl: 1. ml: 1/p. maxrl (order=T): (1-(1-p)^T)/p. pass_at_k (k): k(1-p)^(k-1). grpo: 1/sqrt(p(1-p)).
    mixture (coefficients c_1..c_T): sum_k c_k k(1-p)^(k-1), of sum_k c_k pass@k.

    Args:
        name: one of `OBJECTIVES`.
        p: pass rate in [0, 1]; ml and grpo are infinite where the formula is.
        **hyper: `order` for maxrl, `k` for pass_at_k, `coefficients` for mixture.

    Returns:
        Weights, relative precision of the type for p down to 1e-12 and order up to 1e6.

    Raises:
        ValueError: unknown name, a hyper-parameter that is missing, unknown or below 1, or a rate outside [0, 1].
    """
    wanted = {"maxrl": ("order",), "pass_at_k": ("k",), "mixture": ("coefficients",)}.get(name, ())
    if name not in OBJECTIVES:
        raise ValueError(f"unknown objective {name!r}; allowed: {', '.join(OBJECTIVES)}")
    if tuple(hyper) != wanted:
        raise ValueError(f"objective {name}: got hyper-parameters {sorted(hyper)}, allowed: {list(wanted)}")
    rate, xp = _rate("weight", p)
    if name == "rl":
        return xp.ones_like(rate)
    if name == "ml":
        return _inverse(rate, xp)
    if name == "grpo":
        return _inverse(xp.sqrt(rate * (1 - rate)), xp)
    if name == "pass_at_k":
        k = contracts.at_least("objective pass_at_k", "k", hyper["k"], 1)
        return k * fail_at_k(rate, k - 1) if k > 1 else xp.ones_like(rate)
    if name == "mixture":
        c = np.array(contracts.coefficients("objective mixture", "coefficients", hyper["coefficients"]))
        return xp.polyval(xp.asarray((c * np.arange(1, len(c) + 1))[::-1], rate.dtype), 1 - rate)
    order = contracts.at_least("objective maxrl", "order", hyper["order"], 1)
    positive = rate > 0
    return xp.where(positive, pass_at_k(rate, order) / xp.where(positive, rate, 1), order)


def _inverse(x: Any, xp: Any) -> Any:
    return xp.where(x > 0, 1 / xp.where(x > 0, x, 1), xp.inf)


def binary_form(
    advantage_fn: Callable[..., Any], num_rollouts: int
) -> tuple[Float[np.ndarray, " {num_rollouts}+1"], Float[np.ndarray, " {num_rollouts}+1"]]:
    """Tables (A_success, A_fail) over the number of successes K = 0..N, in float64.

    Uses the estimator's closed form where it has one; any other function of the rewards is evaluated on binary
    groups of every K, in two arrangements.

    Args:
        advantage_fn: an `Estimator` or any function ``rewards [*batch, N] -> [*batch, N]``.
        num_rollouts: N.

    Returns:
        The two tables; A_success[0] and A_fail[N] describe nobody and are zero.

    Raises:
        ValueError: not a symmetric function of the rewards alone; N is no whole number >= 1.
    """
    n = contracts.at_least("binary_form", "num_rollouts", num_rollouts, 1)
    counts = np.arange(n + 1)
    if isinstance(advantage_fn, Estimator) and advantage_fn.entry is not None:
        success, fail = advantage_fn.binary_form(counts, n)
        success, fail = (np.broadcast_to(np.asarray(x, np.float64), (n + 1,)).copy() for x in (success, fail))
    else:
        success, fail = _evaluated_binary_form(advantage_fn, n)
    success[0], fail[n] = 0, 0
    return success, fail


def _evaluated_binary_form(advantage_fn: Callable[..., Any], n: int) -> tuple[np.ndarray, np.ndarray]:
    """Evaluates a function on groups of K = 0..N successes, first in order, then shuffled to see its symmetry."""
    ordered = (np.arange(n) < np.arange(n + 1)[:, None]).astype(np.float64)
    shuffle = np.random.default_rng(0).permutation(n)
    with jax.ensure_compile_time_eval():
        try:
            values = np.asarray(advantage_fn(jnp.asarray(ordered)), np.float64)
            shuffled = np.asarray(advantage_fn(jnp.asarray(ordered[:, shuffle])), np.float64)
        except TypeError as error:
            raise ValueError(f"{advantage_fn} is not a function of the rewards alone: {error}") from None
    scale = max(1.0, float(np.max(np.abs(values), initial=0)))
    success, fail = values[:, 0].copy(), values[:, -1].copy()
    expected = np.where(ordered > 0, success[:, None], fail[:, None])
    if max(np.abs(values - expected).max(), np.abs(shuffled - expected[:, shuffle]).max()) > 1e-4 * scale:
        raise ValueError(f"{advantage_fn} is not a symmetric function of the rewards")
    return success, fail


def _probability(name: str, key: str, value: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | np.number) or not 0 <= value <= 1:
        raise ValueError(f"{name}: got {key} = {value!r}, allowed is a number from 0 to 1")
    return float(value)


def verdict_rate(p: Rates, *, false_positive: float = 0.0, false_negative: float = 0.0) -> Values:
    """a + (1-a-b) p: how often a verifier says yes that errs independently of everything but correctness.

    Args:
        p: pass rate in [0, 1].
        false_positive: a, the chance that a wrong answer is called right.
        false_negative: b, the chance that a right answer is called wrong.
    """
    a = _probability("verdict_rate", "false_positive", false_positive)
    b = _probability("verdict_rate", "false_negative", false_negative)
    return a + (1 - a - b) * _rate("verdict_rate", p)[0]


def effective_weight(
    advantage_fn: Callable[..., Any],
    p: Rates,
    num_rollouts: int,
    *,
    false_positive: float = 0.0,
    false_negative: float = 0.0,
) -> Values:
    """The exact w with E[(1/N) sum_i A_i S_i] = w grad p at finite N, for binary rewards.

    w = sum_{m=0}^{N-1} Bin(m; N-1, p) [A_success(m+1) - A_fail(m)]: each rollout meets m successes among the
    others (`summed_weight`). Nothing is divided by p or 1-p, so it is finite at both ends. Where the table knows w in
    closed form it is taken from there, at no cost in N. A verifier with false-positive rate a and false-negative rate
    b makes it (1-a-b) w(a + (1-a-b) p), whatever the estimator (docs/theory.md, section 5).

    Args:
        advantage_fn: an `Estimator`, or any symmetric function of the rewards [*batch, N] alone.
        p: pass rate in [0, 1]: how often the answer is right, whatever the verifier says.
        num_rollouts: N.
        false_positive: a, the chance that the verifier calls a wrong answer right.
        false_negative: b, the chance that it calls a right answer wrong.

    Raises:
        ValueError: the estimator needs more than the rewards or is not symmetric in them; an error rate outside [0, 1].
    """
    rate = verdict_rate(p, false_positive=false_positive, false_negative=false_negative)
    slope = 1 - false_positive - false_negative
    if isinstance(advantage_fn, Estimator):
        advantage_fn.check(num_rollouts)
        closed = advantage_fn.objective(num_rollouts)
        if closed is not None and advantage_fn.entry and advantage_fn.entry.symmetric:
            name, hyper, factor = closed
            return slope * factor * weight(name, rate, **hyper)
    return slope * summed_weight(advantage_fn, rate, num_rollouts)


def summed_weight(advantage_fn: Callable[..., Any], p: Rates, num_rollouts: int) -> Values:
    """`effective_weight` by its definition, the sum over the successes among the others; O(N) a rate."""
    success, fail = binary_form(advantage_fn, num_rollouts)
    return _expectation(_rate("summed_weight", p)[0], num_rollouts - 1, success[1:] - fail[:-1])


def _expectation(p: Any, n: int, values: np.ndarray) -> Any:
    """sum_m Bin(m; n, p) values[m]."""
    mass = binomial.probabilities(p, n)
    if isinstance(mass, np.ndarray):
        return mass @ values
    return jnp.sum(mass * jnp.asarray(values, mass.dtype), axis=-1)


def effective_variance(
    advantage_fn: Callable[..., Any],
    p: Rates,
    num_rollouts: int,
    success_norm: Rates,
    fail_norm: Rates,
    gradient_norm: Rates,
) -> Values:
    """Exact total variance (trace of the covariance) of (1/N) sum_i A_i S_i at finite N, for binary rewards.

    With s = A_success(K), t = A_fail(K) and |grad p|^2 = v, and the binomials shifted so that nothing is divided:

      E|g|^2 = (1/N) sum_m Bin(m; N-1, p) [p e1 s(m+1)^2 + (1-p) e0 t(m)^2]
             + ((N-1)/N) v sum_m Bin(m; N-2, p) [s(m+2)^2 + t(m)^2 - 2 s(m+1) t(m+1)],
      Var = E|g|^2 - w^2 v.

    Args:
        advantage_fn: as for `effective_weight`.
        p: pass rate in [0, 1].
        num_rollouts: N.
        success_norm: e1 = E[|S|^2 | success], a squared norm.
        fail_norm: e0 = E[|S|^2 | failure], a squared norm.
        gradient_norm: |grad p|^2, a squared norm.
    """
    n = num_rollouts
    success, fail = binary_form(advantage_fn, n)
    contracts.probabilities("effective_variance", "p", p)
    own = p * success_norm * _expectation(p, n - 1, success[1:] ** 2)
    own = own + (1 - p) * fail_norm * _expectation(p, n - 1, fail[:-1] ** 2)
    w = _expectation(p, n - 1, success[1:] - fail[:-1])
    if n == 1:
        return own - w**2 * gradient_norm
    pairs = success[2:] ** 2 + fail[:-2] ** 2 - 2 * success[1:-1] * fail[1:-1]
    return own / n + gradient_norm * ((n - 1) / n * _expectation(p, n - 2, pairs) - w**2)


def max_at_k(
    probabilities: Float[ArrayLike, "*batch outcomes"],
    rewards: Float[ArrayLike, "*batch outcomes"] | Float[ArrayLike, " outcomes"],
    k: int,
) -> Values:
    """E[max of k independent rewards] of a categorical policy, exactly; differentiable in the probabilities.

    With outcomes sorted by reward and F_j the probability of the first j, the max lies above outcome j with
    probability 1 - F_j^k, so max@k = g_(1) + sum_j gap_j (1 - F_j^k).

    Args:
        probabilities: summing to one.
        rewards: real.
        k: number of tries, >= 1.

    Raises:
        ValueError: k < 1, shapes that do not fit, concrete probabilities outside [0, 1].
    """
    contracts.probabilities("max_at_k", "probabilities", probabilities)
    xp = namespace(probabilities, rewards)
    pi, g = as_float(probabilities, xp), as_float(rewards, xp)
    k = contracts.at_least("max_at_k", "k", k, 1)
    if pi.ndim < 1 or g.shape not in (pi.shape, pi.shape[-1:]):
        raise ValueError(
            "max_at_k: probabilities must have shape [*batch, outcomes] and rewards that or [outcomes], got "
            f"{pi.shape} and {g.shape}"
        )
    g = xp.broadcast_to(g, pi.shape)
    order = xp.argsort(g, axis=-1)
    ascending = xp.take_along_axis(g, order, axis=-1)
    # From above: 1 - F_j is summed over the outcomes beyond j, which keeps small tails exact.
    tail = xp.cumsum(xp.take_along_axis(pi, order, axis=-1)[..., ::-1], axis=-1)[..., ::-1][..., 1:]
    tail = xp.clip(tail, 0, 1)
    return ascending[..., 0] + xp.sum(xp.diff(ascending, axis=-1) * pass_at_k(tail, k), axis=-1)
