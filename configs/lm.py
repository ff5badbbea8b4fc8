r"""A real language model of 135M parameters on procedural problems of reasoning-gym, on two CPU cores.

    python -m experiments.lm.fetch --model=smollm2-135m --out=models/smollm2-135m
    python -m experiments.lm --config=configs/lm.py:smollm2_quick --workdir=DIR

| variant | problems | hardware | time |
|---|---|---|---|
| smollm2_quick | one-digit products, 12 RL steps | 2 CPU cores, 7 GB | 4 min a method |
| smollm2 | seven tasks in turn, 200 RL steps | 2 CPU cores, 7 GB | up to 2.5 h a method; not run |

The second is an estimate from the slowest steps and batches of the first (perf/ in its metrics.jsonl), with answers a
third longer: 35 s a step, 8 s for 128 answers of an evaluation.

The three methods of the quick study, a table and a figure: `make demo-lm`. Expected: docs/llm.md. Other problems are
``--config.reasoning_gym.tasks``, another model is ``--config.model.init_from``; both variants are ours, not published.
"""

from ml_collections import ConfigDict

from configs import common, language_model, llm

VARIANTS = ("smollm2_quick", "smollm2")


def get_config(variant: str = "smollm2_quick") -> ConfigDict:
    """Returns the config of a variant.

    Raises:
        ValueError: an unknown variant.
    """
    common.check_variant(variant, VARIANTS)
    config = common.base(variant)
    config.task = "reasoning_gym"  # mathematics, or your own, my.module:factory (maxrl_jax/lm/task.py)
    config.reasoning_gym = _reasoning_gym()
    config.data = llm.data()
    config.data.max_prompt_length = 128
    config.data.max_answer_length = 16
    config.verifier = llm.verifier()
    config.verifier.seconds = 60.0  # of a busy machine; a verdict takes a millisecond
    config.model = language_model.text_model(hidden_size=576, intermediate_size=1536, max_positions=8192)
    config.model.init_from = "models/smollm2-135m"
    config.sft = llm.sft()
    language_model.completions(config.log)
    config.rl = language_model.rl(steps=200, num_prompts=8, learning_rate=1e-5)
    config.rl.num_rollouts = 16
    config.rl.steps_per_call = 1
    config.rl.micro_batch_tokens = 512  # takes less memory than all answers of a batch at once
    config.eval = language_model.evaluation(num_samples=64, every_steps=50)
    config.eval.num_prompts = 112
    config.eval.temperature = 1.0  # as in training; 0.6 is an evaluation of its own: experiments.lm.evaluate
    config.eval.top_p = 1.0
    config.checkpoint.every_steps = 20  # 1.6 GB each
    config.checkpoint.max_to_keep = 1
    if variant == "smollm2_quick":
        _quick(config)
    return config


def _reasoning_gym() -> ConfigDict:
    gym = ConfigDict()
    # Tasks of the package, each with its own parameters in brackets.
    gym.tasks = (
        "products(max_digits=1), gcd(max_value=20), count_bits(max_n=31), letter_counting(min_words=1, max_words=2), "
        "basic_arithmetic(min_terms=2, max_terms=2, max_digits=1), simple_equations(max_value=20), "
        "chain_sum(min_terms=3, max_terms=3, max_digits=1)"
    )
    gym.num_problems = 1000  # of each task, for training; fewer where it has no more
    gym.num_held_out = 16  # of each task, none of which is trained on
    gym.set_seed = 0  # which problems: the same for every seed of a run
    gym.reward = "binary"  # 1 for a right answer; graded: the package's score, from 0 to 1
    gym.extract = "auto"  # where a text has its answer: number, word, line, text, box; auto: by the golds' kind
    gym.instruction = ""  # added to each question
    return gym


def _quick(config: ConfigDict) -> None:
    config.reasoning_gym.tasks = "products(max_digits=1)"
    config.reasoning_gym.num_held_out = 32
    config.data.max_answer_length = 12
    config.rl.steps = 12
    config.rl.learning_rate = 2e-5
    config.eval.num_prompts = 32
    config.eval.num_samples = 16
    config.eval.every_steps = 6
    config.checkpoint.every_steps = 4  # 1.6 GB each
