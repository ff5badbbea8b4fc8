"""Policy gradients of the corridor in closed form: O(S + N) for N episodes, no array of shape [N, S].

With x_s = logit of action 1 minus logit of action 0, a decision a in state s has d log pi(a|s) / d x_s = a - pi(1|s):
+pi(wrong|s) towards the right action for a right decision, -pi(right|s) for a mistake. A state's logits get
(-d, +d) of the sum d over the decisions made there, and the bias the sum over all states. So the weighted score of N
episodes needs only, per state, the total weight of the episodes that passed it, stopped in it, or ended after it.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from experiments.corridor.environment import (
    Corridor,
    Episodes,
    Params,
    has_last_decision,
    preference,
    right_preference,
)


class Visits(NamedTuple):
    """Total weight [S] of the episodes by their decision in a state: right, the mistake, or action 1 or 0 after it."""

    right: jax.Array
    wrong: jax.Array
    last_one: jax.Array
    last_zero: jax.Array


def count_visits(corridor: Corridor, episodes: Episodes, weights: jax.Array) -> Visits:
    """Sums the episodes' weights by the state and kind of their decisions."""
    num_states = corridor.right_action.shape[0]
    stopped = jnp.zeros(num_states + 1, weights.dtype).at[episodes.num_correct].add(weights)
    # Everyone that stops after s was right in s: a sum from the far end.
    passed = jax.lax.cumsum(stopped, reverse=True)[1:]
    last = jnp.where(has_last_decision(episodes, corridor), weights, 0)
    after = jnp.minimum(episodes.num_correct + 1, num_states - 1)
    by_action = jnp.zeros((2, num_states), weights.dtype).at[episodes.last_action, after].add(last)
    return Visits(passed, stopped[:num_states], by_action[1], by_action[0])


def weighted_score(params: Params, corridor: Corridor, episodes: Episodes, weights: jax.Array) -> Params:
    """sum_i weights_i S_i, S_i = grad log pi of the decisions episode i took; weights A_i / N estimate the gradient."""
    visits = count_visits(corridor, episodes, weights)
    towards_right = right_preference(params, corridor)
    sign = (2 * corridor.right_action - 1).astype(weights.dtype)
    one = jax.nn.sigmoid(preference(params))
    along_path = visits.right * jax.nn.sigmoid(-towards_right) - visits.wrong * jax.nn.sigmoid(towards_right)
    after_mistake = visits.last_one * (1 - one) - visits.last_zero * one
    return _from_preference(sign * along_path + after_mistake)


def entropy_gradient(params: Params, corridor: Corridor, episodes: Episodes) -> Params:
    """Gradient of (1/N) sum_i sum_t H(pi(.|s_t)) over the decisions taken, the states visited held fixed.

    dH/dx_s = -x_s pi(1|s) pi(0|s).
    """
    num_rollouts = episodes.num_correct.shape[0]
    x = preference(params)
    visits = count_visits(corridor, episodes, jnp.full(num_rollouts, 1 / num_rollouts, x.dtype))
    return _from_preference(sum(visits) * -x * jax.nn.sigmoid(x) * jax.nn.sigmoid(-x))


def _from_preference(gradient: jax.Array) -> Params:
    """The gradient in logits and bias, from the one in x_s = (logits + bias)[s, 1] - (logits + bias)[s, 0]."""
    logits = jnp.stack([-gradient, gradient], axis=-1)
    return {"logits": logits, "bias": jnp.sum(logits, axis=0)}
