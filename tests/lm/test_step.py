"""The RL step of any task: its halves, its metrics, and that accelerators can compile it."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from maxrl_jax import advantages, losses, metrics
from maxrl_jax.lm import decoder, evaluation, sft, step
from maxrl_jax.lm.policy import Policy
from maxrl_jax.lm.rollout import Rollouts, Settings
from maxrl_jax.lm.schedule import Schedule
from maxrl_jax.lm.task import Prompts, Task, Verdict

VOCABULARY, LENGTH = 8, 3


def prompts(phase, number, ids, batch_size):
    key = jax.random.fold_in(jax.random.key(7), number)
    tokens = jax.vmap(lambda i: jax.random.randint(jax.random.fold_in(key, i), (4,), 0, VOCABULARY))(ids)
    return Prompts(tokens, state=tokens[:, 0])


def judge(first, answers):
    """Half the credit for a first token that is even, all of it for the prompt's own first token."""
    right = answers[..., 0] == first[:, None]
    rewards = jnp.where(right, 1.0, 0.5 * (answers[..., 0] % 2 == 0))
    return Verdict(rewards, jnp.where(right, 0, 1), {"short": right & (answers[..., 1] == 0)})


TASK = Task(
    "copy",
    vocabulary_size=VOCABULARY,
    answer_length=LENGTH,
    prompts=prompts,
    judge=judge,
    held_out=prompts("held_out", 0, jnp.arange(5), 5),
    rewards="unit",
    measures=("short",),
    stop_tokens=(2,),
)
SETTINGS = step.Settings(
    num_prompts=4,
    num_rollouts=6,
    sampling=Settings(max_new_tokens=LENGTH, stop_tokens=(2,)),
    micro_batch_tokens=12,
)


@pytest.fixture(scope="module")
def policy():
    config = decoder.Config(
        vocab_size=VOCABULARY, hidden_size=8, intermediate_size=16, num_layers=1, num_heads=2, num_kv_heads=1
    )
    graph, params = nnx.split(decoder.Decoder(config, rngs=nnx.Rngs(0)))
    return Policy(graph, jnp.float32), params


def gradients(policy, params, number, **arguments):
    settings = arguments.pop("settings", SETTINGS)
    estimator = arguments.pop("estimator", advantages.get("rloo"))
    return step.gradients(policy, TASK, estimator, settings, params, step=number, key=jax.random.key(3), **arguments)


def drawn(policy, params, batch):
    return jax.jit(lambda params: step.draw(policy, SETTINGS, params, batch, jax.random.key(3), jnp.arange(4)))(params)


def plain_log_probs(policy, params, batch, tokens):
    """Of the answers' tokens, over full sequences."""
    whole = jnp.concatenate([jnp.repeat(batch.tokens[:, None], 6, axis=1), tokens], axis=-1).reshape(24, -1)
    log_probs = jax.nn.log_softmax(policy.master(params)(whole[:, :-1])[:, 3:])
    return jnp.take_along_axis(log_probs, whole[:, 4:, None], axis=-1)[..., 0].reshape(4, 6, LENGTH)


def check_gradients(result, loss, params):
    expected, slopes = jax.jit(jax.value_and_grad(loss))(params)
    np.testing.assert_allclose(result.loss, expected, rtol=1e-4, atol=1e-6)
    for ours, plain in zip(jax.tree.leaves(result.gradients), jax.tree.leaves(slopes), strict=True):
        np.testing.assert_allclose(ours, plain, rtol=1e-3, atol=1e-5)


def test_it_is_the_gradient_of_the_plain_loss(policy):
    """-(1/PN) sum_i A_i log m(z_i) over full sequences."""
    policy, params = policy
    result = jax.jit(lambda params: gradients(policy, params, 0))(params)
    batch = prompts("rl", 0, jnp.arange(4), 4)
    answers = drawn(policy, params, batch)
    weights = advantages.get("rloo")(judge(batch.state, answers.tokens).rewards)

    def loss(params):
        of_tokens = plain_log_probs(policy, params, batch, answers.tokens)
        return -jnp.mean(weights * jnp.sum(of_tokens * answers.mask, axis=-1))

    check_gradients(result, loss, params)


def test_an_older_policy_s_answers_are_weighed_as_wholes_by_the_loss_max_at_k(policy):
    policy, params = policy
    batch, settings = prompts("rl", 0, jnp.arange(4), 4), dataclasses.replace(SETTINGS, max_at_k=3)
    answers = drawn(policy, params, batch)
    verdict, old = judge(batch.state, answers.tokens), plain_log_probs(policy, params, batch, answers.tokens)
    moved = jax.tree.map(lambda leaf: 1.5 * leaf, params)
    given = policy, TASK, advantages.get("maxpo", k=3), settings, moved, batch, answers, verdict

    def loss(params):
        now = plain_log_probs(policy, params, batch, answers.tokens)
        return losses.max_at_k(now, answers.mask, verdict.rewards, old, k=3)

    check_gradients(step.learn(*given, old_log_probs=old), loss, moved)


def test_metrics_are_of_the_batch(policy):
    policy, params = policy
    batch = prompts("rl", 0, jnp.arange(4), 4)
    answers = drawn(policy, params, batch)
    rewards = np.asarray(judge(batch.state, answers.tokens).rewards)
    metrics = jax.jit(lambda params: gradients(policy, params, 0).metrics)(params)
    found = {name: float(value) for name, value in metrics.items()}
    assert found["reward_mean"] == pytest.approx(rewards.mean())
    assert found["solved"] == pytest.approx((rewards == 1).mean())
    assert found["all_fail"] == pytest.approx((rewards < 1).all(1).mean())
    assert found["fail_wrong"] == pytest.approx((rewards < 1).mean())
    assert found["answer_length"] == pytest.approx(np.asarray(answers.lengths).mean())
    assert found["no_signal"] == 0


def silent(rewards):
    return 0.0 * rewards


SIGNALS = [({}, False), ({"entropy_coef": 0.1}, True)]


@pytest.mark.parametrize(("terms", "signal"), SIGNALS)
def test_a_batch_of_zero_advantages_has_no_signal_but_an_entropy_bonus_has(policy, terms, signal):
    policy, params = policy
    settings = dataclasses.replace(SETTINGS, **terms)
    estimator = advantages.get("tests.lm.test_step:silent")
    result = gradients(policy, params, 0, settings=settings, estimator=estimator)
    assert bool(result.has_signal) is signal
    assert any(np.any(leaf) for leaf in jax.tree.leaves(result.gradients)) is signal


@pytest.mark.parametrize("platform", ["tpu", "cuda"])
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_the_step_lowers_for_accelerators(policy, platform, dtype):
    policy, params = policy
    policy = Policy(policy.graph, dtype)
    function = jax.jit(lambda params, number: gradients(policy, params, number))
    traced = function.trace(params, jax.ShapeDtypeStruct((), jnp.int32))
    assert traced.lower(lowering_platforms=(platform,)).as_text().count("stablehlo.while") >= 2


WRONG = [
    ({"judge": lambda first, answers: 1.0}, "judge of task copy: got an array"),
    ({"judge": lambda first, answers: Verdict(answers[..., 0])}, "judge's rewards of task copy: got int32"),
    ({"judge": lambda first, answers: Verdict(1.0 * answers[:, :1, 0])}, r"got float32 \[4, 1\], allowed"),
    ({"measures": ()}, r"measures of task copy: got \['short'\], allowed: \[\]"),
    ({"prompts": lambda *_: jnp.zeros((4, 4))}, "prompts of task copy: got an array"),
    ({"vocabulary_size": 4}, r"held-out prompts' tokens of task copy: got \d, allowed: 0 to 3"),
    ({"stop_tokens": (3, 16)}, "stop_tokens of task copy: got 16, allowed: 0 to 7"),
    ({"pad_token": -1}, "pad_token of task copy: got -1, allowed: 0 to 7"),
    ({"prompts": lambda p, s, i, b: Prompts(jnp.zeros((4, 3), jnp.int32))}, r"got int32 \[4, 3\]"),
]


@pytest.mark.parametrize(("fields", "message"), WRONG)
def test_a_wrong_task_is_named_without_running_it(fields, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(TASK, **fields).check(4)


@pytest.mark.parametrize("fields", [{"rewards": "graded"}, {"answer_length": 0}, {"vocabulary_size": 0}])
def test_impossible_tasks_are_refused(fields):
    with pytest.raises(ValueError, match=next(iter(fields))):
        dataclasses.replace(TASK, **fields)


def test_reasons_named_like_sums_change_no_metric(policy):
    policy, params = policy
    task = dataclasses.replace(TASK, reasons=("solved", "length"))
    settings = dataclasses.replace(SETTINGS, entropy_coef=0.1)
    arguments = {"step": 0, "key": jax.random.key(3)}
    one, other = (
        step.gradients(policy, each, advantages.get("rloo"), settings, params, **arguments).metrics
        for each in (TASK, task)
    )
    assert other["fail_length"] == one["fail_wrong"] > 0
    for name in ("reward_mean", "entropy", "answer_length", "no_signal", "solved"):
        assert one[name] == other[name], name


WRONG_NAMES = [
    ({"reasons": ("solved", "cut", "cut")}, "reasons of task copy"),
    ({"reasons": ("solved", "time out", "Time-out")}, "time_out is taken"),
    ({"measures": ("short", "short")}, "measures of task copy"),
    ({"measures": ("coverage",)}, "coverage is taken"),
    ({"measures": ("length", "entropy")}, "entropy, length are taken"),
    ({"unjudged": ("solved",)}, "unjudged of task copy"),
    ({"unjudged": ("cut",)}, "unjudged of task copy"),
]


@pytest.mark.parametrize(("fields", "message"), WRONG_NAMES)
def test_names_of_one_metric_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(TASK, **fields)


def test_answers_that_were_not_judged_have_no_vote():
    task = dataclasses.replace(
        TASK,
        reasons=("solved", "wrong", "cut", "error"),
        unjudged=("cut", "error"),
        votes=lambda tokens: tokens[..., 0],
    )
    answers = np.array([[[7], [7], [7], [5], [5]]])
    for codes, votes in (([0, 2, 3, 1, 1], [7, -1, -1, 5, 5]), ([2, 0, 0, 1, 3], [-1, 7, 7, 5, -1])):
        codes = np.array([codes])
        verdict = Verdict((codes == 0).astype(np.float32), codes, {"short": codes == 0})
        ones = np.ones(answers.shape)
        kept = evaluation.sums(task, verdict, Rollouts(answers, ones, ones, ones[..., 0], ones[..., 0]))
        assert kept["votes"].tolist() == [votes]
        share = metrics.majority_vote(kept["votes"], kept["votes_right"])
        assert share == [0 if votes[0] == 7 else 1]


def test_a_solution_that_is_padded_with_its_end_is_taught_to_end():
    def mask(solutions, **fields):
        task = dataclasses.replace(TASK, **fields)
        return sft._mask(task, jnp.asarray(solutions)).astype(int).tolist()

    ends = {"pad_token": 2, "stop_tokens": (2, 5)}
    assert mask([[3, 4, 2, 2], [3, 2, 2, 2], [3, 4, 6, 7]], **ends) == [[1, 1, 1, 0], [1, 1, 0, 0], [1, 1, 1, 1]]
    assert mask([[2, 2, 2], [3, 5, 2]], **ends) == [[1, 0, 0], [1, 1, 0]]
    assert mask([[3, 2, 0, 0]], pad_token=0, stop_tokens=(2,)) == [[1, 1, 0, 0]]


def test_a_schedule_is_one_program_with_the_estimator_of_each_step():
    rewards = jnp.asarray([[1.0, 0, 0, 1], [0, 0, 0, 1]])
    one, two, three = (advantages.get("maxpo", k=k) for k in (1, 2, 3))
    schedule, traced = Schedule(((0, three), (2, two), (5, one))), []

    @jax.jit
    def at(number):
        traced.append(number)
        return schedule.at(number)(rewards)

    for number, expected in enumerate((three, three, two, two, two, one, one)):
        np.testing.assert_allclose(at(jnp.int32(number)), expected(rewards), rtol=1e-6)
    assert len(traced) == 1
    assert Schedule(((0, one),)).at(7) is one
