"""The decoder against an independent numpy one, and what must hold of any causal model."""

import doctest

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from maxrl_jax.lm.decoder import Config, Decoder, Llama3Scaling, model
from tests.lm.decoder.tiny import logits_of, run_compiled, tiny_model

TOKENS = jax.random.randint(jax.random.key(7), (3, 9), 0, 11)


def numpy_logits(params: dict, config: Config, tokens: np.ndarray) -> np.ndarray:
    """One sequence, one position, one head at a time, float64: written from the architecture's description."""
    h, groups = config.head_width, config.num_heads // config.num_kv_heads

    def norm(x, scale):
        return x / np.sqrt(np.mean(x**2) + config.rms_norm_eps) * scale

    def rotate(x, position):
        pairs = x[: h // 2] + 1j * x[h // 2 :]
        turned = pairs * np.exp(1j * position * config.rope_theta ** (-np.arange(h // 2) * 2.0 / h))
        return np.concatenate([turned.real, turned.imag])

    def linear(x, layer):
        return x @ layer["kernel"] + layer.get("bias", 0)

    xs = [params["embedding"][token] for token in tokens]
    for layer in range(config.num_layers):
        block = jax.tree.map(lambda a, turn=layer // config.period: a[turn], params["blocks"][layer % config.period])
        ys = [norm(x, block["attention_norm"]["scale"]) for x in xs]
        keys = [linear(y, block["key_proj"]).reshape(-1, h) for y in ys]
        values = [linear(y, block["value_proj"]).reshape(-1, h) for y in ys]
        for t, y in enumerate(ys):
            heads = []
            for head, q in enumerate(linear(y, block["query_proj"]).reshape(-1, h)):
                k = head // groups
                scores = [rotate(q, t) @ rotate(keys[s][k], s) / np.sqrt(h) for s in range(t + 1)]
                weights = np.exp(scores) / np.sum(np.exp(scores))
                heads.append(sum(w * values[s][k] for s, w in enumerate(weights)))
            x = xs[t] + linear(np.concatenate(heads), block["output_proj"])
            z = norm(x, block["mlp_norm"]["scale"])
            gate = linear(z, block["gate_proj"])
            xs[t] = x + linear(gate / (1 + np.exp(-gate)) * linear(z, block["up_proj"]), block["down_proj"])
    matrix = params["embedding"] if config.tie_embeddings else params["head"]
    return np.stack([matrix @ norm(x, params["norm"]["scale"]) for x in xs])


@pytest.mark.parametrize("changes", [{}, {"tie_embeddings": False, "num_kv_heads": 1, "head_dim": 6}])
def test_logits_equal_an_independent_numpy_decoder(x64, changes):
    tiny = tiny_model(jnp.float64, **changes)
    params = nnx.to_pure_dict(jax.tree.map(np.asarray, nnx.state(tiny)))
    for tokens, logits in zip(np.asarray(TOKENS), logits_of(tiny, TOKENS), strict=True):
        # Rotary angles are float32, as in the reference implementation.
        np.testing.assert_allclose(logits, numpy_logits(params, tiny.config, tokens), atol=3e-6)


def test_the_default_is_the_maze_model():
    shapes = nnx.state(nnx.eval_shape(lambda: Decoder(Config(), rngs=nnx.Rngs(0))))
    assert sum(leaf.size for leaf in jax.tree.leaves(shapes)) == 3_944_704


def test_a_later_token_changes_no_earlier_logit():
    tiny = tiny_model()
    changed = TOKENS.at[:, 5].add(1) % 11
    before, after = logits_of(tiny, TOKENS), logits_of(tiny, changed)
    np.testing.assert_array_equal(before[:, :5], after[:, :5])
    assert jnp.abs(before[:, 5:] - after[:, 5:]).max() > 1e-3


def test_prefill_gives_the_last_position_and_the_keys_of_every_block(x64):
    tiny = tiny_model(jnp.float64)
    graphdef, params = nnx.split(tiny)

    def last_logits(params):
        model = nnx.merge(graphdef, params)
        x, prefix = model.prefill(TOKENS)
        return model.logits(x), prefix

    logits, prefix = run_compiled(last_logits, params)
    np.testing.assert_allclose(logits, logits_of(tiny, TOKENS)[:, -1], rtol=1e-10)
    assert [[a.shape for a in stack] for stack in prefix] == [[(1, 3, 2, 9, 4)] * 2] * 2


def test_bfloat16_is_close_to_float32_and_its_logits_are_float32():
    tiny = tiny_model()
    logits, rounded = logits_of(tiny, TOKENS), logits_of(tiny.computing(jnp.bfloat16), TOKENS)
    assert rounded.dtype == jnp.float32
    error = jnp.linalg.norm(rounded - logits) / jnp.linalg.norm(logits)
    assert 1e-4 < error < 3e-2  # 8 bits of mantissa, some 20 roundings deep


def test_a_model_is_a_pytree_of_parameters_and_compiles_once():
    graphdef, params = nnx.split(tiny_model())
    traces = []

    @jax.jit
    def forward(params, tokens):
        traces.append(1)
        return nnx.merge(graphdef, params)(tokens)

    first = forward(params, TOKENS)
    doubled = forward(jax.tree.map(lambda a: 2 * a, params), TOKENS)
    assert len(traces) == 1
    assert jnp.abs(first - doubled).max() > 1e-3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_kv_heads": 3}, "num_kv_heads: got 3, allowed: a divisor of num_heads = 4"),
        ({"hidden_size": 18}, "num_heads: got 4, allowed: a divisor of hidden_size = 18"),
        ({"head_dim": 5}, "head_dim: got 5, allowed: a positive even integer"),
        ({"num_layers": 0}, "num_layers: got 0, allowed: a positive integer"),
        ({"windows": (3,)}, r"windows: got \(3,\), allowed: a positive integer or None for each block"),
        ({"windows": (None, 0)}, r"windows: got \(None, 0\)"),
        ({"rope_theta": 0.0}, r"rope_theta: got 0\.0, allowed: a positive number"),
        ({"final_soft_cap": -1.0}, r"final_soft_cap: got -1\.0, allowed: a positive number"),
        ({"activation": "relu"}, "activation: got 'relu', allowed: silu, gelu_pytorch_tanh"),
    ],
)
def test_impossible_sizes_are_one_line(changes, message):
    with pytest.raises(ValueError, match=message):
        tiny_model(**changes)


def test_a_sequence_beyond_the_positions_is_refused():
    with pytest.raises(ValueError, match="sequence of 65 tokens: the model has max_positions = 64"):
        tiny_model()(jnp.zeros((1, 65), jnp.int32))


def test_a_stretch_needs_its_factors_in_order():
    with pytest.raises(ValueError, match="high_freq_factor: got 1, allowed: more than low_freq_factor = 2"):
        Llama3Scaling(8, 2, 1, 16)


def test_documented_example():
    assert doctest.testmod(model).failed == 0
