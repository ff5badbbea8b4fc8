"""Eight simulated devices against one; a program of its own, for it needs an XLA flag.

python -m tests.lm.eight_devices step|read
"""

import functools
import sys
import tempfile

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from maxrl_jax import advantages
from maxrl_jax.devices import data_parallel, sharding
from maxrl_jax.lm import step
from maxrl_jax.lm.decoder import load_hf, save_hf
from maxrl_jax.lm.decoder.weights import Weights
from maxrl_jax.lm.policy import Policy
from maxrl_jax.lm.rollout import Settings
from maxrl_jax.lm.task import Prompts, Task, Verdict
from tests.lm.decoder.tiny import tiny_model

P, N, S, T = 16, 4, 9, 6
LLAMA = {"qkv_bias": False, "tie_embeddings": False, "num_layers": 6}  # deep enough to be a loop over stacked blocks


def prompts_of(phase: str, number: int, ids: jax.Array, batch_size: int) -> Prompts:
    """Random tokens of 1 to S, padded with what would change the answers if it were seen."""
    key = jax.random.fold_in(jax.random.key(7), number)
    tokens = jax.vmap(lambda i: jax.random.randint(jax.random.fold_in(key, i), (S,), 0, 10))(ids)
    lengths = 1 + (ids * 5) % S
    return Prompts(jnp.where(jnp.arange(S) < lengths[:, None], tokens, 10), state=tokens[:, 0], lengths=lengths)


def judge(first: jax.Array, answers: jax.Array) -> Verdict:
    """Whether the prompt's first token is in the answer."""
    right = (answers == first[:, None, None]).any(-1)
    return Verdict(right.astype(jnp.float32), jnp.where(right, 0, 1))


def check_step() -> None:
    """One RL step and its rollouts: the same tokens, and gradients up to the order of summation."""
    task = Task(
        "find", 11, T, prompts_of, judge, held_out=prompts_of("held_out", 0, jnp.arange(2), 2), stop_tokens=(3,)
    )
    settings = step.Settings(P, N, Settings(T, (3,)), micro_batch_tokens=12, aggregation="token_mean", kl_coef=0.1)
    graph, params = nnx.split(tiny_model(**LLAMA))
    policy, estimator = Policy(graph, jnp.float32), advantages.get("maxrl")
    reference = jax.tree.map(lambda leaf: 0.9 * leaf, params)

    def result_of(share: data_parallel.Share, params: nnx.State) -> step.Result:
        return step.gradients(
            policy, task, estimator, settings, params, step=0, key=jax.random.key(2), reference=reference, share=share
        )

    def answers_of(share: data_parallel.Share, params: nnx.State) -> jax.Array:
        ids = share.ids(P)
        return step.draw(policy, settings, params, prompts_of("rl", 0, ids, P), jax.random.key(2), ids).tokens

    def found(mesh: jax.sharding.Mesh | None) -> tuple[step.Result, jax.Array]:
        def run(params: nnx.State) -> tuple[step.Result, jax.Array]:
            result = data_parallel.over_batch(result_of, mesh, params)
            return result, data_parallel.over_batch(answers_of, mesh, params, batch_outputs=True)

        return jax.device_get(jax.jit(run)(params))

    (one, tokens), (eight, eight_tokens) = found(None), found(sharding.make_mesh())
    np.testing.assert_array_equal(tokens, eight_tokens)
    np.testing.assert_allclose(eight.loss, one.loss, rtol=1e-5)
    assert 0 < one.metrics["reward_mean"] < 1
    for name, value in one.metrics.items():
        np.testing.assert_allclose(eight.metrics[name], value, rtol=1e-6, err_msg=name)

    def same(ours: np.ndarray, theirs: np.ndarray) -> None:
        scale = np.abs(theirs).max()
        assert scale > 1e-4  # every parameter takes part
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=5e-6 * scale)

    jax.tree.map(same, eight.gradients, one.gradients)


def check_read() -> None:
    """Every byte that the devices hold between them is read once, and no device's read is more than its shard."""
    model = tiny_model(hidden_size=64, intermediate_size=128, **LLAMA)
    taken = []
    read = Weights.read

    def counted(weights: Weights, name: str, part: tuple[slice, ...]) -> np.ndarray:
        value = read(weights, name, part)
        taken.append((name, value.nbytes))
        return value

    Weights.read = counted
    with tempfile.TemporaryDirectory() as folder:
        save_hf(model, folder)
        for fsdp in (1, 2, 8):
            taken.clear()
            mesh = sharding.make_mesh(fsdp)
            where = functools.partial(sharding.parameter_sharding, mesh)
            sharded = nnx.state(load_hf(folder, shardings=where))
            assert sum(size for _, size in taken) == sum(leaf.nbytes for leaf in jax.tree.leaves(nnx.state(model)))
            largest = max(size for name, size in taken if name.endswith("gate_proj.weight"))
            assert largest == 4 * 64 * 128 // fsdp, largest

            def same(ours: jax.Array, theirs: jax.Array, where=where) -> None:
                assert ours.sharding == where(theirs)
                np.testing.assert_array_equal(ours, theirs)

            jax.tree.map(same, sharded, nnx.state(model))


if __name__ == "__main__":
    assert jax.device_count() == 8
    with jax.default_matmul_precision("highest"):
        {"step": check_step, "read": check_read}[sys.argv[1]]()
