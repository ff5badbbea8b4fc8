"""Mazes: supervised fine-tuning on solutions, then reinforcement learning from a verifier's rewards.

    python -m experiments.maze --config=configs/maze.py:VARIANT --workdir=DIR

| variant | what | hardware | time | expected |
|---|---|---|---|---|
| tiny | 9 x 9, 0.1M parameters, SFT 250 steps, RL 200 steps of 32 x 32 | 2 CPU cores | 4 min | results/maze_9 |
| small | 11 x 11, RL 400 steps of 32 x 32 from results/maze_11/base | 1 core, busy | 12 min | results/maze_11 |
| base | 17 x 17, 3.9M parameters, SFT on a wall follower's ways | 2 CPU cores | 50 min | results/maze_17 |
| published_sft | 17 x 17, the published SFT of 1,500 x 32, evaluated | 2 CPU cores | 2 h | pass@1 0.011 published |
| table3 | 17 x 17, 32 prompts x 128 rollouts, 20,000 steps (MaxRL Table 3) | one GPU | a day | pass@1 0.84 published |
| figure3 | 17 x 17, 256 prompts x N rollouts, 9,000 steps (MaxRL Figure 3) | GPU or pod | days | the published curves |
| scarce | 17 x 17, a fixed training set of 8,192 mazes over many epochs | one GPU | hours | pass@k decays with RL |

Rows of Table 3: ``--config.rl.advantage.name=`` maxrl, grpo, rloo, ``pkpo --config.rl.advantage.k=16``,
differential_smoothing, self_masked, and grpo with ``--config.rl.entropy_coef=0.01``.

`table3`, `figure3` and `scarce` start from results/maze_17/base, which `base` made, so they have no SFT: the published
one hardly reads walls. Another model: ``--config.model.init_from=FOLDER`` (Hugging Face's format) or
``--config.model.init_from= --config.checkpoint.init_from=RUN``; SFT of their own, or another shape:
``--config.model.init_from= --config.sft.steps=1500``. `tiny` fine-tunes first; with a model given,
``--config.sft.steps=0`` leaves that out. The base of `small` is its own SFT:
``--config.model.init_from= --config.sft.steps=800 --config.rl.steps=0``.

Published: the model, SFT (`published_sft`) and RL numbers below (MaxRL appendix E.1); the SFT's constant rate (its
cosine is over 312,500 steps, of which 1,500 are run) and betas, clipping, weight decay and token_mean are those of
the authors' release. Ours: the SFT of `tiny` and `base`, and Muon in RL from the committed base. `published_sft` as it
stands was not run here (results/README.md).
"""

from pathlib import Path

from ml_collections import ConfigDict

from configs import common, language_model

VARIANTS = ("tiny", "small", "base", "published_sft", "table3", "figure3", "scarce")
RESULTS = Path(__file__).resolve().parents[1] / "results"
BASE = RESULTS / "maze_17" / "base"


def get_config(variant: str = "tiny") -> ConfigDict:
    """Returns the config of a variant.

    Raises:
        ValueError: an unknown variant.
    """
    common.check_variant(variant, VARIANTS)
    config = common.base(variant)
    config.task = "maze"  # or your own, my.module:factory (maxrl_jax/lm/task.py)
    config.maze = _maze()
    config.model = language_model.model(hidden_size=256, intermediate_size=1024, max_positions=512)
    config.sft = language_model.sft(steps=1500, batch_size=32, learning_rate=5e-4)
    language_model.completions(config.log)
    config.rl = language_model.rl(steps=20_000, num_prompts=32, learning_rate=1e-4)
    config.eval = _evaluation()
    {
        "tiny": _tiny,
        "small": _small,
        "base": _base,
        "published_sft": _published_sft,
        "table3": _table3,
        "figure3": _figure3,
        "scarce": _scarce,
    }[variant](config)
    return config


def _maze() -> ConfigDict:
    maze = ConfigDict()
    maze.size = 17  # squares a side, odd, >= 5
    maze.num_held_out = 256  # mazes never trained on, by content; at most a third of those there are
    maze.imitated = "solution"  # by SFT; wall_follower: a walk that turns right where it can, to learn walls from
    maze.training_set = 0  # a fixed set of so many mazes over many epochs; 0: a new maze every time
    maze.reward = "solved"  # 0 or 1, as published; exact: 0 for moves after the goal too; path_quality: in [0, 1]
    maze.answer_length = 0  # new tokens sampled; 0: 180 at 17 x 17, else twice the longest solution
    return maze


def _evaluation() -> ConfigDict:
    evaluation = language_model.evaluation(num_samples=2048, every_steps=1000)
    evaluation.num_mazes = 256  # the first of the held-out ones
    evaluation.seed = 0  # of the held-out mazes: the same ones for every seed of a run
    return evaluation


def _tiny(config: ConfigDict) -> None:
    config.maze.size = 9  # 100,352 mazes in all
    config.maze.reward = "exact"
    config.model.hidden_size = 64
    config.model.intermediate_size = 256
    config.model.num_layers = 2
    config.model.num_heads = 2
    config.model.num_kv_heads = 1
    config.sft.steps = 250
    config.sft.batch_size = 64
    config.sft.optimizer.learning_rate = 2e-3
    config.sft.optimizer.schedule = "constant"  # under a cosine to 0 the model stops before it reads the walls
    config.sft.optimizer.b2 = 0.95
    config.rl.steps = 200
    config.rl.num_prompts = 32
    config.rl.num_rollouts = 32
    config.rl.micro_batch_tokens = 4096  # the model is small, so larger pieces than the default pay
    config.rl.learning_rate = 3e-4  # MaxRL's own; the best for GRPO is 2e-4, for RLOO 1e-4
    config.eval.num_mazes = 128
    config.eval.num_samples = 128
    config.eval.every_steps = 50
    config.checkpoint.every_steps = 50


def _small(config: ConfigDict) -> None:
    _tiny(config)
    config.model.init_from = str(RESULTS / "maze_11" / "base")
    config.maze.size = 11
    config.sft.steps = 0
    config.rl.steps = 400
    config.rl.learning_rate = 2e-4  # MaxRL's own; the best for GRPO and RLOO is 1e-4
    config.rl.decode_rows = 128  # the caches of more do not fit a CPU's own
    config.eval.num_mazes = 256
    config.eval.every_steps = 100


def _base(config: ConfigDict) -> None:
    config.maze.reward = "exact"
    config.maze.imitated = "wall_follower"  # its moves follow from the walls beside them: they teach to read walls
    config.sft.train_on_prompts = True  # without these the model hardly knows which column a square is in
    config.sft.batch_size = 8
    config.sft.eval_every_steps = 100
    config.sft.optimizer.name = "muon"
    config.sft.optimizer.momentum = 0.95
    config.sft.optimizer.b2 = 0.95
    config.sft.optimizer.learning_rate = 1e-3
    config.sft.optimizer.warmup_steps = 20
    config.rl.steps = 0
    config.eval.num_samples = 2  # a curve of pass@1; of the end, experiments.lm.evaluate takes more
    config.checkpoint.every_steps = 50


def _published_sft(config: ConfigDict) -> None:
    config.sft.optimizer.schedule = "constant"
    config.sft.optimizer.b2 = 0.95
    config.rl.steps = 0
    config.eval.num_samples = 512
    config.checkpoint.every_steps = 50


def _table3(config: ConfigDict) -> None:
    config.model.init_from = str(BASE)
    config.sft.steps = 0
    # Published: adamw. At 1e-4 without a warm-up, with 8 x 32 rollouts, it took this base's pass@1 to 0 in four steps
    # (results/README.md); with a warm-up it was not tried.
    config.rl.optimizer.name = "muon"
    config.rl.optimizer.momentum = 0.95
    config.rl.optimizer.warmup_steps = 10


def _figure3(config: ConfigDict) -> None:
    _table3(config)
    config.rl.steps = 9000
    config.rl.num_prompts = 256


def _scarce(config: ConfigDict) -> None:
    _table3(config)
    config.maze.training_set = 8192
