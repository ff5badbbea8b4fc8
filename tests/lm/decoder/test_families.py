"""Every family against transformers: logits and greedy tokens that it computed, and its files in and out."""

import json
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from safetensors import numpy as safetensors_numpy

from maxrl_jax.lm import decoder
from maxrl_jax.lm.decoder import Config, Decoder, Llama3Scaling, families
from maxrl_jax.lm.rollout import Settings, rollout
from tests.lm.decoder.golden import CASES, older, unpack
from tests.lm.decoder.tiny import logits_of, run_compiled


@pytest.mark.parametrize("case", CASES)
def test_logits_and_greedy_tokens_are_those_of_transformers(tmp_path, case):
    tokens, logits, greedy = unpack(case, tmp_path)
    model = decoder.load_hf(tmp_path)
    np.testing.assert_allclose(logits_of(model, tokens), logits, atol=1e-4)
    assert np.ptp(logits) > 3  # the tolerance means something
    graphdef, params = nnx.split(model)
    prompts = jnp.asarray(tokens[:, :12])  # as make_golden.py cut them
    settings = Settings(greedy.shape[1], (), temperature=0.0, cache_segment=10)
    answers = run_compiled(
        lambda params: rollout(nnx.merge(graphdef, params), prompts, jax.random.key(0), 1, settings), params
    )
    np.testing.assert_array_equal(answers.tokens[:, 0], greedy)


@pytest.mark.parametrize("case", CASES)
def test_what_is_saved_is_read_back_and_has_the_tensors_of_transformers(tmp_path, case):
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    tokens, *_ = unpack(case, first)
    model = decoder.load_hf(first)
    decoder.save_hf(model, second)
    again = decoder.load_hf(second)
    assert again.config == model.config
    np.testing.assert_array_equal(logits_of(again, tokens), logits_of(model, tokens))
    theirs, ours = (safetensors_numpy.load_file(folder / "model.safetensors") for folder in (first, second))
    assert theirs.keys() == ours.keys()
    for name, tensor in theirs.items():
        np.testing.assert_array_equal(tensor, ours[name])
    written, read = (json.loads((folder / "config.json").read_text()) for folder in (second, first))
    assert {name: written[name] for name in read.keys() & written.keys()} == {
        name: read[name] for name in read.keys() & written.keys()
    }


@pytest.mark.parametrize("case", [case for case in CASES if case != "qwen2_window"])
def test_older_names_mean_the_same(tmp_path, case):
    # qwen2_window has its window on the first layer alone, which max_window_layers cannot say.
    unpack(case, tmp_path)
    newer = decoder.read_config(tmp_path)
    unpack(case, tmp_path, older)
    assert decoder.read_config(tmp_path) == newer


def test_max_window_layers_is_the_first_layer_with_a_window(tmp_path):
    unpack("qwen2_window", tmp_path, older)
    assert decoder.read_config(tmp_path).windows == (None, 7)


def test_rotary_parameters_nested_by_layer_type(tmp_path):
    def nest(fields):
        fields["rope_parameters"] = dict.fromkeys(fields["layer_types"], fields["rope_parameters"])

    unpack("gemma2", tmp_path)
    flat = decoder.read_config(tmp_path)
    unpack("gemma2", tmp_path, nest)
    assert decoder.read_config(tmp_path) == flat
    unpack("gemma2", tmp_path, lambda fields: fields.update(rope_parameters={
        "full_attention": {"rope_theta": 1e6}, "sliding_attention": {"rope_theta": 1e4}}))  # fmt: skip
    with pytest.raises(ValueError, match=r"rope_parameters: .*the same parameters for every layer type"):
        decoder.read_config(tmp_path)


def test_every_setting_of_the_file_reaches_the_model(tmp_path):
    unpack("llama3", tmp_path, lambda fields: fields.update(rms_norm_eps=1e-2, initializer_range=0.5))
    assert decoder.read_config(tmp_path) == Config(
        vocab_size=23,
        hidden_size=16,
        intermediate_size=20,
        num_layers=2,
        num_heads=4,
        num_kv_heads=2,
        head_dim=8,
        max_positions=64,
        rope_theta=500.0,
        rope_scaling=Llama3Scaling(4.0, 1.0, 4.0, 16),
        rms_norm_eps=1e-2,
        tie_embeddings=False,
        initializer_range=0.5,
        qkv_bias=False,
    )


@pytest.mark.parametrize(
    ("case", "change", "message"),
    [
        ("llama", {"model_type": "mistral"}, 'model_type: got "mistral", allowed: qwen2, qwen3, llama, gemma2'),
        ("llama", {"hidden_size": None}, "hidden_size: got null, allowed: a positive integer"),
        ("llama", {"rms_norm_eps": None}, "rms_norm_eps: got null, allowed: a positive number"),
        ("llama", {"hidden_act": "relu"}, 'hidden_act: got "relu", allowed: silu, gelu_pytorch_tanh'),
        ("llama", {"attention_bias": True}, "attention_bias: got True, allowed: False"),
        ("llama", {"quantization_config": {"bits": 4}}, "quantization_config: got"),
        ("llama", {"num_key_value_heads": 3}, "num_kv_heads: got 3, allowed: a divisor of num_heads = 4"),
        ("llama", {"rope_theta": 3.0}, r"rope_theta: got 3\.0 and in rope_parameters 10000\.0"),
        ("llama", {"rope_parameters": {"rope_type": "yarn"}}, "rope_type: got 'yarn', allowed: 'default', 'llama3'"),
        ("llama3", {"rope_parameters": {"rope_type": "llama3"}}, "factor: missing, allowed: a positive number"),
        ("llama3", {"rope_scaling": {"factor": 8.0}}, r"rope_scaling factor: got 8\.0, allowed: 4\.0 as in rope_param"),
        ("qwen2", {"layer_types": ["chunked_attention"] * 2}, r"layer_types: got \['chunked_attention'"),
        ("qwen2", {"layer_types": ["sliding_attention"] * 2}, "no sliding_window is in use"),
        ("gemma2", {"hidden_activation": "gelu"}, 'hidden_activation: got "gelu"'),
    ],
)
def test_a_config_that_asks_for_something_else_is_one_line(tmp_path, case, change, message):
    unpack(case, tmp_path, lambda fields: fields.update(change))
    with pytest.raises(ValueError, match=message) as raised:
        decoder.check_hf(tmp_path)
    assert str(raised.value).startswith(f"{tmp_path / 'config.json'}: ")
    assert "\n" not in str(raised.value)


def test_a_config_of_no_family_is_not_written(tmp_path):
    config = Config(vocab_size=8, hidden_size=8, intermediate_size=8, num_layers=2, num_heads=2, qk_norm=True)
    with pytest.raises(
        ValueError, match=r"qkv_bias = True, qk_norm = True, .*no family of qwen2, qwen3, llama, gemma2"
    ):
        families.write(config)
    with pytest.raises(ValueError, match=r"windows: config\.json of qwen2 has no room"):
        families.write(Config(num_layers=2, windows=(3, 4)))


def test_embeddings_are_scaled_in_the_compute_dtype():
    # sqrt(3072) = 55.43 is 55.5 in bfloat16: what Gemma was trained with.
    config = Config(vocab_size=2, hidden_size=3072, intermediate_size=2, num_layers=1, scale_embeddings=True)
    model = nnx.eval_shape(lambda: Decoder(config, rngs=nnx.Rngs(0)))
    model.embedding.set_value(jnp.ones((2, 3072), jnp.bfloat16))
    assert model.embed(jnp.zeros((), jnp.int32))[0] == 55.5


def test_the_tokenizer_is_passed_on(tmp_path):
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir()
    unpack("llama", source)
    (source / "tokenizer.json").write_text('{"é": 1}')
    (source / "notes.txt").write_text("not a tokenizer's")
    decoder.save_hf(decoder.load_hf(source), target)
    assert (target / "tokenizer.json").read_text() == '{"é": 1}'
    assert not (target / "notes.txt").exists()
    assert json.loads((target / "config.json").read_text())["eos_token_id"] == 2
    shutil.rmtree(target)
    fresh = Decoder(decoder.read_config(source), rngs=nnx.Rngs(0))
    decoder.save_hf(fresh, target)
    assert not (target / "tokenizer.json").exists()
    decoder.save_hf(fresh, target, tokenizer_from=source)
    assert (target / "tokenizer.json").exists()
