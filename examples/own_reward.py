"""Your own policy and your own verifier, trained by MaxRL: the whole loop, in JAX.

The policy writes three digits for a number n; the verifier accepts any three that sum to n. At first one answer in 28
is right, and one in 1,000 for the hardest, n = 0 and n = 27. `python own_reward.py` takes seconds on a CPU.
"""

import jax
import jax.numpy as jnp
import numpy as np

from maxrl_jax import advantages, losses

PROMPTS, ROLLOUTS, DIGITS, STEPS, RATE = range(28), 32, 3, 600, 50.0


def verify(prompt: int, answer: list[int]) -> float:
    """1.0 for right, 0.0 for wrong: any Python of yours."""
    return float(sum(answer) == prompt)


@jax.jit
def sample(logits, key):
    """N answers [prompts, N, digits] from logits [prompts, digits, 10]."""
    return jax.random.categorical(key, logits[:, None], shape=(len(PROMPTS), ROLLOUTS, DIGITS))


@jax.jit
def update(logits, answers, rewards):
    """One step of gradient descent (any optimizer would do) from rewards [prompts, N]."""

    def loss(logits):
        log_probs = jnp.take_along_axis(jax.nn.log_softmax(logits)[:, None], answers[..., None], axis=-1)[..., 0]
        return losses.policy_gradient(log_probs, jnp.ones_like(log_probs), advantages.get("maxrl")(rewards))

    return logits - RATE * jax.grad(loss)(logits)


logits, success = jnp.zeros((len(PROMPTS), DIGITS, 10)), []
for key in jax.random.split(jax.random.key(0), STEPS):
    answers = sample(logits, key)
    rewards = np.array([[verify(n, a) for a in group] for n, group in zip(PROMPTS, answers.tolist(), strict=True)])
    logits = update(logits, answers, rewards)
    success.append(rewards.mean())
print(f"success before {success[0]:.3f}, after {success[-1]:.3f}")
