"""The language-model driver (`experiments.lm`) on configs/llm.py."""

from experiments.lm.__main__ import check, run
from maxrl_jax.runs import launch

if __name__ == "__main__":
    launch.main(run, check, config_file="configs/llm.py")
