"""Bad input raises ValueError before any compile, naming the value given and the values allowed."""

import jax
import jax.numpy as jnp
import pytest

from maxrl_jax import advantages, objectives

REWARDS = jnp.asarray([1.0, 0.0, 0.0, 1.0])

WRONG = [
    ("maxrll", {}, "unknown advantage estimator 'maxrll' .did you mean 'maxrl'.*allowed: reinforce"),
    ("maxpo", {}, "maxpo needs the hyper-parameter k"),
    ("maxpo", {"K": 2}, "maxpo has no hyper-parameter 'K'; allowed: k"),
    ("maxpo", {"k": 0}, "got k = 0, allowed is 1 <= k <= N - 1"),
    ("maxpo", {"k": 2.0}, "k must be a whole number, got 2.0"),
    ("maxpo", {"k": True}, "k must be a whole number"),
    ("pkpo", {"k": 1}, "got k = 1, allowed is 2 <= k <= N"),
    ("pkpo", {"k": 2, "baseline": "mean"}, "allowed is one of none, loo, loo_minus_one"),
    ("bagirov", {"k": 2, "centering": "std"}, "allowed is one of none, mean, zscore"),
    ("partitioned", {"k": 2, "kind": "best"}, "allowed is one of naive, naive_baseline, loo_minus_one"),
    ("grpo", {"eps": -1.0}, "got eps = -1.0, allowed is a finite number >= 0"),
    ("grpo", {"eps": "small"}, "eps must be a number"),
    ("grpo", {"ddof": 2}, "got ddof = 2, allowed is one of 0, 1"),
    ("softmax_grpo", {"tau": 0}, "got tau = 0, allowed is a finite number > 0"),
    ("maxrl_order", {"order": -3}, "got order = -3, allowed is 1 <= order <= N - 1"),
    ("mixture", {"coefficients": ()}, "non-empty sequence of numbers"),
    ("mixture", {"coefficients": (1.0, float("nan"))}, "finite numbers only"),
    ("differential_smoothing", {"correct_coef": -0.1}, "correct_coef = -0.1"),
    ("nowhere:fn", {}, "cannot load the advantage estimator 'nowhere:fn'"),
    ("tests.advantages.test_contracts:absent", {}, "cannot load the advantage estimator"),
    ("tests.advantages.test_contracts:own", {"sharpness": 2}, "sharpness"),
]


@pytest.mark.parametrize(("name", "hyper", "message"), WRONG, ids=lambda v: str(v)[:40])
def test_get_refuses(name, hyper, message):
    with pytest.raises(ValueError, match=message):
        advantages.get(name, **hyper)


TOO_LARGE = [
    ("maxpo", {"k": 4}, r"got k = 4 with N = 4 rollouts, allowed is 1 <= k <= N - 1 \(here k <= 3\)"),
    ("maxrl_order", {"order": 4}, "order = 4 with N = 4"),
    ("mixture", {"coefficients": (1.0,) * 4}, "N = 4"),
    ("expected_improvement", {"k": 5}, "k = 5 with N = 4"),
    ("ei_leave_one_out", {"k": 5}, "k = 5 with N = 4"),
    ("pkpo", {"k": 4, "baseline": "loo"}, "k = 4 with N = 4"),
    ("pkpo", {"k": 5, "baseline": "none"}, "k = 5 with N = 4"),
    ("chen", {"k": 4}, "k = 4 with N = 4"),
    ("bagirov", {"k": 4}, "k = 4 with N = 4"),
    ("partitioned", {"k": 3, "kind": "naive"}, "allowed are divisors of N"),
    ("partitioned", {"k": 4, "kind": "naive_baseline"}, "allowed is N >= 8"),
]


@pytest.mark.parametrize(("name", "hyper", "message"), TOO_LARGE, ids=lambda v: str(v)[:40])
def test_group_size_is_checked_by_hand_by_call_and_while_tracing(name, hyper, message):
    adv = advantages.get(name, **hyper)
    with pytest.raises(ValueError, match=message):
        adv.check(4)
    with pytest.raises(ValueError, match=message):
        adv(REWARDS)
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(adv, jax.ShapeDtypeStruct((3, 4), jnp.float32))


BINARY_ONLY = [name for name, entry in advantages.TABLE.items() if entry.reward_kind == "binary"]


@pytest.mark.parametrize("name", BINARY_ONLY)
def test_concrete_non_binary_rewards_are_refused_naming_maxrl_order(name):
    entry = advantages.TABLE[name]
    arrays = {key: jnp.zeros(()) if key.endswith("_rewards") else jnp.zeros(3) for key in entry.needs}
    with pytest.raises(ValueError, match=r"got 0\.5; allowed is 0 or 1.*maxrl_order"):
        advantages.get(name)(jnp.asarray([0.0, 0.5, 1.0]), **arrays)
    with pytest.raises(ValueError, match=r"real-valued.*maxrl_order"):
        advantages.get(name).check(3, reward_kind="real")
    with pytest.raises(ValueError, match=r"rewards in \[0, 1\].*maxrl_order"):
        advantages.get(name).check(3, reward_kind="unit")
    advantages.get(name).check(3, reward_kind="binary")


@pytest.mark.parametrize("wrong", [-0.1, 1.5, float("nan")])
def test_rewards_outside_the_unit_interval_are_refused_naming_maxrl_order(wrong):
    adv = advantages.get("maxrl_likelihood")
    with pytest.raises(ValueError, match=rf"rewards in \[0, 1\], got {wrong}; allowed is 0 to 1.*maxrl_order"):
        adv(jnp.asarray([0.0, wrong, 1.0]))
    with pytest.raises(ValueError, match=r"rewards in \[0, 1\] and the judge gives real-valued rewards.*maxrl_order"):
        adv.check(3, reward_kind="real")
    adv.check(3, reward_kind="unit")
    adv.check(3, reward_kind="binary")


def test_a_kind_of_rewards_is_one_of_three():
    with pytest.raises(ValueError, match="got reward_kind = 'graded', allowed is one of binary, unit, real"):
        advantages.get("rloo").check(3, reward_kind="graded")


def test_companion_arrays_are_asked_for_by_name_and_shape():
    with pytest.raises(ValueError, match="differential_smoothing needs the keyword array mean_log_probs"):
        advantages.get("differential_smoothing")(REWARDS)
    with pytest.raises(ValueError, match=r"greedy_rewards must have shape \(\), got \(4,\)"):
        advantages.get("self_masked")(REWARDS, greedy_rewards=REWARDS)


def test_rewards_need_a_group_axis():
    with pytest.raises(ValueError, match=r"shape \[\*batch, N\]"):
        advantages.rloo(jnp.asarray(1.0))
    with pytest.raises(ValueError, match="N >= 1"):
        advantages.rloo(jnp.zeros((3, 0)))


def own(rewards, power=1.0):
    """A user's estimator, ten lines or less."""
    return rewards**power - rewards.mean(-1, keepdims=True)


def lopsided(rewards):
    return rewards * jnp.arange(rewards.shape[-1])


def test_a_users_own_estimator_is_used_by_name_with_its_exact_weight():
    adv = advantages.get("tests.advantages.test_contracts:own", power=2.0)
    assert adv(REWARDS).tolist() == [0.5, -0.5, -0.5, 0.5]
    assert str(adv) == "tests.advantages.test_contracts:own(power=2.0)"
    # Binary rewards: the mean baseline, whose weight is (N-1)/N everywhere.
    assert objectives.effective_weight(adv, 0.3, 8) == pytest.approx(7 / 8, abs=1e-6)


def test_effective_weight_refuses_what_is_not_a_symmetric_function_of_the_rewards():
    for name, hyper in (("partitioned", {"k": 2}), ("differential_smoothing", {}), ("self_masked", {})):
        with pytest.raises(ValueError, match="not a symmetric function of the rewards alone"):
            objectives.effective_weight(advantages.get(name, **hyper), 0.5, 4)
    with pytest.raises(ValueError, match="not a symmetric function"):
        objectives.effective_weight(lopsided, 0.5, 4)
    with pytest.raises(ValueError, match="not a function of the rewards alone"):
        objectives.effective_weight(lambda rewards, lengths: rewards, 0.5, 4)


def test_estimators_are_hashable_and_equal_by_value():
    assert advantages.get("maxpo", k=2) == advantages.get("maxpo", k=2)
    assert hash(advantages.get("maxpo", k=2)) == hash(advantages.get("maxpo", k=2))
    assert advantages.get("maxpo", k=2) != advantages.get("maxpo", k=3)
    assert str(advantages.get("maxpo", k=2)) == "maxpo(k=2)"


def test_every_public_name_is_the_tables():
    for name in advantages.names():
        assert getattr(advantages, name) is advantages.TABLE[name].function
        assert name in advantages.__all__


def test_a_name_cannot_be_taken_twice():
    from maxrl_jax.advantages.table import estimator

    def rloo(rewards):
        return rewards

    with pytest.raises(ValueError, match="already in the table"):
        estimator(estimates="", source="", definition=lambda g: g)(rloo)
