"""Mazes as a task: fresh ones at every step or a fixed set over many epochs, held-out ones by content."""

import functools

import jax
from jax import lax

from maxrl_jax.lm.task import Prompts, Task, Verdict
from maxrl_jax.runs import keys
from maxrl_jax.tasks.epochs import epoch_indices
from maxrl_jax.tasks.maze import curriculum, generator, split, tokens, verifier
from maxrl_jax.tasks.maze.reward import judged, kind

STOP_TOKENS = (tokens.DONE, tokens.EOS)


def make(
    *,
    seed: int,
    size: int,
    num_held_out: int,
    held_out_seed: int = 0,
    training_set: int = 0,
    length: int = 0,
    reward: str = "solved",
    curriculum_steps: int = 0,
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
        curriculum_steps: the first so many steps of SFT are on smaller mazes in the same frame; 0: none.

    Raises:
        ValueError: one of them is impossible.
    """
    count, note = split.cap_held_out(num_held_out, size)
    table = split.hold_out(keys.stream(held_out_seed, "held_out"), count, size)

    def as_prompts(mazes: generator.Mazes, goal: int | None = None) -> Prompts:
        return Prompts(tokens.encode_prompt(mazes.walls, goal), state=mazes, solutions=mazes.solution)

    def full_size(maze_keys: jax.Array) -> Prompts:
        return as_prompts(split.sample_training_from_keys(maze_keys, size, table))

    def in_frame(stage_size: int, maze_keys: jax.Array) -> Prompts:
        return as_prompts(curriculum.framed(maze_keys, stage_size, size), goal=stage_size - 2)

    def prompts(phase: str, step: jax.Array, ids: jax.Array, batch_size: int) -> Prompts:
        # Every maze has a key of its own, so a device makes just its own mazes. A fixed set is not stored either: maze
        # j is made again from the j-th key whenever an epoch comes to it (the data-scarce regime, MaxRL section 6.2).
        if training_set:
            set_key, order_key = jax.random.split(keys.stream(seed, "training_set"))
            places = epoch_indices(order_key, step, batch_size, training_set)[ids]
            maze_keys = jax.vmap(jax.random.fold_in, (None, 0))(set_key, places)
        else:
            maze_keys = jax.vmap(jax.random.fold_in, (None, 0))(keys.stream(seed, f"{phase}_mazes", step), ids)
        if phase == "sft" and curriculum_steps:
            stage = curriculum.stage_at(step, curriculum_steps, size)
            smaller = [functools.partial(in_frame, stage_size) for stage_size in curriculum.stages(size)]
            return lax.switch(stage, [*smaller, full_size], maze_keys)
        return full_size(maze_keys)

    def judge(mazes: generator.Mazes, answers: jax.Array) -> Verdict:
        verdict, values = judged(mazes.walls, answers, reward)
        return Verdict(values, verdict.reason, {"shortest": verifier.shortest(verdict, mazes.num_moves)})

    return Task(
        name=f"mazes of {size} x {size}",
        vocabulary_size=tokens.VOCABULARY_SIZE,
        answer_length=length or tokens.answer_length(size),
        prompts=prompts,
        judge=judge,
        held_out=as_prompts(table.mazes),
        rewards=kind(reward),
        reasons=verifier.REASONS,
        measures=("shortest",),
        stop_tokens=STOP_TOKENS,
        pad_token=tokens.PAD,
        notes=(note,) if note else (),
    )
