"""The shared-prefix update against the plain one over full sequences: the loss and every gradient."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from maxrl_jax import losses
from maxrl_jax.lm.decoder import attention
from maxrl_jax.lm.update import Batch, LossSettings, Plan, loss_and_gradients, score
from tests.lm.decoder.tiny import GEMMA2, QWEN3, compiled, plain_log_probs, run_compiled, run_plain, tiny_model

P, N, S, T = 3, 5, 6, 8
WHOLE = Plan(P, (T,), (N,))


def make_batch(dtype=jnp.float64, **changes) -> Batch:
    keys = jax.random.split(jax.random.key(5), 6)
    lengths = jax.random.randint(keys[0], (P, N), 1, T + 1)
    noise = (jax.random.normal(key, (P, N, T), dtype) for key in keys[4:])
    old, reference = (-2.4 + 0.3 * a for a in noise)  # about log(1/11)
    batch = Batch(
        prompts=jax.random.randint(keys[1], (P, S), 0, 11),
        tokens=jax.random.randint(keys[2], (P, N, T), 0, 11),
        mask=jnp.arange(T) < lengths[..., None],
        advantages=jax.random.normal(keys[3], (P, N), dtype),
        old_log_probs=old,
        reference_log_probs=reference,
    )
    return dataclasses.replace(batch, **changes)


def updated(model, batch, settings=LossSettings(), plan=WHOLE, **options):  # noqa: B008 (frozen)
    graphdef, params = nnx.split(model)

    def run(params, batch):
        return loss_and_gradients(nnx.merge(graphdef, params), batch, settings, plan, **options)

    return run_compiled(run, params, batch)


def plain(model, batch, settings):
    """(loss, gradients) over full sequences, every prompt repeated N times."""
    graphdef, params = nnx.split(model)

    def loss(params):
        model = nnx.merge(graphdef, params)
        log_probs, entropies = plain_log_probs(model, batch.prompts, batch.tokens, settings.temperature, settings.top_p)
        return losses.policy_gradient(
            log_probs,
            batch.mask,
            batch.advantages,
            settings.aggregation,
            batch.old_log_probs,
            settings.clip_epsilon,
            entropies=entropies,
            entropy_coef=settings.entropy_coef,
            reference_log_probs=batch.reference_log_probs,
            kl_coef=settings.kl_coef,
        )

    return run_compiled(jax.value_and_grad(loss), params)


def assert_same(update, loss, gradients, tolerance):
    np.testing.assert_allclose(update.loss, loss, rtol=tolerance, atol=1e-12)

    def same(ours, theirs):
        scale = np.abs(theirs).max()
        assert scale > 1e-6  # every parameter takes part
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=tolerance * scale)

    jax.tree.map(same, update.gradients, gradients)


@pytest.mark.parametrize(
    ("settings", "changes", "model_changes"),
    [
        (LossSettings(), {"old_log_probs": None}, {}),
        (LossSettings("token_mean"), {"old_log_probs": None}, {"tie_embeddings": False, "num_kv_heads": 1}),
        (LossSettings("sequence_mean", clip_epsilon=0.2, entropy_coef=0.1, kl_coef=0.2), {}, {"num_layers": 1}),
        (LossSettings("token_mean", temperature=0.7, top_p=0.8), {"old_log_probs": None}, {"num_layers": 1}),
        (LossSettings(), {"old_log_probs": None}, QWEN3),
        (LossSettings(), {"old_log_probs": None}, GEMMA2),
    ],
)
def test_equals_the_plain_update(x64, settings, changes, model_changes):
    model, batch = tiny_model(jnp.float64, **model_changes), make_batch(**changes)
    update = updated(model, batch, settings, compute_dtype=jnp.float64)
    assert_same(update, *plain(model, batch, settings), tolerance=1e-9)
    assert update.trained_tokens == batch.mask.sum()
    assert update.prompts_skipped == 0


def test_attention_in_blocks_is_the_plain_update(x64, monkeypatch):
    monkeypatch.setattr(attention, "FULL", 2)
    monkeypatch.setattr(attention, "BLOCK", 3)
    model, batch = tiny_model(jnp.float64, **GEMMA2), make_batch(old_log_probs=None)
    update = updated(model, batch, compute_dtype=jnp.float64)
    monkeypatch.undo()
    assert_same(update, *plain(model, batch, LossSettings()), tolerance=1e-9)


@pytest.mark.parametrize(
    "plan",
    [
        Plan(2, (3, 8), (3, 2)),  # divides neither P nor N
        Plan(1, (1, 8), (2, 1)),
    ],
)
def test_micro_batches_and_cut_lengths_change_nothing(x64, plan):
    # Answers of the first prompt are short, so that each of the lengths is taken.
    mask = make_batch().mask.at[0, :, 3:].set(False).at[1, :4, 1:].set(False).at[2, 0].set(True)
    model, batch = tiny_model(jnp.float64, num_layers=1), make_batch(mask=mask, old_log_probs=None)
    whole = updated(model, batch, compute_dtype=jnp.float64)
    parts = updated(model, batch, plan=plan, compute_dtype=jnp.float64)
    assert_same(parts, whole.loss, whole.gradients, tolerance=1e-10)


def test_float32_stays_within_its_rounding(x64):
    model, batch = tiny_model(jnp.float64, num_layers=1), make_batch(old_log_probs=None)
    single = updated(model, batch, plan=Plan(1, (T,), (2,)), compute_dtype=jnp.float32)
    assert_same(single, *plain(model, batch, LossSettings()), tolerance=1e-5)


def test_bfloat16_compute_keeps_direction_and_master_type():
    model, batch = tiny_model(num_layers=1), make_batch(jnp.float32, old_log_probs=None)
    plan = Plan(1, (T,), (2,))
    full = updated(model, batch, plan=plan).gradients
    half = updated(model, batch, plan=plan, compute_dtype=jnp.bfloat16).gradients
    assert {leaf.dtype for leaf in jax.tree.leaves(half)} == {jnp.dtype("float32")}
    ours, exact = (jnp.concatenate([a.ravel() for a in jax.tree.leaves(tree)]) for tree in (half, full))
    error = jnp.linalg.norm(ours - exact) / jnp.linalg.norm(exact)
    assert 1e-4 < error < 0.1


def test_zero_advantages_are_left_out_and_nothing_changes(x64):
    batch = make_batch(old_log_probs=None)
    advantages = batch.advantages.at[1].set(0).at[0, 2].set(0)  # a whole prompt, and one rollout of another
    model, batch = tiny_model(jnp.float64, num_layers=1), dataclasses.replace(batch, advantages=advantages)
    settings, plan = LossSettings("token_mean"), Plan(1, (T,), (2,))
    skipping = updated(model, batch, settings, plan, compute_dtype=jnp.float64)
    keeping = updated(model, batch, settings, dataclasses.replace(plan, skip_zeros=False), compute_dtype=jnp.float64)
    assert_same(skipping, keeping.loss, keeping.gradients, tolerance=1e-10)
    assert (skipping.prompts_skipped, keeping.prompts_skipped) == (1, 0)
    assert skipping.trained_tokens == batch.mask.sum() - batch.mask[1].sum() - batch.mask[0, 2].sum()
    assert keeping.trained_tokens == batch.mask.sum()


def test_nothing_is_left_out_while_an_entropy_bonus_acts(x64):
    advantages = make_batch().advantages.at[1].set(0)
    model, batch = tiny_model(jnp.float64, num_layers=1), make_batch(advantages=advantages, old_log_probs=None)
    settings = LossSettings(entropy_coef=0.1)
    update = updated(model, batch, settings, Plan(1, (T,), (N,)), compute_dtype=jnp.float64)
    assert update.prompts_skipped == 0
    assert_same(update, *plain(model, batch, settings), tolerance=1e-9)


def test_a_batch_without_signal_gives_exactly_zero():
    batch = make_batch(jnp.float32, advantages=jnp.zeros((P, N)), old_log_probs=None)
    update = updated(tiny_model(num_layers=1), batch)
    assert update.prompts_skipped == P
    assert update.trained_tokens == 0
    assert update.loss == 0
    assert all((leaf == 0).all() for leaf in jax.tree.leaves(update.gradients))


def test_parts_with_the_global_denominator_add_up(x64):
    model, batch = tiny_model(jnp.float64, num_layers=1), make_batch(old_log_probs=None)
    settings = LossSettings("token_mean")
    whole = updated(model, batch, settings, compute_dtype=jnp.float64)
    denominator = losses.denominator(batch.mask, "token_mean")
    plan = Plan(1, (T,), (N,))
    halves = [
        updated(model, jax.tree.map(lambda a, s=s: a[s], batch), settings, plan, denominator=denominator,
                compute_dtype=jnp.float64)
        for s in (slice(0, 1), slice(1, P))
    ]  # fmt: skip
    total = jax.tree.map(jnp.add, *halves)
    assert_same(total, whole.loss, whole.gradients, tolerance=1e-10)


def test_tokens_outside_the_mask_change_nothing():
    model, batch = tiny_model(num_layers=1), make_batch(jnp.float32, old_log_probs=None)
    mask = batch.mask.at[..., -1].set(False)
    other = jnp.where(mask, batch.tokens, (batch.tokens + 1) % 11)
    batches = [dataclasses.replace(batch, mask=mask, tokens=tokens) for tokens in (batch.tokens, other)]
    update = compiled(lambda batch: loss_and_gradients(model, batch, LossSettings(), WHOLE), batch)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), *(update(batch) for batch in batches))


@pytest.mark.parametrize("settings", [LossSettings(), LossSettings(temperature=0.7, top_p=0.8)])
def test_score_is_the_plain_log_probability(x64, settings):
    model, batch = tiny_model(jnp.float64, num_layers=1), make_batch()
    scores = run_compiled(
        lambda prompts, tokens: score(model, prompts, tokens, settings, Plan(2, (T,), (3,))),
        batch.prompts,
        batch.tokens,
    )
    distribution = settings.temperature, settings.top_p
    expected, _ = run_plain(plain_log_probs, model, batch.prompts, batch.tokens, *distribution)
    np.testing.assert_allclose(scores, expected, rtol=1e-9)


def test_plans_fill_their_micro_batches_in_equal_parts():
    assert Plan.make(32, 128, 180, micro_batch_tokens=65_536) == Plan(2, (45, 90, 180), (128, 128, 128))
    assert Plan.make(4, 8, 64, micro_batch_tokens=1024) == Plan(2, (16, 32, 64), (8, 8, 8))
    assert Plan.make(1, 130, 64, micro_batch_tokens=1024, num_lengths=1) == Plan(1, (64,), (15,))
    assert Plan.make(2, 4, 1, micro_batch_tokens=1) == Plan(1, (1,), (1,))


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        (Plan(1, (4,), (2,)), r"plan lengths: got \(4,\), allowed: increasing lengths up to 8"),
        (Plan(1, (8, 4), (2, 2)), "plan lengths"),
        (Plan(0, (8,), (2,)), "plan: got 0 prompts"),
        (Plan(1, (4, 8), (2,)), "one number of rollouts for each length"),
    ],
)
def test_a_plan_that_does_not_fit_is_refused(plan, message):
    with pytest.raises(ValueError, match=message):
        loss_and_gradients(tiny_model(num_layers=1), make_batch(jnp.float32), LossSettings(), plan)


def test_a_greedy_objective_is_refused():
    with pytest.raises(ValueError, match="temperature: got 0, allowed: a positive number"):
        LossSettings(temperature=0.0)
