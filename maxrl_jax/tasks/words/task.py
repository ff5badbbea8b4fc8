"""Word problems as a task: demonstrations for SFT, a fixed set of problems over many epochs for RL."""

import jax
import jax.numpy as jnp

from maxrl_jax import keys
from maxrl_jax.lm.task import Prompts, Task, Verdict
from maxrl_jax.tasks.epochs import epoch_indices
from maxrl_jax.tasks.words import arrays, vocabulary
from maxrl_jax.tasks.words.judge import REASONS, judge


def make(
    *,
    seed: int,
    num_problems: int = 256,
    num_demonstrations: int = 32_768,
    num_held_out: int = 256,
    set_seed: int = 0,
    training: str = "",
    held_out: str = "",
) -> Task:
    """The task of the word problems.

    Args:
        seed: of the order in which problems come.
        num_problems: of the fixed training set of RL, run over many epochs.
        num_demonstrations: of the set that SFT runs over; none is of a held-out problem.
        num_held_out: problems that are never trained on.
        set_seed: which problems and demonstrations; the same for every seed of a run.
        training: kind of the training set's problems, of `problems.KINDS`.
        held_out: kind of the held-out ones.
    """
    trained = arrays.training_set(set_seed, num_problems, training)
    taught = arrays.demonstrations(set_seed, num_demonstrations)

    def prompts(phase: str, step: jax.Array, ids: jax.Array, batch_size: int) -> Prompts:
        table = taught if phase == "sft" else trained
        places = epoch_indices(keys.stream(seed, f"{phase}_order"), step, batch_size, len(table))[ids]
        return _widened(jax.tree.map(jnp.asarray, table).at(places), places)

    def judged(golds: jax.Array, found: jax.Array) -> Verdict:
        verdict = judge(golds, found)
        return Verdict(verdict.reason == 0, verdict.reason)

    def votes(found: jax.Array) -> jax.Array:
        return judge(jnp.zeros(len(found), jnp.int32), found).number

    return Task(
        name=f"{num_problems} word problems",
        vocabulary_size=vocabulary.SIZE,
        answer_length=max(map(arrays.answer_length, ("", training, held_out))),
        prompts=prompts,
        judge=judged,
        held_out=_widened(arrays.held_out_set(set_seed, num_held_out, held_out), None),
        votes=votes,
        reasons=REASONS,
        text=vocabulary.decode,
        gold=lambda number: str(int(number)),
        stop_tokens=vocabulary.STOP_TOKENS,
        pad_token=vocabulary.PAD,
        num_problems=num_problems,
    )


def _widened(prompts: Prompts, numbers: jax.Array | None) -> Prompts:
    """The prompts as they are used."""
    tokens = jnp.asarray(prompts.tokens, jnp.int32)
    solutions = None if prompts.solutions is None else jnp.asarray(prompts.solutions, jnp.int32)
    return Prompts(tokens, jnp.asarray(prompts.state), jnp.asarray(prompts.lengths), solutions, numbers)
