"""Problems of reasoning-gym: sets apart by content, answers taken out of texts by rule, the package's own verdicts."""

import pytest

from maxrl_jax.tasks import mathematics, reasoning_gym
from maxrl_jax.tasks.mathematics.grading import NO_ANSWER, RIGHT, WRONG

SMALL = "products(max_digits=1), count_bits(max_n=31), spell_backward"


def sets(tasks=SMALL, **fields):
    sizes = {"num_problems": 40, "num_held_out": 16, "seed": 0}
    return reasoning_gym.make_sets(reasoning_gym.read_tasks(tasks), **(sizes | fields))


@pytest.mark.parametrize("num_problems", [4, 40, 1000])
def test_no_problem_is_in_both_sets(num_problems):
    """Pools of 31 and of about 100 problems too, whose seeds would share most of them."""
    training, held_out = sets(num_problems=num_problems)
    questions = [record.prompt for record in (*training, *held_out)]
    assert len(set(questions)) == len(questions)
    for name in ("products", "count_bits", "spell_backward"):
        counts = [sum(record.gold.spec.name == name for record in records) for records in (training, held_out)]
        assert 0 < counts[0] <= num_problems
        assert 0 < counts[1] <= 16
        if name == "count_bits" and num_problems == 1000:
            assert sum(counts) <= 31
            assert counts[1] <= sum(counts) // 3


def test_sets_follow_the_seed_and_come_in_turn():
    training, held_out = sets()
    assert (training, held_out) == sets()
    assert {record.prompt for record in training} != {record.prompt for record in sets(seed=1)[0]}
    assert [record.gold.spec.name for record in held_out[:4]] == [
        "products", "count_bits", "spell_backward", "products"
    ]  # fmt: skip
    assert sets(instruction=" Be brief.")[0][0].prompt == training[0].prompt + " Be brief."


@pytest.mark.parametrize(
    ("rule", "text", "said"),
    [
        ("number", "2 * 4 = 8", "8"),
        ("number", "It is 3 - 5 = -2.", "-2"),
        ("number", "5-3", "3"),
        ("number", "1,234.50 in all", "1,234.50"),
        ("number", "first 7, then \\boxed{-3}", "-3"),
        ("number", "none", None),
        ("word", "The word is **evals**.", "evals"),
        ("line", "so\n a b \n", "a b"),
        ("text", " 1 2\n3 4 \n", "1 2\n3 4"),
        ("text", " \n", None),
        ("box", "the answer is 4", None),
    ],
)
def test_an_answer_is_taken_out_of_its_text(rule, text, said):
    assert reasoning_gym.extract(text, rule) == said


def test_the_rule_of_a_task_is_that_of_its_golds():
    for tasks, rule in (
        ("chain_sum", "number"),
        ("spell_backward", "word"),
        ("word_sorting", "line"),
        ("mini_sudoku", "text"),
    ):
        assert {record.gold.rule for record in sets(tasks, num_problems=8, num_held_out=4)[0]} == {rule}
    assert sets(extract="box")[0][0].gold.rule == "box"


def test_a_verdict_is_the_packages():
    """Right is a score of 1; the score itself is the reward where it is asked for."""
    _, held_out = sets("mini_sudoku, products(max_digits=1)", num_problems=4, num_held_out=2)
    sudoku, product = held_out[0].gold, held_out[1].gold
    binary, graded = reasoning_gym.Grade(), reasoning_gym.Grade(graded=True)
    for record in held_out:
        assert binary(str(record.gold), record.gold) == graded(str(record.gold), record.gold) == (RIGHT, 1.0)
    near = str(sudoku)[:-1] + "1234"[int(str(sudoku)[-1]) % 4]
    assert binary(near, sudoku) == (WRONG, 0.0)
    reason, reward = graded(near, sudoku)
    assert reason == WRONG
    assert 0 < reward < 1
    assert binary("no idea", product) == (NO_ANSWER, 0.0)


def test_workers_judge_in_order():
    _, held_out = sets("mini_sudoku, products(max_digits=1)", num_problems=4, num_held_out=2)
    golds = [record.gold for record in held_out]
    answers = [f"The answer:\n{gold}" if gold.rule == "text" else f"It is {gold}." for gold in golds]
    with mathematics.Verifier(1, 20.0, reasoning_gym.Grade(graded=True)) as verifier:
        rewards, reasons = verifier.judge([*answers, "no"], [*golds, golds[1]])
    assert reasons == [WRONG, RIGHT, WRONG, RIGHT, NO_ANSWER]
    assert 0 < rewards[0] < 1
    assert rewards[1] == rewards[3] == 1.0
    assert rewards[4] == 0.0


@pytest.mark.parametrize(
    ("tasks", "message"),
    [
        ("prodcts", "such as products"),
        ("products(digits=1)", "parameters of products: min_terms, max_terms, min_digits, max_digits"),
        ("products(max_digits=0)", "values that products takes (max_digits must be >= min_digits)"),
        ("products(1)", "names such as"),
        ("products gcd", "names such as"),
        ("", "names such as"),
        ("gcd, gcd(max_value=20)", "gcd stands twice"),
    ],
)
def test_a_wrong_task_is_one_line(tasks, message):
    with pytest.raises(ValueError, match=r"^[^\n]*$") as error:
        reasoning_gym.read_tasks(tasks)
    assert message in str(error.value)
