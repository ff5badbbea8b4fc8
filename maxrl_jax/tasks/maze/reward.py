"""The reward of an answer: whether it is right, or how good its path is.

With L* the length of the shortest path, d the maze distance from the square where the walk ended to the goal (0 once it
is reached) and L the moves up to the goal:

    solved         1 if the goal is reached, else 0 (the published rule: moves after the goal do not matter)
    exact          1 if the goal is reached by the last move, for the first time, else 0
    path_quality   0.5 max(0, (L* - d) / L*) + 0.5 [goal reached] L* / L

All are 0 for a malformed answer and for one that meets a wall or the edge before the goal. `path_quality` is 1 exactly
where the goal is reached by a shortest path, and pays for coming closer.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float32, Int, Int32

from maxrl_jax.tasks.maze import verifier

KINDS = {"solved": "binary", "exact": "binary", "path_quality": "unit"}
"""The rewards, and whether each is 0 or 1 (binary) or anything between (unit)."""


def rewards(walls: Bool[Array, "B n n"], answers: Int[Array, "B N T"], reward: str = "solved") -> Float32[Array, "B N"]:
    """Rewards in [0, 1] of N answers to each of B mazes.

    Args:
        walls: True where there is a wall; any grid, perfect or not.
        answers: tokens after the prompt; those after the first DONE are ignored.
        reward: one of `KINDS`.

    Raises:
        ValueError: an unknown reward, or shapes that do not fit.
    """
    return judged(walls, answers, reward)[1]


def kind(reward: str) -> str:
    """The kind of a reward, by `KINDS`; ValueError for an unknown one."""
    if reward not in KINDS:
        raise ValueError(f"maze reward: got {reward!r}, allowed: {', '.join(KINDS)}")
    return KINDS[reward]


def judged(
    walls: Bool[Array, "B n n"], answers: Int[Array, "B N T"], reward: str
) -> tuple[verifier.Verdict, Float32[Array, "B N"]]:
    """The verdicts and the rewards of `rewards`, from one walk.

    Under ``exact`` an answer that goes on after the goal has the reason ``overrun``.
    """
    kind(reward)
    verdict, square = verifier.walk(walls, answers)
    if reward == "exact":
        reason = jnp.where(verifier.overrun(verdict), verifier.OVERRUN, verdict.reason)
        verdict = verdict._replace(reason=reason)
    solved = (verdict.reason == verifier.SOLVED).astype(jnp.float32)
    if reward != "path_quality":
        return verdict, solved
    board, stride = verifier.frame(walls)
    to_goal = distances(board, stride)
    shortest = to_goal[:, verifier.start(stride)][:, None].astype(jnp.float32)
    left = verifier.at(to_goal, square).astype(jnp.float32)
    nearer = jnp.maximum(0.0, (shortest - left) / shortest)
    directness = shortest / jnp.maximum(verdict.num_steps, 1)
    walked = (verdict.reason == verifier.SOLVED) | (verdict.reason == verifier.SHORT)
    walked &= shortest < to_goal.shape[-1]  # on a grid whose goal cannot be reached nothing comes nearer
    return verdict, jnp.where(walked, 0.5 * nearer + 0.5 * solved * directness, 0.0)


def distances(board: Int32[Array, "B S"], stride: int) -> Int32[Array, "B S"]:
    """Moves from every square of a framed board (`verifier.frame`) to the goal; the number of squares where no way is.

    Every pass carries the distances one square further, until none changes: as many passes as the longest way.
    """
    free = (board == verifier.OPEN) | (board == verifier.GOAL)
    far = jnp.int32(board.shape[-1])
    first = jnp.where(board == verifier.GOAL, 0, far)

    def relax(state: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        found, _ = state
        # The frame is closed, so what a roll carries around the ends is never let in.
        beside = [jnp.roll(found, move, axis=-1) for move in (1, -1, stride, -stride)]
        nearest = jnp.minimum(jnp.minimum(beside[0], beside[1]), jnp.minimum(beside[2], beside[3]))
        new = jnp.where(free, jnp.minimum(found, nearest + 1), far)
        return new, jnp.any(new != found)

    return jax.lax.while_loop(lambda state: state[1], relax, (first, jnp.bool_(True)))[0]
