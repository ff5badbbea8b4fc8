"""Hugging Face folders: what is written is read back bit for bit, and wrong folders are named in one line."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from safetensors import numpy as safetensors_numpy

from maxrl_jax.lm.decoder import check_hf, load_hf, save_hf
from tests.lm.decoder.tiny import tiny_model

TOKENS = jax.random.randint(jax.random.key(7), (3, 9), 0, 11)


def assert_same_parameters(one, other):
    def same(a, b):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)

    jax.tree.map(same, nnx.state(one), nnx.state(other))


def edit_config(folder, change):
    path = folder / "config.json"
    fields = json.loads(path.read_text())
    change(fields)
    path.write_text(json.dumps(fields))


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_round_trip(tmp_path, tied, dtype):
    model = tiny_model(dtype, tie_embeddings=tied)
    save_hf(model, tmp_path)
    read = load_hf(tmp_path, dtype)
    assert read.config == model.config
    assert_same_parameters(read, model)


def test_weights_in_several_files(tmp_path):
    model = tiny_model()
    save_hf(model, tmp_path)
    tensors = safetensors_numpy.load_file(tmp_path / "model.safetensors")
    (tmp_path / "model.safetensors").unlink()
    files = {name: f"model-0000{1 + index % 2}-of-00002.safetensors" for index, name in enumerate(tensors)}
    for file in set(files.values()):
        safetensors_numpy.save_file({n: t for n, t in tensors.items() if files[n] == file}, tmp_path / file)
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": files}))
    assert_same_parameters(load_hf(tmp_path), model)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"intermediate_size": 32}, r"mlp.gate_proj.weight has shape \[24, 16\], config.json says \[32, 16\]"),
        ({"num_hidden_layers": 3, "layer_types": None}, "tensor model.layers.2.input_layernorm.weight is missing"),
        ({"num_hidden_layers": 1, "layer_types": None}, "tensor model.layers.1.input_layernorm.weight: config.json"),
        ({"tie_word_embeddings": False}, "tensor lm_head.weight is missing"),
        (
            {"model_type": "llama"},
            "tensor model.layers.0.self_attn.k_proj.bias: config.json describes a model that has",
        ),
        ({"model_type": "qwen3"}, "tensor model.layers.0.self_attn.q_norm.weight is missing"),
    ],
)
def test_a_folder_that_does_not_fit_is_one_line(tmp_path, change, message):
    save_hf(tiny_model(), tmp_path)
    edit_config(tmp_path, lambda fields: fields.update(change))
    with pytest.raises(ValueError, match=message) as raised:
        load_hf(tmp_path)
    assert "\n" not in str(raised.value)


def test_missing_files_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no config\.json"):
        load_hf(tmp_path)
    save_hf(tiny_model(), tmp_path)
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match=r"neither model\.safetensors nor"):
        load_hf(tmp_path)
    (tmp_path / "pytorch_model.bin").write_bytes(b"\x80")
    with pytest.raises(ValueError, match=r"pytorch_model\.bin: got a pickled file, allowed: model\.safetensors"):
        load_hf(tmp_path)
    edit_config(tmp_path, lambda fields: fields.pop("hidden_size"))
    with pytest.raises(ValueError, match=r"config\.json: hidden_size: missing"):
        load_hf(tmp_path)


LFS_POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:0123\nsize 988097824\n"


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("model.safetensors", lambda whole: LFS_POINTER, "got a git-lfs pointer"),
        ("config.json", lambda whole: LFS_POINTER, "got a git-lfs pointer"),
        ("model.safetensors", lambda whole: whole[:-100], "not a whole safetensors file"),
        ("model.safetensors", lambda whole: b"<html>no such model</html>" * 9, "not a whole safetensors file"),
        ("config.json", lambda whole: whole[:-20], "not JSON"),
        ("config.json", lambda whole: b"[1]", "got a JSON list, allowed: an object"),
        ("model.safetensors.index.json", lambda whole: b"{}", "weight_map: allowed: an object of tensor names"),
        ("model.safetensors.index.json", lambda whole: b'{"weight_map": {"a": "../x.safetensors"}}', "in this folder"),
        ("model.safetensors.index.json", lambda whole: b'{"weight_map": {"a": "part.safetensors"}}', "a is missing"),
    ],
)  # fmt: skip
def test_a_broken_file_is_one_line_with_its_name(tmp_path, file, content, message):
    save_hf(tiny_model(), tmp_path)
    path = tmp_path / file
    if "index" in file:  # the single file goes before it
        (tmp_path / "model.safetensors").rename(tmp_path / "part.safetensors")
    path.write_bytes(content(path.read_bytes() if path.exists() else b""))
    with pytest.raises(ValueError, match=message) as raised:
        check_hf(tmp_path)
    named = "part.safetensors" if "is missing" in message else file
    assert str(raised.value).startswith(f"{tmp_path / named}: ")
    assert "\n" not in str(raised.value)


def test_the_single_file_goes_before_the_shards_of_another_model(tmp_path):
    """As transformers reads a folder in which both are."""
    old, new = tiny_model(seed=0), tiny_model(seed=5)
    save_hf(new, tmp_path)
    tensors = safetensors_numpy.load_file(tmp_path / "model.safetensors")
    save_hf(old, tmp_path / "old")
    (tmp_path / "old/model.safetensors").rename(tmp_path / "model-00001-of-00001.safetensors")
    index = {"weight_map": dict.fromkeys(tensors, "model-00001-of-00001.safetensors")}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    assert_same_parameters(load_hf(tmp_path), new)
    (tmp_path / "model.safetensors").unlink()
    assert_same_parameters(load_hf(tmp_path), old)
    (tmp_path / "chat_template.jinja").write_text("old")
    save_hf(load_hf(tmp_path), tmp_path)  # the same model: its tokenizer stays, its shards are replaced
    assert_same_parameters(load_hf(tmp_path), old)
    assert {path.name for path in tmp_path.iterdir()} == {
        "config.json",
        "model.safetensors",
        "chat_template.jinja",
        "old",
    }


def test_a_saved_folder_holds_one_model_alone(tmp_path):
    """Its tokenizer and ends of text are those of the model's source, and none of the folder's former model."""
    source, folder = tmp_path / "source", tmp_path / "folder"
    save_hf(tiny_model(), source, stop_tokens=(3,), pad_token=0)
    (source / "tokenizer.json").write_text("new")
    save_hf(tiny_model(), folder, stop_tokens=(1, 2), pad_token=4)
    assert json.loads((folder / "config.json").read_text())["eos_token_id"] == [1, 2]
    for name in ("tokenizer.json", "chat_template.jinja", "generation_config.json", "special_tokens_map.json"):
        (folder / name).write_text("old")
    with pytest.raises(ValueError, match=r"folder: got tokenizer.json of another model, allowed: a folder without a"):
        save_hf(tiny_model(), folder)
    save_hf(load_hf(source), folder, stop_tokens=(9,), pad_token=9)
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", "model.safetensors", "tokenizer.json"]
    assert (folder / "tokenizer.json").read_text() == "new"
    fields = json.loads((folder / "config.json").read_text())
    assert (fields["eos_token_id"], fields["pad_token_id"]) == (3, 0)  # the source's own


def test_a_missing_shard_is_named(tmp_path):
    save_hf(tiny_model(), tmp_path)
    (tmp_path / "model.safetensors").unlink()
    (tmp_path / "model.safetensors.index.json").write_text('{"weight_map": {"a": "model-00002-of-00002.safetensors"}}')
    with pytest.raises(
        FileNotFoundError, match=r"no model-00002-of-00002\.safetensors, which model\.safetensors\.index"
    ):
        check_hf(tmp_path)


def rewrite(folder, change):
    tensors = safetensors_numpy.load_file(folder / "model.safetensors")
    change(tensors)
    safetensors_numpy.save_file(tensors, folder / "model.safetensors")


@pytest.mark.parametrize("dtype", [np.int8, np.int32, np.uint8, bool])
def test_integers_are_no_weights(tmp_path, dtype):
    save_hf(tiny_model(), tmp_path)
    name = "model.layers.1.mlp.up_proj.weight"
    rewrite(tmp_path, lambda tensors: tensors.update({name: tensors[name].astype(dtype)}))
    with pytest.raises(
        ValueError, match=rf"model\.safetensors: tensor {name} has type .*, allowed: F64, F32, F16, BF16"
    ):
        check_hf(tmp_path)


def test_float16_weights_are_read_as_they_are(tmp_path):
    model = tiny_model()
    save_hf(model, tmp_path)
    rewrite(tmp_path, lambda tensors: tensors.update({n: t.astype(np.float16) for n, t in tensors.items()}))
    halves = jax.tree.map(lambda a: a.astype(jnp.float16).astype(jnp.float32), model)
    assert_same_parameters(load_hf(tmp_path), halves)


def test_tensors_that_hold_nothing_of_their_own_are_passed_over(tmp_path):
    model = tiny_model()
    save_hf(model, tmp_path)
    frequencies = "model.layers.0.self_attn.rotary_emb.inv_freq"
    rewrite(tmp_path, lambda tensors: tensors.update({frequencies: np.ones(2, np.float32)}))
    assert_same_parameters(load_hf(tmp_path), model)
