"""The evaluation command of the language-model driver: the same as ``python -m experiments.lm.evaluate``."""

from experiments.lm import evaluate
from maxrl_jax.runs.command_line import exit_with

if __name__ == "__main__":
    exit_with(evaluate.main)
