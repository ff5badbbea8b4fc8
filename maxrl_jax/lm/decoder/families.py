"""Families of decoders: each a translation of Hugging Face's config.json and tensor names into `Config`.

`read` and `write` translate the fields, `parameters` the names. A family fixes mechanisms (a bias, a norm) and has
the rest in fields. A field that asks for something the decoder does not do is refused, never ignored.
"""

import dataclasses
import functools
from collections.abc import Callable, Iterator
from typing import Any

from maxrl_jax.lm.decoder import fields as kinds
from maxrl_jax.lm.decoder import rope_fields
from maxrl_jax.lm.decoder.config import ACTIVATIONS, Config


@dataclasses.dataclass(frozen=True)
class Family:
    """The traits of one model_type.

    Attributes:
        model_type: of config.json.
        architecture: the class in transformers.
        mechanisms: the fields of `Config` that every model of the family has.
        defaults: fields of config.json that may be absent, and what that means.
        activation: the field that names the MLP's activation.
        windows: how layers with a sliding window are found when layer_types is absent: 'from_layer'
            (max_window_layers on, if use_sliding_window), 'even' layers, or 'never'.
        extra: further fields: their name to ours and what reads it; null means None.
    """

    model_type: str
    architecture: str
    mechanisms: dict[str, Any]
    defaults: dict[str, Any]
    activation: str = "hidden_act"
    windows: str = "never"
    extra: dict[str, tuple[str, Callable]] = dataclasses.field(default_factory=dict)


MECHANISMS = ("qkv_bias", "qk_norm", "unit_offset_norms", "post_norms", "scale_embeddings")
_QWEN = {"max_position_embeddings": 32_768, "rms_norm_eps": 1e-6, "tie_word_embeddings": False}
_GEMMA2 = {
    "max_position_embeddings": 8192,
    "rms_norm_eps": 1e-6,
    "tie_word_embeddings": True,
    "head_dim": 256,
    "query_pre_attn_scalar": 256,
    "attn_logit_softcapping": 50.0,
    "final_logit_softcapping": 30.0,
    "sliding_window": 4096,
    "hidden_activation": "gelu_pytorch_tanh",
}

FAMILIES = {
    family.model_type: family
    for family in (
        Family("qwen2", "Qwen2ForCausalLM", {"qkv_bias": True}, _QWEN, windows="from_layer"),
        Family("qwen3", "Qwen3ForCausalLM", {"qk_norm": True}, _QWEN | {"head_dim": 128}, windows="from_layer"),
        Family(
            "llama",
            "LlamaForCausalLM",
            {},
            {"max_position_embeddings": 2048, "rms_norm_eps": 1e-6, "tie_word_embeddings": False},
        ),
        Family(
            "gemma2",
            "Gemma2ForCausalLM",
            {"unit_offset_norms": True, "post_norms": True, "scale_embeddings": True},
            _GEMMA2,
            activation="hidden_activation",
            windows="even",
            extra={
                "query_pre_attn_scalar": ("query_pre_attn_scalar", kinds.size),
                "attn_logit_softcapping": ("attention_soft_cap", kinds.number),
                "final_logit_softcapping": ("final_soft_cap", kinds.number),
            },
        ),
    )
}

_SIZES = {
    "vocab_size": "vocab_size",
    "hidden_size": "hidden_size",
    "intermediate_size": "intermediate_size",
    "num_hidden_layers": "num_layers",
    "num_attention_heads": "num_heads",
    "max_position_embeddings": "max_positions",
}

# Fields that have one value here; absent and null mean that value too.
_FIXED = {
    "attention_bias": False,
    "mlp_bias": False,
    "attention_dropout": 0.0,
    "partial_rotary_factor": 1.0,
    "use_bidirectional_attention": False,
    "use_mrope": False,
    "quantization_config": None,
}


def read(fields: dict[str, Any]) -> Config:
    """The config that the fields of a config.json describe.

    Raises:
        ValueError: an unknown model_type, a field that is missing or of the wrong type, or one that asks for
            what the decoder does not do; one line that names the field.
    """
    family = kinds.one_of(fields, "model_type", FAMILIES)
    for key, value in _FIXED.items():
        if fields.get(key) not in (None, value):
            raise ValueError(f"{key}: got {fields[key]!r}, allowed: {value!r}")
    given = family.defaults | fields
    sizes = {ours: kinds.size(given, theirs) for theirs, ours in _SIZES.items()}
    sizes["num_kv_heads"] = kinds.optional(kinds.size, given, "num_key_value_heads") or sizes["num_heads"]
    theta, scaling = rope_fields.read(fields, sizes["max_positions"])
    mechanisms: dict[str, Any] = {name: family.mechanisms.get(name, False) for name in MECHANISMS}
    extra: dict[str, Any] = {
        ours: kinds.optional(reader, given, theirs) for theirs, (ours, reader) in family.extra.items()
    }
    return Config(
        **mechanisms,
        **sizes,
        **extra,
        head_dim=kinds.optional(kinds.size, given, "head_dim"),
        rope_theta=theta,
        rope_scaling=scaling,
        rms_norm_eps=kinds.number(given, "rms_norm_eps"),
        activation=kinds.one_of(
            {family.activation: "silu"} | given, family.activation, {name: name for name in ACTIVATIONS}
        ),
        tie_embeddings=kinds.boolean(given, "tie_word_embeddings"),
        initializer_range=kinds.number({"initializer_range": 0.02} | given, "initializer_range"),
        windows=_windows(family, given, sizes["num_layers"]),
    )


def _windows(family: Family, fields: dict[str, Any], num_layers: int) -> tuple[int | None, ...]:
    """The window of each block."""
    if family.windows == "never":
        return ()
    window = kinds.optional(kinds.size, fields, "sliding_window")
    if family.windows == "from_layer" and not kinds.boolean(
        {"use_sliding_window": False} | fields, "use_sliding_window"
    ):
        window = None
    if fields.get("layer_types") is None:
        return tuple(window if slides else None for slides in _sliding(family, fields, num_layers))
    types, allowed = fields["layer_types"], ("full_attention", "sliding_attention")
    if not isinstance(types, list) or len(types) != num_layers or any(kind not in allowed for kind in types):
        raise ValueError(f"layer_types: got {types}, allowed: {' or '.join(allowed)} for each of {num_layers} layers")
    if "sliding_attention" in types and window is None:
        raise ValueError("layer_types: got sliding_attention, allowed: full_attention, for no sliding_window is in use")
    return tuple(window if kind == "sliding_attention" else None for kind in types)


def _sliding(family: Family, fields: dict[str, Any], num_layers: int) -> list[bool]:
    """Which layers have a window where no layer_types says so."""
    if family.windows == "even":
        return [layer % 2 == 0 for layer in range(num_layers)]
    first = fields.get("max_window_layers", 28)
    if type(first) is not int or first < 0:
        raise ValueError(f"max_window_layers: got {first!r}, allowed: an integer >= 0")
    return [layer >= first for layer in range(num_layers)]


def of(config: Config) -> Family:
    """The family that has these mechanisms, as its models are written.

    Raises:
        ValueError: none has.
    """
    for family in FAMILIES.values():
        if all(getattr(config, name) == family.mechanisms.get(name, False) for name in MECHANISMS):
            return family
    mechanisms = ", ".join(f"{name} = {getattr(config, name)}" for name in MECHANISMS)
    raise ValueError(f"{mechanisms}: no family of {', '.join(FAMILIES)} has these mechanisms together")


def write(config: Config) -> dict[str, Any]:
    """The fields of config.json; older and newer readers each find the names they know.

    Raises:
        ValueError: no family can express the config.
    """
    family = of(config)
    windows = sorted({window for window in config.windows if window is not None})
    names = _SIZES | {theirs: ours for theirs, (ours, _) in family.extra.items()}
    fields: dict[str, Any] = {theirs: getattr(config, ours) for theirs, ours in names.items()}
    fields |= {
        "architectures": [family.architecture],
        "model_type": family.model_type,
        "num_key_value_heads": config.num_kv_heads,
        "head_dim": config.head_dim,
        "tie_word_embeddings": config.tie_embeddings,
        "rms_norm_eps": config.rms_norm_eps,
        "initializer_range": config.initializer_range,
        "attention_dropout": 0.0,
        family.activation: config.activation,
        **rope_fields.write(config),
    }
    if family.windows != "never":
        fields["sliding_window"] = windows[0] if windows else None
        fields["layer_types"] = [
            "sliding_attention" if window else "full_attention"
            for window in config.windows or (None,) * config.num_layers
        ]
    if family.windows == "from_layer":
        fields["use_sliding_window"] = bool(windows)
    if read(fields) != config:
        changed = [name for name, value in vars(read(fields)).items() if value != getattr(config, name)]
        raise ValueError(f"{', '.join(changed)}: config.json of {family.model_type} has no room for these values")
    return fields


@dataclasses.dataclass(frozen=True)
class Parameter:
    """One of our parameters and where Hugging Face's files have it.

    Attributes:
        path: in our state.
        names: of their tensors: one, or for a stack of blocks one for each entry.
        stacked: whether it is a stack.
        transposed: whether theirs is, for torch stores a linear map as [outputs, inputs].
    """

    path: tuple[str | int, ...]
    names: tuple[str, ...]
    stacked: bool = False
    transposed: bool = False


def parameters(config: Config) -> Iterator[Parameter]:
    """All parameters of a model."""
    yield Parameter(("embedding",), ("model.embed_tokens.weight",))
    yield Parameter(("norm", "scale"), ("model.norm.weight",))
    if not config.tie_embeddings:
        yield Parameter(("head",), ("lm_head.weight",))
    for place in range(config.period):
        layers = range(place, config.num_layers, config.period)
        for name, (module, parameter) in _block_tensors(config).items():
            names = tuple(f"model.layers.{layer}.{name}" for layer in layers)
            yield Parameter(("blocks", place, module, parameter), names, stacked=True, transposed=parameter == "kernel")


@functools.cache
def _block_tensors(config: Config) -> dict[str, tuple[str, str]]:
    """Their names in a block, and our module and parameter."""
    norms = {"input_layernorm": "attention_norm", "post_attention_layernorm": "mlp_norm"}
    if config.post_norms:
        norms["post_attention_layernorm"] = "attention_post_norm"  # the name means another norm here
        norms |= {"pre_feedforward_layernorm": "mlp_norm", "post_feedforward_layernorm": "mlp_post_norm"}
    if config.qk_norm:
        norms |= {"self_attn.q_norm": "query_norm", "self_attn.k_norm": "key_norm"}
    qkv = {"self_attn.q_proj": "query_proj", "self_attn.k_proj": "key_proj", "self_attn.v_proj": "value_proj"}
    linear = qkv | {
        "self_attn.o_proj": "output_proj",
        "mlp.gate_proj": "gate_proj",
        "mlp.up_proj": "up_proj",
        "mlp.down_proj": "down_proj",
    }
    names = {f"{theirs}.weight": (ours, "scale") for theirs, ours in norms.items()}
    names |= {f"{theirs}.weight": (ours, "kernel") for theirs, ours in linear.items()}
    if config.qkv_bias:
        names |= {f"{theirs}.bias": (ours, "bias") for theirs, ours in qkv.items()}
    return names
