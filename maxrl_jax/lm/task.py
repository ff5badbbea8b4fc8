"""A task: what gives prompts and judges answers. Everything else of a language-model run knows no task.

Letters: P prompts, N answers to each, S prompt tokens, T answer tokens.

A task of one's own is one function, ``--config.task=my.module:factory``:

    def factory(config):
        def prompts(phase, step, ids, batch_size):  # the larger of two digits; token d + 1 is digit d
            key = keys.stream(config.seed, phase, step)
            digits = jax.vmap(lambda i: jax.random.randint(jax.random.fold_in(key, i), (2,), 0, 10))(ids)
            return Prompts(digits + 1, state=digits)

        def judge(digits, answers):
            return Verdict(answers[..., 0] == 1 + digits.max(-1)[:, None])

        held_out = prompts("held_out", 0, jnp.arange(64), 64)
        return Task("larger", vocabulary_size=11, answer_length=1, prompts=prompts, judge=judge, held_out=held_out)
"""

import dataclasses
import re
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int, Int32

from maxrl_jax.advantages.contracts import REWARD_KINDS

Arrays = Any
"""Of the device or of the host: a judge that runs on the host is given, and gives, the latter."""


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Prompts:
    """Prompts, and what their judge needs.

    Attributes:
        tokens: int32 [P, S], padded on the right where prompts differ in length.
        state: pytree of [P, ...], given to the judge, such as a right answer.
        lengths: int32 [P], tokens of each prompt; None when all have S.
        solutions: int32 [P, L], an answer to imitate, padded with the task's pad token; None where there is none, and
            then there is no SFT.
        numbers: int32 [P], each prompt's place in a finite training set; None for another prompt every time.
    """

    tokens: Int32[Arrays, "P S"]
    state: Any = None
    lengths: Int32[Arrays, " P"] | None = None
    solutions: Int32[Arrays, "P L"] | None = None
    numbers: Int32[Arrays, " P"] | None = None

    def __len__(self) -> int:
        return len(self.tokens)

    def at(self, ids: Any) -> "Prompts":
        """The prompts with these numbers."""
        return jax.tree.map(lambda leaf: leaf[ids], self)

    @property
    def bare(self) -> "Prompts":
        """The prompts without what only a judge and SFT need."""
        return dataclasses.replace(self, state=None, solutions=None)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Verdict:
    """The judgement of N answers to each of P prompts.

    Attributes:
        rewards: [P, N], numbers or truth values.
        reasons: int32 [P, N], index into the task's reasons, 0 for a solved prompt; by default a reward of 1 is solved
            and anything else is wrong.
        measures: what else is known of an answer, bool [P, N] by name; each one implies that it is solved, such as
            that no answer is shorter.
    """

    rewards: Float[Arrays, "P N"] | Bool[Arrays, "P N"]
    reasons: Int[Arrays, "P N"] | None = None
    measures: dict[str, Bool[Arrays, "P N"]] = dataclasses.field(default_factory=dict)

    @property
    def solved(self) -> Bool[Arrays, "P N"]:
        """Whether an answer solves its prompt."""
        return self.rewards == 1 if self.reasons is None else self.reasons == 0

    @property
    def codes(self) -> Int[Arrays, "P N"]:
        """The reasons, those by default too."""
        return (~self.solved).astype(np.int32) if self.reasons is None else self.reasons


METRICS = ("solved", "length", "entropy", "rewards", "votes", "votes_right", "reward_mean", "answer_length", "coverage")
"""Names that an evaluation has of its own, beside those of the task's measures."""


def metric_name(reason: str) -> str:
    """A reason in the name of a metric."""
    return re.sub(r"\W+", "_", reason).lower()


@dataclasses.dataclass(frozen=True)
class Task:
    """A task as the training of a language-model policy sees it.

    Its functions are pure and are traced, unless `judged_on_host`: then both get numbers and NumPy arrays, return NumPy
    arrays, and the judge may do whatever it has to, between the program that draws and the one that learns.

    Attributes:
        name: shown to the user.
        vocabulary_size: V.
        answer_length: T, the most tokens of an answer.
        prompts: ``prompts(phase, step, ids, batch_size)``: those with the numbers ``ids`` int32 [P] in the batch of
            ``batch_size`` at one step (int32, traced) of the phase "sft" or "rl". A function of these alone, so a
            resumed run sees the same ones and a device makes just its own.
        judge: ``judge(state, answers int32 [P, N, T]) -> Verdict``.
        held_out: prompts that no training batch holds, all of them; evaluations take the first ones.
        groups: of each held-out prompt, the name of a group that evaluations report on its own; () for none.
        votes: ``votes(answers) -> int [P, N]``, what each answer says: equal for answers that say the same, negative
            for one that says nothing. None where the majority of several answers is no answer.
        rewards: one of `REWARD_KINDS`, 0 or 1 (binary), in [0, 1] (unit) or real: which estimators fit.
        reasons: names of the verdict's reasons, the first for a solved prompt.
        unjudged: those among them that answers have which were never judged (cut, timed out): such have no vote.
        measures: names of the verdict's measures.
        text: ``text(tokens) -> str``, of a prompt or an answer, for people; by default the tokens' numbers.
        gold: ``gold(state) -> str``, the right answer to one prompt for people, from its own part of the state.
        stop_tokens: an answer ends with the first of these; () for answers of T tokens.
        pad_token: what follows the end of an answer.
        notes: lines for the user at the start of a run.
        has_solutions: whether the prompts of SFT have solutions though the held-out ones have none.
        num_problems: of a finite training set, which its prompts number; 0 for another prompt every time.
        judged_on_host: whether the judge is no function of arrays alone.
        submit: ``submit(state, answers) -> (() -> Verdict)``, the judge on the host without the wait: what it returns
            waits for the verdict. Where there is one, answers that are drawn in segments are judged as they finish,
            each on its own (N = 1, and its prompt's state beside it); None: all together once they are drawn.
        counts: ``counts() -> {name: number}``, what a judge on the host has met so far; logged under perf/.
        close: ends what a judge on the host has started.
    """

    name: str
    vocabulary_size: int
    answer_length: int
    prompts: Callable[[str, Any, Any, int], Prompts]
    judge: Callable[[Any, Any], Verdict]
    held_out: Prompts
    groups: tuple[str, ...] = ()
    votes: Callable[[Any], Any] | None = None
    rewards: str = "binary"
    reasons: tuple[str, ...] = ("solved", "wrong")
    unjudged: tuple[str, ...] = ()
    measures: tuple[str, ...] = ()
    text: Callable[[list[int]], str] = lambda tokens: " ".join(map(str, tokens))
    gold: Callable[[Any], str] = lambda state: ""
    stop_tokens: tuple[int, ...] = ()
    pad_token: int = 0
    notes: tuple[str, ...] = ()
    has_solutions: bool = False
    num_problems: int = 0
    judged_on_host: bool = False
    submit: Callable[[Any, Any], Callable[[], Verdict]] | None = None
    counts: Callable[[], dict[str, float]] = dict
    close: Callable[[], None] = lambda: None

    def __post_init__(self) -> None:
        names = {"reasons": list(map(metric_name, self.reasons)), "measures": [*METRICS, *self.measures]}
        for field, given in names.items():
            repeated = sorted({name for name in given if given.count(name) > 1})
            if repeated:
                raise ValueError(
                    f"{field} of task {self.name}: got {getattr(self, field)}, allowed: names of different metrics "
                    f"({', '.join(repeated)} {'is' if len(repeated) == 1 else 'are'} taken)"
                )
        if not set(self.unjudged) <= set(self.reasons[1:]):
            raise ValueError(f"unjudged of task {self.name}: got {self.unjudged}, allowed: some of {self.reasons[1:]}")
        if self.rewards not in REWARD_KINDS:
            raise ValueError(f"rewards of task {self.name}: got {self.rewards!r}, allowed: {', '.join(REWARD_KINDS)}")
        for field in ("vocabulary_size", "answer_length"):
            if getattr(self, field) < 1:
                raise ValueError(
                    f"{field} of task {self.name}: got {getattr(self, field)}, allowed: a positive integer"
                )

    @property
    def prompt_length(self) -> int:
        """S, tokens of the longest prompt."""
        return self.held_out.tokens.shape[1]

    def check(self, num_prompts: int, num_answers: int = 2) -> None:
        """Holds what the task's functions return against their contract, without running them where they are traced.

        Of a judge on the host nothing is known before its first answers.

        Raises:
            ValueError: a prompt, reward, reason or measure of another shape or type, in one line.
        """
        if self.judged_on_host:
            found = self.prompts("rl", np.int32(0), np.arange(num_prompts, dtype=np.int32), num_prompts)
        else:
            count = jax.ShapeDtypeStruct((), jnp.int32)
            ids = jax.ShapeDtypeStruct((num_prompts,), jnp.int32)
            found = jax.eval_shape(lambda step, ids: self.prompts("rl", step, ids, num_prompts), count, ids)
        if not isinstance(found, Prompts):
            raise ValueError(f"prompts of task {self.name}: got {_named(found)}, allowed: Prompts")
        # Prompts made on the host may be cut to the longest of a batch.
        length = found.tokens.shape[-1] if self.judged_on_host else self.prompt_length
        self._expect("prompts' tokens", found.tokens, (num_prompts, length), jnp.integer)
        if found.lengths is not None:
            self._expect("prompts' lengths", found.lengths, (num_prompts,), jnp.integer)
        if found.solutions is not None:
            self._expect("prompts' solutions", found.solutions, (num_prompts, *found.solutions.shape[1:2]), jnp.integer)
        if found.numbers is not None:
            self._expect("prompts' numbers", found.numbers, (num_prompts,), jnp.integer)
        self._check_tokens()
        if not self.judged_on_host:
            self._check_judge(found.state, num_prompts, num_answers)

    def _check_tokens(self) -> None:
        """Every token of the held-out prompts, and the special ones, has a row in the model's embeddings."""
        special = {"pad_token": [self.pad_token], "stop_tokens": self.stop_tokens}
        for name, tokens in {"held-out prompts' tokens": self.held_out.tokens, **special}.items():
            given = np.asarray(tokens)
            if given.size and not (given.min() >= 0 and given.max() < self.vocabulary_size):
                got = int(given.max()) if given.max() >= self.vocabulary_size else int(given.min())
                allowed = f"0 to {self.vocabulary_size - 1}, of its vocabulary_size"
                raise ValueError(f"{name} of task {self.name}: got {got}, allowed: {allowed}")

    def _check_judge(self, state: Any, num_prompts: int, num_answers: int) -> None:
        answers = jax.ShapeDtypeStruct((num_prompts, num_answers, self.answer_length), jnp.int32)
        verdict = jax.eval_shape(self.judge, state, answers)
        if not isinstance(verdict, Verdict):
            raise ValueError(f"judge of task {self.name}: got {_named(verdict)}, allowed: Verdict")
        shape = (num_prompts, num_answers)
        self._expect("judge's rewards", verdict.rewards, shape, jnp.floating, jnp.bool_)
        if verdict.reasons is not None:
            self._expect("judge's reasons", verdict.reasons, shape, jnp.integer)
        if set(verdict.measures) != set(self.measures):
            raise ValueError(
                f"measures of task {self.name}: got {sorted(verdict.measures)}, allowed: {sorted(self.measures)}"
            )
        for name, measure in verdict.measures.items():
            self._expect(f"judge's {name}", measure, shape, jnp.bool_)

    def _expect(self, what: str, got: Any, shape: tuple[int, ...], *kinds: Any) -> None:
        if got.shape != shape or not any(jnp.issubdtype(got.dtype, kind) for kind in kinds):
            allowed = " or ".join(kind.__name__.strip("_") for kind in kinds)
            raise ValueError(
                f"{what} of task {self.name}: got {got.dtype} {list(got.shape)}, allowed: {allowed} {list(shape)}"
            )


def _named(got: Any) -> str:
    return "an array" if isinstance(got, jax.ShapeDtypeStruct) else type(got).__name__
