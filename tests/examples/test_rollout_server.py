"""Rollouts over HTTP, from a server around our own engine that speaks OpenAI's completions."""

import http.server
import importlib.util
import json
import threading

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from experiments.lm import training
from experiments.lm.check import check, estimator_phases
from experiments.lm.tasks.table import set_up
from maxrl_jax.lm import decoder
from maxrl_jax.lm.rollout import Settings, rollout
from tests.examples.running import EXAMPLES
from tests.experiments.lm.small import words


class Handler(http.server.BaseHTTPRequestHandler):
    """Completions of the model folder that was handed over last."""

    def do_POST(self):
        given = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        found = {"/update_weights_from_disk": self.update, "/v1/completions": self.complete}[self.path](given)
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(found).encode())

    def update(self, given):
        if not self.server.frozen or self.server.model is None:
            self.server.model = nnx.split(decoder.load_hf(given["model_path"]))
        return {"success": True}

    def complete(self, given):
        graph, params = self.server.model
        settings = Settings(given["max_tokens"], tuple(given["stop_token_ids"]), given["temperature"], given["top_p"])
        with self.server.lock:
            prompts, key = jnp.asarray([given["prompt"]]), jax.random.key(given["seed"])
            answers = self.server.draw(graph, params, prompts, key, given["n"], settings)
        choices = []
        for number, length in enumerate(answers.lengths[0]):
            ids, log_probs = (leaf[0, number, :length].tolist() for leaf in (answers.tokens, answers.log_probs))
            of_tokens = {"tokens": [f"token_id:{token}" for token in ids], "token_logprobs": log_probs}
            choices.append({"index": number, "logprobs": of_tokens})
        return {"choices": choices[::-1]}

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch):
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.model, server.frozen, server.lock = None, False, threading.Lock()
        server.draw = jax.jit(lambda graph, params, *given: rollout(nnx.merge(graph, params), *given),
                              static_argnums=(0, 4, 5))  # fmt: skip
        monkeypatch.setenv("ROLLOUT_SERVER", f"http://127.0.0.1:{server.server_port}")
        monkeypatch.syspath_prepend(str(EXAMPLES))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.mark.parametrize("frozen", [False, True])
def test_the_driver_trains_on_the_servers_answers_and_sees_old_weights(server, frozen):
    """Weights of 1 from a server that follows the policy, others from one that stays behind."""
    assert importlib.util.find_spec("rollout_server")
    server.frozen = frozen
    chosen = {"task": "tests.experiments.lm.own_task:sums", "rl.rollouts": "rollout_server:factory"}
    config = words(**chosen, **{"rl.learning_rate": 0.1, "rl.num_rollouts": 8})
    check(config)
    setup = set_up(config)
    chunk = training.make_chunk(setup, estimator_phases(config, setup.task))
    state = training.make_state(setup, setup.init_params())
    _, metrics = chunk(state, np.arange(2))
    assert (metrics["gradient_norm"] > 0).all()
    np.testing.assert_allclose(metrics["rollout_gap_mean"][0], 1, atol=1e-4)
    np.testing.assert_allclose(metrics["rollout_gap_max"][0], 1, atol=1e-4)
    gap = metrics["rollout_gap_max"][1] - 1
    assert gap > 0.05 if frozen else abs(gap) < 1e-4
