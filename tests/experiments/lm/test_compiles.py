"""A run's compiles: one program for all steps, whatever is scheduled, and one for all evaluations."""

import collections
import itertools

import jax
import pytest

from experiments.lm.__main__ import check, run
from maxrl_jax.runs.config.load import load
from maxrl_jax.runs.loop.chunks import boundary
from tests.experiments.lm.small import ROOT, lines, words

EVENT = "/jax/core/compile/backend_compile_duration"


@pytest.fixture
def compiled():
    """Names of the programs that were compiled, or read from the cache of compiles, and how often."""
    found = collections.Counter()

    def count(event, seconds, fun_name="", **_):
        found[fun_name.removeprefix("jit(").removesuffix(")")] += event == EVENT

    jax.monitoring.register_event_duration_secs_listener(count)
    yield found
    jax.monitoring.unregister_event_duration_listener(count)


SUMS = {"task": "tests.experiments.lm.own_task:sums", "sft.eval_every_steps": 1, "sft.steps_per_call": 1}
SCHEDULE = {
    "rl.advantage.name": "maxpo",
    "rl.advantage.k": ((0, 3), (1, 2), (3, 1)),
    "rl.steps": 4,
    "eval.every_steps": 1,
}
SHOWN = {"log.completions_prompts": 2, "log.completions_answers": 2}
ONE = {"chunk": 2, "_traced": 1, "learn": 0}  # a chunk of SFT, one of RL, and an evaluation's block
STEP = {"chunk": 1, "prompts": 1, "judge": 2, "learn": 1, "begin": 2, "advance": 2, "_count": 1}  # 2: evaluations too
CASES = [({}, ONE), ({"rl.minibatches": 2}, ONE), ({"rl.decode_segments": (1,)}, STEP)]


@pytest.mark.parametrize(("overrides", "expected"), CASES, ids=["one_program", "minibatches", "segments"])
def test_a_schedule_evaluations_and_completions_compile_nothing_again(tmp_path, compiled, overrides, expected):
    config = words(**SUMS, **SCHEDULE, **SHOWN, **overrides)
    check(config)
    compiled.clear()
    run(config, tmp_path)
    assert {name: compiled[name] for name in expected} == expected, compiled
    assert len(lines(tmp_path, "eval/")) == 5


VARIANTS = [f"maze.py:{name}" for name in ("tiny", "small", "table3", "figure3", "scarce")]
VARIANTS += [f"llm.py:{name}" for name in ("words", "words_standin")]


@pytest.mark.parametrize("variant", VARIANTS)
def test_all_calls_of_a_run_have_one_length(variant):
    """Each length of calls is a program of its own."""
    config = load(f"{ROOT}/configs/{variant}")
    for phase, every in ((config.sft, config.sft.eval_every_steps), (config.rl, config.eval.every_steps)):
        cuts = [config.checkpoint.every_steps, every]
        ends = [0]
        while ends[-1] < phase.steps:
            ends.append(boundary(ends[-1], phase.steps, phase.steps_per_call, cuts))
        assert len({end - start for start, end in itertools.pairwise(ends)}) <= 1, ends
