"""Breaks the core on purpose, one change at a time, and shows that the tests notice: ``make mutants``.

Each mutation is a file, a piece of its text, what it is replaced by, and the tests that ought to fail. It is
applied to a copy of the package, never to the checkout. Exit status 1 when a mutation survives.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


@dataclasses.dataclass(frozen=True)
class Mutation:
    """One change; `tests` is a pytest selection."""

    what: str
    file: str
    old: str
    new: str
    tests: str


TEXT = r"""
maxrl_jax/advantages/gap_form.py | sign of the weights above a rollout | tests/advantages/test_definitions.py -k maxpo
-above[1:] = -choose_ratio(n - 1, k - 1)
+above[1:] = choose_ratio(n - 1, k - 1)

maxrl_jax/advantages/gap_form.py | off-by-one rank: C(j, k) for C(j-1, k) |
  tests/advantages/test_definitions.py -k maxpo
-below[:n] = choose_ratio(n - 1, k)
-
+below[1:] = choose_ratio(n - 1, k)
+

maxrl_jax/advantages/gap_form.py | order T for T + 1 in the success weights of maxrl_order |
  tests/advantages/test_definitions.py -k maxrl_order
-log_ratio(n, t + 1)
+log_ratio(n, t)

maxrl_jax/advantages/gap_form.py | mixture forgets the factor k of a_k = k c_k |
  tests/advantages/test_reductions.py -k mixture
-a_k = k * WIDE(c)
+a_k = WIDE(c)

maxrl_jax/advantages/ranks.py | gaps taken in the reversed order | tests/advantages/test_definitions.py -k rloo
-return sum_below(terms[..., ::-1])[..., ::-1]
+return sum_below(terms)[..., ::-1]

maxrl_jax/advantages/ranks.py | every rank that is not tied gets the value of the rank before it |
  tests/advantages/test_definitions.py -k maxpo
-ascending[..., 1:] != ascending[..., :-1]
+ascending[..., 1:] == ascending[..., :-1]

maxrl_jax/advantages/ranks.py | negative rewards sorted by their raw bits |
  tests/advantages/test_definitions.py -k maxpo
-keys = jnp.where(keys < 0, keys ^ low_bits, keys)
+keys = keys | (0 & low_bits)

maxrl_jax/advantages/likelihood.py | maxrl keeps the control variate at K = 0 |
  tests/advantages/test_unbiased.py -k maxrl
-jnp.where(total > 0, jnp.where(success, (n - total) / _at_least_one(total), -1), 0)
+jnp.where(success, (n - total) / _at_least_one(total), -1)

maxrl_jax/advantages/likelihood.py | maxrl_unbiased drops the control variate at K = 0 |
  tests/advantages/test_unbiased.py -k maxrl_unbiased
-return jnp.where(success, (rewards.shape[-1] - total) / _at_least_one(total), -1)
+return jnp.where(success, (rewards.shape[-1] - total) / _at_least_one(total), -1) * (total > 0)

maxrl_jax/advantages/likelihood.py | maxrl divides by N for K | tests/advantages/test_definitions.py -k maxrl
-jnp.where(success, (n - total) / _at_least_one(total), -1), 0)
+jnp.where(success, (n - total) / n, -1), 0)

maxrl_jax/advantages/likelihood.py | tailrl shares a gap with the rollout below it |
  tests/advantages/test_definitions.py -k tailrl
-n / np.arange(n - 1, 0, -1)
+n / np.arange(n, 1, -1)

maxrl_jax/advantages/likelihood.py | tailrl keeps its mean | tests/advantages/test_definitions.py -k tailrl
- - (g[..., -1:] - g[..., :1])
+

maxrl_jax/advantages/likelihood_rewards.py | a rollout's own acceptance is among the others' |
  tests/advantages/test_definitions.py -k maxrl_likelihood
-keepdims=True) - logs - log_rest
+keepdims=True) - log_rest

maxrl_jax/advantages/likelihood_rewards.py | one node of the quadrature too few |
  tests/advantages/test_definitions.py -k maxrl_likelihood
-max(1, g.shape[-1] // 2)
+max(1, (g.shape[-1] - 1) // 2)

maxrl_jax/advantages/likelihood_rewards.py | nodes of the quadrature as good as float64 finds them |
  tests/advantages/test_accuracy.py -k exact_arithmetic
-x = x - value / slope
+x = x.astype(np.float64).astype(WIDE)

maxrl_jax/advantages/contracts.py | rewards above 1 pass for probabilities |
  tests/advantages/test_contracts.py -k unit_interval
-(values >= 0) & (values <= 1)
+values >= 0

maxrl_jax/advantages/contracts.py | a judge's real-valued rewards pass for binary ones |
  tests/advantages/test_contracts.py -k 'unit_interval or refused_naming'
-if kinds.index(given) > kinds.index(defined_for):
+if kinds.index(given) > kinds.index(defined_for) + 1:

maxrl_jax/advantages/likelihood.py | a success is any reward of at least 0 |
  tests/advantages/test_definitions.py -k maxrl
-success = rewards > 0.5
+success = rewards >= 0.0

maxrl_jax/advantages/pointwise.py | grpo with ddof 1 by default | tests/advantages/test_reductions.py -k grpo
-eps: float = 1e-6, ddof: int = 0
+eps: float = 1e-6, ddof: int = 1

maxrl_jax/advantages/pointwise.py | means taken without the shift: constant groups leave a residue |
  tests/advantages/test_laws.py -k 'constant or seven'
-shifted = g - jnp.min(g, axis=-1, keepdims=True)
+shifted = g

maxrl_jax/advantages/spread.py | squares of unscaled deviations vanish and overflow |
  tests/advantages/test_accuracy.py -k extreme
-scale = jnp.where(largest > 0, largest, 1)
+scale = jnp.ones_like(largest)

maxrl_jax/advantages/spread.py | the standard deviation's derivative at a constant group is 0/0 |
  tests/advantages/test_laws.py -k 'finite and grpo'
-direction = deviations / jnp.where(spread > 0, spread, 1)
+direction = deviations / spread

maxrl_jax/advantages/ranks.py | bfloat16 rewards computed in bfloat16 |
  tests/advantages/test_laws.py -k 'result_is_float32 and maxpo'
-else jnp.dtype(jnp.float32)
+else dtype

maxrl_jax/advantages/max_at_k.py | pkpo loo without N/(N-1) | tests/advantages/test_definitions.py -k pkpo
-return centred - (k / (n - 1)) * subset_max.mean_max_excluding(rewards, k)
+return centred

maxrl_jax/advantages/partitioned.py | max without self takes the second best for tied bests too late |
  tests/advantages/test_definitions.py -k partitioned
-return top[..., :1], jnp.where(is_top, top[..., 1:], top[..., :1])
+return top[..., :1], top[..., 1:]

maxrl_jax/advantages/conditioned.py | self_masked masks the prompts that greedy decoding fails |
  tests/advantages/test_definitions.py -k self_masked
-greedy_rewards[..., None] > 0.5
+greedy_rewards[..., None] < 0.5

maxrl_jax/advantages/conditioned.py | differential smoothing rewards likely successes |
  tests/advantages/test_definitions.py -k differential
-- correct_coef * r * l
++ correct_coef * r * l

maxrl_jax/objectives.py | effective weight sums over N for N - 1 others | tests/test_objectives.py -k declared_objective
-num_rollouts - 1, success[1:] - fail[:-1])
+num_rollouts - 1, success[:-1] - fail[:-1])

maxrl_jax/objectives.py | a verifier's errors leave the gradient of its verdicts as it was |
  tests/advantages/test_unbiased.py -k verifier
-slope = 1 - false_positive - false_negative
+slope = 1

maxrl_jax/objectives.py | false positives and false negatives change places |
  tests/advantages/test_unbiased.py -k verifier
-return a + (1 - a - b)
+return b + (1 - a - b)

maxrl_jax/objectives.py | effective variance forgets pairs of different outcome |
  tests/advantages/test_unbiased.py -k variance
- - 2 * success[1:-1] * fail[1:-1]
+

maxrl_jax/losses.py | the loss differentiates through the advantages | tests/test_losses.py -k advantages
-weights = jax.lax.stop_gradient(advantages)[..., None]
+weights = advantages[..., None]

maxrl_jax/losses.py | a masked token leaks into the loss | tests/test_losses.py -k masked
-sums = jnp.sum(jnp.where(mask, values, 0), axis=-1)
+sums = jnp.sum(values, axis=-1)

maxrl_jax/losses.py | token_mean divides by answers | tests/test_losses.py -k token_mean
-if aggregation == "token_mean":
+if aggregation == "token_means":

maxrl_jax/categorical.py | marginal sampling forgets the odds of the failures' mean score |
  tests/test_categorical.py -k marginal_has_the_exact
-failures * fail[index] * odds
+failures * fail[index]

maxrl_jax/categorical.py | the coefficient of the one-step loss is differentiated |
  tests/test_categorical.py -k expected_is
-p = jnp.exp(jax.lax.stop_gradient(right_log_prob))
+p = jnp.exp(right_log_prob)

maxrl_jax/categorical.py | draws counted from the left edge of the classes | tests/test_categorical.py -k multinomial
-index = number_below(cumulative[..., :-1], uniforms, or_equal=True)
+index = number_below(cumulative[..., :-1], uniforms, or_equal=True) + 1

maxrl_jax/categorical.py | the search for a class's end takes ties the other way |
  tests/test_categorical.py -k number_below
-middle <= queries if or_equal else middle < queries
+middle < queries if or_equal else middle <= queries

maxrl_jax/metrics.py | pass@k counts successes for failures | tests/test_metrics.py -k pass_at_k
-values = tables[n - np.asarray(c)]
+values = tables[np.asarray(c)]

maxrl_jax/advantages/contracts.py | concrete jax scalars are taken as they are | tests/test_metrics.py -k refuse
-if isinstance(values, jax.core.Tracer):
-        return
-    concrete
+if isinstance(values, jax.Array):
+        return
+    concrete

maxrl_jax/metrics.py | answers without a vote are counted | tests/test_metrics.py -k majority
-cast = votes >= 0
+cast = votes >= -1
"""


def parse(text: str) -> tuple[Mutation, ...]:
    """Reads paragraphs ``file | change | tests`` with the lines taken out (-) and put in (+) below."""
    found = []
    for paragraph in text.strip().split("\n\n"):
        lines = paragraph.split("\n")
        file, what, tests = " ".join(line for line in lines if line[0] not in "-+").split(" | ", 2)
        old, new = ("\n".join(line[1:] for line in lines if line[0] == sign) for sign in "-+")
        found.append(Mutation(what, file, old, new, tests.strip()))
    return tuple(found)


MUTATIONS = parse(TEXT)


def run(mutation: Mutation, folder: Path) -> bool:
    """Applies the mutation in `folder`, runs its tests there, undoes it; True when the tests fail as they should."""
    path = folder / mutation.file
    text = path.read_text()
    if text.count(mutation.old) != 1:
        raise SystemExit(f"mutants: {mutation.file} holds {text.count(mutation.old)} times: {mutation.old!r}")
    path.write_text(text.replace(mutation.old, mutation.new))
    # The copy comes first on the path, before an installed checkout.
    environment = {**os.environ, "PYTHONPATH": str(folder), "JAX_PLATFORMS": "cpu", "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *shlex.split(mutation.tests)]
    try:
        status = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True).returncode
    finally:
        path.write_text(text)
    if status not in (0, 1):
        raise SystemExit(f"mutants: the tests of {mutation.what!r} could not run (pytest status {status})")
    return status == 1


def main() -> int:
    """Runs every mutation and prints a table; writes it to --out when given."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, help="also write the table here")
    parser.add_argument("--only", type=int, help="run only this number of the table")
    options = parser.parse_args()
    lines = ["| # | change | file | caught by | result |", "|---|---|---|---|---|"]
    survivors = 0
    started = time.time()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        for name in ("maxrl_jax", "tests"):
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "pyproject.toml", folder)
        for number, mutation in enumerate(MUTATIONS, start=1):
            if options.only and number != options.only:
                continue
            caught = run(mutation, folder)
            survivors += not caught
            result = "caught" if caught else "SURVIVED"
            lines.append(f"| {number} | {mutation.what} | `{mutation.file}` | `{mutation.tests}` | {result} |")
            print(lines[-1], flush=True)
    summary = f"{len(lines) - 2 - survivors} of {len(lines) - 2} mutations caught."
    print(f"{summary} {time.time() - started:.0f} s")
    if options.out:
        title = "# Mutations of the core, and the tests that catch them\n\nWritten by `make mutants`.\n\n"
        options.out.write_text(title + "\n".join(lines) + f"\n\n{summary}\n")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
