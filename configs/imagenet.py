r"""Image classification: exact maximum likelihood (cross-entropy) against RL on right and wrong (MaxRL section 6.1).

    python -m experiments.imagenet --config=configs/imagenet.py:VARIANT --workdir=DIR

| variant | what | hardware | time | expected |
|---|---|---|---|---|
| tiny | 1,000 drawn glyphs, 16 x 16, ResNet-8, 1,000 steps of 256 | 2 CPU cores | 3 min | results/imagenet_tiny |
| standin | the same, 32 x 32, ResNet-18, 10,000 steps of 256 | one GPU | minutes | the order of `paper` |
| paper | ImageNet, ResNet-50, 100,091 steps of 256 (MaxRL D.2) | one GPU | 15 h published | top-1 0.71 published |
| pod | `paper` with a global batch of 4,096 | TPU pod | not measured | top-1 of `paper` |

`paper` and `pod` need ``--config.data.dir=DIR``, the folder made by ``python -m experiments.imagenet.prepare``.

Methods: ``--config.loss.name=cross_entropy``, or policy_gradient (the default) with
``--config.loss.advantage.name=`` maxrl, grpo, mean_baseline (what the paper calls REINFORCE) or any other symmetric
estimator, ``--config.loss.num_rollouts=`` any N, and ``--config.loss.sampling=`` counts (as published), marginal or
expected. The learning-rate sweep of D.2: configs/sweeps/imagenet_lr.yaml.

Published: everything of `paper` down to the evaluation by plain resizing. D.2 lists no weight decay, label smoothing or
clipping, so there is none. The zero scale at the end of each residual branch is ours. `tiny` and `standin` are ours.
"""

from ml_collections import ConfigDict

from configs import common

VARIANTS = ("tiny", "standin", "paper", "pod")

_IMAGES = 1_281_167  # of ImageNet's training set
_EPOCHS = 20


def get_config(variant: str = "tiny") -> ConfigDict:
    """Returns the config of a variant.

    Raises:
        ValueError: an unknown variant.
    """
    common.check_variant(variant, VARIANTS)
    config = common.base(variant)
    config.batch_size = 256  # images a step, over all devices
    config.steps = _EPOCHS * _IMAGES // 256
    config.steps_per_call = 1  # steps of one compiled call
    config.data = _data()
    config.model = _model()
    config.loss = _loss()
    # Published: no Nesterov momentum, cosine to 0, linear warm-up over the first epoch.
    config.optimizer = common.optimizer(
        "sgd", learning_rate=0.1, momentum=0.9, schedule="cosine", warmup_steps=-(-_IMAGES // 256)
    )
    config.eval = _evaluation()
    config.checkpoint.every_steps = 5005
    config.log.every_steps = 20
    {"tiny": _tiny, "standin": _standin, "paper": _paper, "pod": _pod}[variant](config)
    return config


def _data() -> ConfigDict:
    data = ConfigDict()
    data.name = "imagenet2012"  # imagenet2012; drawn on the device: glyphs, kanji (extra), digits
    data.dir = ""  # imagenet2012: the prepared folder
    data.image_size = 224  # pixels a side
    data.num_classes = 1000
    data.num_workers = 16  # imagenet2012: processes of each host that decode; 0: threads of the run itself
    data.eval_crop = False  # imagenet2012: False resizes the whole image (D.2), True resizes to 256 and cuts the middle
    data.jitter = 1.0  # drawn: strength of what differs between images of a class
    data.seed = 0  # drawn: of the classes and the validation images, the same for every seed of a run
    return data


def _model() -> ConfigDict:
    model = ConfigDict()
    model.depth = 50  # 8, 10, 14, 18, 34, 50, 101, 152
    model.width = 64  # channels of the first stage
    model.stem = "imagenet"  # imagenet: 7 x 7 stride 2 and max pool; stride1, stride2: 3 x 3, for small images
    model.compute_dtype = "auto"  # float32, bfloat16; auto: bfloat16 on accelerators, float32 on CPU
    return model


def _loss() -> ConfigDict:
    loss = ConfigDict()
    loss.name = "policy_gradient"  # cross_entropy, policy_gradient
    loss.advantage = common.advantage("maxrl")
    loss.num_rollouts = 1024
    loss.sampling = "counts"  # counts, marginal, expected
    return loss


def _evaluation() -> ConfigDict:
    evaluation = ConfigDict()
    evaluation.every_steps = 5005  # also before the first step and after the last
    evaluation.batch_size = 256
    evaluation.num_images = 50_000  # drawn: size of the fixed validation set; imagenet2012 has its own
    evaluation.gradient_norm_step = 0  # after so many steps figures/gradient_norms.csv is written (Figure 8); 0: never
    evaluation.gradient_norm_images = 1000
    evaluation.gradient_norm_chunk = 0  # images whose gradients are held at once; 0: 16
    return evaluation


def _paper(config: ConfigDict) -> None:
    config.eval.gradient_norm_step = 1500


def _pod(config: ConfigDict) -> None:
    scale = 16
    config.batch_size *= scale
    config.steps = _EPOCHS * _IMAGES // config.batch_size
    config.optimizer.learning_rate *= scale  # linear scaling (Goyal et al. 2017)
    config.optimizer.warmup_steps = -(-_IMAGES // config.batch_size)
    config.eval.batch_size *= scale
    config.eval.every_steps = config.checkpoint.every_steps = 626


def _standin(config: ConfigDict) -> None:
    config.data.name = "glyphs"
    config.data.image_size = 32
    config.model.depth = 18
    config.model.stem = "stride1"
    config.steps = 10_000
    config.steps_per_call = 20
    config.optimizer.warmup_steps = 500
    config.eval.every_steps = 500
    config.eval.num_images = 10_000
    config.eval.batch_size = 1000
    config.eval.gradient_norm_step = 1500
    config.checkpoint.every_steps = 1000
    config.log.every_steps = 1


def _tiny(config: ConfigDict) -> None:
    config.data.name = "glyphs"
    config.data.image_size = 16
    config.model.depth = 8
    config.model.width = 32
    config.model.stem = "stride2"
    config.steps = 1000
    config.data.jitter = 0.4
    # A long warm-up: where the rate is high before the classes are told apart, RL loses some of them for good (no
    # rollout finds a class whose probability fell far below 1/N).
    config.optimizer.learning_rate = 0.2
    config.optimizer.warmup_steps = 500
    config.eval.every_steps = 100
    config.eval.num_images = 2000
    config.eval.batch_size = 500
    config.eval.gradient_norm_step = 400
    config.eval.gradient_norm_chunk = 50
    config.checkpoint.every_steps = 250
    config.log.every_steps = 1
