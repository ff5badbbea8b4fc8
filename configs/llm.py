r"""Language models: SFT where it is asked for, then reinforcement learning from verified answers.

    python -m experiments.llm --config=configs/llm.py:VARIANT --workdir=DIR

| variant | what | hardware | time | expected |
|---|---|---|---|---|
| words | word problems, 0.1M parameters, SFT and a few RL steps | 2 CPU cores | minutes | a table |
| words_standin | 256 problems over 40 epochs, 0.3M parameters | 2 CPU cores | 20 min | results/words |
| gsm8k | SmolLM2-360M-Instruct on GSM8K (MaxRL Table 5) | a GPU or a pod | days | MaxRL Table 4 |
| polaris | Qwen3-1.7B-Base or 4B-Base on POLARIS-53K (MaxRL Table 6) | a pod | days | MaxRL Figure 5 |
| max_at_k | Llama-3.2-3B-Instruct, Qwen2.5-Math-7B; MaxPO, 4 clipped updates a batch | a pod | days | MaxPO Figure 2 |
| pkpo | Gemma-2-2B on MATH, k annealed from 8 to 1 (PKPO section 5.2) | a pod | days | PKPO Figure 4 |

The last four need a model's folder and two files of problems, which nothing here downloads (docs/llm.md):

    python -m experiments.llm --config=configs/llm.py:gsm8k --config.model.init_from=SmolLM2-360M-Instruct \
        --config.data.train=gsm8k/train.jsonl --config.data.eval=gsm8k/test.jsonl --workdir=DIR

Published: what MaxRL's Tables 5 and 6, MaxPO appendix H and PKPO section 5.2 list; the wording of prompts, what becomes
of an answer that reaches its limit, weight decay and clipping of the norm are those of MaxRL's release. Ours, as none
is published: rates and steps of `max_at_k` and `pkpo`, k and clip range of `max_at_k`, prompts a batch of `pkpo`, and
everything of `words`. Run at full size: `words_standin` alone (results/README.md).
"""

from ml_collections import ConfigDict

from configs import common, language_model

VARIANTS = ("words", "words_standin", "gsm8k", "polaris", "max_at_k", "pkpo")


def get_config(variant: str = "words") -> ConfigDict:
    """Returns the config of a variant.

    Raises:
        ValueError: an unknown variant.
    """
    common.check_variant(variant, VARIANTS)
    config = common.base("tiny" if variant == "words" else variant)
    config.task = "words"  # mathematics, or your own, my.module:factory (maxrl_jax/lm/task.py)
    config.words = _words()
    config.data = data()
    config.verifier = verifier()
    config.model = language_model.text_model(hidden_size=128, intermediate_size=512, max_positions=128)
    config.sft = sft()
    language_model.completions(config.log)
    config.rl = language_model.rl(steps=1500, num_prompts=256, learning_rate=1e-5)
    config.eval = _evaluation()
    {
        "words": _quick,
        "words_standin": _standin,
        "gsm8k": _gsm8k,
        "polaris": _polaris,
        "max_at_k": _max_at_k,
        "pkpo": _pkpo,
    }[variant](config)
    return config


def _words() -> ConfigDict:
    words = ConfigDict()
    words.num_problems = 256  # of the fixed training set of RL
    words.num_demonstrations = 32_768  # of the teacher's, for SFT
    words.set_seed = 0  # which problems: the same for every seed of a run
    words.training = ""  # as demonstrations; rare: words that the teacher mostly misreads; long: chains of 5 and 6
    words.held_out = ""  # likewise
    return words


def data() -> ConfigDict:
    data = ConfigDict()  # of the task mathematics
    data.train = ""  # a .jsonl or .parquet file of problems
    data.eval = ""
    data.train_layout = "plain"  # gsm8k, polaris, math500, plain ({prompt, answer}), or your own, my.module:LAYOUT
    data.eval_layout = "plain"
    data.question = ""  # column of the questions; empty: the layout's
    data.answer = ""  # column of the answers; empty: the layout's
    data.solution = ""  # column of train with the solutions that SFT imitates; empty: none
    data.max_prompt_length = 512  # tokens; problems with longer prompts are left out, and counted
    data.max_answer_length = 2048  # tokens
    data.drop_shared = False  # problems of train that eval holds too are left out; else they are counted
    data.cut_is_wrong = True  # an answer that reaches this length; False: it is judged as it stands
    return data


def verifier() -> ConfigDict:
    verifier = ConfigDict()  # of the task mathematics
    verifier.grade = "math-verify"  # or your own function (answer, gold) -> bool, as my.module:function
    verifier.workers = 0  # processes; 0: one a core, up to 16
    verifier.seconds = 12.0  # after which an answer counts as wrong
    return verifier


def sft() -> ConfigDict:
    sft = language_model.sft(steps=0, batch_size=64, learning_rate=2e-3)
    sft.micro_batch = 32
    sft.optimizer.b2 = 0.95
    return sft


def _evaluation() -> ConfigDict:
    evaluation = language_model.evaluation(num_samples=64, every_steps=100)
    evaluation.num_prompts = 256  # held-out problems, the first of the file
    evaluation.temperature = 0.6
    evaluation.top_p = 0.95
    return evaluation


def _on_words(config: ConfigDict) -> None:
    """Sampling is as in training: a policy of a few thousand words has no tail to cut off."""
    config.eval.temperature = 1.0
    config.eval.top_p = 1.0
    config.rl.num_prompts = 32
    config.rl.num_rollouts = 32
    config.rl.learning_rate = 3e-4
    config.rl.micro_batch_tokens = 4096  # the model is small, so larger pieces than the default pay
    config.checkpoint.every_steps = 100


def _quick(config: ConfigDict) -> None:
    _on_words(config)
    config.words.num_demonstrations = 16_384
    config.model.hidden_size = 64
    config.model.intermediate_size = 256
    config.model.num_layers = 2
    config.sft.steps = 600
    config.rl.steps = 32
    config.rl.steps_per_call = 8  # divides the steps between evaluations: all calls are one program
    config.rl.num_rollouts = 16
    config.eval.num_prompts = 64
    config.eval.num_samples = 32
    config.eval.every_steps = 16


def _standin(config: ConfigDict) -> None:
    _on_words(config)
    config.model.hidden_size = 64
    config.model.intermediate_size = 256
    config.sft.steps = 3000
    config.sft.optimizer.learning_rate = 3e-3
    config.sft.eval_every_steps = 1000
    config.rl.num_rollouts = 16
    config.rl.learning_rate = 6e-4  # the best of four for MaxRL and RLOO; for GRPO it is 1e-3 (results/README.md)
    config.rl.steps = 320  # 40 epochs of 256 problems
    config.eval.every_steps = 40  # 5 epochs


def _on_mathematics(config: ConfigDict) -> None:
    config.task = "mathematics"
    config.model.remat = True
    config.rl.steps_per_call = 1
    config.rl.decode_rows = config.eval.decode_rows = 256  # whose caches fit 80 GB (docs/scaling.md)
    config.rl.decode_segments = (256, 512, 1024, 2048)
    config.checkpoint.every_steps = 20
    config.eval.num_prompts = 100_000  # all there are


def _gsm8k(config: ConfigDict) -> None:
    _on_mathematics(config)
    config.data.train_layout = config.data.eval_layout = "gsm8k"
    config.eval.num_samples = 128
    config.eval.every_steps = 145  # 5 epochs of 7,473 problems


def _polaris(config: ConfigDict) -> None:
    _on_mathematics(config)
    config.data.train_layout = "polaris"
    config.data.eval_layout = "math500"
    config.data.max_prompt_length = 1024
    config.data.max_answer_length = 4096
    config.data.cut_is_wrong = False
    config.rl.steps = 1000
    config.rl.num_rollouts = 16
    config.rl.learning_rate = 1e-6
    config.rl.decode_rows = config.eval.decode_rows = 32
    config.eval.num_samples = 32


def _max_at_k(config: ConfigDict) -> None:
    _on_mathematics(config)
    config.rl.steps = 500
    config.rl.num_prompts = 1024
    config.rl.num_rollouts = 8
    config.rl.minibatches = 4
    config.rl.clip_epsilon = 0.2
    config.rl.learning_rate = 1e-6
    config.rl.advantage = common.advantage("maxpo", k=4)
    config.rl.decode_rows = 1024


def _pkpo(config: ConfigDict) -> None:
    _on_mathematics(config)
    config.rl.steps = 3000
    config.rl.num_prompts = 64
    config.rl.num_rollouts = 16
    config.rl.learning_rate = 1e-6
    # Its baseline takes sets of k - 1 answers, of which k = 1 leaves none: from there on leave-one-out.
    baseline = ((0, "loo_minus_one"), (1500, "loo"))
    config.rl.advantage = common.advantage("pkpo", k=((0, 8), (1500, 1)), baseline=baseline)
    config.rl.decode_rows = 1024
