"""The bandit toys: MaxPO's bandit, the prompt bandit (MaxRL in miniature), PKPO's story, two rewards.

    python -m experiments.bandit --config=configs/bandit.py:VARIANT --workdir=DIR

Any machine; times are for 2 CPU cores, compile included. An accelerator runs the same commands.

| variant | what | time | expected |
|---|---|---|---|
| tiny | one method (rl.advantage.name), 32 prompts, 200 steps | 10 s | maxrl N=16: pass@1 0.21 to 0.94 |
| train | the same, 64 prompts from 1e-4 to 0.9, 400 steps | 15 s | pass@1: maxrl N=16 0.66, rloo 0.38 |
| prompts | every estimator at N = 1..1024, with and without noise | 1 min | nats from ML: maxrl 4.2 to 0.13 |
| shared | 12 random features for 64 prompts | 1 min | objectives end apart: rl gives up coverage, ml none |
| pkpo | k_opt x k_eval, annealed k, a hard set | 30 s | pass@k is best near k_opt = k; annealed pass@1 0.57 |
| two_rewards | combined before or after normalisation | 15 s | decoupled maxrl keeps both in conflict |
| graded | answers worth 0, 1/2, 1: TailRL, log E[g], RLOO, GRPO | 30 s | best answer: tailrl 0.67, others <= 0.24 |
| verifier | wrong answers accepted, right ones rejected | 1 min | lowest rate solved: a=0.1 takes MaxRL 1e-4 to 3e-3 |
| split | the rollouts of a step as P prompts x N | 1 min | best N: 32 of 64 rollouts, 256 to 512 of 1,024 |
| regimes | which method is ahead: N x base rate x optimizer x features | 5 min | see results/README.md |
| maxpo | MaxPO Figures 1, 4, 5 | 1 min | EI, EI+L2O ~ 1/sqrt(M); EI+L1O stays at its exact bias |
| demo | a small comparison with a table and a figure | 30 s | see `python -m experiments.bandit.demo` |

A name with `_quick` appended (prompts_quick, maxpo_quick, ...) is the same at a size for tests.
The MaxPO paper's text lost its constants (numbers of actions, N, k, M, seeds): those under `arms` are ours.
"""

from collections.abc import Callable

from ml_collections import ConfigDict

from configs import common

STUDIES = {
    "tiny": "train",
    "train": "train",
    "prompts": "compare",
    "shared": "compare",
    "demo": "compare",
    "pkpo": "pkpo",
    "two_rewards": "two_rewards",
    "graded": "graded",
    "verifier": "verifier",
    "split": "split",
    "maxpo": "maxpo",
    "regimes": "regimes",
}


def get_config(variant: str = "tiny") -> ConfigDict:
    """Returns the config of a variant.

    Raises:
        ValueError: an unknown variant.
    """
    name = variant.removesuffix("_quick")
    if name not in STUDIES:
        raise ValueError(f"unknown variant {variant!r}; allowed: {', '.join(STUDIES)}, each also with _quick")
    config = common.base(variant)
    config.study = STUDIES[name]  # fixed by the variant: a config has the fields of its own study alone
    config.checkpoint.every_steps = 100
    fill, shrink = _PARTS[config.study]
    fill(config)
    _adapt(config, name)
    if variant.endswith("_quick"):
        shrink(config)
    return config


def _train(config: ConfigDict) -> None:
    """Study train: one method."""
    config.problem = _problem()
    config.rl = ConfigDict()
    config.rl.steps = 400
    config.rl.steps_per_call = 25  # steps of one compiled call
    config.rl.learning_rate = 0.1  # of plain gradient ascent on the SUM over prompts
    config.rl.num_rollouts = 16
    config.rl.sampling = "rollouts"  # rollouts: any estimator; counts: symmetric ones, any N; expected: noise-free
    config.rl.advantage = common.advantage("maxrl")
    config.eval = ConfigDict()
    config.eval.every_steps = 50
    config.eval.ks = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)  # of pass@k


def _problem() -> ConfigDict:
    """The prompts of the studies train and compare."""
    problem = ConfigDict()
    problem.num_prompts = 64
    problem.num_answers = 16
    problem.num_correct = 1  # correct answers of each prompt
    problem.pass_rate_range = (1e-4, 0.9)  # initial, log-spaced
    problem.features = "tabular"  # tabular, linear, groups: see experiments/bandit/prompts/problem.py
    problem.num_features = 12  # of linear
    problem.group_size = 4  # of groups
    problem.shared = 0.5  # of groups: the common row's share of the squared norm of the features
    return problem


def _compare(config: ConfigDict) -> None:
    """Study compare: methods trained side by side."""
    config.problem = _problem()
    config.rl = ConfigDict()
    config.rl.steps = 400
    config.rl.learning_rate = 0.1  # of plain gradient ascent on the SUM over prompts
    compare = config.compare = ConfigDict()
    compare.objectives = ("ml", "rl", "grpo")  # exact gradient ascent; ml is the reference of every distance
    compare.estimators = ("reinforce", "rloo", "grpo", "maxrl", "maxpo", "pkpo", "maxrl_order")
    compare.num_rollouts = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
    compare.k = 8  # of maxpo and pkpo, or the largest k that N allows
    compare.order = 16  # of the objective maxrl, where listed
    compare.num_seeds = 3


def _pkpo(config: ConfigDict) -> None:
    """Study pkpo; N and the ks are the paper's, the rest is ours."""
    pkpo = config.pkpo = ConfigDict()
    pkpo.num_groups = 8
    pkpo.group_size = 12  # prompts that share a base distribution
    pkpo.num_answers = 32
    pkpo.num_rollouts = 16
    pkpo.k_opt = (1, 4, 8, 16)
    pkpo.k_eval = (1, 2, 4, 8, 12, 16)
    pkpo.steps = 2000
    pkpo.learning_rate = 0.05
    pkpo.anneal_from = 8  # k before anneal_step, 1 after it
    pkpo.anneal_step = 1000
    pkpo.shared = 0.9  # of the separable and hard sets; the ambiguous set has 1
    pkpo.model_exponent = 1.5  # the model's mass on the answer of rank r ~ (1 + r)^-exponent
    pkpo.truth_exponent = 1.0  # the truth's
    pkpo.hard_model_exponent = 2.5  # hard set: a confident model
    pkpo.hard_truth_exponent = 0.5
    pkpo.hard_favourites_wrong = 2  # whose first two choices are never right
    pkpo.num_seeds = 5


def _two_rewards(config: ConfigDict) -> None:
    """Study two_rewards."""
    two = config.two_rewards = ConfigDict()
    two.num_prompts = 32  # even: compatible and conflict prompts alternate
    two.answers_each = 4  # answers for each pair of rewards
    two.first_range = (1e-2, 0.3)  # initial chance of reward 1, log-spaced
    two.second_rate = 0.7  # of reward 2
    two.coefficient = 1.0  # c in g1 + c g2
    two.num_rollouts = 16
    two.steps = 1000
    two.learning_rate = 0.1
    two.num_seeds = 5


def _graded(config: ConfigDict) -> None:
    """Study graded."""
    graded = config.graded = ConfigDict()
    graded.num_prompts = 24
    graded.levels = (0.0, 0.5, 1.0)  # rewards of the answers, two or three
    graded.answers_each = 4  # answers on each level
    graded.best_range = (1e-3, 0.1)  # initial chance of the highest level, log-spaced over prompts
    graded.middle_rate = 0.3  # of the level between
    graded.estimators = ("tailrl", "maxrl_likelihood", "rloo", "grpo")
    graded.num_rollouts = (4, 8, 16, 32)
    graded.steps = 400
    graded.learning_rate = 0.1  # of plain gradient ascent on each prompt's own logits
    graded.num_seeds = 3


def _verifier(config: ConfigDict) -> None:
    """Study verifier."""
    config.problem = _problem()
    config.problem.num_prompts = 24
    config.problem.pass_rate_range = (1e-4, 0.5)
    verifier = config.verifier = ConfigDict()
    # (a, b): chances that a wrong answer is accepted and that a right one is rejected
    verifier.errors = ((0.0, 0.0), (0.0, 0.1), (0.001, 0.0), (0.01, 0.0), (0.1, 0.0), (0.1, 0.1))
    verifier.estimators = ("maxrl", "grpo", "rloo")
    verifier.num_rollouts = (16, 256)
    verifier.steps = 400
    verifier.learning_rate = 0.1  # of plain gradient ascent on the SUM over prompts
    verifier.weight_batches = 20_000  # estimates whose mean is the measured weight
    verifier.num_seeds = 3


def _split(config: ConfigDict) -> None:
    """Study split: prompts that share features, so that the noise of a step on one prompt costs the others."""
    config.problem = _problem()
    config.problem.pass_rate_range = (1e-3, 0.5)
    config.problem.features = "linear"
    config.problem.num_features = 32
    split = config.split = ConfigDict()
    split.estimators = ("maxrl", "rloo")
    split.rollouts_a_step = (64, 1024)  # P N
    split.num_rollouts = (2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)  # N, where P is whole and at most num_prompts
    split.steps = 400
    split.learning_rate = 0.05  # of plain gradient ascent on the SUM over prompts, estimated from P; results/README.md
    split.num_seeds = 3


def _regimes(config: ConfigDict) -> None:
    """Study regimes: every method at its own best rate, chosen on a seed that is not reported."""
    regimes = config.regimes = ConfigDict()
    regimes.methods = ("rloo", "grpo", "grpo_refilled", "maxrl")  # _refilled: groups with K = 0 or N leave the batch
    regimes.num_rollouts = (2, 4, 16, 64, 256)
    regimes.base_rates = (0.001, 0.01, 0.1, 0.5)  # geometric centre of the prompts' pass rates
    regimes.spreads = (0.0, 1.0)  # decades to either side
    regimes.features = ("tabular", "linear")
    regimes.optimizers = ("sgd", "adam", "muon")
    rates = regimes.rates = ConfigDict()  # tried for every method
    rates.sgd = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0)
    rates.adam = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
    rates.muon = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)
    regimes.steps = (10, 100)  # after which to measure
    regimes.k = 16  # of pass@k, beside pass@1
    regimes.num_prompts = 12
    regimes.num_answers = 8
    regimes.num_features = 4  # of linear: fewer than prompts
    regimes.num_seeds = 3  # reported; rates are chosen on one more


def _maxpo(config: ConfigDict) -> None:
    """Study maxpo. All constants are ours: the paper's were lost from its text."""
    arms = config.arms = ConfigDict()
    arms.num_seeds = 20  # instances: rewards and logits ~ N(0, 1)
    arms.error_actions = 10  # Figure 1 left
    arms.error_rollouts = 16
    arms.error_k = 4
    arms.error_batches = 100_000  # largest M
    arms.error_batches_per_chunk = 50
    arms.actions = (10, 100, 1000, 10_000)  # Figure 1 centre and Figure 4, at k = error_k
    arms.num_rollouts = (8, 16, 32, 64)  # Figures 4 and 5; Figure 1 shows error_rollouts
    arms.ks = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48)  # Figure 1 right and Figure 5, those below N
    arms.k_actions = 1000
    arms.variance_batches = 10_000


def _adapt(config: ConfigDict, name: str) -> None:
    """The changes of a variant."""
    if name == "tiny":
        config.problem.num_prompts = 32
        config.problem.pass_rate_range = (0.01, 0.9)
        config.rl.steps = 200
    if name == "shared":
        config.problem.features = "linear"
        config.rl.steps = 4000
        config.compare.objectives = ("ml", "rl", "grpo", "maxrl", "pass_at_k")
        config.compare.estimators = ("rloo", "grpo", "maxrl", "maxpo")
        config.compare.num_rollouts = (4, 16, 64, 256, 1024)
        config.compare.num_seeds = 3
    if name == "demo":
        config.problem.num_prompts = 32
        config.problem.pass_rate_range = (1e-3, 0.5)
        config.rl.steps = 200
        config.compare.estimators = ("rloo", "grpo", "maxrl")
        config.compare.num_rollouts = (4, 16, 64, 256)


def _shrink_prompts(config: ConfigDict) -> None:
    """Sizes for tests and `--quick` figures: the same code, seconds. Those of train and compare."""
    config.problem.num_prompts = min(config.problem.num_prompts, 24)
    config.rl.steps = min(config.rl.steps, 120)
    if config.study == "compare":
        config.compare.num_rollouts = tuple(n for n in config.compare.num_rollouts if n in (4, 16, 64, 1024))
        config.compare.num_seeds = 2


def _shrink_pkpo(config: ConfigDict) -> None:
    config.pkpo.update({"num_groups": 4, "steps": 200, "anneal_step": 100, "num_seeds": 2})


def _shrink_two_rewards(config: ConfigDict) -> None:
    config.two_rewards.update({"num_prompts": 16, "steps": 200, "num_seeds": 2})


def _shrink_graded(config: ConfigDict) -> None:
    config.graded.update({"num_prompts": 6, "num_rollouts": (4, 8), "steps": 150, "num_seeds": 2})


def _shrink_verifier(config: ConfigDict) -> None:
    config.problem.num_prompts = 12
    config.verifier.update({"errors": ((0.0, 0.0), (0.1, 0.0)), "num_rollouts": (4, 32), "steps": 150})
    config.verifier.update({"weight_batches": 2000, "num_seeds": 2})


def _shrink_split(config: ConfigDict) -> None:
    config.problem.num_prompts = 16
    config.split.update(
        {"estimators": ("maxrl",), "rollouts_a_step": (16, 64), "num_rollouts": (4, 16), "steps": 100, "num_seeds": 2}
    )


def _shrink_maxpo(config: ConfigDict) -> None:
    config.arms.update({"num_seeds": 4, "error_batches": 2000, "variance_batches": 500})
    config.arms.update({"actions": (10, 100), "num_rollouts": (8, 16), "ks": (1, 2, 4, 8), "k_actions": 100})


def _shrink_regimes(config: ConfigDict) -> None:
    config.regimes.update({"num_rollouts": (4,), "base_rates": (0.1,), "spreads": (1.0,), "features": ("linear",)})
    config.regimes.update({"optimizers": ("sgd", "muon"), "steps": (5, 20), "num_prompts": 6, "num_seeds": 2})


_PARTS: dict[str, tuple[Callable[[ConfigDict], None], Callable[[ConfigDict], None]]] = {
    "train": (_train, _shrink_prompts),
    "compare": (_compare, _shrink_prompts),
    "pkpo": (_pkpo, _shrink_pkpo),
    "two_rewards": (_two_rewards, _shrink_two_rewards),
    "graded": (_graded, _shrink_graded),
    "verifier": (_verifier, _shrink_verifier),
    "split": (_split, _shrink_split),
    "maxpo": (_maxpo, _shrink_maxpo),
    "regimes": (_regimes, _shrink_regimes),
}
"""By study: what fills in its fields, and what makes them small."""
