"""MaxPO's corridor (appendix G.2): 1,000 binary decisions, one right path, a bias that pays at first.

    python -m experiments.corridor --config=configs/corridor.py:tiny --workdir=runs/corridor
    python -m experiments.corridor --config=configs/corridor.py:paper --workdir=runs/corridor_paper

Hardware: any CPU. Time on 2 cores: tiny 20 s, paper 2 to 4 minutes.
Expected (paper variant, N = 128, mean over 8 seeds, standard errors below 1): return 75 for rloo with and without
entropy, 106, 121 and 149 for maxpo and for expected_improvement at k = 2, 4 and 8; at N = 16 the two are within 3 of
each other. The bias alone takes action 1 with probability 0.996 (rloo), 0.992, 0.972 and 0.969 (k = 2, 4, 8). Variance
of maxpo over expected_improvement, averaged over the run: 0.44 at k = 2, 0.94 at k = 4, 1.10 at k = 8.

From the paper: 1,000 states, a logit table plus a global bias, the estimators, entropy coefficient 0.01, 3,000
iterations, a sweep over batch sizes. Its extraction lost the other constants, and these are ours: the share of states
in which action 1 is right, which mistakes allow a second step, a reward of 1 a step, k, the batch sizes, the number of
seeds, logits 0 at first, and plain gradient ascent with the learning rate below.

The learning rate is the largest of 0.01, 0.03 and 0.1 with which every method learns at every batch size in every
seed: at 0.1 (k = 4) maxpo reaches 257 at N = 128 against 104 for rloo, but at N = 8 some seeds of maxpo (93 +- 45) and
of expected_improvement (58 +- 37) end in a policy that is certain of a mistake.
"""

from ml_collections import ConfigDict

from configs import common

VARIANTS = ("tiny", "paper")


def method(name: str, *, entropy_coef: float = 0.0, **hyper) -> ConfigDict:
    """One method: an estimator with its hyper-parameters, and the coefficient of an entropy bonus."""
    return ConfigDict({"advantage": common.advantage(name, **hyper), "entropy_coef": entropy_coef})


def get_config(variant: str = "tiny") -> ConfigDict:
    common.check_variant(variant, VARIANTS)
    config = common.base(variant)

    config.corridor = ConfigDict()
    config.corridor.num_states = 1000  # the paper's
    config.corridor.action_one_share = 0.8  # of the states have action 1 as the right one; which: layout_seed
    config.corridor.second_step_share = 0.5  # of the mistakes end the episode one decision later, the rest at once
    config.corridor.layout_seed = 0  # one layout for all methods and seeds

    config.methods = ConfigDict()
    config.methods.rloo = method("rloo")  # REINFORCE with the leave-one-out baseline
    config.methods.rloo_entropy = method("rloo", entropy_coef=0.01)
    ks = (4,) if variant == "tiny" else (2, 4, 8)
    for k in ks:
        config.methods[f"expected_improvement_k{k}"] = method("expected_improvement", k=k)  # EI
        config.methods[f"maxpo_k{k}"] = method("maxpo", k=k)  # EI + L2O

    config.rl = ConfigDict()
    config.rl.num_rollouts = (8, 16)  # N, episodes a step; each its own run
    config.rl.num_seeds = 8
    config.rl.learning_rate = 0.03  # plain gradient ascent; see above
    config.rl.steps = 300
    config.rl.steps_per_call = 100  # steps of one compiled call

    config.variance = ConfigDict()
    config.variance.every_steps = 100  # variance ratio of maxpo over expected improvement
    config.variance.num_batches = 64  # batches it is estimated from

    if variant == "paper":
        config.rl.num_rollouts = (16, 32, 64, 128)
        config.rl.num_seeds = 8
        config.rl.steps = 3000  # the paper's
        config.variance.every_steps = 100
        config.variance.num_batches = 256
        config.log.every_steps = 10
    return config
