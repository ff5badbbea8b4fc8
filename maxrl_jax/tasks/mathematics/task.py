"""Mathematical questions as a task: prompts made on the host, answers judged there by a pool of processes."""

import functools
import zlib
from collections.abc import Callable

import jax
import numpy as np

from maxrl_jax import keys
from maxrl_jax.lm import task
from maxrl_jax.tasks.epochs import epoch_indices
from maxrl_jax.tasks.mathematics import answers, grading
from maxrl_jax.tasks.mathematics.boxes import last_box
from maxrl_jax.tasks.mathematics.prompts import Prompts
from maxrl_jax.tasks.mathematics.tokenizer import Tokenizer
from maxrl_jax.tasks.mathematics.verifier import Verifier


def make(
    *,
    seed: int,
    training: Prompts,
    held_out: Prompts,
    tokenizer: Tokenizer,
    verifier: Verifier,
    vocabulary_size: int,
    answer_length: int,
    cut_is_wrong: bool,
    name: str = "mathematical problems",
    rewards: str = "binary",
    said: Callable[[str], str | None] = last_box,
    groups: tuple[str, ...] = (),
    notes: tuple[str, ...] = (),
) -> task.Task:
    """The task of two sets of problems.

    Args:
        seed: of the order in which problems come: reshuffled epochs of the training set.
        training: problems of RL.
        held_out: problems of the evaluations.
        tokenizer: that wrote the prompts.
        verifier: judges answers; closed with the task.
        vocabulary_size: of the model.
        answer_length: tokens of the longest answer.
        cut_is_wrong: whether an answer that reaches this length is wrong unread, or judged as it stands.
        name: of the problems, for the user.
        rewards: which kind the verifier gives, one of ``REWARD_KINDS``.
        said: what an answer says, from its text; None for nothing. Majorities count it.
        groups: of each held-out problem, the name of a group that evaluations report on its own.
        notes: lines for the user.
    """
    golds = (*training.golds, *held_out.golds)
    prompts, taught = _order(seed, training, tokenizer.pad)

    def submit(places: np.ndarray, found: np.ndarray) -> Callable[[], task.Verdict]:
        wanted = [golds[place] for place in places]
        pending = answers.submit(tokenizer, verifier, wanted, found, cut_is_wrong=cut_is_wrong)
        return lambda: task.Verdict(*pending())

    def judge(places: np.ndarray, found: np.ndarray) -> task.Verdict:
        return submit(places, found)()

    def votes(found: np.ndarray) -> np.ndarray:
        rows = found.reshape(-1, found.shape[-1]).tolist()
        numbers = [_number(said(tokenizer.decode_answer(row))) for row in rows]
        return np.array(numbers, np.int32).reshape(found.shape[:-1])

    def counts() -> dict[str, float]:
        return {f"answers_{task.metric_name(reason)}": float(verifier.counts[reason]) for reason in grading.REASONS}

    return task.Task(
        name=f"{len(training)} {name}",
        vocabulary_size=vocabulary_size,
        answer_length=answer_length,
        prompts=prompts,
        judge=judge,
        held_out=task.Prompts(
            held_out.tokens, state=len(training) + np.arange(len(held_out)), lengths=held_out.lengths
        ),
        groups=groups,
        votes=votes,
        rewards=rewards,
        reasons=grading.REASONS,
        unjudged=grading.REASONS[grading.CUT :],
        text=tokenizer.decode,
        gold=lambda place: str(golds[place]),
        stop_tokens=tokenizer.eos,
        pad_token=tokenizer.pad,
        notes=notes + _notes(training, held_out),
        has_solutions=taught > 0,
        num_problems=len(training),
        judged_on_host=True,
        submit=submit,
        counts=counts,
        close=verifier.close,
    )


def _notes(training: Prompts, held_out: Prompts) -> tuple[str, ...]:
    """Lines for the user on problems that are left out, shared or not taught."""
    found = [
        f"{prompts.dropped} problems of {name} have too long a prompt and are left out"
        for name, prompts in (("data.train", training), ("data.eval", held_out))
        if prompts.dropped
    ]
    shared = int(training.held_in(held_out).sum())
    if shared:
        found.append(f"{shared} of {len(training)} training problems are held out too (data.drop_shared)")
    if any(training.solutions) and not all(training.solutions):
        found.append(f"{training.solutions.count(())} solutions are longer than an answer may be, and are not taught")
    return tuple(found)


def _order(seed: int, training: Prompts, pad: int) -> tuple[Callable[..., task.Prompts], int]:
    """The prompts of a step of SFT or RL, as `Task.prompts`, and how many problems have a solution to teach."""
    order = jax.jit(functools.partial(epoch_indices, keys.stream(seed, "rl_order")), static_argnums=(1, 2))
    sft_order = jax.jit(functools.partial(epoch_indices, keys.stream(seed, "sft_order")), static_argnums=(1, 2))
    taught = np.flatnonzero([len(solution) for solution in training.solutions])
    solutions = np.full((len(taught), max(map(len, training.solutions), default=0)), pad, np.int32)
    for row, place in zip(solutions, taught, strict=True):
        row[: len(training.solutions[place])] = training.solutions[place]

    def prompts(phase: str, step: np.ndarray, ids: np.ndarray, batch_size: int) -> task.Prompts:
        if phase == "sft":  # of one shape: several steps are one call
            rows = np.asarray(sft_order(step, batch_size, len(taught)))[ids]
            own = training.at(taught[rows])
            return task.Prompts(own.tokens, lengths=own.lengths, solutions=solutions[rows])
        places = np.asarray(order(step, batch_size, len(training)))[ids]
        tokens, lengths = training.batch(places)
        return task.Prompts(tokens, state=places, lengths=lengths, numbers=places)

    return prompts, len(taught)


def _number(said: str | None) -> int:
    """A number that stands for a text; -1 for none."""
    return -1 if not said else zlib.crc32(said.encode()) >> 1
