"""Fields shared by every config; a config file starts from `base()` and adds its own."""

from collections.abc import Sequence
from typing import Any

from ml_collections import ConfigDict, config_dict

from maxrl_jax.runs.config import estimator


def base(variant: str = "") -> ConfigDict:
    """Fields of every run, with their defaults.

    Args:
        variant: `tiny`, `demo` and the `_quick` ones send nothing to W&B, unless --config.wandb.mode=offline.
    """
    config = ConfigDict()
    config.seed = 0  # every random stream derives from it
    config.deterministic = False  # bitwise repeatable on GPU too, at a cost in speed; CPU and TPU always are
    config.compilation_cache = ""  # folder of JAX's persistent compilation cache; helps big models only

    config.mesh = ConfigDict()
    config.mesh.fsdp = 1  # devices that share one copy of parameters and optimizer state (docs/scaling.md)

    config.checkpoint = ConfigDict()
    config.checkpoint.every_steps = 1000  # and at the end of each phase, and on SIGTERM; 0: only there
    config.checkpoint.max_to_keep = 2  # older ones are deleted
    config.checkpoint.init_from = ""  # run folder or checkpoint to take the first parameters from

    config.log = ConfigDict()
    config.log.every_steps = 1  # one metrics line each so many steps
    config.log.console_seconds = 5.0  # without a terminal: one plain progress line each so many seconds

    config.wandb = ConfigDict()
    config.wandb.mode = "offline"  # online, offline, disabled; the variable WANDB_MODE goes before it
    if variant in ("tiny", "demo") or variant.endswith("_quick"):
        config.wandb.mode = "disabled"
    config.wandb.project = "maxrl_jax"
    config.wandb.group = ""  # runs shown together; a sweep gives its own
    config.wandb.tags = ()
    return config


def check_variant(variant: str, variants: Sequence[str]) -> None:
    """Refuses a variant that a config file does not have.

    Raises:
        ValueError: it is not among ``variants``.
    """
    if variant not in variants:
        raise ValueError(f"unknown variant {variant!r}; allowed: {', '.join(variants)}")


def advantage(name: str = "maxrl", **hyper: Any) -> ConfigDict:
    """The fields of an estimator: its name, and every hyper-parameter of the table beside it.

    None leaves a hyper-parameter at the estimator's default, and one the estimator does not have must stay
    None. A value may be phases ``((0, 8), (500, 1))``. For ``my.module:function`` name its own here.
    """
    settings = ConfigDict({"name": name})
    for key in (*estimator.hyper_names(), *(key for key in hyper if key not in estimator.hyper_names())):
        settings[key] = config_dict.placeholder(object)
        if key in hyper:
            settings[key] = hyper[key]
    return settings


def optimizer(name: str = "adamw", *, learning_rate: float | None = 1e-3, **fields: Any) -> ConfigDict:
    """The fields `maxrl_jax.runs.loop.optimizer.from_config` reads.

    Args:
        name: of the optimizer.
        learning_rate: the peak; None where the config has it elsewhere.
        **fields: other values than the defaults below.
    """
    settings = ConfigDict()
    settings.name = name  # adamw, adam, sgd, muon
    if learning_rate is not None:
        settings.learning_rate = learning_rate
    settings.schedule = "constant"  # constant, cosine
    settings.warmup_steps = 0  # linear, from 0 at the first update
    settings.weight_decay = 0.0
    settings.clip_norm = 0.0  # global norm of the gradient; 0: no clipping
    settings.momentum = 0.9  # sgd; muon, usually 0.95 there
    settings.b1 = 0.9  # adam, adamw; what muon leaves to adam
    settings.b2 = 0.999
    settings.eps = 1e-8
    for key, value in fields.items():
        if key not in settings:
            raise ValueError(f"optimizer field {key!r}: allowed: {', '.join(sorted(settings))}")
        settings[key] = value
    return settings
