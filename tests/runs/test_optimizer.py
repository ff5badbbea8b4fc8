import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from ml_collections import ConfigDict

from configs import common
from maxrl_jax.errors import ConfigError
from maxrl_jax.runs.loop import optimizer


@pytest.mark.parametrize("name", ["constant", "cosine"])
@pytest.mark.parametrize("warmup", [0, 1, 4])
def test_a_schedule_is_its_formula(name, warmup):
    peak, steps = 0.5, 14
    rate = optimizer.schedule(peak, name=name, steps=steps, warmup_steps=warmup)

    def formula(i):
        if i < warmup:
            return peak * i / warmup
        done = min((i - warmup) / (steps - warmup), 1.0)
        return peak * (1 + np.cos(np.pi * done)) / 2 if name == "cosine" else peak

    wanted = [formula(i) for i in range(steps + 3)]
    assert np.allclose([rate(i) for i in range(steps + 3)], wanted, rtol=1e-6, atol=1e-7)
    compiled = jax.jit(jax.vmap(lambda i: jnp.float32(rate(i))))(jnp.arange(steps + 3))
    assert np.allclose(compiled, wanted, rtol=1e-6, atol=1e-7)


def one_update(tx, params, grads):
    return tx.update(grads, tx.init(params), params)[0]


def test_one_update_of_each_optimizer_by_arithmetic():
    params, grads = {"w": jnp.array([2.0, -1.0])}, {"w": jnp.array([3.0, 4.0])}
    sgd = optimizer.make("sgd", learning_rate=0.1, weight_decay=0.5, momentum=0.9, clip_norm=1.0)
    # clipped to norm 1, then the decay is added
    assert np.allclose(one_update(sgd, params, grads)["w"], [-0.1 * (0.6 + 1.0), -0.1 * (0.8 - 0.5)])
    adamw = optimizer.make("adamw", learning_rate=0.1, weight_decay=0.5)
    assert np.allclose(one_update(adamw, params, grads)["w"], [-0.1 * (1 + 1.0), -0.1 * (1 - 0.5)], atol=1e-6)
    adam = optimizer.make("adam", learning_rate=0.1)
    assert np.allclose(one_update(adam, params, grads)["w"], [-0.1, -0.1], atol=1e-6)


def test_muon_makes_the_momentum_of_matrices_orthogonal_and_leaves_the_rest_to_adam():
    params = {"layer": {"kernel": jnp.ones((2, 6, 4)), "bias": jnp.ones((2, 4))}, "embedding": jnp.ones((5, 4))}
    grads = jax.tree.map(lambda leaf: jax.random.normal(jax.random.key(0), leaf.shape), params)
    muon = optimizer.make("muon", learning_rate=0.1, weight_decay=0.5, momentum=0.95, b2=0.95)
    update = one_update(muon, params, grads)
    adam = one_update(optax.nadam(0.1, b2=0.95), params, grads)
    assert np.allclose(update["layer"]["bias"], adam["layer"]["bias"], rtol=1e-4)
    assert np.allclose(update["embedding"], adam["embedding"], rtol=1e-4)
    for kernel, gradient in zip(update["layer"]["kernel"], grads["layer"]["kernel"], strict=True):
        # U V' of the gradient's U S V', times sqrt(the longer side) and 0.2; five Newton-Schulz iterations bring the
        # singular values to about 1.
        moved = -(np.asarray(kernel) / 0.1 + 0.5) / (0.2 * np.sqrt(6))
        u, _, v = np.linalg.svd(gradient, full_matrices=False)
        inside = u.T @ moved @ v.T
        assert np.allclose(inside, np.diag(np.diag(inside)), atol=1e-3)
        assert (np.diag(inside) > 0.6).all() and (np.diag(inside) < 1.3).all()


def test_momentum_is_heavy_ball_not_nesterov():
    tx = optimizer.make("sgd", learning_rate=1.0, momentum=0.5)
    state = tx.init(jnp.float32(0))
    steps = []
    for _ in range(3):
        update, state = tx.update(jnp.float32(1.0), state)
        steps.append(float(update))
    assert steps == [-1.0, -1.5, -1.75]  # Nesterov: -1.5, -1.75, -1.875


def test_adam_variance_proxy_is_the_sum_of_the_bias_corrected_moments():
    tx = optimizer.make("adamw", learning_rate=0.1, clip_norm=0.0)
    params = {"a": jnp.zeros(2), "b": jnp.zeros(())}
    grads = [{"a": jnp.array([1.0, 2.0]), "b": jnp.float32(3.0)}, {"a": jnp.array([2.0, -2.0]), "b": jnp.float32(3.0)}]
    state = tx.init(params)
    for i, g in enumerate(grads):
        _, state = tx.update(g, state, params)
        if i == 0:
            assert abs(float(optimizer.adam_variance_proxy(state))) < 1e-5
    expected = 0.0
    for first, second in ((1.0, 2.0), (2.0, -2.0), (3.0, 3.0)):
        m = (0.1 * 0.9 * first + 0.1 * second) / (1 - 0.9**2)
        v = (0.001 * 0.999 * first**2 + 0.001 * second**2) / (1 - 0.999**2)
        expected += v - m**2
    assert np.isclose(float(optimizer.adam_variance_proxy(state)), expected, rtol=1e-4)
    state = tx.init(params)
    for _ in range(200):  # one gradient again and again: no variance, but for rounding
        _, state = tx.update(grads[0], state, params)
        assert 0 <= float(optimizer.adam_variance_proxy(state)) < 1e-3
    with pytest.raises(ValueError, match="adam or adamw"):
        optimizer.adam_variance_proxy(optax.sgd(0.1).init(params))


def test_from_config_builds_what_the_fields_say():
    settings = common.optimizer("sgd", learning_rate=0.2, momentum=0.0, schedule="cosine")
    tx = optimizer.from_config(settings, steps=10)
    state = tx.init(jnp.float32(0))
    updates = []
    for _ in range(6):
        update, state = tx.update(jnp.float32(1.0), state)
        updates.append(float(update))
    assert np.allclose(updates, [-0.1 * (1 + np.cos(np.pi * i / 10)) for i in range(6)])


@pytest.mark.parametrize(
    ("fields", "key"),
    [
        ({"name": "adan"}, "name"),
        ({"schedule": "linear"}, "schedule"),
        ({"learning_rate": 0.0}, "learning_rate"),
        ({"warmup_steps": -1}, "warmup_steps"),
        ({"schedule": "cosine", "warmup_steps": 100}, "warmup_steps"),
        ({"weight_decay": -0.1}, "weight_decay"),
        ({"momentum": 1.0}, "momentum"),
        ({"b1": 1.0}, "b1"),
        ({"name": "adam", "weight_decay": 0.1}, "weight_decay"),
    ],
)
def test_wrong_fields_are_named(fields, key):
    config = ConfigDict({"rl": {"optimizer": common.optimizer(**fields)}})
    with pytest.raises(ConfigError) as error:
        optimizer.check(config, "rl.optimizer", steps=100)
    assert error.value.key == f"rl.optimizer.{key}"


def test_the_learning_rate_may_stand_elsewhere():
    config = ConfigDict({"rl": {"learning_rate": 0.2, "optimizer": common.optimizer("sgd", momentum=0.0)}})
    del config.rl.optimizer.learning_rate
    optimizer.check(config, "rl.optimizer", 10, learning_rate="rl.learning_rate")
    tx = optimizer.from_config(config.rl.optimizer, 10, learning_rate=config.rl.learning_rate)
    assert np.isclose(one_update(tx, jnp.float32(0), jnp.float32(1)), -0.2)
    config.rl.learning_rate = 0.0
    with pytest.raises(ConfigError, match=r"^rl\.learning_rate: got 0\.0"):
        optimizer.check(config, "rl.optimizer", 10, learning_rate="rl.learning_rate")
