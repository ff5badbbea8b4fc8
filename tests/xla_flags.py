"""XLA flags for quick compilation: the tests spend most of their time compiling programs that run once."""

import importlib.metadata

# Half of the compile time is LLVM's optimisation.
FLAGS = "--xla_backend_optimization_level=0"

# A third of the rest is the newer way to emit fusions, and splitting the code generation over threads costs 13 %. XLA
# ends the process on an unknown flag, and debug flags come and go, so these are only for versions known to have them.
if importlib.metadata.version("jaxlib").startswith("0.10."):
    FLAGS += " --xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1"


def with_devices(count: int) -> str:
    """The value of XLA_FLAGS for a process with a number of simulated devices."""
    return f"{FLAGS} --xla_force_host_platform_device_count={count}"
