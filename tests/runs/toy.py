"""A toy driver with everything a real one has: two phases, an optimizer, random streams, evaluations."""

import time

import jax
import jax.numpy as jnp
import numpy as np
import optax

from maxrl_jax import keys
from maxrl_jax.devices import sharding
from maxrl_jax.devices.data_parallel import over_batch
from maxrl_jax.runs import launch
from maxrl_jax.runs.config import checks, estimator
from maxrl_jax.runs.folder.run import open_run
from maxrl_jax.runs.loop.chunks import scan
from maxrl_jax.runs.loop.phase import Every, Phase
from maxrl_jax.runs.loop.steps import run_steps


def check(config):
    estimator.phases(config, "rl.advantage", num_rollouts=config.rl.num_rollouts)
    checks.batch(config, "batch")
    checks.batch(config, "size")


def run(config, workdir):
    mesh = checks.mesh(config)
    optimizer = optax.adam(config.rl.learning_rate)

    def init(key):
        params = {"w": jax.random.normal(key, (config.size,)), "b": jnp.zeros((3,), jnp.bfloat16)}
        return {"params": params, "opt": optimizer.init(params)}

    def step_of(phase, advantage):
        def step(state, i):
            x = jax.random.normal(keys.stream(config.seed, f"{phase}/data", i), (config.batch, config.size))
            x = sharding.constrain_batch(x, mesh)
            rewards = (x[:, :8] > 0).astype(jnp.float32)[:, : config.rl.num_rollouts]
            scale = jnp.mean(jnp.abs(advantage(rewards)))

            def loss_of(params):
                bias = jnp.sum(params["b"].astype(jnp.float32))
                return jnp.mean((x @ params["w"] - x[:, 0] - bias) ** 2) * (1 + 0.1 * scale)

            loss, grads = jax.value_and_grad(loss_of)(state["params"])
            updates, opt = optimizer.update(grads, state["opt"])
            new = {"params": optax.apply_updates(state["params"], updates), "opt": opt}
            return new, {"loss": loss, "reward_mean": rewards.mean()}

        return step

    @jax.jit
    def squares(w):
        """Each device its part, as an evaluation goes about its examples."""
        return over_batch(lambda share, w: w[share.ids(config.size)] ** 2, mesh, w, batch_outputs=True)

    def evaluate(state, step):
        time.sleep(config.sleep)
        return {"eval/norm": np.sum(jax.device_get(squares(state["params"]["w"])))}

    phases = estimator.phases(config, "rl.advantage", num_rollouts=config.rl.num_rollouts)
    state = sharding.init(init, mesh, keys.stream(config.seed, "init"))
    hook = Every(config.eval.every_steps, evaluate, at_start=True)
    with open_run(config, workdir, "toy") as run:
        first = scan(step_of("sft", phases[0][1]))
        sft = Phase(name="sft", chunk=first, num_steps=config.sft.steps, steps_per_call=config.chunk_steps)
        state = run_steps(run, sft, state)
        state["opt"] = sharding.replicate(optimizer.init(state["params"]), mesh)
        run.log(0, {"eval/between": jnp.float32(1.5)})
        chunks = [(start, scan(step_of("rl", advantage))) for start, advantage in phases]
        train = Phase(
            name="train", chunk=chunks, num_steps=config.rl.steps, steps_per_call=config.chunk_steps, every=[hook]
        )
        state = run_steps(run, train, state)
        return run.finish(state["params"])


if __name__ == "__main__":
    launch.main(run, check)
