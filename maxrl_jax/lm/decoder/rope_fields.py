"""The rotary fields of a config.json: rope_theta and rope_scaling of older files, rope_parameters of newer ones."""

from typing import Any

from maxrl_jax.lm.decoder import fields as kinds
from maxrl_jax.lm.decoder.config import Config, Llama3Scaling

DEFAULT_THETA = 10_000.0  # of a file that says nothing
_LAYER_TYPES = ("full_attention", "sliding_attention")
_LLAMA3 = ("factor", "low_freq_factor", "high_freq_factor")


def read(fields: dict[str, Any], max_positions: int) -> tuple[float, Llama3Scaling | None]:
    """(theta, scaling).

    Raises:
        ValueError: another rope_type, a layer type with parameters of its own, or two fields that disagree.
    """
    newer = _one_for_all_layers(kinds.mapping(fields, "rope_parameters"))
    older = kinds.mapping(fields, "rope_scaling")
    for key in newer.keys() & older.keys():
        if newer[key] != older[key]:
            raise ValueError(f"rope_scaling {key}: got {older[key]!r}, allowed: {newer[key]!r} as in rope_parameters")
    rope = older | newer
    if rope.get("partial_rotary_factor") not in (None, 1.0):
        raise ValueError(f"partial_rotary_factor: got {rope['partial_rotary_factor']}, allowed: 1.0")
    thetas = [kinds.number(place, "rope_theta") for place in (fields, rope) if place.get("rope_theta") is not None]
    if len(set(thetas)) > 1:
        raise ValueError(
            f"rope_theta: got {thetas[0]} and in rope_parameters {thetas[1]}, allowed: one value in both places"
        )
    theta = thetas[0] if thetas else DEFAULT_THETA
    kind = rope.get("rope_type", rope.get("type"))
    if kind in (None, "default"):
        return theta, None
    if kind != "llama3":
        raise ValueError(f"rope_type: got {kind!r}, allowed: 'default', 'llama3'")
    return theta, Llama3Scaling(
        *(kinds.number(rope, name) for name in _LLAMA3),
        original_max_positions=kinds.optional(kinds.size, rope, "original_max_position_embeddings") or max_positions,
    )


def _one_for_all_layers(rope: dict[str, Any]) -> dict[str, Any]:
    """The parameters; those nested by layer type are taken out when all layer types have the same."""
    nested = [kinds.mapping(rope, name) for name in _LAYER_TYPES if rope.get(name) is not None]
    if not nested:
        return rope
    if any(parameters != nested[0] for parameters in nested):
        raise ValueError(f"rope_parameters: got {rope}, allowed: the same parameters for every layer type")
    return nested[0]


def write(config: Config) -> dict[str, Any]:
    """The fields under their older and their newer names."""
    rope: dict[str, Any] = {"rope_type": "default", "rope_theta": config.rope_theta}
    scaling = config.rope_scaling
    if scaling is None:
        return {"rope_theta": config.rope_theta, "rope_parameters": rope}
    stretch = {name: getattr(scaling, name) for name in _LLAMA3} | {
        "rope_type": "llama3",
        "original_max_position_embeddings": scaling.original_max_positions,
    }
    return {"rope_theta": config.rope_theta, "rope_parameters": rope | stretch, "rope_scaling": stretch}
