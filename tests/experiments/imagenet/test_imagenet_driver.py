"""The image driver end to end at its smallest: metrics, resume, record files, devices, figures."""

import json
import os
import shutil
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

from experiments.figures import __main__ as figures
from experiments.imagenet import __main__ as driver
from experiments.imagenet import checks, loss, measure_norms, training
from experiments.imagenet.evaluation import Evaluator
from experiments.imagenet.problem import Problem
from experiments.results import image_runs
from maxrl_jax.errors import ConfigError
from maxrl_jax.runs.folder.metric_writer import read_metrics
from tests.experiments.imagenet.small import FROM_FILES, ROOT, SMALL, lines, small
from tests.xla_flags import with_devices


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The folder of a finished run of three steps of MaxRL on digits."""
    folder = tmp_path_factory.mktemp("imagenet") / "run"
    config = small()
    checks.check(config)
    driver.run(config, folder)
    return folder


def test_metrics_are_the_contracts(finished):
    train = lines(finished, "train/")
    assert [r["step"] for r in train] == [0, 1, 2]
    names = ("loss", "reward_mean", "gradient_norm", "entropy", "all_fail", "top1", "cross_entropy", "pass@256")
    for record in train:
        assert {f"train/{name}" for name in names} <= set(record)
        assert record["train/gradient_norm"] > 0
    evaluations = lines(finished, "eval/")
    assert [r["step"] for r in evaluations] == [0, 3]
    assert {"eval/loss", "eval/top1", "eval/entropy", "eval/pass@1", "eval/pass@256"} <= set(evaluations[0])
    assert evaluations[0]["eval/pass@1"] == pytest.approx(0.1, abs=0.01)  # ten classes, untrained
    assert "final/params_sha256" in lines(finished, "final/")[-1]
    speeds = [r for r in read_metrics(finished) if "perf/images_per_second" in r]
    assert [r["step"] for r in speeds] == [1, 2] and all(r["perf/images_per_second"] > 0 for r in speeds)
    assert all(r["perf/input_bound"] == 0 for r in speeds)  # drawn on the device


def test_a_step_keeps_the_statistics_of_its_batch():
    problem = Problem.make(small())
    [(_, advantage)] = loss.phases(problem.config)
    state = jax.jit(lambda: training.make_state(problem))()
    after, _ = jax.jit(training.make_chunk(problem, advantage))(state, jnp.arange(1))
    images, _ = problem.images.training_batch(jnp.int32(0), None)
    _, expected = jax.jit(problem.network.train)(state["params"], state["batch_stats"], images)
    moved = 0
    pairs = zip(*map(jax.tree.leaves, (after["batch_stats"], expected, state["batch_stats"])), strict=True)
    for got, want, before in pairs:
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-6)
        moved += not np.allclose(got, before)
    assert moved > 2


def test_resumed_equals_uninterrupted_bitwise(finished, tmp_path):
    """One step, then the same folder continued to three."""
    driver.run(small(steps=1), tmp_path / "run")
    driver.run(small(), tmp_path / "run")
    assert lines(tmp_path / "run", "final/")[-1] == lines(finished, "final/")[-1]
    assert lines(tmp_path / "run", "train/") == lines(finished, "train/")


def test_record_files_train_resume_and_name_a_broken_image(prepared, tmp_path):
    """Prepared archives of 30 images: 5 steps of 8 reach the second epoch; then every image of a file is damaged."""
    data_dir = shutil.copytree(prepared, tmp_path / "data")
    fields = {**FROM_FILES, "data__dir": str(data_dir), "eval__gradient_norm_step": 0, "steps": 5}
    config = small(**fields)
    checks.check(config)
    whole = driver.run(config, tmp_path / "whole")
    driver.run(small(**{**fields, "steps": 3}), tmp_path / "parts")
    assert driver.run(config, tmp_path / "parts") == whole
    assert lines(tmp_path / "parts", "train/") == lines(tmp_path / "whole", "train/")
    last = lines(tmp_path / "whole", "eval/")[-1]
    assert last["step"] == 5 and 0 < last["eval/pass@1"] < last["eval/pass@256"] <= 1
    speeds = [r["perf/input_bound"] for r in read_metrics(tmp_path / "whole") if "perf/input_bound" in r]
    assert speeds and all(0 <= value <= 1 for value in speeds)
    (first, *_) = sorted(data_dir.rglob("*train.array_record*"))
    first.write_bytes(first.read_bytes().replace(b"\xff\xd8\xff\xe0", b"\0\0\0\0"))
    with pytest.raises(ConfigError, match=r"^data\.dir: .*broken image: record \d+ .*train\.array_record-00000"):
        driver.run(config, tmp_path / "broken")


def test_every_validation_image_counts_once_for_any_batch_size():
    """Means over 20 images in batches of 8 and of 32; the last batch is padded."""

    class Brightness:
        def predict(self, params, stats, images):
            return params * jnp.mean(images, axis=(1, 2)) + stats

    out = []
    for size in (8, 32):
        problem = Problem.make(small(eval__batch_size=size))
        object.__setattr__(problem, "network", Brightness())
        state = {"params": jnp.linspace(-9, 9, 10), "batch_stats": jnp.linspace(1, 0, 10)}
        out.append(Evaluator(problem)(state, 0))
    assert out[1] == pytest.approx(out[0], rel=1e-5)
    assert 0 < out[0]["eval/pass@1"] < out[0]["eval/pass@2"] < out[0]["eval/pass@256"] <= 1


def test_validation_images_are_the_same_for_every_seed_and_training_images_are_not():
    train, held_out = [], []
    for seed in (0, 1):
        images = Problem.make(small(seed=seed)).images
        draw = jax.jit(lambda step, images=images: (images.training_batch(step, None)[0], _first_held_out(images)))
        draws = [draw(jnp.int32(step)) for step in (0, 1)]
        train.append([np.asarray(batch) for batch, _ in draws])
        held_out.append(np.asarray(draws[0][1]))
    assert not np.array_equal(train[0][0], train[0][1]) and not np.array_equal(train[0][0], train[1][0])
    np.testing.assert_array_equal(*held_out)


def _first_held_out(images):
    return images.validation_batch(next(images.validation_batches(8)))[0]


METHODS = [
    {"loss__name": "cross_entropy"},
    {"loss__advantage__name": "grpo", "loss__sampling": "marginal"},
    {"loss__advantage__name": "maxpo", "loss__advantage__k": 4, "loss__sampling": "expected"},
    {"loss__advantage__name": "tests.runs.own_estimator:scaled"},
    {"model__depth": 14, "model__compute_dtype": "bfloat16", "loss__num_rollouts": 4096},
]


@pytest.mark.parametrize("overrides", METHODS, ids=lambda o: "-".join(str(v) for v in o.values()))
def test_every_method_traces_through_a_step(overrides):
    config = small(**overrides)
    checks.check(config)
    problem = Problem.make(config)
    [(_, advantage)] = loss.phases(config)
    state = jax.eval_shape(lambda: training.make_state(problem))
    out, metrics = jax.eval_shape(training.make_chunk(problem, advantage), state, jnp.arange(2))
    assert jax.tree.map(lambda a: (a.shape, a.dtype), out) == jax.tree.map(lambda a: (a.shape, a.dtype), state)
    assert metrics["loss"].shape == (2,)


def test_records_and_figures_read_the_run_back(finished, tmp_path):
    [record] = image_runs.find([finished.parent])
    assert (record.method, record.num_rollouts, record.seed) == ("maxrl", 8, 0)
    assert list(record.evaluations.index) == [0, 3]
    assert record.coverage()[256] == lines(finished, "eval/")[-1]["eval/pass@256"]
    assert list(record.gradient_norms().columns) == [
        "step", "image", "label", "pass_rate", "method", "rollouts", "gradient_norm"]  # fmt: skip
    assert len(record.gradient_norms()) == 5 and (record.gradient_norms().step == 2).all()
    out = tmp_path / "figures"
    names = ["maxrl_fig2", "maxrl_fig8", "maxrl_fig9"]
    assert figures.main([f"--figure={','.join(names)}", f"--out={out}", f"--runs={finished}"]) == 0
    assert all((out / f"{name}.png").stat().st_size > 10_000 for name in names)
    nine = pd.read_csv(out / "maxrl_fig9.csv")
    found = nine.set_index(["method", "metric"])["mean"]
    assert found["published cross_entropy, num_rollouts=0", "top1"].item() == 0.71
    assert found["published mean_baseline, num_rollouts=1024", "pass@1"].item() == 0.002
    assert set(nine.metric) == {"pass@1", "pass@128", "top1", "coverage at the end"}
    assert len(pd.read_csv(out / "maxrl_fig8.csv")) == 5


def test_the_analysis_takes_any_method_at_a_checkpoint(finished, tmp_path, capsys):
    out = tmp_path / "norms.csv"
    arguments = [f"--run={finished}", "--num_images=3", f"--out={out}"]
    methods = ["--method=cross_entropy", "--method=maxpo(k=2)", "--sampling=expected"]
    assert measure_norms.main([*arguments, *methods]) == 0
    table = pd.read_csv(out)
    assert list(table.method) == ["cross_entropy"] * 3 + ["maxpo(k=2)"] * 3 and (table.step == 3).all()
    exact, own = (table[table.method == name].reset_index() for name in ("cross_entropy", "maxpo(k=2)"))
    p = exact.pass_rate
    np.testing.assert_allclose(own.gradient_norm, 2 * (1 - p) * p * exact.gradient_norm, rtol=1e-3)  # w = 2(1-p)
    for wrong in (["--method=nothing"], ["--method=maxpo(k=99)"], ["--method=maxpo(k"], ["--checkpoint=/nowhere"]):
        capsys.readouterr()
        assert measure_norms.main([*arguments, *wrong]) == 2
        assert capsys.readouterr().err.count("\n") == 1
    assert measure_norms.main([f"--run={tmp_path}"]) == 2


@pytest.mark.slow
def test_eight_devices_equal_one(finished, tmp_path):
    """8 simulated devices: the same images and draws, batch statistics of the whole batch, sums in another order."""
    flags = [f"--config.{key}={value}" for key, value in SMALL.items()]
    command = [sys.executable, "-m", "experiments.imagenet", "--config=configs/imagenet.py:tiny"]
    environment = {**os.environ, "XLA_FLAGS": with_devices(8)}
    ended = subprocess.run(
        [*command, f"--workdir={tmp_path}/run", *flags], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert ended.returncode == 0, ended.stderr
    assert json.loads((tmp_path / "run" / "environment.json").read_text())["devices"]["count"] == 8
    one, eight = lines(finished, "train/", "eval/"), lines(tmp_path / "run", "train/", "eval/")
    assert len(one) == len(eight) == 5
    for here, there in zip(one, eight, strict=True):
        assert there == pytest.approx(here, rel=1e-3 if here["step"] else 1e-5, abs=1e-6)
