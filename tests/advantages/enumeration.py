"""Exact expectations over every group of N draws from a small categorical policy; float64 numpy."""

from itertools import product

import jax.numpy as jnp
import numpy as np


def softmax(logits):
    e = np.exp(logits - np.max(logits))
    return e / e.sum()


def groups(num_outcomes, num_rollouts):
    """[outcomes^N, N] all groups."""
    return np.array(list(product(range(num_outcomes), repeat=num_rollouts)))


def scores(pi):
    """[outcomes, outcomes]: row z is the gradient of log pi(z) in the logits."""
    return np.eye(len(pi)) - pi


def estimates(advantage, pi, rewards, num_rollouts):
    """(probability [G], gradient estimate (1/N) sum_i A_i S_i [G, outcomes]) of every group."""
    z = groups(len(pi), num_rollouts)
    values = np.asarray(advantage(jnp.asarray(rewards[z])), np.float64)
    return np.prod(pi[z], axis=1), np.einsum("gn,gnc->gc", values, scores(pi)[z]) / num_rollouts


def mean_gradient(advantage, pi, rewards, num_rollouts):
    probability, gradient = estimates(advantage, pi, rewards, num_rollouts)
    return probability @ gradient


def max_at_k_gradient(pi, rewards, k):
    """Gradient in the logits of E[max of k rewards], as E[max x summed score] over all k-tuples."""
    z = groups(len(pi), k)
    best = rewards[z].max(axis=1)
    return (np.prod(pi[z], axis=1) * best) @ scores(pi)[z].sum(axis=1)
