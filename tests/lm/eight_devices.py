"""Eight simulated devices against one; a program of its own, for it needs an XLA flag.

python -m tests.lm.eight_devices step|segments|read
"""

import dataclasses
import functools
import sys
import tempfile
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from benchmarks.communication import collectives
from maxrl_jax import advantages
from maxrl_jax.devices import data_parallel, sharding
from maxrl_jax.lm import step
from maxrl_jax.lm.decoder import load_hf, save_hf
from maxrl_jax.lm.decoder.weights import Weights
from maxrl_jax.lm.engine import OneLoop
from maxrl_jax.lm.policy import Policy
from maxrl_jax.lm.rollout import Segments, Settings
from maxrl_jax.lm.task import Prompts, Task, Verdict
from tests.lm.decoder.tiny import compiled, tiny_model

P, N, S, T = 16, 4, 9, 6
LLAMA = {"qkv_bias": False, "tie_embeddings": False, "num_layers": 6}  # deep enough to be a loop over stacked blocks


def prompts_of(phase: str, number: int, ids: jax.Array, batch_size: int) -> Prompts:
    """Random tokens of 1 to S, padded with what would change the answers if it were seen.

    No answer solves those of numbers 4 to 7: of eight devices, two have no signal.
    """
    key = jax.random.fold_in(jax.random.key(7), number)
    tokens = jax.vmap(lambda i: jax.random.randint(jax.random.fold_in(key, i), (S,), 0, 10))(ids)
    lengths = 1 + (ids * 5) % S
    wanted = jnp.where((ids >= 4) & (ids < 8), -1, tokens[:, 0])
    return Prompts(jnp.where(jnp.arange(S) < lengths[:, None], tokens, 10), state=wanted, lengths=lengths)


def judge(wanted: jax.Array, answers: jax.Array) -> Verdict:
    """Whether the wanted token is in the answer."""
    right = (answers == wanted[:, None, None]).any(-1)
    return Verdict(right.astype(jnp.float32), jnp.where(right, 0, 1))


def check_step() -> None:
    """One RL step and its rollouts on meshes of every kind: the same tokens, log-probabilities and gradients."""
    task = Task(
        "find", 11, T, prompts_of, judge, held_out=prompts_of("held_out", 0, jnp.arange(2), 2), stop_tokens=(3,)
    )
    settings = step.Settings(P, N, Settings(T, (3,)), micro_batch_tokens=12, aggregation="token_mean")
    graph, params = nnx.split(tiny_model(**LLAMA))
    policy, estimator = Policy(graph, jnp.float32), advantages.get("maxrl")

    def result_of(share: data_parallel.Share, params: nnx.State) -> tuple[step.Result, nnx.State]:
        result = step.gradients(policy, task, estimator, settings, params, step=0, key=jax.random.key(2), share=share)
        return dataclasses.replace(result, gradients=None), result.gradients

    def answers_of(share: data_parallel.Share, params: nnx.State) -> tuple[jax.Array, jax.Array]:
        prompts = prompts_of("rl", 0, share.ids(P), P)
        answers = step.draw(policy, settings, params, prompts, jax.random.key(2), share.ids(P))
        return answers.tokens, step.log_probs(policy, settings, params, prompts, answers)

    def found(mesh: jax.sharding.Mesh | None) -> tuple[str, Any]:
        def run(params: nnx.State) -> Any:
            made = data_parallel.over_batch(result_of, mesh, params, params=1, gradients=True)
            return made, data_parallel.over_batch(answers_of, mesh, params, params=1, batch_outputs=True)

        placed = sharding.shard_parameters(params, mesh) if mesh else params
        program = compiled(run, placed)
        return program.as_text(), jax.device_get(program(placed))

    def same(ours: np.ndarray, theirs: np.ndarray) -> None:
        scale = np.abs(theirs).max()
        assert scale > 1e-4  # every parameter takes part
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=5e-6 * scale)

    _, ((one, gradients), (tokens, log_probs)) = found(None)
    assert 0 < one.metrics["reward_mean"] < 1
    assert one.metrics["skipped"] >= 4 / P
    for fsdp in (1, 2, 8):
        text, ((result, their_gradients), (their_tokens, their_log_probs)) = found(sharding.make_mesh(fsdp))
        np.testing.assert_array_equal(their_tokens, tokens)
        np.testing.assert_allclose(their_log_probs, log_probs, atol=1e-5)
        np.testing.assert_allclose(result.loss, one.loss, rtol=1e-5)
        for name, value in one.metrics.items():
            np.testing.assert_allclose(result.metrics[name], value, rtol=1e-6, err_msg=name)
        jax.tree.map(same, their_gradients, gradients)
        check_program(text, params, fsdp)


def check_segments() -> None:
    """The answers of one loop on one device; devices are left with different numbers of rows."""
    graph, params = nnx.split(tiny_model(num_layers=1))
    prompts = Prompts(np.random.default_rng(1).integers(0, 11, (P, 5)).astype(np.int32))
    settings, given = Settings(8, (3, 5)), (prompts, N, jax.random.key(2))
    policy, mesh = Policy(graph, jnp.float32), sharding.make_mesh(2)
    one = OneLoop(policy, settings, None)(*given, params)
    answers = Segments(policy, settings, mesh, None, (2, 4))(*given, sharding.shard_parameters(params, mesh))
    np.testing.assert_array_equal(answers.tokens, one.tokens)
    np.testing.assert_allclose(answers.log_probs, one.log_probs, atol=1e-5)
    left = (answers.lengths > 2).reshape(8, -1).sum(axis=1)
    assert len(set(left.tolist())) > 1 and left.max() > 0


def check_program(text: str, params: nnx.State, fsdp: int) -> None:
    """Loops gather one block's parameters, or the matrices outside, and scatter their gradients; all else is small."""
    found = [collective for collective in collectives(text, 8) if collective.group > 1]
    whole = sum(leaf.nbytes for leaf in jax.tree.leaves(params))
    reduced = sum(collective.payload for collective in found if collective.kind == "all-reduce")
    assert reduced < (whole / fsdp if fsdp < 8 else 0) + 1000  # shards summed over their copies, and metrics
    in_loops = [collective for collective in found if collective.loops]
    assert all(collective.group == fsdp for collective in in_loops)
    sizes = {leaf.nbytes // leaf.shape[0] for leaf in jax.tree.leaves(params["blocks"])}
    sizes |= {params["embedding"].nbytes, params["norm"]["scale"].nbytes}
    for kind in ("all-gather", "reduce-scatter") if fsdp > 1 else ():
        assert {collective.payload for collective in in_loops if collective.kind == kind} == sizes, kind
    assert {collective.kind for collective in in_loops} <= {"all-gather", "reduce-scatter"}


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
    sharding._SMALLEST = 1  # every parameter that divides is split
    with jax.default_matmul_precision("highest"):
        {"step": check_step, "segments": check_segments, "read": check_read}[sys.argv[1]]()
