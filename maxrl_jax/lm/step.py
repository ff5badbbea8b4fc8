"""One reinforcement-learning step of any task: prompts, rollouts, verdicts, advantages, loss and gradients.

    result = step.gradients(policy, task, estimator, settings, params, step=0, key=key)

is one program for a task whose judge is traced. `draw` and `learn` are its two halves. Where the host takes
part, `training` has an engine draw and calls `learn`.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Int32

from maxrl_jax import losses
from maxrl_jax.devices.data_parallel import Share
from maxrl_jax.lm import rollout, update
from maxrl_jax.lm.policy import Policy
from maxrl_jax.lm.schedule import Estimator
from maxrl_jax.lm.task import Prompts, Task, Verdict, metric_name

PROVIDES = ("mean_log_probs", "greedy_rewards")
"""Arrays that an estimator can be given beside the rewards."""


@dataclasses.dataclass(frozen=True)
class Settings:
    """How a step is made; static.

    Attributes:
        num_prompts: P of the global batch.
        num_rollouts: N of each prompt.
        sampling: how answers are drawn.
        micro_batch_tokens: answer tokens of a micro-batch of the update.
        aggregation: of the loss, one of `losses.AGGREGATIONS`.
        clip_epsilon: PPO's clip range, for more than one mini-batch; None for none.
        entropy_coef: weight of the entropy bonus.
        kl_coef: weight of the KL term.
        decode_rows: the most rollouts decoded at a time on a device; None for all.
        minibatches: updates that a batch is cut into, each of as many prompts.
        largest_weight: of answers that another engine draws, the importance weights are cut to this; None for ours.
        max_at_k: k of `losses.max_at_k`, which weighs mini-batches after the first by whole answers; None: by tokens.
    """

    num_prompts: int
    num_rollouts: int
    sampling: rollout.Settings
    micro_batch_tokens: int
    aggregation: str = "sequence_sum"
    clip_epsilon: float | None = None
    entropy_coef: float = 0.0
    kl_coef: float = 0.0
    decode_rows: int | None = None
    minibatches: int = 1
    largest_weight: float | None = None
    max_at_k: int | None = None

    @property
    def loss(self) -> update.LossSettings:
        """The loss, of log-probabilities under the distribution that answers are sampled from."""
        names = ("aggregation", "clip_epsilon", "entropy_coef", "kl_coef")
        terms = {name: getattr(self, name) for name in names}
        return update.LossSettings(**terms, temperature=self.sampling.temperature, top_p=self.sampling.top_p)

    @property
    def minibatch(self) -> "Settings":
        """The settings of one of the mini-batches."""
        return dataclasses.replace(self, num_prompts=self.num_prompts // self.minibatches, minibatches=1)

    def plan(self, num_prompts: int) -> update.Plan:
        """How a device cuts its share of ``num_prompts`` prompts."""
        length = self.sampling.max_new_tokens
        return update.Plan.make(num_prompts, self.num_rollouts, length, micro_batch_tokens=self.micro_batch_tokens)

    @property
    def may_rest(self) -> bool:
        """Whether a batch without a non-zero advantage has no signal: no entropy bonus and no KL term."""
        return losses.may_skip_zero_advantages(self.entropy_coef, self.kl_coef)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Result:
    """A step's loss, its gradients (like the parameters) and its metrics, scalars by name; all of the global batch.

    ``solved`` says of each problem of a finite training set whether the batch solves it; None for another set.
    """

    loss: Float[Array, ""]
    gradients: Any
    metrics: dict[str, Float[Array, ""]]
    solved: Bool[Array, " problems"] | None = None

    @property
    def has_signal(self) -> Bool[Array, ""]:
        """Whether anything of the batch acts on the parameters."""
        return self.metrics["no_signal"] == 0


def gradients(
    policy: Policy,
    task: Task,
    estimator: Estimator,
    settings: Settings,
    params: Any,
    *,
    step: Int[Array, ""] | int,
    key: jax.Array,
    reference: Any = None,
    share: Share | None = None,
) -> Result:
    """Loss, gradients and metrics of one step.

    Args:
        policy: without its parameters.
        task: gives the prompts and judges the answers.
        estimator: of the rewards [P, N] and what else it needs.
        settings: sizes, sampling and loss.
        params: of the policy, in their master type.
        step: traced or not: which prompts.
        key: of the rollouts, consumed.
        reference: parameters of the policy that the KL term refers to, where there is one.
        share: this device's share of the prompts, with more than one device.
    """
    share = share or Share()
    ids = share.ids(settings.num_prompts)
    prompts = task.prompts("rl", step, ids, settings.num_prompts)
    answers = draw(policy, settings, params, prompts, key, ids)
    verdict = task.judge(prompts.state, answers.tokens)
    return learn(policy, task, estimator, settings, params, prompts, answers, verdict, reference=reference, share=share)


def draw(
    policy: Policy, settings: Settings, params: Any, prompts: Prompts, key: jax.Array, ids: Int32[Array, " P"]
) -> rollout.Rollouts:
    """N answers to each prompt; ``ids`` are the prompts' numbers in the global batch."""
    return rollout.rollout(
        policy.model(params),
        prompts.tokens,
        key,
        settings.num_rollouts,
        settings.sampling,
        prompt_lengths=prompts.lengths,
        prompt_ids=ids,
        max_rows=settings.decode_rows,
    )


def log_probs(
    policy: Policy, settings: Settings, params: Any, prompts: Prompts, answers: rollout.Rollouts
) -> Float[Array, "P N T"]:
    """Log-probabilities of the answers' tokens, as the update computes them.

    They are those of the policy that drew: the ratios of a first mini-batch are 1, whatever the sampler rounded.
    """
    plan = settings.plan(len(prompts))
    return update.score(
        policy.master(params).computing(policy.dtype, by_block=True),
        prompts.tokens,
        answers.tokens,
        settings.loss,
        plan,
        prompt_lengths=prompts.lengths,
    )


def weights(log_probs: Float[Array, "P N T"], answers: rollout.Rollouts) -> Float[Array, "P N"]:
    """Importance weights of answers that were drawn from another distribution: pi(answer) / mu(answer).

    With them the expected gradient is that of rollouts from pi itself, whatever mu is, for every estimator that is
    linear in each reward with the others given (reinforce, rloo); another one keeps the direction of a prompt's
    gradient, with its weight at the pass rate of the others, drawn from mu. Cutting the weights (truncated importance
    sampling) gives up some of that for less variance.

    Args:
        log_probs: under pi, the policy that learns.
        answers: with their log-probabilities under mu, the distribution they were drawn from.
    """
    gap = jnp.where(answers.mask, log_probs - answers.log_probs, 0)
    return jnp.exp(gap.sum(-1))


def learn(
    policy: Policy,
    task: Task,
    estimator: Estimator,
    settings: Settings,
    params: Any,
    prompts: Prompts,
    answers: rollout.Rollouts,
    verdict: Verdict,
    *,
    old_log_probs: Float[Array, "P N T"] | None = None,
    weights: Float[Array, "P N"] | None = None,
    reference: Any = None,
    share: Share | None = None,
) -> Result:
    """Loss, gradients and metrics of a batch of judged answers.

    ``old_log_probs`` are those of `log_probs`, once the parameters are no longer those that drew; ``weights`` multiply
    the advantages of answers that another engine drew.
    """
    share = share or Share()
    rewards = verdict.rewards.astype(jnp.float32)
    arrays = _companions(policy, task, estimator, settings, params, prompts, answers)
    advantages = estimator(rewards, **arrays)
    if old_log_probs is not None and settings.max_at_k:
        now = log_probs(policy, settings, params, prompts, answers)
        moved = jnp.sum(jnp.where(answers.mask, now - old_log_probs, 0), axis=-1)
        advantages = losses.max_at_k_advantages(rewards, moved, k=settings.max_at_k)
        old_log_probs = None  # the ratios are in the advantages
    if weights is not None:
        advantages = advantages * weights
    plan = settings.plan(len(prompts))
    frozen = None
    if settings.kl_coef:
        frozen = log_probs(policy, settings, reference, prompts, answers)
    result = update.loss_and_gradients(
        policy.master(params),
        update.Batch(
            prompts.tokens,
            answers.tokens,
            answers.mask,
            advantages,
            old_log_probs=old_log_probs,
            reference_log_probs=frozen,
            prompt_lengths=prompts.lengths,
        ),
        settings.loss,
        plan,
        denominator=share.sum(losses.denominator(answers.mask, settings.aggregation)),
        share=share,
        compute_dtype=policy.dtype,
        remat=policy.remat,
    )
    sums = _sums(task, rewards, advantages, verdict, answers) | {
        "skipped": result.prompts_skipped.astype(jnp.float32),
    }
    solved = None
    if task.num_problems and prompts.numbers is not None:
        solved = jnp.zeros(task.num_problems, jnp.int32).at[prompts.numbers].add(verdict.solved.any(axis=1))
    loss, sums, solved = share.sum((result.loss, sums, solved))
    gradients = share.sum_gradients(result.gradients)
    return Result(loss, gradients, _means(task, settings, sums), None if solved is None else solved > 0)


def _companions(
    policy: Policy,
    task: Task,
    estimator: Estimator,
    settings: Settings,
    params: Any,
    prompts: Prompts,
    answers: rollout.Rollouts,
) -> dict[str, Float[Array, "P ..."]]:
    """The arrays the estimator asks for beside the rewards."""
    arrays = {}
    if "mean_log_probs" in estimator.needs:
        arrays["mean_log_probs"] = answers.log_probs.sum(-1) / answers.lengths
    if "greedy_rewards" in estimator.needs:
        # Greedy decoding draws nothing: any key gives the same answers.
        greedy = dataclasses.replace(settings.sampling, temperature=0.0, top_p=1.0)
        found = rollout.rollout(
            policy.model(params), prompts.tokens, jax.random.key(0), 1, greedy, prompt_lengths=prompts.lengths
        )
        arrays["greedy_rewards"] = task.judge(prompts.state, found.tokens).rewards[:, 0].astype(jnp.float32)
    return arrays


def _sums(
    task: Task,
    rewards: Float[Array, "P N"],
    advantages: Float[Array, "P N"],
    verdict: Verdict,
    answers: rollout.Rollouts,
) -> dict[str, Float[Array, ""]]:
    """Sums over this share; `_means` divides them once they are the whole batch's."""
    solved = verdict.solved
    sums = {
        "reward": jnp.sum(rewards),
        "all_fail": jnp.sum(~jnp.any(solved, axis=1), dtype=jnp.float32),
        "all_solved": jnp.sum(jnp.all(solved, axis=1), dtype=jnp.float32),
        "entropy": jnp.sum(answers.entropies),
        "length": jnp.sum(answers.lengths, dtype=jnp.float32),
        "nonzero_advantages": jnp.sum(advantages != 0, dtype=jnp.float32),
    }
    counts = [jnp.sum(verdict.codes == code, dtype=jnp.float32) for code in range(len(task.reasons))]
    return sums | {"reasons": jnp.stack(counts)}


def _means(task: Task, settings: Settings, sums: dict[str, Float[Array, ""]]) -> dict[str, Float[Array, ""]]:
    """Metrics of a step from the sums over its batch."""
    prompts = settings.num_prompts
    answers = prompts * settings.num_rollouts
    signal = (sums["nonzero_advantages"] > 0) | (not settings.may_rest)
    metrics = {
        "reward_mean": sums["reward"] / answers,
        "all_fail": sums["all_fail"] / prompts,
        "all_solved": sums["all_solved"] / prompts,
        "entropy": sums["entropy"] / sums["length"],  # nats a token of the sampling distribution
        "answer_length": sums["length"] / answers,
        "skipped": sums["skipped"] / prompts,
        "no_signal": 1.0 - signal.astype(jnp.float32),
    }
    if task.rewards != "binary":
        metrics["solved"] = sums["reasons"][0] / answers
    names = map(metric_name, task.reasons)
    return metrics | {f"fail_{name}": sums["reasons"][code] / answers for code, name in enumerate(names) if code}
