"""The estimators in a PyTorch loop, in two ways; no gradient ever passes through JAX.

Binary rewards: an advantage depends on the number of successes K alone, so `objectives.binary_form` gives the whole
estimator as two tables, made once and looked up by K on any device. Real rewards: the estimator itself, called on the
rewards without a copy (DLPack). The task: write three digits that sum to n, for n = 0..27.
"""

import jax
import jax.numpy as jnp
import torch

from maxrl_jax import advantages, objectives

PROMPTS, ROLLOUTS, DIGITS, STEPS, RATE = 28, 32, 3, 600, 50.0
TARGETS = torch.arange(PROMPTS)[:, None]


def binary_estimator(name: str, **hyper):
    """[..., N] rewards in {0, 1} -> [..., N] advantages, both of PyTorch, by two tables over K = 0..N."""
    tables = objectives.binary_form(advantages.get(name, **hyper), ROLLOUTS)
    on_success, on_failure = (torch.tensor(table, dtype=torch.float32) for table in tables)

    def advantage(rewards: torch.Tensor) -> torch.Tensor:
        count = rewards.sum(-1, keepdim=True).long()
        return torch.where(rewards > 0, on_success[count], on_failure[count])

    return advantage


def real_estimator(name: str, **hyper):
    """[..., N] real rewards -> [..., N] advantages, both of PyTorch, by the estimator of this library."""
    function = jax.jit(advantages.get(name, **hyper))
    return lambda rewards: torch.from_dlpack(function(jnp.from_dlpack(rewards.contiguous())))


def right(answers: torch.Tensor) -> torch.Tensor:
    """1 where the digits sum to the target."""
    return (answers.sum(-1) == TARGETS).float()


def closeness(answers: torch.Tensor) -> torch.Tensor:
    """1 where the digits sum to the target, less the further off they are."""
    return 1 - (answers.sum(-1) - TARGETS).abs() / 27


def train(advantage, reward) -> tuple[float, float]:
    """Gradient descent on -(1/N) sum_i A_i log pi_i, averaged over prompts; the success before and after."""
    torch.manual_seed(0)
    logits = torch.zeros(PROMPTS, 1, DIGITS, 10, requires_grad=True)
    optimizer, success = torch.optim.SGD([logits], lr=RATE), []
    for _ in range(STEPS):
        policy = torch.distributions.Categorical(logits=logits.expand(-1, ROLLOUTS, -1, -1))
        answers = policy.sample()
        log_probs = policy.log_prob(answers).sum(-1)  # [prompts, N]: of a whole answer, the sum over its tokens
        loss = -(advantage(reward(answers)) * log_probs).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        success.append(right(answers).mean().item())
    return success[0], success[-1]


if __name__ == "__main__":
    torch.set_num_threads(1)  # the arrays are tiny
    for title, advantage, reward in (
        ("binary rewards, maxrl by tables", binary_estimator("maxrl"), right),
        ("real rewards, maxrl_order by DLPack", real_estimator("maxrl_order", order=ROLLOUTS - 1), closeness),
    ):
        before, after = train(advantage, reward)
        print(f"{title}: success before {before:.3f}, after {after:.3f}")
