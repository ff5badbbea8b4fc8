"""PKPO's one-dimensional problem (section 5.1): ascent on theta, and the variance of its estimators (Figure 8).

    python -m experiments.gaussian --config=configs/gaussian.py:tiny --workdir=runs/gaussian
    python -m experiments.gaussian --config=configs/gaussian.py:paper --workdir=runs/gaussian_paper

Hardware: any CPU. Time on 2 cores: tiny 15 s, paper 1 minute, nearly all of it compilation.
Expected: with pkpo (loo_minus_one) at k = 4 theta ends at the exact optimum 0.93866 (k = 1: 0.86241), mean over
64 seeds 0.9388 at learning rates 0.0003 and 0.001; 0.0001 is still on its way, and the spread over seeds grows as the
root of the learning rate. In variance.csv every mean is within about 3 standard errors of the exact derivative -1.7772
at theta = 1, and pkpo loo_minus_one has the smallest variance at every n (2.03 at n = 8, 0.19 at n = 64).

The paper gives std 0.1, n = 32 in Figure 7, and theta = 1, k = 4 and 10,000 estimates in Figure 8; the start, the
learning rates, the number of steps and the list of n are ours.
"""

from ml_collections import ConfigDict

from configs import common

VARIANTS = ("tiny", "paper")


def get_config(variant: str = "tiny") -> ConfigDict:
    common.check_variant(variant, VARIANTS)
    config = common.base(variant)

    config.problem = ConfigDict()
    config.problem.std = 0.1  # of the policy, fixed
    config.problem.start_theta = 0.5  # where ascent starts: rewards are smooth there, the cliff is at 1

    config.rl = ConfigDict()
    config.rl.advantage = common.advantage("pkpo", k=4)  # its default baseline is loo_minus_one
    config.rl.num_rollouts = 16  # N, samples a step
    config.rl.num_seeds = 8
    config.rl.learning_rates = (0.0003, 0.001, 0.003)  # one run each, same noise
    config.rl.steps = 1000
    config.rl.steps_per_call = 100  # steps of one compiled call

    config.variance = ConfigDict()
    config.variance.theta = 1.0
    config.variance.k = 4
    config.variance.sample_sizes = (8, 16, 32)  # n, multiples of k
    config.variance.num_estimates = 2000

    if variant == "paper":
        config.rl.num_seeds = 64
        config.rl.learning_rates = (0.0001, 0.0003, 0.001, 0.003, 0.01)
        config.rl.steps = 5000
        config.rl.steps_per_call = 500
        config.log.every_steps = 10
        config.variance.sample_sizes = tuple(range(4, 65, 4))
        config.variance.num_estimates = 10_000
    return config
