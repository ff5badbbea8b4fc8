"""The corridor of MaxPO appendix G.2: a thousand binary decisions in a row, and one right path.

State s = 0..S-1 has one right action, 1 in most states. An episode makes the right decision in states 0..L-1 and a
mistake in state L; its return is L, one reward for each right step (L = S: no mistake, the goal is reached). The
episode is over one or two decisions into the mistake: at once if the mistake leads into a wall, or, where
`second_step[L]` is set and L + 1 < S, after one more decision, made in state L + 1, which cannot change the return.
The decisions taken, and so the terms of the score, are therefore exactly

    states 0..L-1 (right), state L (wrong) if L < S, and state L+1 (either action) if second_step[L] and L+1 < S.

The agent sees only how many decisions it has made, so the decision after a mistake uses the logits of state L + 1.

The policy has a table of logits [S, 2] and one global bias [2] added in every state: pi(a|s) = softmax(logits[s] +
bias)[a]. The bias alone determines the policy in states it has never visited.

All decisions of an episode are drawn at once. Its decisions are independent, so P(L >= l) = prod_{s<l} pi(right|s):
with hazards h_s = -log pi(right|s) and E ~ Exponential(1), L is the number of s with h_0 + ... + h_s <= E. That is
one random number and one binary search an episode, N episodes cost O(S + N log S), and the distribution is that of
S separate coin flips (up to float32's resolution of E: tails below 1e-7 are not drawn).
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

Params = dict[str, jax.Array]
"""{"logits": [S, 2], "bias": [2]}"""


class Corridor(NamedTuple):
    """The right action of every state [S], and whether one more decision follows a mistake made there [S]."""

    right_action: jax.Array
    second_step: jax.Array


class Episodes(NamedTuple):
    """N episodes: right decisions before the first mistake [N], and the action after it [N] where there is one."""

    num_correct: jax.Array
    last_action: jax.Array

    @property
    def returns(self) -> jax.Array:
        """[N] float32."""
        return self.num_correct.astype(jnp.float32)


def make_corridor(num_states: int, action_one_share: float, second_step_share: float, layout_seed: int) -> Corridor:
    """A layout: action 1 is right in round(action_one_share * S) states, which ones is drawn from the seed."""
    generator = np.random.default_rng(layout_seed)
    right_action = np.zeros(num_states, np.int32)
    ones = generator.permutation(num_states)[: round(action_one_share * num_states)]
    right_action[ones] = 1
    second_step = generator.random(num_states) < second_step_share
    return Corridor(jnp.asarray(right_action), jnp.asarray(second_step))


def init_params(num_states: int, dtype=jnp.float32) -> Params:
    """The uniform policy: all logits 0."""
    return {"logits": jnp.zeros((num_states, 2), dtype), "bias": jnp.zeros(2, dtype)}


def preference(params: Params) -> jax.Array:
    """x_s [S]: logit of action 1 minus logit of action 0, so that pi(1|s) = sigmoid(x_s)."""
    logits = params["logits"] + params["bias"]
    return logits[:, 1] - logits[:, 0]


def bias_probability(params: Params) -> jax.Array:
    """softmax(bias)[1]: how much the policy prefers action 1 in a state whose own logits are still 0."""
    return jax.nn.sigmoid(params["bias"][1] - params["bias"][0])


def right_preference(params: Params, corridor: Corridor) -> jax.Array:
    """x_s towards the right action [S]: pi(right|s) = sigmoid of it."""
    sign = 2 * corridor.right_action - 1
    return sign.astype(params["logits"].dtype) * preference(params)


def cumulative_hazard(params: Params, corridor: Corridor) -> jax.Array:
    """H_l = -sum_{s<=l} log pi(right|s) [S]: P(return > l) = exp(-H_l)."""
    return jnp.cumsum(jax.nn.softplus(-right_preference(params, corridor)))


def sample_episodes(key: jax.Array, params: Params, corridor: Corridor, num_rollouts: int) -> Episodes:
    """Draws N episodes at once (see the module's text). The key is consumed."""
    first_mistake, last_action = jax.random.split(key)
    hazard = cumulative_hazard(params, corridor)
    level = jax.random.exponential(first_mistake, (num_rollouts,), hazard.dtype)
    num_correct = jnp.searchsorted(hazard, level, side="right", method="scan_unrolled").astype(jnp.int32)
    after = jnp.minimum(num_correct + 1, hazard.shape[0] - 1)
    probability_one = jax.nn.sigmoid(preference(params))[after]
    return Episodes(num_correct, jax.random.bernoulli(last_action, probability_one).astype(jnp.int32))


def has_last_decision(episodes: Episodes, corridor: Corridor) -> jax.Array:
    """[N] whether one more decision followed the mistake."""
    num_states = corridor.right_action.shape[0]
    mistake = jnp.minimum(episodes.num_correct, num_states - 1)
    return corridor.second_step[mistake] & (episodes.num_correct + 1 < num_states)


def log_probs(params: Params, corridor: Corridor, episodes: Episodes) -> jax.Array:
    """log pi of the decisions taken in each episode [N]; the definition in plain form, O(N S)."""
    num_states = corridor.right_action.shape[0]
    state = jnp.arange(num_states)
    log_pi = jax.nn.log_softmax(params["logits"] + params["bias"], axis=-1)
    right = log_pi[state, corridor.right_action]
    wrong = log_pi[state, 1 - corridor.right_action]
    correct = episodes.num_correct[:, None]
    total = jnp.sum(jnp.where(state < correct, right, 0), axis=-1)
    total += jnp.sum(jnp.where(state == correct, wrong, 0), axis=-1)
    after = has_last_decision(episodes, corridor)[:, None] & (state == correct + 1)
    last = jnp.where(episodes.last_action[:, None] == 1, log_pi[:, 1], log_pi[:, 0])
    return total + jnp.sum(jnp.where(after, last, 0), axis=-1)


def max_at_k(params: Params, corridor: Corridor, k: int) -> jax.Array:
    """E[best return of k episodes] exactly: sum_l 1 - (1 - P(return > l))^k. k = 1 is the expected return."""
    survival = jnp.exp(-cumulative_hazard(params, corridor))
    if k == 1:
        return jnp.sum(survival)
    # log1p(-1) has no finite derivative; where survival is 1 the derivative of the k-th power is 0.
    below_one = jnp.minimum(survival, 1 - jnp.finfo(survival.dtype).epsneg)
    return jnp.sum(-jnp.expm1(k * jnp.log1p(-below_one)))
