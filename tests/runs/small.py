"""A run of the shared loop inside the test's process: one small compile."""

import jax
import jax.numpy as jnp

from configs import common
from maxrl_jax import keys
from maxrl_jax.runs.folder.run import open_run
from maxrl_jax.runs.loop.chunks import scan
from maxrl_jax.runs.loop.phase import Phase
from maxrl_jax.runs.loop.steps import run_steps


def config(**fields):
    """The shared fields, with a save every 4 steps; ``a__b=1`` sets a.b."""
    made = common.base()
    made.wandb.mode = "disabled"
    made.checkpoint.every_steps = 4
    for name, value in fields.items():
        group, _, field = name.partition("__")
        if field:
            made[group][field] = value
        else:
            made[group] = value
    return made


def initial(seed: int = 0):
    key = keys.stream(seed, "init")
    return {"params": {"w": jax.random.normal(key, (5,))}, "count": jnp.int32(0)}


def step(state, i):
    """A step with a random input, a float update and a counter."""
    noise = jax.random.normal(keys.stream(3, "noise", i), (5,))
    w = state["params"]["w"] * 0.97 + 0.1 * jnp.sin(noise)
    return {"params": {"w": w}, "count": state["count"] + 1}, {"loss": jnp.sum(w**2), "twice": 2 * i}


def run(path, settings=None, *, num_steps=12, chunk_steps=2, chunk=None, phases=(), state=None, **keywords):
    """Runs ``train`` (after the ``phases`` (prefix, steps)); returns (final state, finish's record)."""
    settings = settings or config()
    state = initial() if state is None else state
    chunk = scan(step) if chunk is None else chunk
    with open_run(settings, path, "small") as opened:
        for prefix, steps in phases:
            before = Phase(name=prefix, chunk=scan(step), num_steps=steps, steps_per_call=chunk_steps)
            state = run_steps(opened, before, state)
        phase = Phase(name="train", chunk=chunk, num_steps=num_steps, steps_per_call=chunk_steps, **keywords)
        state = run_steps(opened, phase, state)
        return state, opened.finish(state["params"])
