"""Checks of an image config, before anything is compiled."""

from __future__ import annotations

from typing import Any

from experiments.imagenet import loss
from experiments.imagenet.problem import image_request, image_source, model_config
from maxrl_jax import objectives
from maxrl_jax.advantages import Estimator
from maxrl_jax.categorical import SAMPLINGS
from maxrl_jax.errors import ConfigError
from maxrl_jax.runs import launch
from maxrl_jax.runs.config import checks
from maxrl_jax.runs.loop import optimizer
from maxrl_jax.vision import resnet

_LARGEST_OWN_GROUP = 8192
"""N up to which an estimator of the user's own is evaluated on every number of successes."""


def check(config: Any) -> None:
    """Raises ConfigError for the first error."""
    launch.check_common(config)
    checks.mesh(config)
    checks.batch(config, "batch_size")
    checks.non_negative_int(config, "steps")
    checks.positive_int(config, "steps_per_call")
    optimizer.check(config, "optimizer", config.steps)
    _check_loss(config)
    _check_model_and_images(config)
    checks.positive_int(config, "eval.batch_size")
    checks.non_negative_int(config, "eval.every_steps")
    checks.positive_int(config, "eval.num_images")
    checks.non_negative_int(config, "eval.gradient_norm_step")
    checks.non_negative_int(config, "eval.gradient_norm_chunk")
    _check_data(config)  # last, since it may read files


def _check_loss(config: Any) -> None:
    checks.one_of(config, "loss.name", loss.LOSSES)
    checks.one_of(config, "loss.sampling", SAMPLINGS)
    checks.positive_int(config, "loss.num_rollouts")
    for _, advantage in loss.phases(config):
        if advantage is not None:
            _check_symmetric(config, advantage)


def _check_symmetric(config: Any, advantage: Estimator) -> None:
    """Rollouts of one class are identical, so the estimator must be symmetric."""
    n = config.loss.num_rollouts
    if advantage.entry is None and n > _LARGEST_OWN_GROUP:
        raise ConfigError("loss.num_rollouts", n, f"at most {_LARGEST_OWN_GROUP} with an estimator of your own")
    try:
        objectives.binary_form(advantage, n)
    except ValueError as error:
        raise ConfigError("loss.advantage.name", advantage.name, f"a symmetric estimator ({error})") from None


def _check_model_and_images(config: Any) -> None:
    checks.one_of(config, "model.depth", resnet.DEPTHS)
    checks.one_of(config, "model.stem", resnet.STEMS)
    checks.positive_int(config, "model.width")
    checks.one_of(config, "model.compute_dtype", ("auto", "float32", "bfloat16"))
    checks.integer(config, "data.num_classes", low=2)
    smallest = model_config(config).smallest_image
    if checks.positive_int(config, "data.image_size") < smallest:
        network = f"a ResNet-{config.model.depth} with the stem {config.model.stem}"
        raise ConfigError("data.image_size", config.data.image_size, f"at least {smallest} pixels for {network}")
    checks.in_range(config, "data.jitter", 0.0)
    checks.non_negative_int(config, "data.num_workers")
    checks.one_of(config, "data.eval_crop", (True, False))
    checks.integer(config, "data.seed", 0, 2**32 - 1)


def _check_data(config: Any) -> None:
    source, name, classes = image_source(config), config.data.name, config.data.num_classes
    if source.classes and classes != source.classes:
        raise ConfigError("data.num_classes", classes, f"{source.classes}, the classes of {name}")
    try:
        source.check(config.data)
    except ConfigError:
        raise
    except ValueError as error:
        raise ConfigError("data.name", name, f"a source whose images are available ({error})") from None
    checks.integer(config, "eval.gradient_norm_images", 1, source.num_validation(image_request(config)))
