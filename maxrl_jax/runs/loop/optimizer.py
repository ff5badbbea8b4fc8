"""Optimizers and learning-rate schedules from keyword scalars, on optax."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import optax
import optax.contrib

from maxrl_jax.errors import ConfigError
from maxrl_jax.runs.config import checks

NAMES = ("adam", "adamw", "muon", "sgd")
SCHEDULES = ("constant", "cosine")


def schedule(learning_rate: float, *, name: str = "constant", steps: int = 0, warmup_steps: int = 0) -> optax.Schedule:
    """The learning rate at each update, counted from 0.

    A linear warm-up, lr i / warmup_steps at update i (0 at the first, lr from update ``warmup_steps`` on), then
    constant, or half a cosine to 0 at update ``steps``: lr (1 + cos(pi (i - warmup) / (steps - warmup))) / 2.

    Args:
        learning_rate: the peak.
        name: "constant" or "cosine".
        steps: updates of the run, for the cosine.
        warmup_steps: updates of the warm-up; 0 for none.

    Raises:
        ValueError: unknown name, or a cosine that does not outlast its warm-up.
    """
    if name not in SCHEDULES:
        raise ValueError(f"schedule: got {name!r}, allowed is one of {', '.join(SCHEDULES)}")
    if name == "cosine" and steps <= warmup_steps:
        raise ValueError(f"cosine schedule: got {steps} steps, allowed is more than warmup_steps = {warmup_steps}")
    if name == "cosine":
        after = optax.cosine_decay_schedule(learning_rate, steps - warmup_steps)
    else:
        after = optax.constant_schedule(learning_rate)
    if not warmup_steps:
        return after
    return optax.join_schedules([optax.linear_schedule(0.0, learning_rate, warmup_steps), after], [warmup_steps])


def make(
    name: str = "adamw",
    *,
    learning_rate: float | optax.Schedule,
    clip_norm: float = 0.0,
    weight_decay: float = 0.0,
    momentum: float = 0.9,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
) -> optax.GradientTransformation:
    """Clipping by the global norm, then the named optimizer.

    Args:
        name: "adamw" (decoupled weight decay), "adam", "sgd" (with heavy-ball momentum, no Nesterov), or "muon":
            matrices move by their momentum made orthogonal (Jordan et al. 2024), scaled to a root mean square of
            0.2 as Adam's updates have (Liu et al. 2025), so that the rates of adamw serve; all else moves by Adam
            with Nesterov's momentum.
        learning_rate: a number or a `schedule`.
        clip_norm: greatest global norm of the gradient; 0 leaves it unclipped.
        weight_decay: adamw: decoupled, times the learning rate; sgd: added to the gradient (L2), after
            clipping; muon: decoupled, of the matrices; adam takes none.
        momentum: of sgd, 0 for plain gradient descent; of muon (usually 0.95).
        b1: decay of Adam's first moment.
        b2: decay of Adam's second moment.
        eps: added to the root of Adam's second moment.

    Raises:
        ValueError: unknown name, or weight decay for adam.
    """
    if name not in NAMES:
        raise ValueError(f"optimizer: got {name!r}, allowed is one of {', '.join(NAMES)}")
    parts = [optax.clip_by_global_norm(clip_norm)] if clip_norm else []
    if name == "adamw":
        parts.append(optax.adamw(learning_rate, b1=b1, b2=b2, eps=eps, weight_decay=weight_decay))
    elif name == "muon":
        parts.append(
            optax.contrib.muon(
                learning_rate,
                beta=momentum,
                weight_decay=weight_decay,
                adam_b1=b1,
                adam_b2=b2,
                eps=eps,
                consistent_rms=0.2,
                muon_weight_dimension_numbers=_matrices,
            )
        )
    elif name == "adam":
        if weight_decay:
            raise ValueError(f"adam: got weight_decay = {weight_decay}, allowed is 0 (or the optimizer adamw)")
        parts.append(optax.adam(learning_rate, b1=b1, b2=b2, eps=eps))
    else:
        if weight_decay:
            parts.append(optax.add_decayed_weights(weight_decay))
        parts.append(optax.sgd(learning_rate, momentum=momentum or None))
    return optax.chain(*parts)


def _matrices(params: Any) -> Any:
    """Where the matrices of dense layers are: the last two axes of a kernel, or of a stack of kernels."""

    def of(path: Any, leaf: jax.Array) -> optax.contrib.MuonDimensionNumbers | None:
        is_kernel = any(getattr(key, "key", None) == "kernel" for key in path)
        if is_kernel and leaf.ndim in (2, 3):
            return optax.contrib.MuonDimensionNumbers(leaf.ndim - 2, leaf.ndim - 1)
        return None

    return jax.tree_util.tree_map_with_path(of, params)


def apply(
    optimizer: optax.GradientTransformation,
    gradients: Any,
    opt_state: Any,
    params: Any,
    *,
    signal: jax.Array | None = None,
) -> tuple[Any, Any]:
    """One update of the parameters.

    Args:
        optimizer: as `make` returns it.
        gradients: like ``params``.
        opt_state: the optimizer's state.
        params: the parameters.
        signal: bool []; where it is false nothing moves: Adam's momentum and weight decay would act on a gradient of
            zero too, and its second moment would forget. None: there always is a signal.

    Returns:
        The new parameters and the new state; the ones given, to the bit, without a signal.
    """

    def move(params: Any, opt_state: Any) -> tuple[Any, Any]:
        updates, opt_state = optimizer.update(gradients, opt_state, params)
        return optax.apply_updates(params, updates), opt_state

    if signal is None:
        return move(params, opt_state)
    return jax.lax.cond(signal, move, lambda params, opt_state: (params, opt_state), params, opt_state)


def from_config(settings: Any, steps: int, *, learning_rate: float | None = None) -> optax.GradientTransformation:
    """The optimizer of a config group made by ``configs.common.optimizer``, over ``steps`` updates, see `make`.

    ``learning_rate`` is the peak where the config has it elsewhere.
    """
    peak = settings.learning_rate if learning_rate is None else learning_rate
    rate = schedule(peak, name=settings.schedule, steps=steps, warmup_steps=settings.warmup_steps)
    return make(
        settings.name,
        learning_rate=rate,
        clip_norm=settings.clip_norm,
        weight_decay=settings.weight_decay,
        momentum=settings.momentum,
        b1=settings.b1,
        b2=settings.b2,
        eps=settings.eps,
    )


def check(config: Any, key: str, steps: int, *, learning_rate: str = "") -> None:
    """Checks the fields of ``configs.common.optimizer`` at a dotted key, for a run of ``steps`` updates.

    ``learning_rate`` is the dotted key of the peak where the config has it elsewhere.

    Raises:
        ConfigError: one of them is wrong.
    """
    checks.one_of(config, f"{key}.name", NAMES)
    checks.one_of(config, f"{key}.schedule", SCHEDULES)
    checks.positive(config, learning_rate or f"{key}.learning_rate")
    checks.non_negative_int(config, f"{key}.warmup_steps")
    for name in ("weight_decay", "clip_norm"):
        checks.in_range(config, f"{key}.{name}", 0.0)
    for name in ("momentum", "b1", "b2"):
        checks.in_range(config, f"{key}.{name}", 0.0, 1.0, high_open=True)
    checks.positive(config, f"{key}.eps")
    settings = checks.field(config, key)
    if settings.name == "adam" and settings.weight_decay:
        raise ConfigError(f"{key}.weight_decay", settings.weight_decay, "0 with adam (or name=adamw)")
    if settings.schedule == "cosine" and 0 < steps <= settings.warmup_steps:
        raise ConfigError(f"{key}.warmup_steps", settings.warmup_steps, f"less than the {steps} steps")


def adam_variance_proxy(opt_state: Any, *, b1: float = 0.9, b2: float = 0.999) -> jax.Array:
    """``sum(v_hat - m_hat^2)`` over all parameters: the gradient variance as Adam's moments see it.

    m_hat and v_hat are the bias-corrected first and second moments (MaxPO, section 5.2.3). After one update
    both moments hold one gradient and the proxy is 0.

    Args:
        opt_state: state of an optax optimizer that contains Adam's moments.
        b1: the optimizer's decay of the first moment, above 0.
        b2: the optimizer's decay of the second moment, above 0.

    Returns:
        A float32 scalar, not negative; 0 before the first update.

    Raises:
        ValueError: the optimizer keeps no Adam moments.
    """
    adam = [s for s in jax.tree.leaves(opt_state, is_leaf=_is_adam) if _is_adam(s)]
    if not adam:
        raise ValueError("adam_variance_proxy needs the state of adam or adamw")
    count = jnp.maximum(adam[0].count.astype(jnp.float32), 1.0)  # before the first update both moments are 0

    # Bias correction by expm1: 1 - 0.999 has a relative error of 5e-5 in float32.
    def one(m: jax.Array, v: jax.Array) -> jax.Array:
        m_hat = m.astype(jnp.float32) / -jnp.expm1(count * math.log(b1))
        v_hat = v.astype(jnp.float32) / -jnp.expm1(count * math.log(b2))
        return jnp.sum(v_hat - m_hat**2)

    whole = jnp.sum(jnp.stack(jax.tree.leaves(jax.tree.map(one, adam[0].mu, adam[0].nu))))
    return jnp.maximum(whole, 0.0)  # rounding may leave a little less


def _is_adam(node: Any) -> bool:
    return isinstance(node, optax.ScaleByAdamState)
