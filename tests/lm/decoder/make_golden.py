"""Writes golden/*.npz: tiny random models of every family, with the logits and greedy tokens of transformers.

    python -m tests.lm.decoder.make_golden

Needs torch and transformers (5 or later), which nothing else here does; float32 on a CPU, eager attention. A file
holds config.json as transformers writes it, the tensors by their names, tokens [B, T] with T past the window and
past the original positions, logits [B, T, V], and the greedy continuation [B, G] of the first tokens.
"""

import json
import pathlib
import tempfile

import numpy as np
import torch
import transformers
from safetensors import numpy as safetensors_numpy

FOLDER = pathlib.Path(__file__).parent / "golden"
BATCH, LENGTH, PROMPT, GREEDY = 2, 40, 12, 24
SIZES = {
    "vocab_size": 23,
    "hidden_size": 16,
    "intermediate_size": 20,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
}
LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 500.0,
    "factor": 4.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 16,
}


def cases() -> dict[str, transformers.PreTrainedConfig]:
    """One small model for each mechanism."""
    default = {"rope_type": "default", "rope_theta": 10_000.0}
    window = {"sliding_window": 7, "layer_types": ["sliding_attention", "full_attention"]}
    return {
        "qwen2": transformers.Qwen2Config(**SIZES, rope_parameters=default, tie_word_embeddings=True),
        "qwen2_window": transformers.Qwen2Config(
            **SIZES, **window, use_sliding_window=True, rope_parameters=default, rms_norm_eps=1e-3
        ),
        "qwen3": transformers.Qwen3Config(**SIZES, head_dim=6, rope_parameters=default | {"rope_theta": 1e6}),
        "llama": transformers.LlamaConfig(**SIZES, rope_parameters=default, tie_word_embeddings=True),
        "llama3": transformers.LlamaConfig(**SIZES, head_dim=8, rope_parameters=LLAMA3),
        "gemma2": transformers.Gemma2Config(
            **SIZES,
            **window,
            head_dim=8,
            query_pre_attn_scalar=5,
            attn_logit_softcapping=2.0,
            final_logit_softcapping=3.0,
            rope_parameters=default,
        ),
    }


def randomised(config: transformers.PreTrainedConfig) -> torch.nn.Module:
    """A model none of whose parameters keeps a special value, with distributions far from uniform."""
    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_config(config, attn_implementation="eager").float().eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            centre = 0.0 if parameter.ndim > 1 or name.endswith("bias") or config.model_type == "gemma2" else 1.0
            parameter.copy_(centre + 0.3 * torch.randn(parameter.shape))
    return model


def greedy(model: torch.nn.Module, prompts: torch.Tensor) -> np.ndarray:
    """The most probable continuation, by a full forward pass for every token."""
    tokens = prompts
    for _ in range(GREEDY):
        tokens = torch.cat([tokens, model(input_ids=tokens, use_cache=False).logits[:, -1:].argmax(-1)], dim=1)
    return tokens[:, prompts.shape[1] :].numpy()


def main() -> None:
    """Writes every case."""
    FOLDER.mkdir(exist_ok=True)
    for name, config in cases().items():
        model = randomised(config)
        tokens = torch.randint(0, SIZES["vocab_size"], (BATCH, LENGTH))
        with tempfile.TemporaryDirectory() as saved, torch.no_grad():
            model.save_pretrained(saved)
            fields = json.loads(pathlib.Path(saved, "config.json").read_text())
            tensors = safetensors_numpy.load_file(pathlib.Path(saved, "model.safetensors"))
            logits = model(input_ids=tokens, use_cache=False).logits.numpy()
            continuation = greedy(model, tokens[:, :PROMPT])
        arrays = {"tokens": tokens.numpy(), "logits": logits, "greedy": continuation}
        np.savez_compressed(
            FOLDER / f"{name}.npz",
            config=np.array(json.dumps(fields, sort_keys=True)),
            **{f"golden.{key}": value for key, value in arrays.items()},
            **tensors,
        )
        print(name, sum(tensor.size for tensor in tensors.values()), "parameters")


if __name__ == "__main__":
    main()
