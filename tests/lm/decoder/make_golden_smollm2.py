"""Writes golden/smollm2.json.gz: what transformers makes of the folder that experiments.lm.fetch writes.

    python -m tests.lm.decoder.make_golden_smollm2 models/smollm2-135m

Needs torch, transformers and regex, which nothing else here does. The file holds 1,000 strings of mixed kinds with
their token ids, which a plain byte-level BPE written out below must give too; the part of the vocabulary and of the
merges that these strings and the chat prompts need, so that a test can build a tokenizer from them; logits (float32)
after three prompts, and the greedy answers to 20 chat prompts.
"""

import gzip
import itertools
import json
import pathlib
import random
import sys

import regex
import torch
import transformers

FILE = pathlib.Path(__file__).parent / "golden" / "smollm2.json.gz"
GREEDY = 32
QUESTIONS = [
    *(f"What is {a} * {b}?" for a, b in ((2, 4), (3, 7), (9, 9), (5, 6), (8, 1))),
    *(f"Calculate {text}." for text in ("3 + 4", "12 - 5", "100 / 4", "2 + 2 + 2")),
    "What is the capital of France?",
    "Name three colours.",
    "Write one sentence about the sea.",
    "Spell the word cat backward.",
    "How many legs does a spider have?",
    "Translate 'good morning' into Spanish.",
    "Is 7 a prime number?",
    "What comes after Tuesday?",
    "Say hello.",
    "Which is larger, 9 or 11?",
    "How many 1 bits are there in the binary representation of the number 5?",
]
PIECES = {
    "words": [
        "the", "of", "and", "answer", "isn't", "they'll", "we've", "I'm", "you'd", "He'S", "queue", "naïve",
        "straße",
    ],
    "numbers": [
        "7", "42", "1234567890", "3.14", "1,000", "-5", "2/3", "0x1F", "10^6", "x2y3",
    ],
    "space": [
        " ", "  ", "   ", "\n", "\n\n", "\t", " \n ", "\r\n", "\xa0", "\u3000",
    ],
    "code": [
        "def f(x):\n    return x**2\n", "a[i]!=b[j];", "{'k': [1, 2]}", "#include <math.h>", "\\boxed{12}",
        "<|im", "|>",
    ],
    "alphabets": [
        "Привет мир", "你好，世界", "こんにちは", "안녕하세요", "مرحبا", "שלום", "γειά σου", "हिन्दी", "ไทย", "Việt",
    ],
    "signs": [
        "🙂", "👩\u200d🚀", "→", "≤", "∑", "€5", "“quoted”", "…", "—", "½", "²", "e\u0301", "\u200b", "ﬁ",
    ],
    "special": [
        "<|im_start|>", "<|im_end|>", "<|endoftext|>", "<repo_name>", "<file_sep>", "<jupyter_code>",
    ],
}  # fmt: skip


def strings() -> list[str]:
    """1,000 different strings: each kind alone, and all kinds mixed."""
    chance = random.Random(0)
    found = dict.fromkeys(piece for pieces in PIECES.values() for piece in pieces)
    found["".join(map(chr, range(256)))] = None
    kinds = list(PIECES)
    while len(found) < 1000:
        chosen = chance.sample(kinds, chance.randint(1, 3))
        parts = [chance.choice(PIECES[chance.choice(chosen)]) for _ in range(chance.randint(2, 6))]
        found[chance.choice(("", " ")).join(parts)] = None
    return list(found)


def plain_bpe(folder: pathlib.Path) -> tuple[object, set[tuple[str, str]]]:
    """``encode(text) -> ids`` from the definition of byte-level BPE, and the set that collects the merges it used."""
    saved = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    vocabulary = saved["model"]["vocab"]
    ranks = {tuple(merge): rank for rank, merge in enumerate(saved["model"]["merges"])}
    special = {token["content"]: token["id"] for token in saved["added_tokens"]}
    kept = [*range(33, 127), *range(161, 173), *range(174, 256)]
    letters = {byte: chr(byte) for byte in kept}
    letters |= {byte: chr(256 + place) for place, byte in enumerate(b for b in range(256) if b not in kept)}
    words = regex.compile(r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+")
    used: set[tuple[str, str]] = set()

    def merged(parts: list[str]) -> list[str]:
        while len(parts) > 1:
            pair = min(itertools.pairwise(parts), key=lambda pair: ranks.get(pair, len(ranks)))
            if pair not in ranks:
                break
            used.add(pair)
            joined, place = [], 0
            while place < len(parts):
                both = tuple(parts[place : place + 2]) == pair
                joined.append("".join(pair) if both else parts[place])
                place += 2 if both else 1
            parts = joined
        return parts

    def encode(text: str) -> list[int]:
        ids = []
        for piece in regex.split("(" + "|".join(map(regex.escape, special)) + ")", text):
            if piece in special:
                ids.append(special[piece])
                continue
            runs = regex.findall(r"\p{N}|[^\p{N}]+", piece)  # each digit on its own
            for word in (word for run in runs for word in words.findall(run)):
                known = [letters[byte] for byte in word.encode() if letters[byte] in vocabulary]  # a few bytes are not
                ids += [vocabulary[part] for part in merged(known)]
        return ids

    return encode, used


def main(folder: pathlib.Path) -> None:
    """Writes the file."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    encode, used = plain_bpe(folder)
    texts = strings()
    ids = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts]
    for text, found in zip(texts, ids, strict=True):
        assert encode(text) == found, (text, encode(text), found)
    prompts, greedy, logits = [], [], []
    for question in QUESTIONS:
        messages = [{"role": "user", "content": question}]
        prompt = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=True)["input_ids"]
        assert encode(tokenizer.decode(prompt)) == prompt
        with torch.no_grad():
            row = torch.tensor([prompt])
            answer = model.generate(row, attention_mask=torch.ones_like(row), max_new_tokens=GREEDY, do_sample=False)
            if len(logits) < 3:
                logits.append(model(row).logits[0, -1])
        prompts.append(prompt)
        greedy.append(answer[0, len(prompt) :].tolist())
        print(repr(tokenizer.decode(greedy[-1])))
    saved = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    needed = sorted({number for row in ids + prompts for number in row} | set(range(17)))
    by_number = {number: token for token, number in saved["model"]["vocab"].items()}
    parts = {token for pair in used for token in (*pair, "".join(pair))} | {by_number[number] for number in needed}
    vocabulary = {token: number for token, number in saved["model"]["vocab"].items() if token in parts}
    golden = {
        "strings": texts,
        "ids": ids,
        "vocabulary": dict(sorted(vocabulary.items(), key=lambda item: item[1])),
        "merges": [merge for merge in saved["model"]["merges"] if tuple(merge) in used],
        "questions": QUESTIONS,
        "prompts": prompts,
        "greedy": greedy,
        "logits": [[round(float(value), 4) for value in row[:1000]] for row in logits],
    }
    FILE.write_bytes(gzip.compress(json.dumps(golden, ensure_ascii=False).encode(), mtime=0))
    print(
        f"{len(texts)} strings, {len(vocabulary)} tokens, {len(golden['merges'])} merges, {FILE.stat().st_size} bytes"
    )


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
