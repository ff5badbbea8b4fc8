"""Segments on four simulated devices against one loop on one; a program of its own, for it needs an XLA flag."""

import jax
import numpy as np
from flax import nnx

from maxrl_jax.devices import sharding
from maxrl_jax.devices.data_parallel import over_parts
from maxrl_jax.lm.rollout import Segments, Settings, rollout
from tests.lm.decoder.tiny import tiny_model

P, N = 8, 4
SETTINGS = Settings(8, (3, 5))
KEY = jax.random.key(2)


def main() -> None:
    """Raises if tokens differ; devices keep their own rows, and are left with different numbers of them."""
    assert jax.device_count() == 4
    graphdef, params = nnx.split(tiny_model(num_layers=1))
    prompts = np.random.default_rng(1).integers(0, 11, (P, 5)).astype(np.int32)
    one = jax.jit(lambda params: rollout(nnx.merge(graphdef, params), prompts, KEY, N, SETTINGS))(params)
    mesh = sharding.make_mesh()

    def over(function, whole, parts):
        return over_parts(function, mesh, whole, parts)

    drawn = Segments(lambda params: nnx.merge(graphdef, params), SETTINGS, (2, 4), over, num_devices=4)
    answers = drawn(sharding.replicate(params, mesh), prompts, KEY, N)
    np.testing.assert_array_equal(answers.tokens, one.tokens)
    np.testing.assert_allclose(answers.log_probs, one.log_probs, atol=1e-5)
    left = (answers.lengths > 2).reshape(4, -1).sum(axis=1)
    assert len(set(left.tolist())) > 1 and left.max() > 0


if __name__ == "__main__":
    main()
