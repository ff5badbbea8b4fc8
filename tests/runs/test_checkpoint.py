import json
import resource
import signal

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from etils import epath

from maxrl_jax.runs import launch
from maxrl_jax.runs.folder import checkpoint, digest
from maxrl_jax.runs.folder.checkpoint import CheckpointError, Checkpoints
from maxrl_jax.runs.loop.phase import Every
from tests.runs import small
from tests.runs.runs import deterministic


def state():
    params = {"w": jnp.arange(6.0).reshape(2, 3), "h": jnp.ones((4,), jnp.bfloat16), "m": jnp.array([True, False])}
    return {"params": params, "opt": optax.adam(1e-3).init({"w": params["w"]}), "key": jax.random.key(3)}


def leaves(tree):
    return {name: np.asarray(digest.raw(leaf)) for name, leaf in digest.named_leaves(tree).items()}


def test_every_kind_of_leaf_comes_back(tmp_path):
    made = state()
    manager = Checkpoints(epath.Path(tmp_path))
    manager.save({"sft": 3, "train": 2}, made, metrics_lines=17)
    manager.wait()
    saved = Checkpoints(epath.Path(tmp_path)).latest()
    assert (saved.step, saved.position, saved.phase, saved.metrics_lines) == (5, {"sft": 3, "train": 2}, "train", 17)
    placed = checkpoint.place(saved.leaves, state(), "here")
    assert jax.tree.structure(placed) == jax.tree.structure(made)
    assert jnp.issubdtype(placed["key"].dtype, jax.dtypes.prng_key)
    for name, leaf in leaves(made).items():
        assert leaves(placed)[name].dtype == leaf.dtype
        assert np.array_equal(leaves(placed)[name], leaf), name


def damage_truncate_all(folder):
    for file in folder.rglob("*"):
        if file.is_file():
            file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def damage_flip_a_bit(folder):
    file = max((f for f in (folder / "state").rglob("*") if f.is_file()), key=lambda f: f.stat().st_size)
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 4
    file.write_bytes(bytes(content))


def damage_remove_meta(folder):
    for file in (folder / "meta").iterdir():
        file.unlink()


def damage_change_the_checksum(folder):
    """Stands for a wrong bit that every reader below accepts."""
    meta = json.loads((folder / "meta/metadata").read_text())
    meta["checksums"]["params.w"] ^= 1
    (folder / "meta/metadata").write_text(json.dumps(meta))


# Orbax leaves reads under way when one of them fails; they end on an event loop that is closed by then.
reads_left_over = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@reads_left_over
@pytest.mark.parametrize(
    "damage",
    [damage_flip_a_bit, damage_remove_meta, damage_change_the_checksum],
)
def test_a_broken_newest_checkpoint_falls_back_and_says_so(tmp_path, capsys, damage):
    whole = small.run(tmp_path / "whole")[1]
    small.run(tmp_path / "a", num_steps=8)
    damage(tmp_path / "a/checkpoints/8")
    assert small.run(tmp_path / "a")[1] == whole
    said = capsys.readouterr().err
    assert f"checkpoint {tmp_path}/a/checkpoints/8 is broken" in said
    assert f"resuming {tmp_path}/a from train step 4" in said
    assert (tmp_path / "a/broken/8").is_dir()
    a, b = ((tmp_path / name / "metrics.jsonl").read_text().splitlines() for name in ("whole", "a"))
    assert [x for x in a if "perf/" not in x] == [x for x in b if "perf/" not in x]


@reads_left_over
def test_when_all_are_broken_nothing_is_overwritten(tmp_path):
    small.run(tmp_path / "a", num_steps=8)
    lines = (tmp_path / "a/metrics.jsonl").read_text()
    for step in (4, 8):
        damage_truncate_all(tmp_path / f"a/checkpoints/{step}")
    with pytest.raises(CheckpointError, match=r"no checkpoint in .*a/checkpoints can be read; remove that folder"):
        small.run(tmp_path / "a")
    assert (tmp_path / "a/metrics.jsonl").read_text() == lines


def test_only_the_newest_are_kept(tmp_path):
    small.run(tmp_path / "a", small.config(checkpoint__every_steps=2, checkpoint__max_to_keep=3))
    kept = sorted(int(p.name) for p in (tmp_path / "a/checkpoints").iterdir())
    assert kept == [8, 10, 12]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: {**s, "more": jnp.zeros(2)}, "has no more"),
        (lambda s: {**s, "params": {"w": jnp.zeros(4)}}, r"params.w is float32\[5\], this run has float32\[4\]"),
        (lambda s: {**s, "count": jnp.float32(0)}, r"count is int32\[\], this run has float32\[\]"),
    ],
)
def test_another_models_checkpoint_is_refused_not_called_broken(tmp_path, change, message):
    small.run(tmp_path / "a", num_steps=4)
    with pytest.raises(CheckpointError, match=message):
        small.run(tmp_path / "a", state=change(small.initial()))
    assert (tmp_path / "a/checkpoints/4").is_dir()


@pytest.mark.parametrize("spec", ["nothing", "empty", "a/checkpoints/3"])
def test_a_given_checkpoint_that_is_not_there_is_named(tmp_path, spec):
    (tmp_path / "empty").mkdir()
    small.run(tmp_path / "a", num_steps=4)
    with pytest.raises(CheckpointError, match=spec):
        checkpoint.read_given(str(tmp_path / spec))


def test_a_full_disk_is_one_line_and_the_previous_checkpoint_stays(tmp_path):
    """The limit on the size of a file stands for the end of the disk."""
    manager = Checkpoints(epath.Path(tmp_path))
    manager.save({"train": 1}, {"params": jnp.zeros(10)}, metrics_lines=0)
    manager.wait()
    noise = {"params": jax.random.normal(jax.random.key(0), (300_000,))}
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        with pytest.raises(CheckpointError) as error:
            manager.save({"train": 2}, noise, metrics_lines=0)
            manager.wait()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    text = str(error.value)
    assert "\n" not in text
    assert text.startswith(f"a checkpoint could not be written to {tmp_path}: File too large")
    assert text.endswith(f"last good: {tmp_path}/1")
    assert Checkpoints(epath.Path(tmp_path)).latest().step == 1


def test_a_disk_that_fills_up_ends_a_run_in_one_line_and_the_run_continues(tmp_path, capsys):
    """The limit on the size of a file stands for the end of the disk, here met by metrics.jsonl."""
    whole = small.run(tmp_path / "whole")[1]
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    config = tmp_path / "config.py"
    config.write_text("from configs import common\nget_config = common.base\n")

    def fill(state, step):
        size = (tmp_path / "a/metrics.jsonl").stat().st_size
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + 10, before[1]))

    arguments = [f"--config={config}", f"--workdir={tmp_path}/a", "--config.checkpoint.every_steps=4"]

    def launched(hooks):
        with pytest.raises(SystemExit) as exit:
            launch.main(lambda config, workdir: small.run(workdir, config, every=hooks), lambda config: None, arguments)
        return exit.value.code

    try:
        assert launched([Every(6, fill)]) == 1
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error")]
    assert said == [f"error: cannot write to {tmp_path}/a/metrics.jsonl: File too large"]
    assert (tmp_path / "a/checkpoints/4").is_dir()
    assert launched([]) == 0
    assert deterministic(tmp_path / "a")[-1]["final/params_sha256"] == whole["final/params_sha256"]
    assert deterministic(tmp_path / "a") == deterministic(tmp_path / "whole")


def test_checksums_see_a_swap(x64):
    dtypes = (jnp.float64, jnp.float32, jnp.bfloat16, jnp.int8)
    values = [jax.random.randint(jax.random.key(1), (7,), 0, 100).astype(dtype) for dtype in dtypes]
    swapped = [array.at[jnp.array([0, 1])].set(array[jnp.array([1, 0])]) for array in values]
    sums, finite = digest.device_checksums(values)
    assert finite.all()
    assert (digest.device_checksums(swapped)[0] != sums).all()


def test_params_sha256_sees_names_shapes_types_and_bytes():
    base = {"a": jnp.arange(4.0), "b": jnp.zeros(2)}
    others = [
        {"a": jnp.arange(4.0), "c": jnp.zeros(2)},
        {"a": jnp.arange(4.0).reshape(2, 2), "b": jnp.zeros(2)},
        {"a": jnp.arange(4.0), "b": jnp.zeros(2, jnp.int32)},
        {"a": jnp.arange(4.0), "b": -jnp.zeros(2)},
    ]
    hashes = {digest.params_sha256(tree) for tree in (base, *others)}
    assert len(hashes) == 5
    assert digest.params_sha256({"b": np.zeros(2, np.float32), "a": np.arange(4, dtype=np.float32)}) in hashes
