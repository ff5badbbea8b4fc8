"""maxrl_jax: maximum-likelihood reinforcement learning, pass@k and max@k policy gradients in JAX.

One convention holds everywhere: a method maps the rewards of a group of N rollouts to N advantages,
``[*batch, N] -> [*batch, N]``, and the gradient estimate is ``(1/N) sum_i A_i S_i`` with S_i the score
(the gradient of the summed log-probability) of rollout i.

Example:
    >>> import jax.numpy as jnp
    >>> import maxrl_jax
    >>> rewards = jnp.array([[1.0, 0.0, 0.0, 1.0], [0.0, 0.0, 0.0, 0.0]])
    >>> maxrl_jax.get("maxrl")(rewards)
    Array([[ 1., -1., -1.,  1.],
           [ 0.,  0.,  0.,  0.]], dtype=float32)
    >>> float(maxrl_jax.effective_weight(maxrl_jax.get("maxrl"), 0.5, num_rollouts=4))  # (1 - (1-p)^3) / p
    1.75
"""

from maxrl_jax.advantages import get, names
from maxrl_jax.categorical import categorical_rollouts
from maxrl_jax.losses import policy_gradient
from maxrl_jax.metrics import max_at_k, pass_at_k
from maxrl_jax.objectives import effective_variance, effective_weight

__all__ = [
    "categorical_rollouts",
    "effective_variance",
    "effective_weight",
    "get",
    "max_at_k",
    "names",
    "pass_at_k",
    "policy_gradient",
]

__version__ = "0.1.0"
