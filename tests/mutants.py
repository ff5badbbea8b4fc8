"""Breaks the core on purpose, one change at a time, and shows that the tests notice: ``make mutants``.

Each mutation is a file, a piece of its text, what it is replaced by, and the tests that ought to fail. It is
applied to a copy of the package, never to the checkout. Exit status 1 when a mutation survives.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
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


A = "maxrl_jax/advantages/"
DEFINITIONS = "tests/advantages/test_definitions.py"
UNBIASED = "tests/advantages/test_unbiased.py"
LAWS = "tests/advantages/test_laws.py"

MUTATIONS = (
    Mutation(
        "sign of the weights above a rollout",
        A + "gap_form.py",
        "above[1:] = -choose_ratio(n - 1, k - 1)",
        "above[1:] = choose_ratio(n - 1, k - 1)",
        f"{DEFINITIONS} -k maxpo",
    ),
    Mutation(
        "off-by-one rank: C(j, k) for C(j-1, k)",
        A + "gap_form.py",
        "below[:n] = choose_ratio(n - 1, k)\n",
        "below[1:] = choose_ratio(n - 1, k)\n",
        f"{DEFINITIONS} -k maxpo",
    ),
    Mutation(
        "order T for T + 1 in the success weights of maxrl_order",
        A + "gap_form.py",
        "log_ratio(n, t + 1)",
        "log_ratio(n, t)",
        f"{DEFINITIONS} -k maxrl_order",
    ),
    Mutation(
        "mixture forgets the factor k of a_k = k c_k",
        A + "gap_form.py",
        "a_k = k * WIDE(c)",
        "a_k = WIDE(c)",
        "tests/advantages/test_reductions.py -k mixture",
    ),
    Mutation(
        "gaps taken in the reversed order",
        A + "ranks.py",
        "return sum_below(terms[..., ::-1])[..., ::-1]",
        "return sum_below(terms)[..., ::-1]",
        f"{DEFINITIONS} -k rloo",
    ),
    Mutation(
        "every rank that is not tied gets the value of the rank before it",
        A + "ranks.py",
        "ascending[..., 1:] != ascending[..., :-1]",
        "ascending[..., 1:] == ascending[..., :-1]",
        f"{DEFINITIONS} -k maxpo",
    ),
    Mutation(
        "negative rewards sorted by their raw bits",
        A + "ranks.py",
        "keys = jnp.where(keys < 0, keys ^ low_bits, keys)",
        "keys = keys | (0 & low_bits)",
        f"{DEFINITIONS} -k maxpo",
    ),
    Mutation(
        "maxrl keeps the control variate at K = 0",
        A + "likelihood.py",
        "jnp.where(total > 0, jnp.where(success, (n - total) / _at_least_one(total), -1), 0)",
        "jnp.where(success, (n - total) / _at_least_one(total), -1)",
        f"{UNBIASED} -k maxrl",
    ),
    Mutation(
        "maxrl_unbiased drops the control variate at K = 0",
        A + "likelihood.py",
        "return jnp.where(success, (rewards.shape[-1] - total) / _at_least_one(total), -1)",
        "return jnp.where(success, (rewards.shape[-1] - total) / _at_least_one(total), -1) * (total > 0)",
        f"{UNBIASED} -k maxrl_unbiased",
    ),
    Mutation(
        "maxrl divides by N for K",
        A + "likelihood.py",
        "jnp.where(success, (n - total) / _at_least_one(total), -1), 0)",
        "jnp.where(success, (n - total) / n, -1), 0)",
        f"{DEFINITIONS} -k maxrl",
    ),
    Mutation(
        "tailrl shares a gap with the rollout below it",
        A + "likelihood.py",
        "n / np.arange(n - 1, 0, -1)",
        "n / np.arange(n, 1, -1)",
        f"{DEFINITIONS} -k tailrl",
    ),
    Mutation(
        "tailrl keeps its mean",
        A + "likelihood.py",
        " - (g[..., -1:] - g[..., :1])",
        "",
        f"{DEFINITIONS} -k tailrl",
    ),
    Mutation(
        "a rollout's own acceptance is among the others'",
        A + "likelihood_rewards.py",
        "keepdims=True) - logs - log_rest",
        "keepdims=True) - log_rest",
        f"{DEFINITIONS} -k maxrl_likelihood",
    ),
    Mutation(
        "one node of the quadrature too few",
        A + "likelihood_rewards.py",
        "max(1, g.shape[-1] // 2)",
        "max(1, (g.shape[-1] - 1) // 2)",
        f"{DEFINITIONS} -k maxrl_likelihood",
    ),
    Mutation(
        "nodes of the quadrature as good as float64 finds them",
        A + "likelihood_rewards.py",
        "x = x - value / slope",
        "x = x.astype(np.float64).astype(WIDE)",
        "tests/advantages/test_accuracy.py -k exact_arithmetic",
    ),
    Mutation(
        "rewards above 1 pass for probabilities",
        A + "contracts.py",
        "(values >= 0) & (values <= 1)",
        "values >= 0",
        "tests/advantages/test_contracts.py -k unit_interval",
    ),
    Mutation(
        "a judge's real-valued rewards pass for binary ones",
        A + "contracts.py",
        "if kinds.index(given) > kinds.index(defined_for):",
        "if kinds.index(given) > kinds.index(defined_for) + 1:",
        "tests/advantages/test_contracts.py -k 'unit_interval or refused_naming'",
    ),
    Mutation(
        "a success is any reward of at least 0",
        A + "likelihood.py",
        "success = rewards > 0.5",
        "success = rewards >= 0.0",
        f"{DEFINITIONS} -k maxrl",
    ),
    Mutation(
        "grpo with ddof 1 by default",
        A + "pointwise.py",
        "eps: float = 1e-6, ddof: int = 0",
        "eps: float = 1e-6, ddof: int = 1",
        f"{DEFINITIONS} -k grpo",
    ),
    Mutation(
        "means taken without the shift: constant groups leave a residue",
        A + "pointwise.py",
        "shifted = g - jnp.min(g, axis=-1, keepdims=True)",
        "shifted = g",
        f"{LAWS} -k 'constant or seven'",
    ),
    Mutation(
        "squares of unscaled deviations vanish and overflow",
        A + "spread.py",
        "scale = jnp.where(largest > 0, largest, 1)",
        "scale = jnp.ones_like(largest)",
        "tests/advantages/test_accuracy.py -k extreme",
    ),
    Mutation(
        "the standard deviation's derivative at a constant group is 0/0",
        A + "spread.py",
        "direction = deviations / jnp.where(spread > 0, spread, 1)",
        "direction = deviations / spread",
        f"{LAWS} -k 'finite and grpo'",
    ),
    Mutation(
        "bfloat16 rewards computed in bfloat16",
        A + "ranks.py",
        "else jnp.dtype(jnp.float32)",
        "else dtype",
        f"{LAWS} -k 'float32 and bfloat16 and maxpo'",
    ),
    Mutation(
        "pkpo loo without N/(N-1)",
        A + "max_at_k.py",
        "return centred - (k / (n - 1)) * subset_max.mean_max_excluding(rewards, k)",
        "return centred",
        f"{DEFINITIONS} -k pkpo",
    ),
    Mutation(
        "max without self takes the second best for tied bests too late",
        A + "partitioned.py",
        "return top[..., :1], jnp.where(is_top, top[..., 1:], top[..., :1])",
        "return top[..., :1], top[..., 1:]",
        f"{DEFINITIONS} -k partitioned",
    ),
    Mutation(
        "self_masked masks the prompts that greedy decoding fails",
        A + "conditioned.py",
        "greedy_rewards[..., None] > 0.5",
        "greedy_rewards[..., None] < 0.5",
        f"{DEFINITIONS} -k self_masked",
    ),
    Mutation(
        "differential smoothing rewards likely successes",
        A + "conditioned.py",
        "- correct_coef * r * l",
        "+ correct_coef * r * l",
        f"{DEFINITIONS} -k differential",
    ),
    Mutation(
        "effective weight sums over N for N - 1 others",
        "maxrl_jax/objectives.py",
        "num_rollouts - 1, success[1:] - fail[:-1])",
        "num_rollouts - 1, success[:-1] - fail[:-1])",
        "tests/test_objectives.py -k closed_forms",
    ),
    Mutation(
        "a verifier's errors leave the gradient of its verdicts as it was",
        "maxrl_jax/objectives.py",
        "slope = 1 - false_positive - false_negative",
        "slope = 1",
        f"{UNBIASED} -k verifier",
    ),
    Mutation(
        "false positives and false negatives change places",
        "maxrl_jax/objectives.py",
        "return a + (1 - a - b)",
        "return b + (1 - a - b)",
        f"{UNBIASED} -k verifier",
    ),
    Mutation(
        "effective variance forgets pairs of different outcome",
        "maxrl_jax/objectives.py",
        " - 2 * success[1:-1] * fail[1:-1]",
        "",
        f"{UNBIASED} -k variance",
    ),
    Mutation(
        "the loss differentiates through the advantages",
        "maxrl_jax/losses.py",
        "weights = jax.lax.stop_gradient(advantages)[..., None]",
        "weights = advantages[..., None]",
        "tests/test_losses.py -k advantages",
    ),
    Mutation(
        "a masked token leaks into the loss",
        "maxrl_jax/losses.py",
        "sums = jnp.sum(jnp.where(mask, values, 0), axis=-1)",
        "sums = jnp.sum(values, axis=-1)",
        "tests/test_losses.py -k masked",
    ),
    Mutation(
        "token_mean divides by answers",
        "maxrl_jax/losses.py",
        'if aggregation == "token_mean":',
        'if aggregation == "token_means":',
        "tests/test_losses.py -k token_mean",
    ),
    Mutation(
        "marginal sampling forgets the odds of the failures' mean score",
        "maxrl_jax/categorical.py",
        "failures * fail[index] * odds",
        "failures * fail[index]",
        "tests/test_categorical.py -k marginal_has_the_exact",
    ),
    Mutation(
        "the coefficient of the one-step loss is differentiated",
        "maxrl_jax/categorical.py",
        "p = jnp.exp(jax.lax.stop_gradient(right_log_prob))",
        "p = jnp.exp(right_log_prob)",
        "tests/test_categorical.py -k expected_is",
    ),
    Mutation(
        "draws counted from the left edge of the classes",
        "maxrl_jax/categorical.py",
        "index = number_below(cumulative[..., :-1], uniforms, or_equal=True)",
        "index = number_below(cumulative[..., :-1], uniforms, or_equal=True) + 1",
        "tests/test_categorical.py -k multinomial",
    ),
    Mutation(
        "the search for a class's end takes ties the other way",
        "maxrl_jax/categorical.py",
        "middle <= queries if or_equal else middle < queries",
        "middle < queries if or_equal else middle <= queries",
        "tests/test_categorical.py -k number_below",
    ),
    Mutation(
        "pass@k counts successes for failures",
        "maxrl_jax/metrics.py",
        "values = tables[n - np.asarray(c)]",
        "values = tables[np.asarray(c)]",
        "tests/test_metrics.py -k pass_at_k",
    ),
    Mutation(
        "concrete jax scalars are taken as they are",
        A + "contracts.py",
        "if isinstance(values, jax.core.Tracer):\n        return\n    concrete",
        "if isinstance(values, jax.Array):\n        return\n    concrete",
        "tests/test_metrics.py -k refuse",
    ),
    Mutation(
        "answers without a vote are counted",
        "maxrl_jax/metrics.py",
        "cast = votes >= 0",
        "cast = votes >= -1",
        "tests/test_metrics.py -k majority",
    ),
)


def run(mutation: Mutation, folder: Path) -> bool:
    """Applies the mutation in `folder`, runs its tests there, undoes it; True when the tests fail as they should."""
    path = folder / mutation.file
    text = path.read_text()
    if text.count(mutation.old) != 1:
        raise SystemExit(f"mutants: {mutation.file} holds {text.count(mutation.old)} times: {mutation.old!r}")
    path.write_text(text.replace(mutation.old, mutation.new))
    # The copy comes first on the path, before an installed checkout.
    environment = {**os.environ, "PYTHONPATH": str(folder), "JAX_PLATFORMS": "cpu", "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *shell_words(mutation.tests)]
    try:
        status = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True).returncode
    finally:
        path.write_text(text)
    if status not in (0, 1):
        raise SystemExit(f"mutants: the tests of {mutation.what!r} could not run (pytest status {status})")
    return status == 1


def shell_words(text: str) -> list[str]:
    """Splits as a shell does, quotes included."""
    import shlex

    return shlex.split(text)


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
