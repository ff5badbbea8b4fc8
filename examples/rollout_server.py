"""Rollouts from an inference server, with this library as the trainer.

    ROLLOUT_SERVER=http://localhost:30000 python -m experiments.llm --config=configs/llm.py:gsm8k ... \
        --config.rl.rollouts=rollout_server:factory

(with this file's folder on PYTHONPATH). The server speaks OpenAI's completions: POST /v1/completions takes a prompt of
token ids and returns the tokens as ids ("token_id:17": vLLM's return_tokens_as_token_ids) with their log-probabilities.
When the parameters have changed, a model folder is written and the server is told its path: POST
/update_weights_from_disk, as SGLang has it. The folder must lie where both see it, and the run has one process.
The trainer weighs answers by pi / mu, so that a server that computes in another precision does no harm;
train/rollout_gap_mean and _max show the gap.

Tested against a small server of our own over HTTP (tests/examples/test_rollout_server.py), not against vLLM or SGLang:
none could be installed. Two things to check there: log-probabilities are to be those of the distribution drawn from
(vLLM: --logprobs-mode=processed_logprobs, unless temperature and top_p are 1), and the stop token is among the tokens.
"""

import concurrent.futures
import json
import os
import tempfile
import urllib.request
from pathlib import Path

import jax
import numpy as np

from maxrl_jax.lm.engine import Answers

CONNECTIONS = 32


def post(path, **fields):
    """The server's answer to a request in JSON."""
    url = os.environ.get("ROLLOUT_SERVER", "http://localhost:30000") + path
    request = urllib.request.Request(url, json.dumps(fields).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request) as response:
        return json.load(response)


def factory(config, sampling, save):
    """Makes the function that draws answers; ``save(params, folder)`` writes a model folder."""
    shared = Path(tempfile.mkdtemp(prefix="rollout_server_"))
    sent = []  # the parameters that the server has, which are compared as objects: a step makes new ones

    def send(params):
        leaves = jax.tree.leaves(params)
        if not sent or any(a is not b for a, b in zip(leaves, sent, strict=True)):
            save(params, shared / "model")
            post("/update_weights_from_disk", model_path=str(shared / "model"))
            sent[:] = leaves

    def complete(prompt, num_rollouts, seed):
        """The choices for one prompt, [(token, log-probability), ...] each."""
        found = post(
            "/v1/completions",
            model=str(shared / "model"),
            prompt=prompt.tolist(),
            n=num_rollouts,
            max_tokens=sampling.max_new_tokens,
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            stop_token_ids=list(sampling.stop_tokens),
            seed=seed,
            logprobs=1,
            return_tokens_as_token_ids=True,
            skip_special_tokens=False,
        )
        parts = [choice["logprobs"] for choice in sorted(found["choices"], key=lambda choice: choice["index"])]
        tokens = [[int(token.removeprefix("token_id:")) for token in part["tokens"]] for part in parts]
        return [list(zip(ids, part["token_logprobs"], strict=True)) for ids, part in zip(tokens, parts, strict=True)]

    def draw(prompts, num_rollouts, key, params):
        send(params)
        lengths = np.full(len(prompts), prompts.tokens.shape[1]) if prompts.lengths is None else prompts.lengths
        seeds = jax.random.randint(key, (len(prompts),), 0, 2**31 - 1).tolist()
        texts = [tokens[:length] for tokens, length in zip(prompts.tokens, lengths, strict=True)]
        with concurrent.futures.ThreadPoolExecutor(CONNECTIONS) as pool:
            choices = list(pool.map(complete, texts, [num_rollouts] * len(texts), seeds))
        shape = len(prompts), num_rollouts, sampling.max_new_tokens
        tokens, log_probs = np.full(shape, sampling.pad_token, np.int32), np.zeros(shape, np.float32)
        for place in np.ndindex(shape[:2]):
            answer = choices[place[0]][place[1]]
            tokens[place][: len(answer)] = [token for token, _ in answer]
            log_probs[place][: len(answer)] = [log_prob for _, log_prob in answer]
        return Answers(tokens, log_probs, np.isin(tokens, sampling.stop_tokens).any(axis=-1))

    return draw
