"""Host memory of a language model's folders and checkpoints, beyond the arrays that the devices hold.

    python -m benchmarks.lm_folder --model smollm2-135m --devices 8

Prints one JSON object, in MiB. Random parameters, split over all devices, are exported as a model folder, read again
with every device's own part, saved as a checkpoint and restored. `extra` is how far the process's own memory (RssAnon,
read every 2 ms; not pages of files) rose above what was there before and the arrays that came, which for simulated
devices lie in the host's memory too; `largest` is the largest parameter, all blocks' together, `parameters` all.
"""

import argparse
import functools
import json
import pathlib
import re
import tempfile
import threading
from collections.abc import Callable
from typing import Any

import jax
from etils import epath
from flax import nnx

from benchmarks.lm_step import MODELS, model_config
from benchmarks.measure import machine
from maxrl_jax.devices import sharding
from maxrl_jax.lm import decoder
from maxrl_jax.runs.folder import checkpoint
from maxrl_jax.runs.folder.checkpoint import Checkpoints

MIB = 2**20
_STATUS = pathlib.Path("/proc/self/status")


def extra(call: Callable[[], Any]) -> tuple[Any, float]:
    """The result of a call, and the peak of resident memory beyond it and what was there before, in MiB."""
    before = peak = _resident()
    ended = threading.Event()

    def watch() -> None:
        nonlocal peak
        while not ended.wait(0.002):
            peak = max(peak, _resident())

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        result = jax.block_until_ready(call())
    finally:
        ended.set()
        watcher.join()
    held = sum(leaf.nbytes for leaf in jax.tree.leaves(result))
    return result, peak - before - held / MIB


def _resident() -> float:
    found = re.search(r"RssAnon:\s+(\d+) kB", _STATUS.read_text())
    assert found is not None
    return int(found.group(1)) / 1024


def measure(options: argparse.Namespace, folder: pathlib.Path) -> dict[str, Any]:
    """Extra memory of the export, of reading it, of a save and of a restore."""
    config, mesh = model_config(options.model, options.layers), sharding.make_mesh(options.devices)
    params = sharding.init(lambda: nnx.state(decoder.Decoder(config, rngs=nnx.Rngs(0))), mesh)
    graph = nnx.graphdef(nnx.eval_shape(lambda: decoder.Decoder(config, rngs=nnx.Rngs(0))))
    sizes = [leaf.nbytes / MIB for leaf in jax.tree.leaves(params)]
    _, export = extra(lambda: decoder.save_hf(nnx.merge(graph, params), folder / "model"))
    where = functools.partial(sharding.parameter_sharding, mesh)
    del params
    params, read = extra(lambda: nnx.state(decoder.load_hf(folder / "model", shardings=where)))
    checkpoints = Checkpoints(epath.Path(folder / "checkpoints"))
    _, save = extra(lambda: (checkpoints.save({"train": 1}, params, metrics_lines=0), checkpoints.wait())[1])

    def restored() -> Any:
        saved = Checkpoints(epath.Path(folder / "checkpoints")).latest()
        assert saved is not None
        return checkpoint.place(saved.leaves, params, "the checkpoint")

    _, restore = extra(restored)
    return {
        "extra": {"export": export, "read": read, "save": save, "restore": restore},
        "largest": max(sizes),
        "parameters": sum(sizes),
        "settings": vars(options),
        "machine": machine(),
    }


def main() -> None:
    """Parses the flags, measures, and prints."""
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags.add_argument("--model", default="smollm2-135m", choices=MODELS)
    flags.add_argument("--layers", type=int, default=0, help="0: all of the model's")
    flags.add_argument("--devices", type=int, default=8)
    options = flags.parse_args()
    jax.config.update("jax_num_cpu_devices", options.devices)
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(measure(options, pathlib.Path(folder))))


if __name__ == "__main__":
    main()
