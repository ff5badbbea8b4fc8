"""One step on four simulated devices against the same step on one; a program of its own, for it needs an XLA flag."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.sharding import AxisType
from jax.sharding import PartitionSpec as Spec

from maxrl_jax import losses
from maxrl_jax.devices import sharding
from maxrl_jax.devices.data_parallel import over_parts
from maxrl_jax.lm.rollout import Segments, Settings, rollout
from maxrl_jax.lm.update import Batch, LossSettings, Plan, loss_and_gradients
from tests.lm.decoder.tiny import tiny_model

P, N, T = 8, 4, 6


def main() -> None:
    """Raises if tokens differ at all, or gradients by more than the order of summation."""
    graphdef, params = nnx.split(tiny_model(num_layers=1))
    prompts, ids = jax.random.randint(jax.random.key(1), (P, 5), 0, 11), jnp.arange(P)

    def step(params, prompts, ids, total):
        model = nnx.merge(graphdef, params)
        answers = rollout(model, prompts, jax.random.key(2), N, Settings(T, (3, 5)), prompt_ids=ids)
        rewards = (answers.tokens == 9).any(-1)
        # The prompts of two devices carry no signal: these devices have less to do than the others.
        advantages = (rewards - 0.3) * (ids < 4)[:, None]
        tokens = total(losses.denominator(answers.mask, "token_mean"))
        batch = Batch(prompts, answers.tokens, answers.mask, advantages)
        plan = Plan.make(len(ids), N, T, micro_batch_tokens=12, num_lengths=1)
        update = loss_and_gradients(model, batch, LossSettings("token_mean"), plan, denominator=tokens)
        return jax.tree.map(total, update), answers.tokens

    assert jax.device_count() == 4
    one, tokens = jax.jit(lambda *inputs: step(*inputs, total=lambda a: a))(params, prompts, ids)
    mesh = jax.make_mesh((4,), ("data",), axis_types=(AxisType.Auto,))
    parallel = jax.shard_map(
        lambda *inputs: step(*inputs, total=lambda a: jax.lax.psum(a, "data")),
        mesh=mesh,
        in_specs=(Spec(), Spec("data"), Spec("data")),
        out_specs=(Spec(), Spec("data")),
        check_vma=False,  # devices take different numbers of turns in their loops
    )
    four, parallel_tokens = jax.jit(parallel)(params, prompts, ids)
    np.testing.assert_array_equal(tokens, parallel_tokens)
    assert one.prompts_skipped == four.prompts_skipped == 4
    assert one.trained_tokens == four.trained_tokens > 0
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), one, four)
    assert max(jnp.abs(leaf).max() for leaf in jax.tree.leaves(one.gradients)) > 1e-3
    in_segments(graphdef, params, np.asarray(prompts), tokens)


def in_segments(graphdef, params, prompts, tokens) -> None:
    """Segments over all devices, each keeping its own rows, give the answers of one loop on one device."""
    mesh = sharding.make_mesh()

    def over(function, whole, parts):
        return over_parts(function, mesh, whole, parts)

    drawn = Segments(lambda params: nnx.merge(graphdef, params), Settings(T, (3, 5)), (2, 4), over, num_devices=4)
    answers = drawn(sharding.replicate(params, mesh), prompts, jax.random.key(2), N)
    np.testing.assert_array_equal(answers.tokens, tokens)
    assert len(set(answers.lengths.max(axis=1))) > 1


if __name__ == "__main__":
    main()
