"""Folders of models without weights: a byte-level tokenizer and a chat template, written for one test."""

import json

CHATML = (
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\nYou are a helpful AI assistant<|im_end|>\n' }}{% endif %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
BOTH = {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"}


def write(folder, *, template=CHATML, settings=None, generation=None, **files):
    """A folder whose tokens are bytes, after the three special ones; ``files`` are JSON files without .json."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: place for place, token in enumerate((*SPECIAL, *alphabet))}
    tokenizer = Tokenizer(models.BPE(vocabulary, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in SPECIAL])
    folder.mkdir(exist_ok=True)
    settings = BOTH if settings is None else settings
    if template is not None:
        settings = settings | {"chat_template": template}
    written = {"tokenizer_config": settings, **({"generation_config": generation} if generation is not None else {})}
    written["tokenizer"] = json.loads(tokenizer.to_str()) | files.pop("tokenizer", {})
    for name, content in (written | files).items():
        (folder / f"{name}.json").write_text(json.dumps(content))
    return str(folder)


CUT = {"truncation": {"direction": "Right", "max_length": 8, "strategy": "LongestFirst", "stride": 0}}
PADDED = {
    "padding": {
        "strategy": {"Fixed": 200}, "direction": "Right", "pad_to_multiple_of": None, "pad_id": 0, "pad_type_id": 0,
        "pad_token": "<|endoftext|>",
    }
}  # fmt: skip


def _token(text):
    """A special token as transformers writes it down."""
    flags = dict.fromkeys(("lstrip", "normalized", "rstrip", "single_word"), False)
    return {"__type": "AddedToken", "content": text, "special": True, **flags}


NEW = {"259": {key: value for key, value in _token("<new>").items() if key != "__type"}}
TOLD = "{{ messages[0].content }}"
CONFIG = {"model_type": "llama", "eos_token_id": 2}

VARIANTS = {
    "plain": {},
    "truncation": {"tokenizer": CUT},
    "padding": {"tokenizer": PADDED},
    "truncation and padding": {"tokenizer": CUT | PADDED},
    "end of text in the map alone": {"settings": {}, "special_tokens_map": {"eos_token": "<|im_end|>"}},
    "the map goes first": {
        "settings": {"eos_token": "<|endoftext|>"},
        "special_tokens_map": {"eos_token": "<|im_end|>", "pad_token": _token("<|im_start|>")},
    },
    "the map of a newer folder": {
        "settings": {"eos_token": "<|endoftext|>", "added_tokens_decoder": NEW},
        "special_tokens_map": {"eos_token": "<|im_end|>"},
    },
    "null tokens": {"settings": BOTH | {"bos_token": None}, "template": "{{ bos_token }}" + TOLD + "{{ unk_token }}"},
    "tokens as objects": {
        "settings": {"eos_token": _token("<|im_end|>"), "bos_token": _token("<|endoftext|>")},
        "template": "{{ bos_token }}" + TOLD + "{{ eos_token }}",
    },
    "named tokens": {
        "settings": BOTH | {"extra_special_tokens": {"think_token": "<|im_start|>"}, "add_bos_token": True},
        "template": "{{ think_token }}" + TOLD + "{{ add_bos_token }}",
    },
    "added by the config": {"settings": BOTH | {"added_tokens_decoder": NEW}, "template": "<new>" + TOLD},
    "added by a file": {"added_tokens": {"<new>": 259}, "template": "<new>" + TOLD},
    "ends in config.json": {"config": CONFIG | {"eos_token_id": [0, 2]}, "settings": {"eos_token": "<|endoftext|>"}},
    "ends in generation_config.json": {"generation": {"eos_token_id": [2, 1]}, "settings": {"eos_token": "<|im_end|>"}},
    "one end in each": {"generation": {"eos_token_id": 1}, "settings": {"eos_token": "<|endoftext|>"}},
    "generation": {
        "template": "{% generation %}" + TOLD + "{% endgeneration %}|{% generation -%} x {%- endgeneration %}"
    },
    "tojson": {
        "template": "{{ messages[0].content | tojson(ensure_ascii=true) }}{{ messages[0] | tojson(sort_keys=true) }}"
        "{{ messages | tojson(separators=(',', ':')) }}{{ messages[0] | tojson(indent=2) }}" + TOLD
    },
    "arguments": {
        "template": CHATML + "{% if enable_thinking is defined and not enable_thinking %}<think></think>{% endif %}",
        "arguments": {"enable_thinking": False},
    },
    "a system's turn": {"system": "Be brief."},
}  # fmt: skip
"""Folders, and what is given beside them (arguments, system)."""

QUESTION = '2 + 3 = ?\n<é> "quoted"'


def made(folder, name):
    """Writes a variant; returns (its path, its arguments, its system's turn)."""
    variant = {"config": CONFIG, **VARIANTS[name]}
    arguments, system = variant.pop("arguments", {}), variant.pop("system", "")
    return write(folder, **variant), arguments, system
