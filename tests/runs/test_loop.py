import jax
import jax.numpy as jnp
import numpy as np
import pytest

from maxrl_jax.runs.folder.metric_writer import read_metrics
from maxrl_jax.runs.folder.run import Run
from maxrl_jax.runs.folder.stopping import NotFinite
from maxrl_jax.runs.loop.chunks import boundary, scan
from maxrl_jax.runs.loop.phase import Every
from tests.runs import small
from tests.runs.runs import deterministic


@pytest.mark.parametrize(
    ("num_steps", "chunk_steps", "cuts", "starts"),
    [(30, 7, (10, 4), ()), (30, 7, (0, 0), (5, 6)), (5, 100, (3,), ()), (8, 1, (2,), (3,))],
)
def test_boundaries_are_a_function_of_the_step_alone(num_steps, chunk_steps, cuts, starts):
    ends, step = [], 0
    while step < num_steps:
        step = boundary(step, num_steps, chunk_steps, cuts, starts)
        ends.append(step)
    expected = {num_steps, *starts} | {
        multiple for cut in (chunk_steps, *cuts) if cut for multiple in range(cut, num_steps, cut)
    }
    assert ends == sorted(expected)
    # Beginning anywhere inside a call ends at the same place.
    for step in range(num_steps):
        assert boundary(step, num_steps, chunk_steps, cuts, starts) == min(e for e in ends if e > step)


def test_one_line_a_step_from_zero_and_a_hash_at_the_end(tmp_path):
    state, record = small.run(tmp_path / "a", num_steps=5)
    records = deterministic(tmp_path / "a")
    assert [r["step"] for r in records[:-1]] == [0, 1, 2, 3, 4]
    assert [r["train/twice"] for r in records[:-1]] == [0, 2, 4, 6, 8]
    assert records[-1] == {"step": 5, **record}
    assert len(record["final/params_sha256"]) == 64
    assert int(state["count"]) == 5


def test_log_every_steps_keeps_the_last(tmp_path):
    small.run(tmp_path / "a", small.config(log__every_steps=4), num_steps=10)
    assert [r["step"] for r in deterministic(tmp_path / "a")[:-1]] == [0, 4, 8, 9]


class Stop(Exception):
    pass


@pytest.mark.parametrize("at", [1, 4, 11])
def test_stopped_by_an_exception_and_resumed_equals_uninterrupted(tmp_path, at):
    def fail(state, step):
        if step == at:
            raise Stop
        return {"eval/w": jnp.sum(state["params"]["w"])}

    whole, end = small.run(tmp_path / "whole", every=[Every(1, lambda s, i: fail(s, -i))])
    hooks = [Every(1, fail)]
    with pytest.raises(Stop):
        small.run(tmp_path / "cut", every=hooks)
    torn = tmp_path / "cut" / "metrics.jsonl"
    torn.write_text(torn.read_text() + '{"step": 99, "train/lo')
    resumed, end_of_resumed = small.run(tmp_path / "cut", every=[Every(1, lambda s, i: fail(s, -i))])
    assert end == end_of_resumed
    for a, b in zip(jax.tree.leaves(whole), jax.tree.leaves(resumed), strict=True):
        assert np.array_equal(a, b)
    assert deterministic(tmp_path / "whole") == deterministic(tmp_path / "cut")


def test_metrics_are_fetched_one_call_late(tmp_path, monkeypatch):
    events = []
    real = Run.log_many

    def log_many(self, records):
        events.extend(step for step, values in records if "train/loss" in values)
        real(self, records)

    class Numbers:
        """Batches that note when they are asked for, which is when their call begins."""

        def __init__(self, step):
            self.step = step

        def __next__(self):
            events.append(f"call {self.step}")
            self.step += 1
            return np.float32(self.step)

    def chunk(state, steps, batches):
        return state, {"loss": batches}

    monkeypatch.setattr(Run, "log_many", log_many)
    small.run(
        tmp_path / "a", small.config(checkpoint__every_steps=0), num_steps=3, chunk_steps=1, chunk=chunk, data=Numbers
    )
    assert events == ["call 0", "call 1", 0, "call 2", 1, 2]


def test_data_position_is_the_step(tmp_path):
    begun, ended = [], []

    def data(step):
        begun.append(step)
        try:
            while True:
                yield {"x": np.full((4,), step, np.float32)}
                step += 1
        finally:
            ended.append(step)

    def chunk(state, steps, batches):
        assert batches["x"].shape == (steps.shape[0], 4)
        return state, {"loss": batches["x"].mean(axis=1)}

    def fail(state, step):
        if step == 6:
            raise Stop

    with pytest.raises(Stop):
        small.run(tmp_path / "a", chunk=chunk, data=data, every=[Every(2, fail)])
    small.run(tmp_path / "a", chunk=chunk, data=data)
    assert begun == [0, 4]
    assert ended == [5, 11]
    assert [r["train/loss"] for r in deterministic(tmp_path / "a")[:-1]] == list(range(12))


def test_chunks_change_at_their_first_step_and_compile_once_a_length(tmp_path):
    traced = []

    def chunk(value):
        def function(state, steps):
            traced.append((value, steps.shape[0]))
            return state, {"loss": jnp.full(steps.shape, value)}

        return function

    small.run(tmp_path / "a", chunk=[(0, chunk(1.0)), (5, chunk(2.0))], num_steps=12, chunk_steps=2)
    assert [r["train/loss"] for r in deterministic(tmp_path / "a")[:-1]] == [1.0] * 5 + [2.0] * 7
    assert sorted(traced) == [(1.0, 1), (1.0, 2), (2.0, 1), (2.0, 2)]


def test_hooks_run_when_due(tmp_path):
    seen = {"a": [], "b": [], "c": []}

    def note(name):
        return lambda state, step: seen[name].append((step, int(state["count"])))

    hooks = [
        Every(5, note("a"), at_start=True),
        Every(4, note("b"), at_end=False),
        Every(0, note("c")),
    ]
    small.run(tmp_path / "a", every=hooks, num_steps=11)
    assert seen["a"] == [(0, 0), (5, 5), (10, 10), (11, 11)]
    assert seen["b"] == [(4, 4), (8, 8)]
    assert seen["c"] == [(11, 11)]


def test_a_parameter_that_is_not_finite_is_never_saved(tmp_path):
    def bad(state, i):
        state, _ = small.step(state, i)
        w = jnp.where(i == 5, jnp.nan, state["params"]["w"])
        return {**state, "params": {"w": w}}, {"loss": jnp.float32(1.0)}

    with pytest.raises(NotFinite, match=r"train step 7: parameter or state params\.w; .*checkpoints/4$"):
        small.run(tmp_path / "a", chunk=scan(bad))


def test_the_given_state_survives_donation(tmp_path):
    state = small.initial()
    shared = {**state, "reference": state["params"]}  # the same buffers twice

    def keeps(state, i):
        new, metrics = small.step({k: state[k] for k in ("params", "count")}, i)
        return {**new, "reference": state["reference"]}, metrics

    end, _ = small.run(tmp_path / "a", state=shared, chunk=scan(keeps))
    assert np.array_equal(end["reference"]["w"], state["params"]["w"])
    assert not np.array_equal(end["params"]["w"], state["params"]["w"])


def test_leaves_off_the_mesh_are_replicated_over_it(tmp_path):
    from maxrl_jax.devices import sharding

    mesh = sharding.make_mesh()
    state = small.initial()
    state = {**state, "params": sharding.replicate(state["params"], mesh), "key": jax.random.key(0)}

    def keeps(state, i):
        new, metrics = small.step(state, i)
        return {**new, "key": state["key"]}, metrics

    end, _ = small.run(tmp_path / "a", state=state, chunk=scan(keeps))
    assert {leaf.sharding for leaf in jax.tree.leaves(end)} == {sharding.replicated(mesh)}


def test_parameters_of_a_given_checkpoint_start_a_new_run(tmp_path):
    given, _ = small.run(tmp_path / "given", num_steps=8)
    for spec in ("given", "given/checkpoints", "given/checkpoints/8"):
        settings = small.config(checkpoint__init_from=str(tmp_path / spec))
        name = spec.replace("/", "_")
        state, _ = small.run(tmp_path / f"from_{name}", settings, num_steps=0)
        assert np.array_equal(state["params"]["w"], given["params"]["w"])
        assert int(state["count"]) == 0
    # Its own checkpoint goes before the given one.
    small.run(tmp_path / "own", num_steps=4)
    small.run(tmp_path / "own", small.config(checkpoint__init_from=str(tmp_path / "given")), num_steps=12)
    assert (
        deterministic(tmp_path / "own")[-1]["final/params_sha256"]
        == small.run(tmp_path / "x")[1]["final/params_sha256"]
    )


def test_perf_lines_leave_out_the_compile(tmp_path):
    small.run(tmp_path / "a", num_steps=6, chunk_steps=2)
    perf = [r for r in read_metrics(tmp_path / "a") if "perf/train_seconds_per_step" in r]
    assert [r["step"] for r in perf] == [3, 5]
    assert all(0 < r["perf/train_seconds_per_step"] < 10 for r in perf)


def test_the_first_metric_that_is_not_finite_is_named(tmp_path):
    def chunk(state, steps):
        values = jnp.ones((steps.shape[0], 2))
        norm = jnp.where(steps == 2, jnp.nan, 1.0)
        return state, {"loss": values.at[3, 1].set(-jnp.inf), "gradient_norm": norm, "other": norm * jnp.nan}

    with pytest.raises(NotFinite, match="train step 2: train/gradient_norm = nan; last good checkpoint: none"):
        small.run(tmp_path / "a", chunk=chunk, chunk_steps=4)
    norms = [(r["step"], r["train/gradient_norm"]) for r in deterministic(tmp_path / "a")]
    assert norms == [(0, 1.0), (1, 1.0), (2, None)]
    with pytest.raises(NotFinite, match="train step 3: train/loss = -inf"):
        small.run(tmp_path / "b", chunk=chunk, chunk_steps=4, finite=("loss",))


def test_a_relative_folder_is_fine(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    small.run("runs/a", num_steps=4)
    small.run("runs/b", small.config(checkpoint__init_from="runs/a"), num_steps=4)
    assert (tmp_path / "runs/a/checkpoints/4").is_dir()
