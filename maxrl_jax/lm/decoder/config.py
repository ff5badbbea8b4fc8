"""The sizes of a Qwen2 decoder, and their names in a Hugging Face config.json."""

import dataclasses
from typing import Any

ARCHITECTURE = "Qwen2ForCausalLM"


@dataclasses.dataclass(frozen=True)
class Config:
    """Sizes and constants of a Qwen2 decoder; the defaults are the maze model (3,944,704 parameters).

    Attributes:
        vocab_size: number of token ids (V).
        hidden_size: width of the residual stream (D).
        intermediate_size: width of the SwiGLU MLP (F).
        num_layers: number of blocks.
        num_heads: query heads (H), a multiple of `num_kv_heads`.
        num_kv_heads: key and value heads (K), each shared by H / K query heads.
        head_dim: width of a head (h, even); None means hidden_size / num_heads.
        max_positions: the longest sequence the model is meant for, in tokens.
        rope_theta: base of the rotary position frequencies.
        rms_norm_eps: added to the mean square before the root.
        tie_embeddings: whether the output matrix is the embedding matrix.
        initializer_range: standard deviation of the weights at initialisation.
    """

    vocab_size: int = 32
    hidden_size: int = 256
    intermediate_size: int = 1024
    num_layers: int = 4
    num_heads: int = 4
    num_kv_heads: int = 2
    head_dim: int | None = None
    max_positions: int = 512
    rope_theta: float = 1e6
    rms_norm_eps: float = 1e-6
    tie_embeddings: bool = True
    initializer_range: float = 0.02

    def __post_init__(self) -> None:
        for name in ("vocab_size", "hidden_size", "intermediate_size", "num_layers", "num_heads",
                     "num_kv_heads", "max_positions"):  # fmt: skip
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: got {getattr(self, name)}, allowed: a positive integer")
        if self.num_heads % self.num_kv_heads:
            raise ValueError(
                f"num_kv_heads: got {self.num_kv_heads}, allowed: a divisor of num_heads = {self.num_heads}"
            )
        if self.head_dim is None:
            if self.hidden_size % self.num_heads:
                raise ValueError(
                    f"num_heads: got {self.num_heads}, allowed: a divisor of hidden_size = {self.hidden_size}"
                )
            object.__setattr__(self, "head_dim", self.hidden_size // self.num_heads)
        if self.head_width % 2:
            raise ValueError(f"head_dim: got {self.head_dim}, allowed: an even integer (rotary halves)")

    @property
    def head_width(self) -> int:
        """Width of one head (h)."""
        assert self.head_dim is not None
        return self.head_dim

    @classmethod
    def from_hugging_face(cls, fields: dict[str, Any]) -> "Config":
        """Reads the fields of a Qwen2ForCausalLM config.json.

        `rope_theta` is read from the top level, as older files have it, or from `rope_parameters`.

        Raises:
            ValueError: another architecture, a scaled rotary embedding or a sliding window, one line.
        """
        if fields.get("model_type", "qwen2") != "qwen2":
            raise ValueError(f"config.json model_type: got {fields['model_type']!r}, allowed: 'qwen2'")
        rope = fields.get("rope_parameters") or fields.get("rope_scaling") or {}
        rope_type = rope.get("rope_type", rope.get("type", "default"))
        if rope_type != "default":
            raise ValueError(f"config.json rope_type: got {rope_type!r}, allowed: 'default'")
        if fields.get("use_sliding_window"):
            raise ValueError("config.json use_sliding_window: got true, allowed: false")
        missing = [key for key in _HUGGING_FACE if key not in fields and key in _REQUIRED]
        if missing:
            raise ValueError(f"config.json: missing {', '.join(missing)}")
        known = {ours: fields[theirs] for theirs, ours in _HUGGING_FACE.items() if theirs in fields}
        theta = fields.get("rope_theta", rope.get("rope_theta", 10_000.0))
        # The defaults of the file format, which are not those of the maze model.
        defaults = {
            "max_positions": 32_768,
            "tie_embeddings": False,
            "num_kv_heads": known["num_heads"],
            "rms_norm_eps": 1e-6,
        }
        return cls(**{**defaults, **known, "rope_theta": float(theta)})

    def to_hugging_face(self) -> dict[str, Any]:
        """The config.json of this model; `rope_theta` stands in both places that readers look at."""
        fields: dict[str, Any] = {theirs: getattr(self, ours) for theirs, ours in _HUGGING_FACE.items()}
        return fields | {
            "architectures": [ARCHITECTURE],
            "model_type": "qwen2",
            "hidden_act": "silu",
            "attention_dropout": 0.0,
            "use_sliding_window": False,
            "rope_theta": self.rope_theta,
            "rope_parameters": {"rope_type": "default", "rope_theta": self.rope_theta},
        }


_HUGGING_FACE = {
    "vocab_size": "vocab_size",
    "hidden_size": "hidden_size",
    "intermediate_size": "intermediate_size",
    "num_hidden_layers": "num_layers",
    "num_attention_heads": "num_heads",
    "num_key_value_heads": "num_kv_heads",
    "head_dim": "head_dim",
    "max_position_embeddings": "max_positions",
    "rms_norm_eps": "rms_norm_eps",
    "tie_word_embeddings": "tie_embeddings",
    "initializer_range": "initializer_range",
}
_REQUIRED = (
    "vocab_size",
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
)
