"""Memory of a device in an RL step of a language model, from programs that are compiled and never run.

    python -m benchmarks.lm_memory --model smollm2-360m --prompts 256 --rollouts 128 --length 2048 --devices 8 --fsdp 8

Prints one JSON object, in GiB. The two programs of a step, rollouts and update with AdamW, are compiled for that many
simulated devices and for shapes alone: no array is made, so any machine does. The caches have room for answers that all
have `--length` tokens, decoded in one loop. `parameters` and `optimizer` are those that a device keeps between steps,
`rollouts` and `update` what each program adds to them at its peak. Sizes are those of a program that computes in
float32: bfloat16 halves the caches, most activations and what is gathered, which a CPU's compiler, widening bfloat16 to
float32, does not show. `sent` are the GB that a device sends round a ring in one step when every answer has `--length`
tokens, `seconds_sent` what they take at `--bandwidth` GB/s.
"""

import argparse
import json
import math
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import nnx

from benchmarks import communication, rl_step
from benchmarks.lm_step import MODELS, model_config
from benchmarks.measure import machine
from maxrl_jax.devices import sharding
from maxrl_jax.devices.data_parallel import Share, over_batch
from maxrl_jax.lm import decoder
from maxrl_jax.lm.policy import Policy
from maxrl_jax.lm.rollout import Rollouts, Settings, rollout
from maxrl_jax.lm.update import Batch, LossSettings, Plan, loss_and_gradients

GIB = 2**30


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """What a device holds, in GiB, whether it fits, and what it sends."""
    P, N, T, S = options.prompts, options.rollouts, options.length, options.prompt_length
    config, mesh = model_config(options.model, options.layers), sharding.make_mesh(options.fsdp)
    graph, shapes = nnx.split(nnx.eval_shape(lambda: decoder.Decoder(config, rngs=nnx.Rngs(0))))
    policy = Policy(graph, jnp.dtype(options.dtype), options.remat)
    settings = Settings(max_new_tokens=T, stop_tokens=(0,), cache_segment=T)
    plan = Plan.make(P // options.devices, N, T, micro_batch_tokens=options.micro_batch_tokens, num_lengths=1)
    optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(1e-5))

    def draw(share: Share, params: Any, prompts: jax.Array) -> Rollouts:
        ids, key = share.ids(P), jax.random.key(0)
        return rollout(
            policy.model(params), prompts[ids], key, N, settings, prompt_ids=ids, max_rows=options.decode_rows
        )

    def gradients(share: Share, params: Any, batch: Batch) -> tuple[jax.Array, Any]:
        own = jax.tree.map(lambda leaf: leaf[share.ids(P)], batch)
        result = loss_and_gradients(
            policy.master(params),
            own,
            LossSettings(),
            plan,
            share=share,
            compute_dtype=policy.dtype,
            remat=policy.remat,
        )
        return share.sum(result.loss), share.sum_gradients(result.gradients)

    def drawn(params: Any, prompts: jax.Array) -> Rollouts:
        return over_batch(draw, mesh, params, prompts, params=1, batch_outputs=True)

    def learn(params: Any, moments: Any, batch: Batch) -> tuple[Any, Any]:
        _, gradient = over_batch(gradients, mesh, params, batch, params=1, gradients=True)
        changes, moments = optimizer.update(gradient, moments, params)
        return optax.apply_updates(params, changes), moments

    def placed(leaf: Any, place: Any) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=place)

    def whole(dtype: Any, *shape: int) -> jax.ShapeDtypeStruct:
        return placed(jax.ShapeDtypeStruct(shape, dtype), sharding.replicated(mesh))

    def kept(tree: Any) -> tuple[Any, int]:
        tree = jax.tree.map(placed, tree, sharding.parameter_shardings(mesh, tree))
        sizes = [leaf.sharding.shard_shape(leaf.shape) for leaf in jax.tree.leaves(tree)]
        return tree, 4 * sum(math.prod(size) for size in sizes)

    params, of_params = kept(shapes)
    moments, of_moments = kept(jax.eval_shape(optimizer.init, shapes))
    prompts = whole(jnp.int32, P, S)
    batch = Batch(prompts, whole(jnp.int32, P, N, T), whole(bool, P, N, T), whole(jnp.float32, P, N))
    places = jax.tree.map(lambda leaf: leaf.sharding, (params, moments))
    drawing = jax.jit(drawn).lower(params, prompts).compile()
    learning = jax.jit(learn, donate_argnums=(0, 1), out_shardings=places).lower(params, moments, batch).compile()
    groups = -(-P // options.devices // plan.prompts)
    turns = groups, rl_step.micro_batches(plan, P // options.devices, N) // groups
    sent = sum(
        found.wire * (found.times or 0)
        for program in (drawing, learning)
        for found in communication.collectives(program.as_text(), options.devices, turns)
    )
    held = {"parameters": of_params, "optimizer": of_moments}
    for name, program in (("rollouts", drawing), ("update", learning)):
        sizes = program.memory_analysis()
        held[name] = sizes.temp_size_in_bytes + sizes.argument_size_in_bytes + sizes.output_size_in_bytes
        held[name] -= sizes.alias_size_in_bytes + of_params + (of_moments if name == "update" else 0)
    peak = of_params + of_moments + max(held["rollouts"], held["update"])
    return {
        **{name: value / GIB for name, value in held.items()},
        "peak": peak / GIB,
        "device": options.memory,
        "fits": peak / GIB <= options.memory,
        "sent": sent / 1e9,
        "seconds_sent": sent / (options.bandwidth * 1e9),
        "plan": repr(plan),
        "settings": vars(options),
        "machine": machine(),
    }


def main(arguments: list[str] | None = None) -> None:
    """Parses the flags, compiles, and prints."""
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags.add_argument("--model", default="smollm2-360m", choices=MODELS)
    flags.add_argument("--layers", type=int, default=0, help="0: all of the model's")
    flags.add_argument("--prompts", type=int, default=256, help="of the whole batch")
    flags.add_argument("--rollouts", type=int, default=128, help="of each prompt")
    flags.add_argument("--prompt-length", type=int, default=512)
    flags.add_argument("--length", type=int, default=2048, help="tokens of an answer")
    flags.add_argument("--devices", type=int, default=8)
    flags.add_argument("--fsdp", type=int, default=1, help="devices that share parameters and optimizer's state")
    flags.add_argument("--decode-rows", type=int, default=256, help="answers decoded at a time on a device")
    flags.add_argument("--micro-batch-tokens", type=int, default=65_536)
    flags.add_argument("--no-remat", dest="remat", action="store_false", help="keep every block's activations")
    flags.add_argument("--dtype", default="float32", choices=("float32", "bfloat16"))
    flags.add_argument("--memory", type=float, default=80, help="GiB of a device")
    flags.add_argument("--bandwidth", type=float, default=200, help="GB/s between devices, each way")
    options = flags.parse_args(arguments)
    if options.prompts % options.devices or options.devices % options.fsdp:
        flags.exit(
            2,
            f"error: --prompts, --devices, --fsdp: got {options.prompts}, {options.devices}, {options.fsdp}, allowed: "
            "prompts that divide by the devices, and devices that divide by fsdp\n",
        )
    jax.config.update("jax_num_cpu_devices", options.devices)
    print(json.dumps(measure(options)))


if __name__ == "__main__":
    main()
