"""Memory of a device in an RL step of a language model, from programs that are compiled and never run.

    python -m benchmarks.lm_memory --model smollm2-360m --prompts 256 --rollouts 128 --length 2048 --devices 8

Prints one JSON object, in GiB. The two programs of a device's share of the prompts, rollouts and update, are compiled
for shapes alone: no array is made, so any machine does. The share is as data parallelism has it today: every device
holds whole parameters, gradients and a copy in the compute type during a step; `--fsdp` divides the optimizer's state
alone. The caches have room for answers that all have `--length` tokens, decoded in one loop. Sizes are those of a
program that computes in float32: bfloat16 halves the caches, most activations and the copy, which a CPU's compiler,
widening bfloat16 to float32, does not show. `peak` adds what is there together at the worst moment;
`gradient_seconds` is the all-reduce of float32 gradients round a ring at `--bandwidth` GB/s.
"""

import argparse
import json
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from benchmarks.lm_step import DEPTHS, MODELS, model_config
from benchmarks.measure import machine
from maxrl_jax.lm import decoder
from maxrl_jax.lm.rollout import Settings, rollout
from maxrl_jax.lm.update import Batch, LossSettings, Plan, loss_and_gradients

GIB = 2**30


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Bytes of what a device holds, in GiB, and whether they fit."""
    if options.prompts % options.devices or options.devices % options.fsdp:
        raise ValueError(
            f"--prompts, --devices, --fsdp: got {options.prompts}, {options.devices}, {options.fsdp}, allowed: prompts "
            "that divide by the devices, and devices that divide by fsdp"
        )
    dtype, P, N, T = jnp.dtype(options.dtype), options.prompts // options.devices, options.rollouts, options.length
    config = model_config(options.model, options.layers)
    graph, params = nnx.split(nnx.eval_shape(lambda: decoder.Decoder(config, rngs=nnx.Rngs(0))))
    size = sum(leaf.size for leaf in jax.tree.leaves(params)) * 4

    def shaped(dtype: Any, *shape: int) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct(shape, dtype)

    prompts = shaped(jnp.int32, P, options.prompt_length)
    settings = Settings(max_new_tokens=T, stop_tokens=(0,), cache_segment=T)
    plan = Plan.make(P, N, T, micro_batch_tokens=options.micro_batch_tokens, num_lengths=1)

    def draw(params: Any, prompts: jax.Array) -> Any:
        model = nnx.merge(graph, params)
        return rollout(model, prompts, jax.random.key(0), N, settings, max_rows=options.decode_rows)

    def update(params: Any, batch: Batch) -> Any:
        model = nnx.merge(graph, params)
        return loss_and_gradients(model, batch, LossSettings(), plan, compute_dtype=dtype, remat=options.remat)

    batch = Batch(prompts, shaped(jnp.int32, P, N, T), shaped(bool, P, N, T), shaped(jnp.float32, P, N))
    copy = jax.tree.map(lambda leaf: shaped(dtype, *leaf.shape), params)
    drawing, learning = (
        jax.jit(function).lower(*given).compile().memory_analysis()
        for function, given in ((draw, (copy, prompts)), (update, (params, batch)))
    )
    kept = size + 2 * size / options.fsdp  # parameters, and AdamW's two moments
    answers = drawing.output_size_in_bytes
    held = {
        "parameters": size,
        "optimizer": 2 * size / options.fsdp,
        "rollout": drawing.temp_size_in_bytes + answers + size * dtype.itemsize / 4,
        "update": learning.temp_size_in_bytes + learning.output_size_in_bytes + answers,
    }
    peak = kept + max(held["rollout"], held["update"])
    ring = 2 * (options.devices - 1) / options.devices
    return {
        **{name: value / GIB for name, value in held.items()},
        "peak": peak / GIB,
        "device": options.memory,
        "fits": peak / GIB <= options.memory,
        "gradient_seconds": ring * size / (options.bandwidth * 1e9),
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
    flags.add_argument("--fsdp", type=int, default=1, help="devices that share the optimizer's state")
    flags.add_argument("--decode-rows", type=int, default=256, help="answers decoded at a time on a device")
    flags.add_argument("--micro-batch-tokens", type=int, default=65_536)
    flags.add_argument("--no-remat", dest="remat", action="store_false", help="keep every block's activations")
    flags.add_argument("--dtype", default="float32", choices=("float32", "bfloat16"))
    flags.add_argument("--memory", type=float, default=80, help="GiB of a device")
    flags.add_argument("--bandwidth", type=float, default=200, help="GB/s between devices, each way")
    options = flags.parse_args(arguments)
    options.layers = options.layers or DEPTHS[options.model]
    try:
        result = measure(options)
    except ValueError as error:
        flags.exit(2, f"error: {error}\n")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
