"""Writes golden.json from transformers: ``python -m tests.tasks.mathematics.make_golden`` where it is installed."""

import json
import pathlib
import tempfile

from transformers import AutoConfig, AutoTokenizer, GenerationConfig

from tests.tasks.mathematics import folders


def golden(name: str) -> dict:
    """Prompt, ends of text (the tokenizer's own, and those of generation) and pad of one variant."""
    with tempfile.TemporaryDirectory() as place:
        folder, arguments, system = folders.made(pathlib.Path(place), name)
        tokenizer = AutoTokenizer.from_pretrained(folder)
        messages = [{"role": "user", "content": folders.QUESTION}]
        if system:
            messages.insert(0, {"role": "system", "content": system})
        ids = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=False, **arguments)
        listed = (pathlib.Path(folder) / "generation_config.json").exists()
        generation = (
            GenerationConfig.from_pretrained(folder)
            if listed
            else GenerationConfig.from_model_config(AutoConfig.from_pretrained(folder))
        )
        return {
            "prompt": ids, "eos": tokenizer.eos_token_id, "generation": generation.eos_token_id,
            "pad": tokenizer.pad_token_id,
        }  # fmt: skip


if __name__ == "__main__":
    text = json.dumps({name: golden(name) for name in folders.VARIANTS}, separators=(",", ":"))
    (pathlib.Path(__file__).parent / "golden.json").write_text(text.replace('},"', '},\n"') + "\n")
