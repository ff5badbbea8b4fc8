"""Cases for the battery of laws: every legal setting of every entry, with rewards and arrays that suit it."""

import numpy as np

from maxrl_jax import advantages


def legal_settings(entry, num_rollouts):
    """The entry's settings that N allows."""
    legal = []
    for hyper in entry.settings(num_rollouts):
        try:
            advantages.get(entry.name, **hyper).check(num_rollouts)
        except ValueError:
            continue
        legal.append(hyper)
    return legal


def every_setting(num_rollouts, keep=lambda entry: True):
    """(name, hyper) of all legal settings of the table at N, for pytest.mark.parametrize."""
    kept = [entry for entry in advantages.TABLE.values() if keep(entry)]
    return [(entry.name, hyper) for entry in kept for hyper in legal_settings(entry, num_rollouts)]


def symmetric_settings(num_rollouts):
    return every_setting(num_rollouts, keep=lambda entry: entry.symmetric)


def target(name, hyper, num_rollouts):
    """{k: c_k} with the expectation sum_k c_k grad max@k, from the declared objective; None where there is none."""
    declared = advantages.get(name, **hyper).objective(num_rollouts)
    if declared is None:
        return None
    objective, keywords, factor = declared
    coefficients = {
        "rl": lambda: {1: 1.0},
        "pass_at_k": lambda k: {k: 1.0},
        "maxrl": lambda order: {k: 1 / k for k in range(1, order + 1)},
        "mixture": lambda coefficients: dict(enumerate(coefficients, start=1)),
    }[objective](**keywords)
    return {k: factor * c for k, c in coefficients.items() if c}


def label(value):
    if not isinstance(value, dict):
        return str(value)
    return "-".join(f"{k}={v}" for k, v in value.items()) or "default"


def companions(entry, rewards, rng):
    """Random arrays that the entry needs beside the rewards [*batch, N]."""
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
