"""Brute-force definitions of every estimator, written from the formulas by enumerating subsets; float64 numpy."""

from itertools import combinations, pairwise, product

import numpy as np

from maxrl_jax import advantages


def mean_max(g, pool, k):
    """Mean over the k-subsets of `pool` of their largest reward."""
    return np.mean([max(g[list(s)]) for s in combinations(pool, k)])


def containing(g, k):
    n = len(g)
    others = [[j for j in range(n) if j != i] for i in range(n)]
    return np.array(
        [np.mean([max(g[i], *g[list(s)]) if s else g[i] for s in combinations(others[i], k - 1)]) for i in range(n)]
    )


def excluding(g, k):
    n = len(g)
    return np.array([mean_max(g, [j for j in range(n) if j != i], k) for i in range(n)])


def delta(g, k):
    return containing(g, k) - excluding(g, k)


def improvement(g, k):
    n = len(g)
    if k == 1:
        return g
    others = [[j for j in range(n) if j != i] for i in range(n)]
    return np.array(
        [np.mean([max(0.0, g[i] - max(g[list(s)])) for s in combinations(others[i], k - 1)]) for i in range(n)]
    )


def grpo(g, eps=1e-6, ddof=0):
    spread = g.std(ddof=ddof)
    return (g - g.mean()) / (spread + eps) if spread > 1e-14 else np.zeros_like(g)


def others_mean(x):
    return (x.sum() - x) / (len(x) - 1)


def partitioned(g, k, kind):
    blocks = g.reshape(-1, k)
    best = blocks.max(axis=1)
    if kind == "naive":
        return np.repeat(k * best, k)
    if kind == "naive_baseline":
        return np.repeat(k * (best - others_mean(best)), k)
    without = np.array([[max(np.delete(b, i)) for i in range(k)] for b in blocks])
    return (k * (best[:, None] - without)).reshape(-1)


def pkpo(g, k, baseline):
    n = len(g)
    if baseline == "none":
        return k * containing(g, k)
    if baseline == "loo":
        return k * (containing(g, k) - n / (n - 1) * excluding(g, k))
    return k * improvement(g, k)


def chen(g, k, normalize, eps=1e-6):
    maxima = [max(g[list(s)]) for s in combinations(range(len(g)), k)]
    centred = containing(g, k) - np.mean(maxima)
    return centred / (np.std(maxima) + eps) if normalize else centred


def bagirov(g, k, centering, eps=1e-6):
    reward = k * containing(g, k)
    if centering == "none":
        return reward
    centred = reward - reward.mean()
    return centred if centering == "mean" else centred / (centred.std() + eps)


def practical_maxrl(r):
    return (r - r.mean()) / r.mean() if r.any() else 0 * r


def over_thresholds(g):
    """Practical maxrl of the binary group 1{g > t}, integrated over the thresholds t."""
    layers = [(high - low) * practical_maxrl((g > low).astype(float)) for low, high in pairwise(np.unique(g))]
    return np.sum(layers, axis=0) if layers else 0 * g


def over_acceptances(g):
    """Practical maxrl of acceptances r_j ~ Bernoulli(g_j), averaged over all 2^N of them."""
    r = np.array(list(product((0.0, 1.0), repeat=len(g))))
    probability = np.prod(np.where(r > 0, g, 1 - g), axis=1)
    return probability @ np.array([practical_maxrl(row) for row in r])


DEFINITIONS = {
    "reinforce": lambda g: g,
    "mean_baseline": lambda g: g - g.mean(),
    "rloo": lambda g: g - others_mean(g),
    "grpo": grpo,
    "one_sided_grpo": lambda r, eps=1e-6: (r - r.mean()) / (np.sqrt(r.mean()) + eps) if r.any() else 0 * r,
    "success_mean": lambda r: r / r.mean() if r.any() else 0 * r,
    "maxrl_unbiased": lambda r: (r / r.mean() if r.any() else 0 * r) - 1,
    "maxrl": practical_maxrl,
    "maxrl_order": lambda g, order: sum(delta(g, k) for k in range(1, order + 1)),
    "tailrl": over_thresholds,
    "maxrl_likelihood": over_acceptances,
    "mixture": lambda g, coefficients: sum(c * k * delta(g, k) for k, c in enumerate(coefficients, start=1)),
    "maxpo": lambda g, k: k * delta(g, k),
    "expected_improvement": lambda g, k: k * improvement(g, k),
    "ei_leave_one_out": lambda g, k: k * (improvement(g, k) - others_mean(improvement(g, k))),
    "pkpo": pkpo,
    "chen": chen,
    "bagirov": bagirov,
    "partitioned": partitioned,
    "differential_smoothing": lambda r, mean_log_probs, correct_coef=0.05, incorrect_coef=0.05: (
        grpo(r) - correct_coef * r * mean_log_probs + incorrect_coef * (1 - r) * mean_log_probs
    ),
    "self_masked": lambda r, greedy_rewards: grpo(r) * (1 - greedy_rewards),
}


def every_setting(num_rollouts, keep=lambda entry: True):
    """(name, hyper) of all legal settings of the table at N, for pytest.mark.parametrize."""
    return [
        (name, hyper)
        for name, entry in advantages.TABLE.items()
        if keep(entry)
        for hyper in entry.settings(num_rollouts)
    ]


def label(value):
    return value if isinstance(value, str) else "-".join(f"{k}={v}" for k, v in value.items()) or "default"


def companions(entry, rewards, rng):
    """Random arrays for what the entry needs beside the rewards [*batch, N]."""
    arrays = {}
    if "mean_log_probs" in entry.needs:
        arrays["mean_log_probs"] = -rng.exponential(size=rewards.shape)
    if "greedy_rewards" in entry.needs:
        arrays["greedy_rewards"] = rng.integers(0, 2, size=rewards.shape[:-1]).astype(float)
    return arrays


def rewards_for(entry, rng, shape):
    """Rewards the entry is defined for: binary, in [0, 1] with ties and both ends, or real with ties and negatives."""
    if entry.reward_kind == "binary":
        return rng.integers(0, 2, size=shape).astype(float)
    if entry.reward_kind == "unit":
        return np.clip(np.round(rng.uniform(-0.2, 1.2, size=shape), 1), 0, 1)
    return np.round(rng.normal(size=shape) * 2, 1)
