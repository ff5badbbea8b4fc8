"""Notebook 04 runs from top to bottom, and what it tells the reader holds in what it computed."""

import runpy

import numpy as np
import pytest

from tests.experiments.imagenet.small import ROOT


@pytest.mark.slow
def test_what_rl_does_to_a_classifier():
    (script,) = (ROOT / "notebooks").glob("04_*.py")
    seen = runpy.run_path(str(script), run_name="__main__")
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
    # "keeps p", and "harder than cross-entropy where p is above a half"
    np.testing.assert_allclose(seen["kept"]["rloo"], seen["p"], rtol=1e-3)
    p, grpo = seen["p"], seen["kept"]["grpo"]
    assert np.all(grpo[(p > 0.55) & (p < 0.9)] > 1) and np.all(grpo[p < 0.45] < 1)
    assert seen["noise_table"].loc[1024, "expected: bias"] == pytest.approx(0, abs=1e-5)
