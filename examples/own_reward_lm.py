"""A language model, a tokenizer and a reward of one's own: ten steps of MaxRL.

    python examples/own_reward_lm.py

The model is a random Llama of 10,000 parameters; `decoder.load_hf("FOLDER")` gives a trained one instead. The prompts
differ in length. A reward is any function of the answers' text; this one asks for an answer with the prompt's first
letter in it. Ten steps take seconds, and the reward rises.
"""

import string

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from maxrl_jax import advantages
from maxrl_jax.lm import decoder
from maxrl_jax.lm.rollout import Settings, rollout
from maxrl_jax.lm.update import Batch, LossSettings, Plan, loss_and_gradients

LETTERS = string.ascii_lowercase[:12] + " "
PAD, STOP = len(LETTERS), len(LETTERS) + 1  # ids after those of the letters
PROMPTS = ("abc", "bad cab", "feed", "head", "gaffe", "cab", "jag", "hedge")
ROLLOUTS, LENGTH, STEPS = 32, 6, 10


def encode(texts: tuple[str, ...]) -> tuple[jax.Array, jax.Array]:
    """Token ids [P, S], padded on the right, and the lengths [P]."""
    lengths = np.array([len(text) for text in texts])
    ids = np.full((len(texts), lengths.max()), PAD, np.int32)
    for row, text in zip(ids, texts, strict=True):
        row[: len(text)] = [LETTERS.index(letter) for letter in text]
    return jnp.asarray(ids), jnp.asarray(lengths)


def decode(ids: np.ndarray) -> str:
    """The letters of an answer."""
    return "".join(LETTERS[i] for i in ids if i < len(LETTERS))


def reward(prompt: str, answer: str) -> float:
    """1 if the answer has the prompt's first letter in it, else 0: replace it by what you want."""
    return float(prompt[0] in answer)


def main() -> list[float]:
    """Trains, prints a line a step, and returns the mean rewards."""
    config = decoder.Config(
        vocab_size=len(LETTERS) + 2,
        hidden_size=32,
        intermediate_size=64,
        num_layers=1,
        num_heads=4,
        num_kv_heads=2,
        max_positions=64,
        qkv_bias=False,  # this makes it a Llama
        initializer_range=0.1,
    )
    graphdef, params = nnx.split(decoder.Decoder(config, rngs=nnx.Rngs(0)))
    optimizer = optax.adam(1e-2)
    state = optimizer.init(params)
    prompts, lengths = encode(PROMPTS)
    advantage = advantages.get("maxrl")
    plan = Plan.make(len(PROMPTS), ROLLOUTS, LENGTH, micro_batch_tokens=2048)

    @jax.jit
    def sample(params, key):
        settings = Settings(LENGTH, stop_tokens=(STOP,), pad_token=PAD)
        return rollout(nnx.merge(graphdef, params), prompts, key, ROLLOUTS, settings, prompt_lengths=lengths)

    @jax.jit
    def update(params, state, answers, rewards):
        batch = Batch(prompts, answers.tokens, answers.mask, advantage(rewards), prompt_lengths=lengths)
        gradients = loss_and_gradients(nnx.merge(graphdef, params), batch, LossSettings(), plan).gradients
        changes, state = optimizer.update(gradients, state, params)
        return optax.apply_updates(params, changes), state

    means = []
    for step in range(STEPS):
        answers = sample(params, jax.random.fold_in(jax.random.key(1), step))
        texts = [[decode(ids) for ids in group] for group in np.asarray(answers.tokens)]
        rewards = [[reward(p, text) for text in group] for p, group in zip(PROMPTS, texts, strict=True)]
        params, state = update(params, state, answers, jnp.asarray(rewards))
        means.append(float(np.mean(rewards)))
        print(f"step {step}  reward {means[-1]:.2f}  {PROMPTS[0]!r} -> {texts[0][0]!r}", flush=True)
    return means


if __name__ == "__main__":
    main()
