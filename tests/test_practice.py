"""Estimators under filters, retries, caps, aggregations, clipping and old data: every group is enumerated."""

import re
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from maxrl_jax import advantages, losses, objectives, practice
from maxrl_jax.practice import Rule, between, mixed, solved_once
from tests.advantages.enumeration import groups, max_at_k_gradient, scores, softmax

PI, HITS = np.array([0.15, 0.1, 0.75]), np.array([1.0, 1.0, 0.0])
ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "practice.md").read_text(encoding="utf-8")


def group_gradients(values, z, pi=PI):
    return np.einsum("gn,gnc->gc", values, scores(pi)[z]) / z.shape[1]


def enumerated(adv, n, rule, pi=PI, hits=HITS):
    """(gradient, chance that a group is kept, rollouts a used group) by its definition, group by group."""
    z = groups(len(pi), n)
    law, r = np.prod(pi[z], axis=1), hits[z]
    keep = np.ones(len(z), bool) if rule.keep is None else np.array([rule.keep(k, n) for k in r.sum(1)])
    values = np.asarray(adv(jnp.asarray(r)), np.float64)
    if rule.cap:
        values = np.clip(values, -rule.cap, rule.cap)
    if rule.replay:
        stored = pi * hits / (pi @ hits)
        gradient = (law * (r.sum(1) > 0)) @ group_gradients(values, z, pi)
        for answer, chance in enumerate(stored):
            replaced = z[r.sum(1) == 0].copy()
            replaced[:, 0] = answer
            if chance:
                values = np.asarray(adv(jnp.asarray(hits[replaced])), np.float64)
                gradient = gradient + chance * law[r.sum(1) == 0] @ group_gradients(values, replaced, pi)
        return gradient, 1.0, n
    if rule.rounds > 1:
        assert rule.rounds == 2
        first = (law * (r.sum(1) > 0)) @ group_gradients(values, z, pi)
        both = groups(len(pi), 2 * n)
        both = both[hits[both][:, :n].sum(1) == 0]
        values = np.asarray(adv(jnp.asarray(hits[both])), np.float64)
        return (
            first + np.prod(pi[both], axis=1) @ group_gradients(values, both, pi),
            1.0,
            n * (1 + law @ (r.sum(1) == 0)),
        )
    kept = law @ keep
    share = kept if rule.dropped != "leave_out" else 1.0
    return (law * keep) @ group_gradients(values, z, pi) / share, kept, n / share


RULES = [
    Rule(keep=mixed),
    Rule(keep=mixed, dropped="refill"),
    Rule(keep=mixed, dropped="redraw"),
    Rule(keep=solved_once, dropped="redraw"),
    Rule(keep=between(0.2, 0.8), dropped="redraw"),
    Rule(cap=1.5),
    Rule(rounds=2),
    Rule(replay=True),
]
METHODS = [("rloo", {}), ("grpo", {}), ("maxrl", {}), ("success_mean", {}), ("maxpo", {"k": 2})]


@pytest.mark.parametrize("rule", RULES, ids=range(len(RULES)))
@pytest.mark.parametrize(("name", "hyper"), METHODS, ids=str)
def test_weight_and_price_under_a_rule_equal_enumeration(name, hyper, rule, x64):
    n = 3 if rule.rounds > 1 else 6
    adv, p = advantages.get(name, **hyper), PI @ HITS
    gradient, kept, rollouts = enumerated(adv, n, rule)
    got = practice.practice(adv, p, n, rule)
    np.testing.assert_allclose(gradient, got.weight * max_at_k_gradient(PI, HITS, 1), rtol=0, atol=1e-10)
    np.testing.assert_allclose((got.kept, got.rollouts), (kept, rollouts), rtol=1e-12)


@pytest.mark.parametrize("name", ["rloo", "maxrl", "grpo", "success_mean"])
def test_filters_at_eight_rollouts(name, x64):
    """The numbers of docs/practice.md, from all 256 groups of a two-answer policy."""
    p, n, adv = 0.9, 8, advantages.get(name)
    pi, hits = np.array([p, 1 - p]), np.array([1.0, 0.0])
    for rule in (Rule(keep=mixed), Rule(keep=mixed, dropped="redraw"), Rule(keep=between(0.2, 0.8))):
        gradient, _, _ = enumerated(adv, n, rule, pi, hits)
        weight = practice.practice(adv, p, n, rule).weight
        np.testing.assert_allclose(gradient, weight * max_at_k_gradient(pi, hits, 1), rtol=0, atol=1e-10)


def test_filters_change_no_weight_of_a_centred_estimator_and_redrawing_divides_by_the_chance_to_keep(x64):
    p, n = np.array([1e-3, 0.05, 0.4, 0.9]), 8
    h = 1 - (1 - p) ** n - p**n
    for name in ("rloo", "grpo", "maxrl"):
        adv = advantages.get(name)
        plain = objectives.effective_weight(adv, p, n)
        np.testing.assert_allclose(practice.practice(adv, p, n, Rule(keep=mixed)).weight, plain, rtol=1e-12)
        refilled = practice.practice(adv, p, n, Rule(keep=mixed, dropped="refill"))
        np.testing.assert_allclose(refilled.weight, plain / h.mean(), rtol=1e-12)
        redrawn = practice.practice(adv, p, n, Rule(keep=mixed, dropped="redraw"))
        np.testing.assert_allclose((redrawn.weight, redrawn.rollouts), (plain / h, n / h), rtol=1e-12)
    exact = practice.practice(advantages.get("success_mean"), p, n, Rule(keep=solved_once, dropped="redraw"))
    np.testing.assert_allclose(exact.weight, 1 / p, rtol=1e-12)
    np.testing.assert_allclose(exact.rollouts, n / (1 - (1 - p) ** n), rtol=1e-12)
    replayed = practice.practice(advantages.get("success_mean"), p, n, Rule(replay=True))
    np.testing.assert_allclose(replayed.weight, 1 / p, rtol=1e-12)


def test_bounds_and_limits_of_the_page(x64):
    """A cap c bounds the weight by c + 1 and by c as p goes to 0; redrawing gives MaxRL (N-1)/(Np); R rounds, N R."""
    maxrl, n, cap = advantages.get("maxrl"), 8, 2.0
    capped = practice.practice(maxrl, np.geomspace(1e-9, 1 - 1e-9, 400), n, Rule(cap=cap)).weight
    assert capped.max() <= cap + 1 and capped[0] == pytest.approx(cap, rel=1e-6)
    again = practice.practice(maxrl, 1e-7, n, Rule(keep=mixed, dropped="redraw")).weight
    assert again * 1e-7 == pytest.approx((n - 1) / n, rel=1e-5)
    rounds = practice.practice(maxrl, 1e-3, n, Rule(rounds=16)).weight
    assert rounds == pytest.approx(objectives.effective_weight(maxrl, 1e-3, 16 * n), rel=0.03)


def test_every_number_of_the_page_is_what_its_line_prints(capsys, monkeypatch):
    """Each code block of docs/practice.md is followed by what it prints."""
    blocks = re.findall(r"```python\n(.*?)```\n\n```\n(.*?)```", PAGE, flags=re.DOTALL)
    names = {}
    monkeypatch.chdir(ROOT)
    assert len(blocks) >= 8
    for code, printed in blocks:
        exec(code, names)
        assert capsys.readouterr().out == printed, code


# Aggregations


LENGTHS = np.array([4, 1, 2])


@pytest.mark.parametrize("aggregation", losses.AGGREGATIONS)
@pytest.mark.parametrize("name", ["rloo", "maxrl"])
def test_answer_coefficients_are_the_gradient_of_the_loss(name, aggregation, x64):
    n, adv = 4, advantages.get(name)
    z = groups(len(PI), n)
    values, mask = jnp.asarray(adv(jnp.asarray(HITS[z]))), jnp.arange(4) < jnp.asarray(LENGTHS[z])[..., None]

    def expected_loss(logits):
        first = jax.nn.log_softmax(logits)[z][..., None]  # the first token decides, the rest is certain
        log_probs = jnp.concatenate([first, jnp.zeros((*z.shape, 3))], axis=-1)
        each = jax.vmap(lambda *group: losses.policy_gradient(*(x[None] for x in group), aggregation))
        return jnp.prod(PI[z], axis=1) @ each(log_probs, mask, values)

    c = practice.answer_coefficients(adv, PI, HITS, LENGTHS, n, aggregation)
    np.testing.assert_allclose(-jax.grad(expected_loss)(jnp.log(PI)), (PI * c) @ scores(PI), atol=1e-12)
    if aggregation == "sequence_mean" and name == "rloo":  # Cov(g, 1/l) with E[g] held fixed
        inverse = 1 / LENGTHS
        wanted = max_at_k_gradient(PI, HITS * inverse, 1) - (PI @ HITS) * max_at_k_gradient(PI, inverse, 1)
        np.testing.assert_allclose((PI * c) @ scores(PI), wanted, atol=1e-12)


# Reuse


def test_clipped_updates_on_one_batch_by_hand(x64):
    """Two answers, three updates: each rollout's ratio, clip and score written out."""
    p, n, rate, epsilon, adv = 0.2, 4, 0.5, 0.2, advantages.get("maxrl")
    success, fail = objectives.binary_form(adv, n)
    moved = 0.0
    for bits in np.ndindex(*(2,) * n):
        r, theta = np.array(bits), np.log(p / (1 - p))
        a = np.where(r > 0, success[r.sum()], fail[r.sum()])
        for _ in range(3):
            now = 1 / (1 + np.exp(-theta))
            ratio = np.where(r > 0, now / p, (1 - now) / (1 - p))
            inside = np.where(a > 0, ratio <= 1 + epsilon, ratio >= 1 - epsilon)
            theta += rate * np.mean(a * ratio * inside * np.where(r > 0, 1 - now, -now))
        moved += p ** r.sum() * (1 - p) ** (n - r.sum()) * (theta - np.log(p / (1 - p)))
    got = practice.reused_weight(adv, p, n, updates=3, learning_rate=rate, clip_epsilon=epsilon)
    assert got == pytest.approx(moved / (rate * p * (1 - p)), rel=1e-10)


def test_one_update_has_the_effective_weight_and_small_ones_add_up(x64):
    for name in ("rloo", "maxrl"):
        adv = advantages.get(name)
        w = objectives.effective_weight(adv, 0.1, 8)
        once = practice.reused_weight(adv, 0.1, 8, updates=1, learning_rate=0.5, clip_epsilon=0.2)
        four = practice.reused_weight(adv, 0.1, 8, updates=4, learning_rate=1e-6)
        np.testing.assert_allclose((once, four), (w, 4 * w), rtol=1e-4)


# Old data


@pytest.mark.parametrize("k", [1, 2, 3])
def test_importance_weighted_max_at_k_is_unbiased_for_old_data(k, x64):
    n, rewards = 4, np.array([-1.0, 0.5, 2.0])
    old, logits = softmax(np.array([0.3, -0.2, 0.5])), np.array([-0.4, 0.6, 0.1])
    z = groups(3, n)

    def expected_gradient(loss):
        """Two tokens share each answer's log-probability."""

        def expected_loss(logits):
            split = jnp.array([0.25, 0.75])
            now, before = (x[z][..., None] * split for x in (jax.nn.log_softmax(logits), jnp.log(old)))
            return jnp.prod(old[z], axis=1) @ jax.vmap(loss)(now, before, jnp.asarray(rewards[z]))

        return -jax.grad(expected_loss)(jnp.asarray(logits))

    ones = jnp.ones((n, 2), bool)
    wanted = max_at_k_gradient(softmax(logits), rewards, k)
    got = expected_gradient(lambda now, before, g: losses.max_at_k(now, ones, g, before, k=k))
    np.testing.assert_allclose(got, wanted, atol=1e-12)
    # PPO's ratio a token is biased.
    ppo = expected_gradient(
        lambda now, before, g: losses.policy_gradient(now, ones, advantages.maxpo(g, k=k), old_log_probs=before)
    )
    assert np.abs(ppo - wanted).max() > 0.01


def test_max_at_k_of_fresh_data_is_maxpo_and_wrong_shapes_are_refused(x64):
    rng = np.random.default_rng(0)
    x, rewards, ones = rng.normal(size=(2, 5, 3)), rng.normal(size=(2, 5)), np.ones((2, 5, 3), bool)
    got = jax.grad(lambda x, old: losses.max_at_k(x, ones, jnp.asarray(rewards), old, k=2))(jnp.asarray(x), x)
    wanted = jax.grad(lambda x: losses.policy_gradient(x, ones, advantages.maxpo(jnp.asarray(rewards), k=2)))(x)
    np.testing.assert_allclose(got, wanted, atol=1e-12)
    with pytest.raises(ValueError, match=r"max_at_k: log_probs, mask and old_log_probs must have shape"):
        losses.max_at_k(x, ones, rewards[0], x, k=2)
    with pytest.raises(ValueError, match="got k = 5 with N = 5"):
        losses.max_at_k(x, ones, rewards, x, k=5)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Rule(dropped="again"), "got dropped = 'again', allowed is one of leave_out, refill, redraw"),
        (lambda: Rule(rounds=2, replay=True), "more than one of keep, rounds and replay"),
        (lambda: Rule(cap=0), "got cap = 0, allowed is a finite number > 0"),
        (lambda: practice.practice(advantages.get("rloo"), 1.0, 4, Rule()), r"got p = 1.0, allowed are rates inside"),
    ],
)
def test_wrong_rules_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
