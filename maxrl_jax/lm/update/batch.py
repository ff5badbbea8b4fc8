"""Inputs of a policy-gradient update: the rollouts, the loss, and how they are cut into micro-batches.

Letters: P prompts, N rollouts of each, S prompt tokens, T answer tokens.
"""

import dataclasses
import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Shaped

from maxrl_jax.lm import sampling


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Batch:
    """Rollouts and what the loss needs of them.

    Attributes:
        prompts: padded on the right where `prompt_lengths` says so.
        tokens: of the answers.
        mask: true on answer tokens, the stop token among them.
        advantages: one a rollout.
        old_log_probs: of the tokens under the policy that sampled; None when that is the current one.
        reference_log_probs: of the tokens under a reference policy, for the KL term; see `score`.
        prompt_lengths: from 1 to S; None: all of S.
    """

    prompts: Int[Array, "P S"]
    tokens: Int[Array, "P N T"]
    mask: Bool[Array, "P N T"]
    advantages: Float[Array, "P N"]
    old_log_probs: Float[Array, "P N T"] | None = None
    reference_log_probs: Float[Array, "P N T"] | None = None
    prompt_lengths: Int[Array, " P"] | None = None


@dataclasses.dataclass(frozen=True)
class LossSettings:
    """The loss (`losses.policy_gradient`) and the distribution its log-probabilities are of; static.

    Attributes:
        aggregation: one of `losses.AGGREGATIONS`.
        clip_epsilon: PPO's clip range; needs `Batch.old_log_probs`.
        entropy_coef: weight of the entropy bonus.
        kl_coef: weight of the KL term; needs `Batch.reference_log_probs`.
        temperature: positive; as in sampling.
        top_p: as in sampling.
    """

    aggregation: str = "sequence_sum"
    clip_epsilon: float | None = None
    entropy_coef: float = 0.0
    kl_coef: float = 0.0
    temperature: float = 1.0
    top_p: float = 1.0

    def __post_init__(self) -> None:
        sampling.check(self.temperature, self.top_p)
        if self.temperature == 0:
            raise ValueError("temperature: got 0, allowed: a positive number (greedy decoding has no gradient)")


@dataclasses.dataclass(frozen=True)
class Plan:
    """How a batch is cut into micro-batches; changes time and memory, not the result.

    Attributes:
        prompts: prompts of a group (p); their activations stay in memory while their answers are processed.
        lengths: increasing answer lengths that micro-batches are cut to, each compiled; the last is T.
        rollouts: rollouts of each prompt in a micro-batch (n), one number for each length.
        skip_zeros: leave out what cannot act on the gradient; False only to time or test the rest.
    """

    prompts: int
    lengths: tuple[int, ...]
    rollouts: tuple[int, ...]
    skip_zeros: bool = True

    @classmethod
    def make(
        cls,
        num_prompts: int,
        num_rollouts: int,
        length: int,
        *,
        micro_batch_tokens: int,
        num_lengths: int = 3,
        skip_zeros: bool = True,
    ) -> "Plan":
        """Micro-batches of about `micro_batch_tokens` answer tokens, in equal parts of prompts or rollouts.

        Args:
            num_prompts: P.
            num_rollouts: N.
            length: T.
            micro_batch_tokens: about 1,024 suits the cache of a CPU; on an accelerator, what memory allows.
            num_lengths: number of lengths: T, T/2, T/4, ...
            skip_zeros: as in `Plan`.
        """
        lengths = sorted({math.ceil(length / 2**halvings) for halvings in range(num_lengths)})

        def part(total: int, most: int) -> int:  # total in equal parts of at most `most`
            return math.ceil(total / math.ceil(total / max(1, most)))

        rollouts = tuple(part(num_rollouts, micro_batch_tokens // cut) for cut in lengths)
        prompts = part(num_prompts, micro_batch_tokens // (length * num_rollouts))
        return cls(prompts, tuple(lengths), rollouts, skip_zeros)

    def check(self, length: int) -> None:
        """Raises ValueError unless this plan serves answers of `length` tokens."""
        if min(self.prompts, *self.rollouts) < 1 or len(self.rollouts) != len(self.lengths):
            raise ValueError(
                f"plan: got {self.prompts} prompts and {self.rollouts} rollouts for lengths {self.lengths}, "
                "allowed: at least 1, and one number of rollouts for each length"
            )
        if list(self.lengths) != sorted(set(self.lengths)) or self.lengths[0] < 1 or self.lengths[-1] != length:
            raise ValueError(f"plan lengths: got {self.lengths}, allowed: increasing lengths up to {length}")


def pad(a: Shaped[Array, "..."], amount: int, axis: int) -> Shaped[Array, "..."]:
    """Zeros at the end of an axis."""
    widths = [(0, 0)] * a.ndim
    widths[axis] = (0, amount)
    return jnp.pad(a, widths)
