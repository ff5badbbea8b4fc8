"""Time and memory of every estimator over the group size, against the published ways of computing two of them.

    python -m benchmarks.advantages [--sizes 16,256,4096,65536] [--repeats 7]

Prints one JSON object. For each estimator and N: seconds a group and bytes of temporary memory a group, with the
batch chosen so that every call handles about as many rewards. FLOPs and bytes needed: an estimator reads and
writes N floats and sorts them, so O(N log N) comparisons and 8 N bytes are the floor; constants are made while
tracing and counted under `seconds_first_call`.

Two peers, written here from the papers' formulas: `broadcast_l2o`, the leave-two-out baseline through N x N
matrices (MaxPO's way, O(N^2) time and memory), and `product_pkpo`, PKPO's effective rewards with each weight a
product of k ratios (O(N k)).
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.measure import machine, median_seconds
from maxrl_jax import advantages
from maxrl_jax.advantages.binomial_ratios import choose_ratio, shifted_ratio

REWARDS_A_CALL = 65536
# An N x N float32 matrix a group: beyond this a peer is left out rather than swapped to disk.
LARGEST_MATRIX = 4096


def broadcast_l2o(rewards: jax.Array, *, k: int) -> jax.Array:
    """k (EI - L2O) of one group [N] through the N x N matrix of improvements, k >= 2."""
    n = rewards.shape[0]
    order = jnp.argsort(rewards)
    g = rewards[order]
    improvement = jnp.maximum(g[:, None] - g[None, :], 0)
    comparator = shifted_ratio(n - 1, k - 1, n + 1, 0)
    # P(the best of k - 1 others is the one of rank m), from differences of the cumulative law.
    law = jnp.asarray(np.diff(comparator), jnp.float32)
    ei = improvement @ law
    reduced = np.diff(choose_ratio(n - 2, k - 1))
    full = jnp.asarray(np.concatenate([reduced, [0, 0]]), jnp.float32)
    moved = jnp.asarray(np.concatenate([[0], reduced, [0]]), jnp.float32)
    ranks = jnp.arange(n)
    # Leaving out i moves everyone above it down one rank.
    weight = jnp.where(ranks[None, :] > ranks[:, None], moved[None, :], full[None, :])
    weight = jnp.where(ranks[None, :] == ranks[:, None], 0, weight)
    baseline = jnp.sum((improvement.sum(0)[None, :] - improvement) * weight, axis=1) / (n - 1)
    return jnp.zeros(n).at[order].set(k * (ei - baseline))


def product_pkpo(rewards: jax.Array, *, k: int) -> jax.Array:
    """k G_i of one group [N], each weight a product of k - 1 ratios made on the device, k >= 2."""
    n = rewards.shape[0]
    order = jnp.argsort(rewards)
    g = rewards[order]
    i = jnp.arange(1, n + 1, dtype=jnp.float32)
    j = jnp.arange(1, k, dtype=jnp.float32)
    own = jnp.prod(jnp.maximum(i[:, None] - j, 0) / (n - j), axis=1)
    j = j[:-1]
    above = jnp.prod(jnp.maximum(i[:, None] - 1 - j, 0) / (n - 1 - j), axis=1) * ((k - 1) / (n - 1)) * (i > 1)
    tail = jnp.cumsum((above * g)[::-1])[::-1]
    values = own * g + jnp.append(tail[1:], 0)
    return jnp.zeros(n).at[order].set(k * values)


def cases(n: int) -> list[tuple[str, Callable[..., jax.Array], dict[str, tuple[int, ...]]]]:
    """(label, function of rewards [B, N], companion arrays' shapes without the batch) at group size N."""
    k = max(2, n // 16)
    hyper = {
        "k": k,
        "order": k,
        "coefficients": tuple(1 / j for j in range(1, min(k, 64) + 1)),
        "baseline": "loo",
    }
    out = []
    for name, entry in advantages.TABLE.items():
        missing = {key: value for key, value in entry.settings(n)[0].items() if key not in hyper}
        adv = advantages.get(name, **missing, **{key: hyper[key] for key in entry.defaults if key in hyper})
        shapes = {key: () if key.endswith("_rewards") else (n,) for key in entry.needs}
        out.append((str(adv) if name != "mixture" else f"mixture({min(k, 64)} orders)", adv, shapes))
    if n <= LARGEST_MATRIX:
        out.append((f"peer: broadcast_l2o(k={k})", jax.vmap(lambda r: broadcast_l2o(r, k=k)), {}))
        out.append((f"peer: product_pkpo(k={k})", jax.vmap(lambda r: product_pkpo(r, k=k)), {}))
    return out


def measure(label, function, shapes, n: int, repeats: int) -> dict[str, float | int | str]:
    """One row of the result."""
    batch = max(1, REWARDS_A_CALL // n)
    if label.startswith("peer"):
        batch = max(1, min(batch, 2**24 // n**2))
    rng = np.random.default_rng(0)
    rewards = jnp.asarray(rng.integers(0, 2, size=(batch, n)), jnp.float32)
    arrays = {key: jnp.zeros((batch, *shape)) for key, shape in shapes.items()}
    compiled = jax.jit(lambda r, a: function(r, **a))
    start = time.perf_counter()
    executable = compiled.lower(rewards, arrays).compile()
    first = time.perf_counter() - start
    seconds = median_seconds(lambda: executable(rewards, arrays), repeats=repeats)
    memory = executable.memory_analysis()
    return {
        "estimator": label,
        "num_rollouts": n,
        "groups": batch,
        "seconds_a_group": seconds / batch,
        "temporary_bytes_a_group": int(getattr(memory, "temp_size_in_bytes", 0)) // batch,
        "seconds_first_call": first,
    }


def growth(rows: list[dict]) -> dict[str, float]:
    """Exponent of seconds a group in N between the two largest sizes an estimator was run at."""
    names = {row["estimator"].split("(")[0] for row in rows}
    out = {}
    for name in sorted(names):
        mine = sorted((r["num_rollouts"], r["seconds_a_group"]) for r in rows if r["estimator"].split("(")[0] == name)
        if len(mine) >= 2:
            (n1, t1), (n2, t2) = mine[-2:]
            out[name] = float(np.log(t2 / t1) / np.log(n2 / n1))
    return out


def main() -> None:
    """Runs the benchmark and prints its JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", default="16,256,4096,65536", help="group sizes N")
    parser.add_argument("--repeats", type=int, default=7)
    options = parser.parse_args()
    sizes = [int(n) for n in options.sizes.split(",")]
    rows = [measure(*case, n, options.repeats) for n in sizes for case in cases(n)]
    print(json.dumps({"machine": machine(), "rows": rows, "growth_exponent": growth(rows)}, indent=1))


if __name__ == "__main__":
    main()
