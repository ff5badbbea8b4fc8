"""Mazes as a task: fresh ones at every step or a fixed set over many epochs, held-out ones by content."""

import dataclasses

import jax

from maxrl_jax import keys
from maxrl_jax.lm.task import Prompts, Task, Verdict
from maxrl_jax.tasks.epochs import epoch_indices
from maxrl_jax.tasks.maze import follower, generator, split, tokens, verifier
from maxrl_jax.tasks.maze.reward import judged, kind

STOP_TOKENS = (tokens.DONE, tokens.EOS)
IMITATED = ("solution", "wall_follower")
"""The walks that SFT can imitate."""


def make(
    *,
    seed: int,
    size: int,
    num_held_out: int,
    held_out_seed: int = 0,
    training_set: int = 0,
    length: int = 0,
    reward: str = "solved",
    imitated: str = "solution",
) -> Task:
    """The maze task.

    Args:
        seed: of the training mazes.
        size: squares a side, odd, at least 5.
        num_held_out: mazes that are never trained on; capped at a third of those there are.
        held_out_seed: which ones.
        training_set: mazes of a fixed training set; 0: a new maze every time.
        length: tokens of an answer; 0 for `tokens.answer_length`.
        reward: one of `reward.KINDS`.
        imitated: by SFT, one of `IMITATED`: the solution, or the way of a wall follower (`follower`).

    Raises:
        ValueError: one of them is impossible.
    """
    if imitated not in IMITATED:
        raise ValueError(f"imitated by SFT: got {imitated!r}, allowed: {', '.join(IMITATED)}")
    count, note = split.cap_held_out(num_held_out, size)
    table = split.hold_out(keys.stream(held_out_seed, "held_out"), count, size)

    def as_prompts(mazes: generator.Mazes) -> Prompts:
        return Prompts(tokens.encode_prompt(mazes.walls), state=mazes, solutions=mazes.solution)

    def prompts(phase: str, step: jax.Array, ids: jax.Array, batch_size: int) -> Prompts:
        # Every maze has a key of its own, so a device makes just its own mazes. A fixed set is not stored either: maze
        # j is made again from the j-th key whenever an epoch comes to it (the data-scarce regime, MaxRL section 6.2).
        if training_set:
            set_key, order_key = jax.random.split(keys.stream(seed, "training_set"))
            places = epoch_indices(order_key, step, batch_size, training_set)[ids]
            maze_keys = jax.vmap(jax.random.fold_in, (None, 0))(set_key, places)
        else:
            maze_keys = jax.vmap(jax.random.fold_in, (None, 0))(keys.stream(seed, f"{phase}_mazes", step), ids)
        found = as_prompts(split.sample_training_from_keys(maze_keys, size, table))
        if phase == "sft" and imitated == "wall_follower":
            way = follower.walk(found.state.walls, found.state.solution.shape[1])
            return dataclasses.replace(found, solutions=way)
        return found

    def judge(mazes: generator.Mazes, answers: jax.Array) -> Verdict:
        verdict, values = judged(mazes.walls, answers, reward)
        measures = {"shortest": verifier.shortest(verdict, mazes.num_moves)}
        if reward == "solved":
            measures["overrun"] = verifier.overrun(verdict)
        return Verdict(values, verdict.reason, measures)

    return Task(
        name=f"mazes of {size} x {size}",
        vocabulary_size=tokens.VOCABULARY_SIZE,
        answer_length=length or tokens.answer_length(size),
        prompts=prompts,
        judge=judge,
        held_out=as_prompts(table.mazes),
        rewards=kind(reward),
        reasons=verifier.REASONS if reward == "exact" else verifier.REASONS[: verifier.OVERRUN],
        measures=("shortest", "overrun") if reward == "solved" else ("shortest",),
        text=tokens.decode,
        gold=lambda maze: tokens.arrows(maze.solution),
        stop_tokens=STOP_TOKENS,
        pad_token=tokens.PAD,
        notes=(note,) if note else (),
    )
