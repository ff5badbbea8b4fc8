"""Gradients of the policy-gradient loss: each aggregation against its own formula, and what must not matter."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from maxrl_jax import losses

BATCH, N, T, V = 2, 3, 4, 5


@pytest.fixture
def batch():
    rng = np.random.default_rng(0)
    lengths = np.array([[4, 2, 1], [3, 3, 4]])
    return {
        "logits": jnp.asarray(rng.normal(size=(BATCH, N, T, V))),
        "tokens": jnp.asarray(rng.integers(0, V, size=(BATCH, N, T))),
        "mask": jnp.asarray(np.arange(T) < lengths[..., None]),
        "advantages": jnp.asarray(rng.normal(size=(BATCH, N))),
    }


def token_log_probs(logits, tokens):
    return jnp.take_along_axis(jax.nn.log_softmax(logits), tokens[..., None], -1)[..., 0]


def gradient(batch, aggregation="sequence_sum", **keywords):
    def loss(logits):
        log_probs = token_log_probs(logits, batch["tokens"])
        return losses.policy_gradient(log_probs, batch["mask"], batch["advantages"], aggregation, **keywords)

    return np.asarray(jax.grad(loss)(batch["logits"]))


def score(batch):
    """d log pi(token) / d logits of that token [B, N, T, V], zero outside the mask."""
    pi = np.asarray(jax.nn.softmax(batch["logits"]))
    onehot = np.eye(V)[np.asarray(batch["tokens"])]
    return (onehot - pi) * np.asarray(batch["mask"])[..., None]


DIVISORS = {
    "sequence_sum": lambda mask: BATCH * N,
    "token_mean": lambda mask: mask.sum(),
    "sequence_mean": lambda mask: BATCH * N * mask.sum(-1)[..., None, None],
}


@pytest.mark.parametrize("aggregation", losses.AGGREGATIONS)
def test_the_gradient_is_minus_the_sum_of_advantage_times_score_over_a_divisor(batch, aggregation):
    summed = -np.asarray(batch["advantages"])[..., None, None] * score(batch)
    expected = summed / DIVISORS[aggregation](np.asarray(batch["mask"]))
    np.testing.assert_allclose(gradient(batch, aggregation), expected, atol=1e-6)


@pytest.mark.parametrize("aggregation", losses.AGGREGATIONS)
def test_nothing_flows_into_the_advantages(batch, aggregation):
    log_probs = token_log_probs(batch["logits"], batch["tokens"])

    def loss(advantages):
        return losses.policy_gradient(log_probs, batch["mask"], advantages, aggregation)

    assert np.array_equal(jax.grad(loss)(batch["advantages"]), np.zeros((BATCH, N)))


@pytest.mark.parametrize("aggregation", losses.AGGREGATIONS)
def test_a_masked_token_changes_nothing_whatever_it_holds(batch, aggregation):
    log_probs = token_log_probs(batch["logits"], batch["tokens"])
    extra = {"entropies": -log_probs, "reference_log_probs": log_probs - 0.3, "old_log_probs": log_probs - 0.1}
    coefficients = {"entropy_coef": 0.1, "kl_coef": 0.2, "clip_epsilon": 0.2}

    def value_and_gradient(fill):
        def spoil(x):
            return jnp.where(batch["mask"], x, fill)

        def loss(x):
            others = {key: spoil(value) for key, value in extra.items()}
            return losses.policy_gradient(x, batch["mask"], batch["advantages"], aggregation, **others, **coefficients)

        return jax.value_and_grad(loss)(spoil(log_probs))

    value, grad = value_and_gradient(0.0)
    for fill in (jnp.nan, -jnp.inf, 7.0):
        other_value, other_grad = value_and_gradient(fill)
        assert value == other_value
        np.testing.assert_array_equal(grad, other_grad)


@pytest.mark.parametrize("aggregation", losses.AGGREGATIONS)
def test_micro_batches_with_the_whole_denominator_add_up(batch, aggregation):
    log_probs = token_log_probs(batch["logits"], batch["tokens"])
    whole = losses.policy_gradient(log_probs, batch["mask"], batch["advantages"], aggregation)
    total = losses.denominator(batch["mask"], aggregation)
    parts = [
        losses.policy_gradient(
            log_probs[:, i : i + 1],
            batch["mask"][:, i : i + 1],
            batch["advantages"][:, i : i + 1],
            aggregation,
            denominator=total,
        )
        for i in range(N)
    ]
    np.testing.assert_allclose(sum(parts), whole, rtol=1e-6)


def test_leaving_out_zero_advantage_prompts_keeps_the_gradient_of_the_rest(batch):
    zeroed = batch | {"advantages": batch["advantages"].at[0].set(0.0)}
    for aggregation in losses.AGGREGATIONS:
        kept = gradient(zeroed, aggregation)
        total = losses.denominator(batch["mask"], aggregation)
        rest = {key: value[1:] for key, value in zeroed.items()}
        np.testing.assert_allclose(gradient(rest, aggregation, denominator=total), kept[1:], rtol=1e-6)
        assert not kept[0].any()


def test_zero_advantage_prompts_may_be_left_out_only_without_other_terms():
    assert losses.may_skip_zero_advantages(0.0, 0.0)
    assert not losses.may_skip_zero_advantages(0.01, 0.0)
    assert not losses.may_skip_zero_advantages(0.0, 0.01)


def test_on_policy_ratio_has_the_plain_gradient(batch):
    old = token_log_probs(batch["logits"], batch["tokens"])
    for clip in (None, 0.2):
        np.testing.assert_allclose(
            gradient(batch, old_log_probs=old, clip_epsilon=clip), gradient(batch), rtol=1e-5, atol=1e-7
        )


def test_clipping_stops_the_gradient_only_where_the_ratio_has_gone_too_far_the_right_way():
    log_ratio = jnp.log(jnp.asarray([0.5, 0.9, 1.1, 2.0]))[:, None]
    mask = jnp.ones((4, 1), bool)

    def loss(x, sign):
        ones = sign * jnp.ones(4)
        return losses.policy_gradient(x, mask, ones, old_log_probs=jnp.zeros((4, 1)), clip_epsilon=0.2)

    up = jax.grad(loss)(log_ratio, 1.0)[:, 0]
    down = jax.grad(loss)(log_ratio, -1.0)[:, 0]
    np.testing.assert_allclose(up, np.array([-0.5, -0.9, -1.1, 0]) / 4, rtol=1e-6)
    np.testing.assert_allclose(down, np.array([0, 0.9, 1.1, 2.0]) / 4, rtol=1e-6)


def test_entropy_bonus_and_kl_enter_with_their_signs(batch):
    def loss(logits, **coefficients):
        log_probs = token_log_probs(logits, batch["tokens"])
        return losses.policy_gradient(
            log_probs,
            batch["mask"],
            jnp.zeros((BATCH, N)),
            "token_mean",
            entropies=losses.entropy(logits),
            reference_log_probs=token_log_probs(batch["logits"], batch["tokens"]),
            **coefficients,
        )

    def mean_entropy(logits):
        return losses.aggregate(losses.entropy(logits), batch["mask"], "token_mean")

    got = jax.grad(lambda x: loss(x, entropy_coef=0.5))(batch["logits"])
    np.testing.assert_allclose(got, -0.5 * jax.grad(mean_entropy)(batch["logits"]), rtol=1e-5, atol=1e-8)
    moved = batch["logits"] * 1.5
    assert loss(batch["logits"], kl_coef=1.0) == 0
    assert loss(moved, kl_coef=1.0) > 0
    assert not np.any(jax.grad(lambda x: loss(x, kl_coef=1.0))(batch["logits"]))
    assert np.any(jax.grad(lambda x: loss(x, kl_coef=1.0))(moved))


@pytest.mark.parametrize("off_policy", [False, True])
@pytest.mark.parametrize("length", [1, 2])
def test_the_kl_term_has_the_gradient_of_kl_from_policy_to_reference(length, off_policy, x64):
    """Every answer of one or two tokens of a tabular policy; the second token's logits depend on the first."""
    rng = np.random.default_rng(0)
    shape = (1 + (length - 1) * 3, 3)  # the first token's row, then one row for each first token
    logits, reference, old = (jnp.asarray(rng.normal(size=shape)) for _ in range(3))
    answers = np.array(list(itertools.product(range(3), repeat=length)))

    def log_probs(logits):
        rows = [0 * answers[:, 0], 1 + answers[:, 0]][:length]
        return jnp.stack(
            [jax.nn.log_softmax(logits[r])[jnp.arange(len(r)), a] for r, a in zip(rows, answers.T, strict=True)], -1
        )

    def kl(logits):
        log_pi = log_probs(logits).sum(-1)
        return jnp.sum(jnp.exp(log_pi) * (log_pi - log_probs(reference).sum(-1)))

    sampled_by = log_probs(old) if off_policy else log_probs(logits)

    def term(logits):
        """The expected loss: each answer's loss, times the probability that it is sampled."""
        one_answer = jax.vmap(
            lambda now, ref, old: losses.policy_gradient(
                now[None], jnp.ones((1, length), bool), jnp.zeros(1), reference_log_probs=ref[None], kl_coef=1.0,
                old_log_probs=old[None] if off_policy else None,
            )
        )  # fmt: skip
        values = one_answer(log_probs(logits), log_probs(reference), sampled_by)
        return jnp.sum(jax.lax.stop_gradient(jnp.exp(sampled_by.sum(-1))) * values)

    value, got = jax.value_and_grad(term)(logits)
    np.testing.assert_allclose(got, jax.grad(kl)(logits), atol=1e-12)
    np.testing.assert_allclose(value, kl(logits), rtol=1e-12)  # k3 is unbiased for the KL itself


@pytest.mark.parametrize("shape", [(3,), (1, 3), (4, 1), (2, 4, 3)])
def test_a_mask_of_another_shape_is_refused(shape):
    for aggregation in losses.AGGREGATIONS:
        with pytest.raises(ValueError, match=r"mask must have the shape of values, \(4, 3\), got"):
            losses.aggregate(jnp.ones((4, 3)), jnp.ones(shape, bool), aggregation)


def test_entropy_of_uniform_point_and_forbidden_classes():
    np.testing.assert_allclose(losses.entropy(jnp.zeros(8)), np.log(8), rtol=1e-6)
    forbidden = jnp.asarray([0.0, 0.0, -jnp.inf])
    np.testing.assert_allclose(losses.entropy(forbidden), np.log(2), rtol=1e-6)


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"aggregation": "mean"}, "unknown aggregation 'mean'; allowed: sequence_sum, token_mean, sequence_mean"),
        ({"clip_epsilon": 0.2}, "clip_epsilon needs old_log_probs"),
        ({"entropy_coef": 0.1}, "needs entropies"),
        ({"kl_coef": 0.1}, "needs reference_log_probs"),
    ],
)
def test_policy_gradient_refuses(keywords, message):
    x = jnp.zeros((2, 3))
    with pytest.raises(ValueError, match=message):
        losses.policy_gradient(x, x > -1, jnp.zeros(2), **keywords)
    with pytest.raises(ValueError, match="must have shape"):
        losses.policy_gradient(x, x > -1, jnp.zeros(3))


@pytest.mark.parametrize("key", ["old_log_probs", "entropies", "reference_log_probs"])
def test_companion_arrays_are_not_broadcast(key):
    x = jnp.zeros((2, 3))
    with pytest.raises(ValueError, match=rf"{key} must have the shape of log_probs, \(2, 3\), got \(3,\)"):
        losses.policy_gradient(x, x > -1, jnp.zeros(2), **{key: jnp.zeros(3)})
    with pytest.raises(ValueError, match=r"log_probs and mask must have shape \[\*batch, N, T\]"):
        losses.policy_gradient(jnp.zeros(()), jnp.ones(()), jnp.zeros(()))
