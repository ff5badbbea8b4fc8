"""maxrl_jax: maximum-likelihood reinforcement learning, pass@k and max@k policy gradients in JAX.

One convention holds everywhere: a method maps the rewards of a group of N rollouts to N advantages,
``[*batch, N] -> [*batch, N]``, and the gradient estimate is ``(1/N) sum_i A_i S_i`` with S_i the score
(the gradient of the summed log-probability) of rollout i.
"""
