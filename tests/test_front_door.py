"""`import maxrl_jax`: the flat API, and the core needs nothing but jax, numpy, scipy and jaxtyping."""

import ast
import doctest
import importlib.metadata
import subprocess
import sys
import textwrap
import tomllib
from pathlib import Path

import pytest

import maxrl_jax
from maxrl_jax import advantages, categorical, losses, metrics, objectives

ROOT = Path(__file__).parents[1]
CORE = ("advantages", "objectives", "losses", "categorical", "metrics", "binomial", "documentation", "practice")


def test_the_flat_names_are_the_modules_own():
    assert maxrl_jax.get is advantages.get and maxrl_jax.names is advantages.names
    assert maxrl_jax.effective_weight is objectives.effective_weight
    assert maxrl_jax.effective_variance is objectives.effective_variance
    assert maxrl_jax.policy_gradient is losses.policy_gradient
    assert maxrl_jax.categorical_rollouts is categorical.categorical_rollouts is losses.categorical_rollouts
    assert maxrl_jax.pass_at_k is metrics.pass_at_k and maxrl_jax.max_at_k is metrics.max_at_k
    assert set(maxrl_jax.__all__) == {
        "get", "names", "effective_weight", "effective_variance", "policy_gradient", "categorical_rollouts",
        "pass_at_k", "max_at_k",
    }  # fmt: skip


def test_the_version_is_the_projects():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project.get("version", maxrl_jax.__version__) == maxrl_jax.__version__
    assert importlib.metadata.version(project["name"]) == maxrl_jax.__version__


def in_a_process_of_its_own(code):
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def test_the_core_imports_and_runs_with_four_packages_alone():
    """Everything that is neither in the standard library nor needed by the four is blocked before it is found."""
    code = f"""
        import importlib, sys
        import jax, jax.numpy, numpy, scipy.special, jaxtyping  # with whatever they need themselves

        allowed = {{name.partition(".")[0] for name in sys.modules}} | set(sys.stdlib_module_names)
        allowed |= {{"maxrl_jax", "scipy", "jax", "jaxlib", "numpy"}}

        class Block:
            def find_spec(self, name, path=None, target=None):
                if name.partition(".")[0] not in allowed:
                    raise ImportError(f"the core imports {{name}}")

        sys.meta_path.insert(0, Block())
        for package in ("flax", "optax", "absl", "ml_collections", "orbax", "grain", "pandas", "matplotlib"):
            try:
                importlib.import_module(package)
            except ImportError:
                continue
            raise SystemExit(f"{{package}} is not blocked")

        import maxrl_jax
        for module in {CORE!r}:
            importlib.import_module("maxrl_jax." + module)
        import jax.numpy as jnp
        rewards = jnp.asarray([1.0, 0.0, 0.0, 1.0])
        for name in maxrl_jax.names():
            entry = maxrl_jax.advantages.TABLE[name]
            if not entry.needs:
                adv = maxrl_jax.get(name, **entry.settings(4)[0])
                adv(rewards)
                if entry.symmetric:
                    maxrl_jax.effective_weight(adv, 0.3, 4)
        maxrl_jax.metrics.majority_vote([1, 2, 2], [0, 1, 1])
        key = jax.random.key(0)
        maxrl_jax.categorical_rollouts(jnp.zeros(3), jnp.asarray(1), key, 4, maxrl_jax.get("maxrl"))
        print(sorted(name for name in sys.modules if name.startswith("maxrl_jax.")))
    """
    loaded = ast.literal_eval(in_a_process_of_its_own(code))
    assert {name.split(".")[1] for name in loaded} == set(CORE)


@pytest.mark.parametrize(
    ("module", "needs"), [("advantages", ["advantages"]), ("objectives", ["advantages", "binomial", "objectives"])]
)
def test_imports_of_the_core_run_downward_only(module, needs):
    """Without the front door, which imports everything, a module brings few others along."""
    code = f"""
        import sys, types
        package = types.ModuleType("maxrl_jax")
        package.__path__ = ["maxrl_jax"]
        sys.modules["maxrl_jax"] = package
        import maxrl_jax.{module}
        print(sorted({{name.split(".")[1] for name in sys.modules if name.startswith("maxrl_jax.")}}))
    """
    assert ast.literal_eval(in_a_process_of_its_own(code)) == needs


@pytest.mark.parametrize("module", [maxrl_jax, advantages.table, metrics])
def test_examples_in_the_docstrings_are_right(module):
    done = doctest.testmod(module)
    assert done.attempted and not done.failed
