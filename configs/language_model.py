"""The groups of fields that studies of a decoder share: model, sft, rl, eval; a config file gives its own numbers."""

from ml_collections import ConfigDict

from configs import common


def model(*, hidden_size: int, intermediate_size: int, max_positions: int) -> ConfigDict:
    """The decoder's shape, and how it is computed with."""
    model = ConfigDict()
    model.init_from = ""  # a model folder in Hugging Face's format: it decides the shape (mazes: it must have this one)
    model.hidden_size = hidden_size
    model.intermediate_size = intermediate_size
    model.num_layers = 4
    model.num_heads = 4
    model.num_kv_heads = 2
    model.max_positions = max_positions
    model.compute_dtype = "auto"  # float32, bfloat16; auto: bfloat16 on accelerators, float32 on CPU
    model.export_dtype = ""  # of the folders that are written: float32, bfloat16; empty: as in model.init_from
    model.remat = False  # gradients run each block again and keep less of it: less memory, more time
    return model


def text_model(*, hidden_size: int, intermediate_size: int, max_positions: int) -> ConfigDict:
    """`model` with a tokenizer and a chat template."""
    model_ = model(hidden_size=hidden_size, intermediate_size=intermediate_size, max_positions=max_positions)
    model_.template = ""  # of the chat template, JSON: {"enable_thinking": false, "strftime_now": "2025-01-31"}
    model_.system = ""  # text of a system's turn before each prompt
    return model_


def sft(*, steps: int, batch_size: int, learning_rate: float) -> ConfigDict:
    """Supervised fine-tuning on the task's own solutions."""
    sft = ConfigDict()
    sft.steps = steps
    sft.batch_size = batch_size
    sft.train_on_prompts = False  # the loss is of the prompts' tokens too
    sft.eval_every_steps = 0  # held-out evaluation during SFT, as sft/pass@K; 0: none
    sft.export_steps = ()  # after each of these steps the model is written to model_sft_STEP/
    sft.micro_batch = 0  # sequences run at a time on a device; 0: 4 on CPU, all on accelerators
    sft.steps_per_call = 10
    sft.optimizer = common.optimizer(
        "adamw", learning_rate=learning_rate, schedule="cosine", weight_decay=0.01, clip_norm=1.0
    )
    return sft


def rl(*, steps: int, num_prompts: int, learning_rate: float) -> ConfigDict:
    """Rollouts of a batch, their advantages and the update."""
    rl = ConfigDict()
    rl.steps = steps
    rl.num_prompts = num_prompts
    rl.num_rollouts = 128
    rl.learning_rate = learning_rate
    rl.aggregation = "token_mean"  # over the global batch, as published; sequence_sum is the unbiased one
    rl.advantage = common.advantage("maxrl")
    rl.entropy_coef = 0.0
    rl.kl_coef = 0.0  # KL to the policy RL starts from
    rl.loss = "policy_gradient"  # max_at_k: mini-batches of maxpo after the first, weighed by whole answers' ratios
    rl.minibatches = 1  # updates that a batch is cut into, by prompts, with ratios to the policy that drew
    rl.clip_epsilon = 0.0  # range that those ratios are clipped to, 1 +- it; 0: none
    rl.temperature = 1.0
    rl.top_p = 1.0
    rl.steps_per_call = 10
    rl.rollouts = ""  # my.module:factory, an engine of your own that draws the answers (maxrl_jax/lm/engine.py)
    rl.largest_weight = 2.0  # that engine's answers are weighed by pi / mu of a whole answer, cut to this
    rl.decode_rows = 0  # rollouts decoded at a time on a device; 0: all
    rl.decode_segments = ()  # tokens after which finished answers leave and are judged (evaluations too); (): one loop
    rl.micro_batch_tokens = 0  # answer tokens of one micro-batch; 0: 1,024 on CPU, 65,536 on accelerators
    rl.optimizer = common.optimizer("adamw", learning_rate=None, weight_decay=0.01, clip_norm=1.0)
    rl.optimizer.skip_zero = True  # a batch without signal (every advantage 0) moves neither parameters nor momentum
    return rl


def completions(log: ConfigDict) -> None:
    """Fields of answers to read, completions.jsonl, which every evaluation writes."""
    log.completions_every = 0  # RL steps between further ones; 0: none
    log.completions_prompts = 8  # held-out prompts, and up to 4 newly solved or worst ones; 0: no completions
    log.completions_answers = 8  # of each prompt


def evaluation(*, num_samples: int, every_steps: int) -> ConfigDict:
    """Pass@k on held-out prompts."""
    evaluation = ConfigDict()
    evaluation.num_samples = num_samples
    evaluation.temperature = 1.0  # 0 is greedy
    evaluation.top_p = 1.0
    evaluation.every_steps = every_steps  # also before the first RL step and after the last
    evaluation.decode_rows = 0  # samples decoded at a time on a device; 0: 512 on CPU, 16,384 on accelerators
    return evaluation
