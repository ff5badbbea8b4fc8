"""The models and outputs that make_golden.py wrote, as folders that `load_hf` reads."""

import json
import pathlib

import numpy as np
from safetensors import numpy as safetensors_numpy

FOLDER = pathlib.Path(__file__).parent / "golden"
CASES = ("qwen2", "qwen2_window", "qwen3", "llama", "llama3", "gemma2")


def unpack(case, folder, change=None):
    """Writes config.json (edited by `change`) and model.safetensors; returns (tokens, logits, greedy tokens)."""
    arrays = dict(np.load(FOLDER / f"{case}.npz"))
    fields = json.loads(str(arrays.pop("config")))
    results = [arrays.pop(f"golden.{name}") for name in ("tokens", "logits", "greedy")]
    if change:
        change(fields)
    (folder / "config.json").write_text(json.dumps(fields))
    safetensors_numpy.save_file(arrays, folder / "model.safetensors")
    return results


def older(fields):
    """The same settings under the names that transformers 4 wrote."""
    rope = fields.pop("rope_parameters")
    fields["rope_theta"] = rope.pop("rope_theta")
    fields["rope_scaling"] = None if rope["rope_type"] == "default" else rope
    fields.pop("layer_types", None)
    if fields["model_type"] == "qwen2" and fields["use_sliding_window"]:
        fields["max_window_layers"] = 1
    fields["torch_dtype"] = fields.pop("dtype")
