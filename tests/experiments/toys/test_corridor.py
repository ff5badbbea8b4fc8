"""MaxPO's corridor: episodes, their score, the exact objectives, unbiasedness, variance, the driver."""

import itertools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import chisquare

from experiments.corridor import __main__ as driver
from experiments.corridor import environment, gradient, learner, variance
from experiments.corridor.environment import Corridor, Episodes
from maxrl_jax import advantages
from maxrl_jax.errors import ConfigError
from maxrl_jax.runs.config.load import load

TINY = "configs/corridor.py:tiny"
SHORT = Corridor(jnp.array([1, 0, 1, 1, 0]), jnp.array([True, False, True, True, True]))
THREE = Corridor(jnp.array([1, 0, 1]), jnp.array([True, True, False]))


def _params(num_states, seed=0, dtype=np.float32):
    generator = np.random.default_rng(seed)
    return {
        "logits": jnp.asarray(generator.normal(size=(num_states, 2)), dtype),
        "bias": jnp.asarray(generator.normal(size=2), dtype),
    }


def _action_probabilities(params):
    logits = np.asarray(params["logits"], np.float64) + np.asarray(params["bias"], np.float64)
    weights = np.exp(logits)
    return weights / weights.sum(axis=1, keepdims=True)


def _outcomes(params, corridor):
    """Every episode there is: {(return, last action or None): probability}, decision by decision."""
    pi, found = _action_probabilities(params), {}
    right, second = np.asarray(corridor.right_action), np.asarray(corridor.second_step)
    reached, num_states = 1.0, len(right)
    for state in range(num_states):
        mistake = reached * pi[state, 1 - right[state]]
        if second[state] and state + 1 < num_states:
            for action in (0, 1):
                found[state, action] = mistake * pi[state + 1, action]
        else:
            found[state, None] = mistake
        reached *= pi[state, right[state]]
    found[num_states, None] = reached
    return found


def _episodes(outcomes):
    correct = jnp.asarray([correct for correct, _ in outcomes])
    return Episodes(correct, jnp.asarray([last or 0 for _, last in outcomes]))


def _count(episodes, corridor, outcomes):
    last = np.where(environment.has_last_decision(episodes, corridor), episodes.last_action, -1)
    drawn = list(zip(np.asarray(episodes.num_correct).tolist(), last.tolist(), strict=True))
    return np.array([drawn.count((correct, -1 if a is None else a)) for correct, a in outcomes])


def test_sampler_draws_the_distribution_of_one_decision_at_a_time():
    params, count = _params(5), 40_000
    outcomes = _outcomes(params, SHORT)
    expected = np.array(list(outcomes.values())) * count
    assert expected.sum() == pytest.approx(count)
    sample = jax.jit(environment.sample_episodes, static_argnums=3)
    episodes = sample(jax.random.key(1), params, SHORT, count)
    observed = _count(episodes, SHORT, outcomes)
    assert observed.sum() == count
    assert chisquare(observed, expected).pvalue > 1e-4


def test_log_probs_are_those_of_the_decisions_taken(x64):
    params = _params(5, dtype=np.float64)
    outcomes = _outcomes(params, SHORT)
    found = environment.log_probs(params, SHORT, _episodes(outcomes))
    np.testing.assert_allclose(np.exp(found), list(outcomes.values()), rtol=1e-12)
    assert np.exp(found).sum() == pytest.approx(1, abs=1e-14)


def test_weighted_score_is_the_gradient_of_the_log_probs(x64):
    params = _params(5, dtype=np.float64)
    episodes = _episodes(_outcomes(params, SHORT))
    weights = jnp.asarray(np.random.default_rng(3).normal(size=len(episodes.num_correct)))
    expected = jax.grad(lambda p: weights @ environment.log_probs(p, SHORT, episodes))(params)
    found = gradient.weighted_score(params, SHORT, episodes, weights)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-13), found, expected)
    assert np.abs(expected["bias"]).min() > 0.1


def test_entropy_gradient_is_that_of_the_states_visited(x64):
    params = _params(5, dtype=np.float64)
    outcomes = list(_outcomes(params, SHORT))
    corrects = [correct for correct, _ in outcomes]
    visited = np.zeros((len(outcomes), 5))
    for i, (correct, last) in enumerate(outcomes):
        visited[i, : correct + 1 + (last is not None)] = 1

    def bonus(params):
        log_pi = jax.nn.log_softmax(params["logits"] + params["bias"])
        return jnp.sum(visited @ -jnp.sum(jnp.exp(log_pi) * log_pi, axis=1)) / len(corrects)

    found = gradient.entropy_gradient(params, SHORT, _episodes(outcomes))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-13), found, jax.grad(bonus)(params))


@pytest.mark.parametrize("k", [1, 2, 3])
def test_max_at_k_is_exact(k, x64):
    """Against the sum over every k-tuple of episodes; k = 1 is the sum over l of the product of l probabilities."""
    params = _params(5, dtype=np.float64)
    outcomes = _outcomes(params, SHORT)
    expected = sum(
        np.prod([outcomes[o] for o in chosen]) * max(o[0] for o in chosen)
        for chosen in itertools.product(outcomes, repeat=k)
    )
    assert environment.max_at_k(params, SHORT, k) == pytest.approx(expected, rel=1e-12)


def test_max_at_k_of_a_certain_policy_has_finite_gradients():
    params = {"logits": jnp.zeros((5, 2)).at[jnp.arange(5), SHORT.right_action].set(200.0), "bias": jnp.zeros(2)}
    with jax.debug_nans(True):
        assert environment.max_at_k(params, SHORT, 4) == 5
        slope = jax.grad(environment.max_at_k)(params, SHORT, 4)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(slope))


def _enumerate(params, corridor, advantage, num_rollouts):
    """(mean, total variance) of (1/N) sum_i A_i S_i over every batch of N episodes there is."""
    outcomes = _outcomes(params, corridor)
    batches = list(itertools.product(outcomes, repeat=num_rollouts))
    probability = np.array([np.prod([outcomes[o] for o in batch]) for batch in batches])
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *[_episodes(batch) for batch in batches])
    values = advantage(stacked.num_correct.astype(jnp.float64)) / num_rollouts
    estimate = jax.vmap(gradient.weighted_score, in_axes=(None, None, 0, 0))
    found = jax.tree.leaves(estimate(params, corridor, stacked, values))
    flat = np.concatenate([np.asarray(leaf).reshape(len(batches), -1) for leaf in found], axis=1)
    mean = probability @ flat
    return mean, probability @ np.sum((flat - mean) ** 2, axis=1)


@pytest.mark.parametrize(("name", "k"), [("rloo", 1), ("maxpo", 2), ("expected_improvement", 3)])
def test_estimators_are_unbiased_by_enumeration(name, k, x64):
    params = _params(3, dtype=np.float64)
    advantage = advantages.get(name, **({} if name == "rloo" else {"k": k}))
    mean, _ = _enumerate(params, THREE, advantage, 3)
    exact = jax.grad(environment.max_at_k)(params, THREE, k)
    flat = np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(exact)])
    np.testing.assert_allclose(mean, flat, atol=1e-12)
    assert np.abs(flat).max() > 0.1


def test_measured_variances_are_the_enumerated_ones():
    pair = (advantages.get("maxpo", k=2), advantages.get("expected_improvement", k=2))
    with jax.enable_x64(True):
        exact = [[_enumerate(_params(3, s, np.float64), THREE, a, 3)[1] for a in pair] for s in (0, 1)]
    params = jax.tree.map(lambda *leaves: jnp.stack(leaves), _params(3, 0), _params(3, 1))
    found = variance.total_variances(
        jax.random.key(0), params, THREE, estimators=pair, k=2, num_rollouts=3, num_batches=20_000
    )
    np.testing.assert_allclose(found, exact, rtol=0.05)
    assert not np.allclose(exact[0][0], exact[0][1], rtol=0.1)


def _small_step(methods, seed=0, learning_rate=0.1):
    corridor = environment.make_corridor(20, 0.8, 0.5, 0)
    step = learner.make_step(corridor, methods, (16,), seed=seed, learning_rate=learning_rate)
    state = learner.initial_state(20, list(methods), (16,), 3)
    return corridor, jax.jit(step), state


def test_step_is_ascent_along_the_estimate_and_the_entropy_bonus():
    """One step, recomputed for one seed from the plain log-probabilities."""
    methods = {
        "rloo": learner.Method(advantages.get("rloo"), 0.0),
        "maxpo": learner.Method(advantages.get("maxpo", k=2), 0.5),
    }
    corridor, step, state = _small_step(methods)
    state = jax.tree.map(lambda leaf: leaf + 0.3 * np.arange(leaf.size).reshape(leaf.shape) / leaf.size, state)
    after, metrics = step(state, jnp.int32(5))
    key = jax.random.split(learner.keys.stream(0, "rollouts N16", 5), 3)[2]

    @jax.jit
    def plain(params, advantage_weight, entropy_coef):
        episodes = environment.sample_episodes(key, params, corridor, 16)
        values = [method.advantage(episodes.returns) for method in methods.values()]
        weights = advantage_weight @ jnp.stack(values)
        slope = jax.grad(lambda p: jnp.mean(weights * environment.log_probs(p, corridor, episodes)))(params)
        bonus = gradient.entropy_gradient(params, corridor, episodes)
        direction = jax.tree.map(lambda s, b: s + entropy_coef * b, slope, bonus)
        return direction, episodes.returns.mean(), environment.max_at_k(params, corridor, 1)

    for j, (name, method) in enumerate(methods.items()):
        before = jax.tree.map(lambda leaf, j=j: np.asarray(leaf[j, 2]), state["params"]["N16"])
        direction, mean, exact = plain(before, np.eye(2, dtype=np.float32)[j], method.entropy_coef)
        for leaf in ("logits", "bias"):
            found = after["params"]["N16"][leaf][j, 2]
            np.testing.assert_allclose(found, before[leaf] + 0.1 * direction[leaf], atol=1e-5)
        assert metrics[f"reward_mean/{name}/N16"][2] == pytest.approx(float(mean))
        assert metrics[f"return/{name}/N16"][2] == pytest.approx(float(exact), rel=1e-5)


def test_seeds_and_steps_differ():
    methods = {"rloo": learner.Method(advantages.get("rloo"), 0.0)}
    _, step, state = _small_step(methods)
    _, other, _ = _small_step(methods, seed=1)
    after = [step(state, jnp.int32(0))[0], step(state, jnp.int32(1))[0], other(state, jnp.int32(0))[0]]
    rows = np.concatenate([np.asarray(found["params"]["N16"]["logits"]).reshape(3, -1) for found in after])
    assert len(np.unique(rows, axis=0)) == 9  # three seeds, two steps and another run: nothing repeats


SMALL = {
    "corridor.num_states": 50,
    "rl.num_rollouts": (8,),
    "rl.num_seeds": 4,
    "rl.steps_per_call": 20,
    "rl.learning_rate": 0.1,
    "variance.every_steps": 20,
    "variance.num_batches": 8,
    "wandb.mode": "disabled",
}


def _small_config(steps):
    config = load(TINY, {**SMALL, "rl.steps": steps})
    with config.unlocked():
        del config.methods["rloo_entropy"], config.methods["expected_improvement_k4"]
    return config


def test_driver_learns_logs_and_resumes_bitwise(tmp_path):
    whole = _small_config(60)
    final = driver.run(whole, tmp_path / "whole")
    lines = [json.loads(line) for line in (tmp_path / "whole" / "metrics.jsonl").read_text().splitlines()]
    train = [line for line in lines if "train/return/rloo/N8" in line]
    assert [line["step"] for line in train] == list(range(60))
    for method in whole.methods:
        curve = [np.mean(line[f"train/return/{method}/N8"]) for line in train]
        assert curve[0] == pytest.approx(1, rel=1e-4)  # sum of 2^-l: the uniform policy
        assert curve[-1] > 2
        mean, error = final[f"final/return/{method}/N8"]
        assert mean > curve[-1] - 0.5
        assert error > 0
    ratios = [line for line in lines if "eval/variance_ratio/maxpo_k4/N8" in line]
    assert [line["step"] for line in ratios] == [0, 20, 40, 60]
    driver.run(_small_config(20), tmp_path / "parts")
    assert driver.run(whole, tmp_path / "parts")["final/params_sha256"] == final["final/params_sha256"]


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("methods.maxpo_k4.advantage.k", 8, "methods.maxpo_k4.advantage.k: got 8"),
        ("methods.rloo.advantage.name", "maxrl", "maxrl_order"),
        ("methods.rloo.entropy_coef", -1.0, "entropy_coef"),
        ("corridor.action_one_share", 1.5, "corridor.action_one_share"),
        ("rl.num_rollouts", (16, 1), "with N = 1 rollouts"),
    ],
)
def test_the_driver_refuses_impossible_settings(field, value, words):
    with pytest.raises(ConfigError, match=words):
        driver.check(load(TINY, {field: value}))


def test_paper_config_is_legal_and_has_every_method():
    (phase,) = driver.check(load("configs/corridor.py:paper"))
    names = {(method.advantage.name, method.entropy_coef > 0) for method in phase[1].values()}
    assert names == {("rloo", False), ("rloo", True), ("expected_improvement", False), ("maxpo", False)}
