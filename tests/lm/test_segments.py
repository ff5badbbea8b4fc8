"""Answers decoded in segments are those of one loop, however the host cuts; and what is done takes no room."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from maxrl_jax.lm.policy import Policy
from maxrl_jax.lm.rollout import Segments, Settings, rollout, segments, tiles
from maxrl_jax.lm.task import Prompts
from tests.lm.decoder.tiny import GEMMA2, QWEN3, run_compiled, tiny_model

P, N, S, T = 3, 8, 7, 16
KEY = jax.random.key(3)
PROMPTS = np.random.default_rng(0).integers(0, 11, (P, S)).astype(np.int32)
LENGTHS = np.array([4, 7, 1], np.int32)


def in_segments(model, settings, ends, lengths=None, max_rows=None, **options):
    """The answers, the sizes [G, n] of the layouts after the first, and what happened, in order."""
    graphdef, params = nnx.split(model)
    found, seen, gather = [], [], segments.gather

    def noted(*arguments):
        found.append(gather(*arguments)[0].numbers.shape[1:])
        return gather(*arguments)

    drawn = Segments(Policy(graphdef, jnp.float64), settings, None, max_rows, ends)
    advance = drawn._run_advance

    def advanced(*arguments, **named):
        seen.append("advance")
        return advance(*arguments, **named)

    drawn._run_advance = advanced
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(segments, "gather", noted)
        prompts = Prompts(PROMPTS, lengths=lengths)
        answers = drawn(prompts, N, KEY, params, finished=lambda *told: seen.append(told), **options)
    return answers, found, seen


@functools.cache
def in_one_loop(settings, padded, mechanisms):
    graphdef, params = nnx.split(tiny_model(jnp.float64, **dict(mechanisms)))
    lengths = jnp.asarray(LENGTHS) if padded else None
    return run_compiled(
        lambda params: rollout(
            nnx.merge(graphdef, params), jnp.asarray(PROMPTS), KEY, N, settings, prompt_lengths=lengths
        ),
        params,
    )


ONE_LAYER = QWEN3 | {"num_layers": 1}
STOPS = Settings(T, (3, 5), pad_token=10)
CASES = {
    "even": (STOPS, (4, 8), True, QWEN3 | {"num_layers": 6}, None),  # a loop over stacked blocks
    "uneven_in_chunks": (dataclasses.replace(STOPS, cache_segment=6), (1, 2, 9, 100), True, GEMMA2, 7),
    "greedy": (Settings(T, (3,), temperature=0.0), (3, 6), True, ONE_LAYER, None),
    "all_stop_at_once": (Settings(T, tuple(range(11))), (4, 8), True, ONE_LAYER, None),
    "none_stops": (Settings(T, (), temperature=0.7, top_p=0.9), (5,), False, ONE_LAYER, 16),
}


@pytest.mark.parametrize(("settings", "ends", "padded", "mechanisms", "max_rows"), CASES.values(), ids=CASES)
def test_any_segmentation_gives_the_answers_of_one_loop(x64, settings, ends, padded, mechanisms, max_rows):
    one = in_one_loop(settings, padded, tuple(mechanisms.items()))
    model = tiny_model(jnp.float64, **mechanisms)
    answers, _, _ = in_segments(model, settings, ends, LENGTHS if padded else None, max_rows)
    np.testing.assert_array_equal(answers.tokens, one.tokens)
    np.testing.assert_array_equal(answers.mask, one.mask)
    np.testing.assert_array_equal(answers.lengths, one.lengths)
    np.testing.assert_allclose(answers.log_probs, one.log_probs, atol=1e-6)
    np.testing.assert_allclose(answers.entropies, one.entropies, atol=1e-5)


def test_rows_that_are_done_take_no_room_and_are_told_of_at_once(x64):
    model = tiny_model(jnp.float64, **ONE_LAYER)
    ends = (3, 6, 11)
    answers, layouts, happened = in_segments(model, STOPS, ends, LENGTHS)
    told = [event for event in happened if event != "advance"]
    left = [int((answers.lengths > end).sum()) for end in ends]
    assert N * P > left[0] > left[1] > 0
    assert len(layouts) == sum(count > 0 for count in left)
    for (count, width), alive in zip(layouts, left, strict=False):
        assert alive <= count * width < 2 * alive + N
    assert layouts[-1][0] * layouts[-1][1] < N * P / 2
    # While the next segment is on its way.
    assert ["advance" if event == "advance" else "told" for event in happened][:4] == [
        "advance",
        "advance",
        "told",
        "advance",
    ]
    # Each answer once, in the segment that completes it.
    when = {end: set() for end in (*ends, T)}
    for prompts, numbers, tokens in told:
        when[tokens.shape[1]] |= set(zip(prompts.tolist(), numbers.tolist(), strict=True))
        np.testing.assert_array_equal(tokens, answers.tokens[prompts, numbers, : tokens.shape[1]])
    for start, end in zip((0, *ends), (*ends, T), strict=True):
        expected = np.argwhere((answers.lengths > start) & (answers.lengths <= end))
        assert when[end] == set(map(tuple, expected.tolist()))
    assert sum(len(prompts) for prompts, *_ in told) == N * P


def test_a_prompt_has_its_own_stream_in_segments_too(x64):
    model = tiny_model(jnp.float64, **ONE_LAYER)
    answers, _, _ = in_segments(model, STOPS, (8,), ids=np.array([2, 0, 1], np.int32))
    graphdef, params = nnx.split(model)
    same = run_compiled(
        lambda params: rollout(
            nnx.merge(graphdef, params), jnp.asarray(PROMPTS), KEY, N, STOPS, prompt_ids=jnp.array([2, 0, 1])
        ),
        params,
    )
    np.testing.assert_array_equal(answers.tokens, same.tokens)


@pytest.mark.parametrize("share", [1.0, 0.6, 0.2, 0.02])
def test_a_layout_holds_every_row_that_is_left_once(share):
    generator = np.random.default_rng(int(100 * share))
    D, shapes = 2, tiles.Shapes(12, 32)
    numbers = np.broadcast_to(np.arange(32, dtype=np.int32), (D, 12, 32))
    alive = generator.random(numbers.shape) < share * generator.random((D, 12, 1)) ** 2
    alive[0, 0, 0] = True
    layout = tiles.Tiles(np.arange(24, dtype=np.int32).reshape(D, 12), numbers, alive)
    for length in (8, 64):
        room_before = layout.prompts.shape[1] * (40 + layout.numbers.shape[2] * length)
        new, rows = tiles.gather(layout, shapes, prompt_length=40, answer_length=length)
        count, width = new.numbers.shape[1:]
        assert width in (32, 8, 2, 1)
        assert count in {-(-(12 * 32 // width) // 2**j) for j in range(10)}
        assert count * (40 + width * length) <= room_before
        for device in range(D):
            before, after = (
                set(zip(t.prompts_of_rows[device][t.alive[device]], t.numbers[device][t.alive[device]], strict=True))
                for t in (layout, new)
            )
            assert before == after and len(after) == new.alive[device].sum()
            # The rows picked are those that the new layout names, the rows of a tile of one prompt.
            picked = layout.prompts_of_rows[device].reshape(-1)[rows[device]]
            np.testing.assert_array_equal(picked, new.prompts_of_rows[device])
            np.testing.assert_array_equal(layout.numbers[device].reshape(-1)[rows[device]], new.numbers[device])
        some = new.alive & (generator.random(new.alive.shape) < 0.7)
        some[0, 0, 0] = True
        layout = dataclasses.replace(new, alive=some)


def test_segments_end_at_the_longest_answer():
    assert segments.ends_of((), 40) == (40,)
    assert segments.ends_of((16, 32), 40) == (16, 32, 40)
    assert segments.ends_of((16, 32, 64), 32) == (16, 32)
    for wrong in ((0, 4), (4, 4), (8, 4)):
        with pytest.raises(ValueError, match=r"segments: got \(\d, 4\), allowed: positive integers that grow"):
            segments.ends_of(wrong, 40)
