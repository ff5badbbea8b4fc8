"""The notebooks' scripts run from top to bottom, and the statements of their prose hold in the computed values."""

import runpy
from pathlib import Path

import jax
import numpy as np
import pytest

from maxrl_jax import advantages, objectives

FOLDER = Path(__file__).parents[1] / "notebooks"


def run(prefix):
    """The names that a script has defined at its end."""
    (script,) = FOLDER.glob(f"{prefix}_*.py")
    return runpy.run_path(str(script), run_name="__main__")


def test_from_reinforce_to_maximum_likelihood():
    seen = run("01")
    table = seen["estimates_table"]
    # The text's 6.5 and 6.1, and the samples agree with them.
    assert table.loc["Success mean", "exact w"] == pytest.approx(6.5, abs=0.05)
    assert table.loc["MaxRL", "exact w"] == pytest.approx(6.1, abs=0.05)
    assert np.all(np.abs(table["sampled w"] - table["exact w"]) < 5 * table["standard error"])
    # "At N = 10 it helps, a little. With one right answer and enough rollouts it hurts"
    variance = {name: dict(zip(seen["sizes"], values, strict=True)) for name, values in seen["variances"].items()}
    assert variance["maxrl_unbiased"][10] < variance["success_mean"][10]
    assert variance["maxrl_unbiased"][256] > 100 * variance["success_mean"][256]
    # On the hard prompt RL hardly moves, GRPO starts late, and MaxRL is close behind cross-entropy.
    hard = {name: curve[:, 2] for name, curve in seen["learning"].items()}
    assert hard["rloo"][-1] < 0.1
    half = {name: int(np.argmax(curve > 0.5)) for name, curve in hard.items() if name != "rloo"}
    assert half["cross_entropy"] <= half["maxrl"] < half["grpo"] / 2


def test_one_family_of_estimators():
    seen = run("02")
    table = seen["table"]
    np.testing.assert_allclose(table["sum of the cuts"], table["maxrl_order(5)"], atol=1e-5)
    c = seen["coefficients"]
    np.testing.assert_allclose(c["maxrl"], 1 / seen["orders"], atol=1e-6)
    assert np.array_equal(np.sign(c["grpo"]), [1, -1, 1, -1, 1, -1, 1])  # "GRPO alternates in sign"
    np.testing.assert_allclose(c["ei_leave_one_out"], [0, 0, 4 / 7, 4 / 7, 0, 0, 0], atol=1e-6)
    own, maxrl = seen["own_coefficients"].loc["softened"], seen["own_coefficients"].loc["MaxRL"]
    assert np.all(np.diff(own / maxrl) < 0) and np.all(own < maxrl)  # "the more the larger k"
    weight = objectives.effective_weight(advantages.get("maxrl"), 0.05, 8)
    assert seen["own_table"].loc["p = 0.05", "MaxRL"] == pytest.approx(float(weight))


@pytest.mark.slow
def test_one_step_on_a_maze():
    seen = run("03")
    table = seen["by_maze"]
    assert np.all(np.abs(table["sum"].astype(float)) < 1e-4)  # "All of them are centred"
    # "a single success has advantage N - 1 under MaxRL and 1 under RLOO"
    assert seen["successes"][seen["chosen"]] == 1
    assert table.loc[("hardest", "MaxRL"), "a success"] == pytest.approx(seen["NUM_ROLLOUTS"] - 1)
    assert table.loc[("hardest", "RLOO"), "a success"] == pytest.approx(1)
    # "the gradients differ in length but not in direction": the ratio of norms is the ratio of advantages.
    busy = ~seen["idle"]
    rewards = np.asarray(seen["rewards"])[busy]
    largest = [np.asarray(method(rewards)).max(axis=1) for method in seen["methods"].values()]
    for norms, top in zip(seen["norms"][busy].T, largest, strict=True):
        np.testing.assert_allclose(norms / seen["norms"][busy, 0], top / largest[0], rtol=1e-3)


@pytest.mark.slow
def test_what_rl_does_to_a_classifier():
    seen = run("04")
    table = seen["run"].evaluations
    assert table["pass@1"].iloc[-1] > 3 * table["pass@1"].iloc[0]  # it has begun to learn
    share = seen["share_table"].iloc[0]
    assert share["Cross-entropy"] >= share["MaxRL"] > max(share["GRPO"], share["RLOO"])
    noise = seen["noise_table"]
    np.testing.assert_allclose(noise["expected: bias"], noise["(1-p)^(N-1)"], atol=1e-4)
    for sampling in ("counts", "marginal"):
        spread = noise[f"{sampling}: noise"] / np.sqrt(seen["DRAWS"])
        assert np.all(np.abs(noise[f"{sampling}: bias"] - noise["expected: bias"]) < 4 * spread)
    assert np.all(noise["marginal: noise"] <= 1.05 * noise["counts: noise"])
    # RL "keeps p"; GRPO's gradient "is larger than cross-entropy's where p is above a half"
    np.testing.assert_allclose(seen["kept"]["rloo"], seen["p"], rtol=1e-3)
    p, grpo = seen["p"], seen["kept"]["grpo"]
    assert np.all(grpo[(p > 0.55) & (p < 0.9)] > 1) and np.all(grpo[p < 0.45] < 1)


def test_rewards_beyond_zero_and_one():
    seen = run("05")
    table, pulls = seen["advantages"], seen["pull_table"].loc["right / half right"]
    np.testing.assert_allclose(table.sum(), 0, atol=1e-5)  # "All columns sum to zero"
    over_worthless = table - table.loc[0.0].iloc[0]
    ratios = over_worthless.loc[1.0] / over_worthless.loc[0.5].iloc[0]  # "twice", "2.6 times", "5 times"
    np.testing.assert_allclose(ratios[["RLOO", "GRPO", "MaxRL likelihood", "TailRL"]], [2, 2, 2.647, 5], atol=1e-3)
    # "RLOO weighs the two as their rewards, 2 to 1. So does maxrl_likelihood"; GRPO less, TailRL more.
    assert pulls["RLOO"] == pytest.approx(2, abs=1e-4)
    assert pulls["MaxRL likelihood"] == pytest.approx(2, abs=1e-4)
    assert pulls["GRPO"] < 1.5 and pulls["TailRL"] > 2.5
    # "TailRL climbs to (N - 1) / 2 = 2.5"; "the others are flat where the right answer is rare"
    up = seen["steps_up"]
    assert up["tailrl"][0] == pytest.approx(2.5, abs=0.01)
    for name in ("rloo", "grpo", "maxrl_likelihood"):
        assert abs(up[name][0] / up[name][10] - 1) < 0.1
    # "As probabilities the two are equal. As scores they are not"
    likelihoods = seen["likelihoods"]
    assert likelihoods["log E[g]"].nunique() == 1 and likelihoods["mean of log P(g > t)"].min() == -np.inf
    # "False negatives have little effect"; "False positives cap the weight"
    weights = seen["weights"]
    np.testing.assert_allclose(weights["b = 0.1"], weights["no errors"], rtol=0.101)
    assert weights["a = 0.1"].max() < 9


@pytest.mark.slow
def test_one_step_of_a_language_model():
    seen = run("06")
    table, N, K = seen["table"], seen["N"], seen["K"]
    assert K >= 2 and table["verdict"].eq("right").sum() == K
    values = table.groupby(table["verdict"] == "right")[["RLOO", "GRPO", "MaxRL"]]
    np.testing.assert_allclose(values.std(ddof=0), 0, atol=1e-6)  # "one value for right answers and one for wrong ones"
    np.testing.assert_allclose(table[["RLOO", "GRPO", "MaxRL"]].sum(), 0, atol=1e-4)  # "Each column sums to zero"
    wrong, right = values.mean().loc[False], values.mean().loc[True]
    assert right["MaxRL"] == pytest.approx(N / K - 1) and wrong["MaxRL"] == pytest.approx(-1)
    # "RLOO's numbers are smaller by a factor of N/K times (N - 1)/N"
    assert right["MaxRL"] / right["RLOO"] == pytest.approx(N / K * (N - 1) / N, rel=1e-4)
    # "differ in length alone", "the ratios of these norms are the ratios of the advantages"
    norms, gradients = seen["norms"], seen["plain"]
    np.testing.assert_allclose(norms / norms["RLOO"], right / right["RLOO"], rtol=1e-3)
    flat = {name: np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(g)]) for name, g in gradients.items()}
    for name in ("GRPO", "MaxRL"):
        assert flat[name] @ flat["RLOO"] == pytest.approx(float(norms[name] * norms["RLOO"]), rel=1e-4)
    assert seen["apart"] < 1e-4 and seen["in_shared"] < seen["in_plain"] / 2
    # "Three problems, of two, three and four relations": alone and as the sampler saw them.
    assert list(seen["relations"][seen["places"]]) == [2, 3, 4] and len(set(seen["lengths"][seen["places"]])) == 3
    assert seen["padding"] < 1e-4 and seen["sampler"] < 1e-4
    # "the right answers become likelier and most of the wrong ones less likely", "All three do the same"
    gained, change, is_right = seen["gained"], seen["changes"]["MaxRL"], seen["is_right"]
    assert np.all(change[is_right] > 0) and np.mean(change[~is_right] < 0) > 0.6
    np.testing.assert_allclose(gained, np.tile(gained.loc["MaxRL"], (3, 1)), rtol=0.02)
