"""The sizes and mechanisms of a decoder; it knows no family and no file."""

import dataclasses
import math

ACTIVATIONS = ("silu", "gelu_pytorch_tanh")
UNROLLED = 4
"""Up to so many blocks stand side by side in a program; more of them are a loop, which compiles once."""


@dataclasses.dataclass(frozen=True)
class Llama3Scaling:
    """Rotary frequencies stretched to a longer context, as Llama 3.1 does it.

    Attributes:
        factor: by which the frequencies of long waves are divided.
        low_freq_factor: waves longer than original_max_positions / this are divided.
        high_freq_factor: waves shorter than original_max_positions / this stay; those between are interpolated.
        original_max_positions: context of the pretraining, in tokens.
    """

    factor: float
    low_freq_factor: float
    high_freq_factor: float
    original_max_positions: int

    def __post_init__(self) -> None:
        for name in ("factor", "low_freq_factor", "original_max_positions"):
            _positive(name, getattr(self, name))
        if not self.high_freq_factor > self.low_freq_factor:
            raise ValueError(
                f"high_freq_factor: got {self.high_freq_factor}, allowed: "
                f"more than low_freq_factor = {self.low_freq_factor}"
            )


@dataclasses.dataclass(frozen=True)
class Rule:
    """How the attention of one block scores its keys; static.

    Attributes:
        scale: factor of the products q . k.
        soft_cap: c of c tanh(score / c), applied before any mask; None leaves scores as they are.
        window: a query sees so many of the last positions, its own among them; None: all.
    """

    scale: float
    soft_cap: float | None = None
    window: int | None = None


@dataclasses.dataclass(frozen=True)
class Config:
    """Sizes and mechanisms of a decoder; the defaults are a Qwen2 of 3,944,704 parameters.

    Attributes:
        vocab_size: number of token ids (V).
        hidden_size: width of the residual stream (D).
        intermediate_size: width of the gated MLP (F).
        num_layers: number of blocks.
        num_heads: query heads (H), a multiple of `num_kv_heads`.
        num_kv_heads: key and value heads (K), each shared by H / K query heads.
        head_dim: width of a head (h, even); None means hidden_size / num_heads.
        max_positions: the longest sequence the model is meant for, in tokens.
        rope_theta: base of the rotary position frequencies.
        rope_scaling: how those are stretched, if they are.
        rms_norm_eps: added to the mean square before the root.
        activation: of the MLP's gate, one of `ACTIVATIONS`.
        tie_embeddings: whether the output matrix is the embedding matrix.
        initializer_range: standard deviation of the weights at initialisation.
        qkv_bias: biases on queries, keys and values (Qwen2).
        qk_norm: RMS norms of every query and key head, before the rotation (Qwen3).
        unit_offset_norms: norms scale by 1 + w, in float32 (Gemma).
        post_norms: norms of what attention and MLP add to the stream too, four a block (Gemma 2).
        scale_embeddings: embeddings are multiplied by sqrt(D), rounded in the compute dtype (Gemma).
        query_pre_attn_scalar: scores are divided by its root; None means the head's width.
        attention_soft_cap: c of c tanh(score / c) on attention scores.
        final_soft_cap: the same on the logits.
        windows: for each block how many of the last positions it sees, None for all; () for all in every block.
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
    rope_scaling: Llama3Scaling | None = None
    rms_norm_eps: float = 1e-6
    activation: str = "silu"
    tie_embeddings: bool = True
    initializer_range: float = 0.02
    qkv_bias: bool = True
    qk_norm: bool = False
    unit_offset_norms: bool = False
    post_norms: bool = False
    scale_embeddings: bool = False
    query_pre_attn_scalar: int | None = None
    attention_soft_cap: float | None = None
    final_soft_cap: float | None = None
    windows: tuple[int | None, ...] = ()

    def __post_init__(self) -> None:
        for name in ("vocab_size", "hidden_size", "intermediate_size", "num_layers", "num_heads",
                     "num_kv_heads", "max_positions"):  # fmt: skip
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: got {getattr(self, name)}, allowed: a positive integer")
        for name in ("rope_theta", "rms_norm_eps", "query_pre_attn_scalar", "attention_soft_cap", "final_soft_cap"):
            if getattr(self, name) is not None:
                _positive(name, getattr(self, name))
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
        if self.head_width % 2 or self.head_width < 2:
            raise ValueError(f"head_dim: got {self.head_dim}, allowed: a positive even integer (rotary halves)")
        if self.activation not in ACTIVATIONS:
            raise ValueError(f"activation: got {self.activation!r}, allowed: {', '.join(ACTIVATIONS)}")
        self._check_windows()

    def _check_windows(self) -> None:
        if all(window is None for window in self.windows):
            object.__setattr__(self, "windows", ())
        elif len(self.windows) != self.num_layers or any(window is not None and window < 1 for window in self.windows):
            raise ValueError(f"windows: got {self.windows}, allowed: a positive integer or None for each block")

    @property
    def head_width(self) -> int:
        """Width of one head (h)."""
        assert self.head_dim is not None
        return self.head_dim

    @property
    def period(self) -> int:
        """Blocks of one turn of the loop over blocks (`stack`).

        The smallest divisor of their number after which the windows repeat; of up to `UNROLLED` blocks, all.
        """
        if self.num_layers <= UNROLLED:
            return self.num_layers
        divisors = (p for p in range(1, self.num_layers + 1) if self.num_layers % p == 0)
        return next(p for p in divisors if self.windows[:p] * (self.num_layers // p) == self.windows)

    def rule(self, layer: int) -> Rule:
        """How the attention of a block scores its keys."""
        scale = (self.query_pre_attn_scalar or self.head_width) ** -0.5
        return Rule(scale, self.attention_soft_cap, self.windows[layer] if self.windows else None)


def _positive(name: str, value: float) -> None:
    if not 0 < value < math.inf:
        raise ValueError(f"{name}: got {value}, allowed: a positive number")
