"""Blocks in stacks, gone through by a loop, against the same blocks side by side in the program."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from maxrl_jax.lm.decoder import Config, Decoder, config, load_hf, save_hf
from maxrl_jax.lm.rollout import Settings, rollout
from maxrl_jax.lm.update import Batch, LossSettings, Plan, loss_and_gradients
from tests.lm.decoder.tiny import CONFIG, GEMMA2, compiled, run_compiled, tiny_model

P, N, S, T, DEEP = 2, 3, 7, 6, 6
ALTERNATING = GEMMA2 | {"num_layers": DEEP, "windows": (3, None) * (DEEP // 2)}
PROMPTS = jax.random.randint(jax.random.key(7), (P, S), 0, 11)
LENGTHS = jnp.array([S, 4])
SETTINGS = Settings(T, (3,), cache_segment=3)
PLAN = Plan(P, (T,), (N,))


def blocks_of(state):
    """The parameters of every block, in the blocks' order."""
    stacks = [state["blocks"][place] for place in range(len(state["blocks"]))]
    turns = len(jax.tree.leaves(stacks[0])[0])
    return [jax.tree.map(lambda a, turn=turn: np.asarray(a[turn]), stack) for turn in range(turns) for stack in stacks]


def assert_same_blocks(one, other, **tolerance):
    """Of two states of a model whose blocks are stacked differently."""
    assert len(one["blocks"]) != len(other["blocks"])
    assert len(blocks_of(one)) == DEEP
    for block, same in zip(blocks_of(one), blocks_of(other), strict=True):
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, **tolerance), block, same)


def side_by_side(patch):
    patch.setattr(config, "UNROLLED", DEEP)


@pytest.fixture
def twins(x64, tmp_path, monkeypatch):
    """(graph, parameters) of a deep model, and of the same one with its blocks side by side, read from its files."""
    looped = tiny_model(jnp.float64, **ALTERNATING)
    save_hf(looped, tmp_path)
    with monkeypatch.context() as patch:
        side_by_side(patch)
        flat = load_hf(tmp_path, jnp.float64)
    return nnx.split(looped), nnx.split(flat)


def batch_of(dtype):
    advantages = jnp.arange(P * N, dtype=dtype).reshape(P, N) - 2.5
    tokens = jax.random.randint(jax.random.key(8), (P, N, T), 0, 11)
    return Batch(PROMPTS, tokens, jnp.ones((P, N, T), bool), advantages, prompt_lengths=LENGTHS)


def update_of(graph, params, remat, dtype=jnp.float64):
    """The update as a function of the parameters alone, and those."""
    batch = batch_of(dtype)

    def update(params):
        return loss_and_gradients(
            nnx.merge(graph, params), batch, LossSettings(), PLAN, compute_dtype=dtype, remat=remat
        )

    return update, params


@pytest.mark.parametrize(
    ("layers", "windows", "period"),
    [
        (4, (), 4),
        (6, (), 1),
        (6, (3, None) * 3, 2),
        (6, (3, None, None) * 2, 3),
        (6, (None,) * 5 + (3,), 6),
        (7, (3, None) * 3 + (3,), 7),
    ],
)
def test_a_turn_is_the_shortest_run_of_blocks_that_repeats(layers, windows, period):
    assert Config(num_layers=layers, windows=windows).period == period


def test_a_seed_gives_the_same_blocks_however_they_are_stacked(monkeypatch):
    def fresh():
        return nnx.state(Decoder(Config(**CONFIG | {"num_layers": DEEP}), rngs=nnx.Rngs(0)))

    looped = fresh()
    side_by_side(monkeypatch)
    assert_same_blocks(looped, fresh(), rtol=1e-6)


def test_a_loop_over_blocks_gives_the_logits_and_answers_of_blocks_side_by_side(twins):
    def results(graph, params):
        def run(params):
            model = nnx.merge(graph, params)
            answers = rollout(model, PROMPTS, jax.random.key(0), N, SETTINGS, prompt_lengths=LENGTHS)
            return model(PROMPTS), answers

        return run_compiled(run, params)

    (logits, answers), (flat_logits, flat_answers) = (results(*twin) for twin in twins)
    np.testing.assert_allclose(logits, flat_logits, rtol=1e-9, atol=1e-9)
    np.testing.assert_array_equal(answers.tokens, flat_answers.tokens)
    np.testing.assert_allclose(answers.log_probs, flat_answers.log_probs, atol=1e-6)


def test_decoding_through_a_loop_copies_no_stack_of_caches():
    graph, params = nnx.split(tiny_model(num_layers=DEEP))

    def answers(params):
        return rollout(nnx.merge(graph, params), PROMPTS, jax.random.key(0), N, Settings(33, ()))

    program = jax.jit(answers).lower(params).compile().as_text()
    loops = program[: program.index("\nENTRY ")]
    assert "f32[6,2,3,2,4,32]" in loops  # the keys of all blocks
    assert re.search(r"= f32\[6,2,3,2,(4,32|32,4)\]\S* copy\(", loops) is None


@pytest.mark.slow
def test_a_loop_over_blocks_gives_the_gradients_of_blocks_side_by_side_with_less_memory_where_asked(twins):
    looped, flat = twins
    kept, again = (compiled(*update_of(*looped, remat)) for remat in (False, True))
    expected = run_compiled(*update_of(*flat, remat=False))
    for update in (kept(looped[1]), again(looped[1])):
        np.testing.assert_allclose(update.loss, expected.loss, rtol=1e-9)
        assert_same_blocks(update.gradients, expected.gradients, rtol=1e-6, atol=1e-9)
        np.testing.assert_allclose(update.gradients["embedding"], expected.gradients["embedding"], rtol=1e-6)
    # What is kept without it are the products of weights alone.
    assert again.memory_analysis().temp_size_in_bytes < 0.75 * kept.memory_analysis().temp_size_in_bytes


@pytest.mark.slow
def test_the_program_does_not_grow_with_depth():
    def size(layers):
        settings = Config(**CONFIG | ALTERNATING | {"num_layers": layers, "windows": (3, None) * (layers // 2)})
        graph, params = nnx.split(nnx.eval_shape(lambda: Decoder(settings, rngs=nnx.Rngs(0))))

        def everything(params):
            model = nnx.merge(graph, params)
            answers = rollout(model, PROMPTS, jax.random.key(0), N, SETTINGS)
            return model(PROMPTS), answers, update_of(graph, params, remat=True, dtype=jnp.float32)[0](params)

        return len(str(jax.make_jaxpr(everything)(params)).splitlines())

    assert size(6) == size(12)
    assert size(4) > 1.5 * size(2)  # a small model has no loop
