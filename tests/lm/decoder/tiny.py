"""A small model whose distributions are far from uniform, and the plain way to its log-probabilities."""

import jax
import jax.numpy as jnp
from flax import nnx

from maxrl_jax.lm import sampling
from maxrl_jax.lm.decoder import Config, Decoder

CONFIG = {
    "vocab_size": 11,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_layers": 2,
    "num_heads": 4,
    "num_kv_heads": 2,
    "max_positions": 64,
}

QWEN3 = {"qkv_bias": False, "qk_norm": True, "head_dim": 6}
GEMMA2 = {
    "qkv_bias": False,
    "unit_offset_norms": True,
    "post_norms": True,
    "scale_embeddings": True,
    "activation": "gelu_pytorch_tanh",
    "query_pre_attn_scalar": 3,
    "attention_soft_cap": 2.0,
    "final_soft_cap": 3.0,
    "windows": (5, None),  # ends inside the prompts of these tests, and inside their answers
}


def tiny_model(dtype=jnp.float32, seed=0, **changes) -> Decoder:
    model = Decoder(Config(**(CONFIG | {"initializer_range": 0.3} | changes)), rngs=nnx.Rngs(seed))
    graphdef, state = nnx.split(model)
    leaves, treedef = jax.tree.flatten(state)
    keys = jax.random.split(jax.random.key(seed + 1), len(leaves))
    # Biases and norms too leave their initial values, so that a test sees them.
    leaves = [a + 0.2 * jax.random.normal(k, a.shape) for a, k in zip(leaves, keys, strict=True)]
    return nnx.merge(graphdef, jax.tree.unflatten(treedef, leaves)).computing(dtype)


def logits_of(model, tokens):
    """model(tokens), compiled: one by one, its operations take longer to compile."""
    graphdef, params = nnx.split(model)
    return run_compiled(lambda params, tokens: nnx.merge(graphdef, params)(tokens), params, tokens)


def plain_logits(model, prompts, tokens):
    """Logits [P, N, T, V] of answer tokens by a full forward pass over every prompt and answer."""
    P, N, T = tokens.shape
    S = prompts.shape[1]
    sequences = jnp.concatenate([jnp.repeat(prompts[:, None], N, 1), tokens], axis=-1)
    return model(sequences.reshape(P * N, S + T)[:, :-1])[:, S - 1 :].reshape(P, N, T, -1)


def plain_log_probs(model, prompts, tokens, temperature=1.0, top_p=1.0):
    """(log-probabilities [P, N, T] of answer tokens, entropies [P, N, T])."""
    log_probs = sampling.log_probs(plain_logits(model, prompts, tokens), temperature, top_p, keep=tokens)
    return sampling.pick(log_probs, tokens), sampling.entropy(log_probs)


def run_plain(function, model, prompts, tokens, *settings):
    """`plain_logits` or `plain_log_probs`, compiled."""
    graphdef, params = nnx.split(model)

    def run(params, prompts, tokens):
        return function(nnx.merge(graphdef, params), prompts, tokens, *settings)

    return run_compiled(run, params, prompts, tokens)


def compiled(function, *arguments):
    """`function` as one program, with the compiler's slow passes off: these tests ask what, not how fast."""
    return jax.jit(function).lower(*arguments).compile(compiler_options={"xla_backend_optimization_level": 0})


def run_compiled(function, *arguments):
    """The result of `compiled`."""
    return compiled(function, *arguments)(*arguments)
