"""The MaxPO bandit: exact gradients, biases and variances against enumeration; streaming against dense arrays."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.bandit.maxpo import arms, exact
from experiments.bandit.maxpo import study as maxpo
from experiments.bandit.prompts.draws import draw_actions
from experiments.figures import theory
from experiments.figures.registry import Context
from maxrl_jax import advantages
from maxrl_jax.runs.config.load import load
from tests.advantages.enumeration import max_at_k_gradient, mean_gradient, scores, softmax

REWARDS = np.array([0.7, -1.2, 0.1, 1.5])
LOGITS = np.array([0.3, 1.1, -0.4, -0.9])


@pytest.mark.parametrize(("name", "k"), list(itertools.product(maxpo.ESTIMATORS, [1, 2, 3])))
def test_bias_of_each_estimator_is_zero_or_exactly_the_leave_one_out_bias(x64, name, k):
    instance = arms.Arms(jnp.asarray(REWARDS), jnp.asarray(LOGITS))
    gradient, bias = jax.jit(lambda a: (exact.max_at_k_gradient(a, k), exact.leave_one_out_bias(a, k, 4)))(instance)
    np.testing.assert_allclose(gradient, max_at_k_gradient(softmax(LOGITS), REWARDS, k), atol=1e-12)
    bias = np.asarray(bias) * (name == "ei_leave_one_out")
    mean = mean_gradient(jax.jit(advantages.get(name, k=k)), softmax(LOGITS), REWARDS, 4)
    np.testing.assert_allclose(mean, np.asarray(gradient) + bias, atol=1e-12)
    if name == "ei_leave_one_out" and k > 1:
        assert np.linalg.norm(bias) > 0.01


def instances(count, size, seed=0, padded_to=None):
    make = jax.jit(jax.vmap(lambda key: arms.make_arms(key, size, padded_to)))
    return make(jax.random.split(jax.random.key(seed), count))


def test_streamed_error_and_variance_are_those_of_stored_gradients_and_ignore_padding():
    stacked, n, chunk, chunks = instances(2, 5, padded_to=8), 6, 10, 3
    estimators, keys = maxpo.estimators(3), jax.random.split(jax.random.key(1), 2)
    gradient = jax.jit(jax.vmap(lambda a: exact.max_at_k_gradient(a, 3)))(stacked)
    assert np.all(gradient[:, 5:] == 0)
    error = arms.error_of_mean(
        keys,
        stacked,
        gradient,
        estimators=estimators,
        num_rollouts=n,
        num_batches=chunk * chunks,
        batches_per_chunk=chunk,
    )
    spread = arms.total_variance(keys, stacked, estimators=estimators, num_rollouts=n, num_batches=30)
    advantages_of = jax.jit(lambda rewards: jnp.stack([estimator(rewards) for estimator in estimators]))
    sample = jax.jit(draw_actions, static_argnums=2)
    for i in range(2):
        of_actions = scores(softmax(np.asarray(stacked.logits[i], np.float64)))

        def dense(drawn, i=i, of_actions=of_actions):
            values = np.asarray(advantages_of(stacked.rewards[i][drawn]))
            return np.einsum("ebn,bna->eba", values, of_actions[drawn]) / n

        chunk_keys = [jax.random.fold_in(keys[i], c) for c in range(chunks)]
        estimates = dense(
            np.concatenate([sample(key, stacked.logits[i], chunk * n).reshape(chunk, n) for key in chunk_keys])
        )
        for c in range(chunks):
            mean = estimates[:, : (c + 1) * chunk].mean(1)
            np.testing.assert_allclose(error[i, c], np.linalg.norm(mean - gradient[i], axis=-1), rtol=1e-4)
        whole = np.asarray(sample(chunk_keys[0], stacked.logits[i], chunk * chunks * n)).reshape(-1, n)
        np.testing.assert_allclose(spread[i], dense(whole).var(axis=1, ddof=1).sum(-1), rtol=1e-4)


def test_error_falls_with_the_batches_except_for_leave_one_out_which_stops_at_its_bias():
    config = load("configs/bandit.py:maxpo_quick", {"arms.error_batches": 10_000})
    table = maxpo.error_table(config)
    last = table[table.batches == 10_000].groupby("estimator")[["error", "bias", "predicted"]].mean()
    first = table[table.batches == table.batches.min()].groupby("estimator")["error"].mean()
    leaky = last.loc["ei_leave_one_out"]
    assert leaky.error == pytest.approx(leaky.bias, rel=0.1)
    for name in ("expected_improvement", "maxpo"):
        assert last.loc[name, "bias"] == 0
        assert 0.4 < last.loc[name, "error"] / last.loc[name, "predicted"] < 1.6
        # M grows by 200, so 1/sqrt(M) falls by 14.
        assert first[name] / last.loc[name, "error"] > 6
        assert last.loc[name, "error"] < leaky.bias / 4


def test_score_norm_law():
    logits = jnp.asarray(LOGITS)
    drawn = draw_actions(jax.random.key(3), logits, 20_000)
    norms = (scores(softmax(LOGITS))[np.asarray(drawn)] ** 2).sum(-1)
    assert abs(norms.mean() - exact.score_norm(logits)) < 5 * norms.std() / np.sqrt(20_000)
    assert exact.score_norm(jnp.zeros(50)) == pytest.approx(1 - 1 / 50)


def test_actions_are_drawn_with_the_policys_frequencies_and_never_from_the_padding():
    logits = jnp.concatenate([jnp.asarray(LOGITS), jnp.full(3, -jnp.inf)])
    drawn = np.asarray(draw_actions(jax.random.key(5), logits, 20_000))
    share = np.bincount(drawn, minlength=7) / 20_000
    policy = softmax(LOGITS)
    assert np.all(share[4:] == 0)
    assert np.all(np.abs(share[:4] - policy) < 5 * np.sqrt(policy * (1 - policy) / 20_000))


@pytest.fixture(scope="module")
def over_actions():
    """Total variance over the number of actions, and the list that grows by one with every trace of it."""
    traces = []
    with pytest.MonkeyPatch.context() as patch:
        begin = arms._no_batches
        patch.setattr(arms, "_no_batches", lambda *given: traces.append(1) or begin(*given))
        arms.total_variance.clear_cache()
        yield maxpo.variance_over_actions(load("configs/bandit.py:maxpo_quick")), traces


def test_seeds_differ_and_a_second_call_does_not_compile(over_actions):
    table, traces = over_actions
    assert len(traces) == table.num_rollouts.nunique()
    second = maxpo.variance_over_actions(load("configs/bandit.py:maxpo_quick", {"seed": 7}))
    assert len(traces) == table.num_rollouts.nunique()
    assert not np.any(np.isclose(table.variance, second.variance))
    assert table.groupby("seed").variance.mean().nunique() == table.seed.nunique()


def test_leave_two_out_narrows_expected_improvement_most_with_many_actions(over_actions):
    table = over_actions[0]
    means = table[table.num_rollouts == 16].groupby(["actions", "estimator"]).variance.mean().unstack()
    ratio = means["maxpo"] / means["expected_improvement"]
    assert ratio[100] < 0.9 and ratio[100] < ratio[10]


def test_tutorial_has_the_tutorials_numbers():
    data = theory.tutorial(Context()).data.set_index(["part", "quantity"])["value"]
    told = {"pass@1": 0.1, "pass@3": 0.271, "pass@10": 0.651, "J^{(1)}": -0.9, "J^{(2)}": -1.305}
    told |= {"J^{(3)}": -1.548, "J^{(4)}": -1.712, r"\log p": -2.303, "w of MaxRL, T=10": 6.513, "w of ML": 10}
    for quantity, value in told.items():
        assert data["objective", quantity] == pytest.approx(value, abs=6e-4)
    assert data["reinforce", "K=1 success"] == 0.1 and data["success_mean", "K=1 success"] == 1
    assert data["success_mean", "K=2 success"] == 0.5 and data["maxrl", "K=2 failure"] == -0.1
    assert data["maxrl", "weight"] == pytest.approx((1 - 0.9**9) / 0.1)
    saved = data["objective", "what subtracting V saves"]
    assert saved == pytest.approx(data["success_mean", "variance"] - data["maxrl_unbiased", "variance"])


def test_figure_1_draws_the_exact_weights():
    data = theory.maxrl_fig1(Context(quick=True)).data
    rows = data[(data.objective == "maxrl") & (data.num_rollouts == 16)]
    np.testing.assert_allclose(rows.weight, (1 - (1 - rows.pass_rate) ** 15) / rows.pass_rate, rtol=1e-9)
    grpo = data[(data.objective == "grpo") & (data.num_rollouts == 1024) & data.pass_rate.between(0.1, 0.9)]
    np.testing.assert_allclose(grpo.weight, 1 / np.sqrt(grpo.pass_rate * (1 - grpo.pass_rate)), rtol=0.02)
