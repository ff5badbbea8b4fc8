"""Flags that make XLA compile the tests' programs quickly: most of the tests' time is compiling what runs once."""

import importlib.metadata

# Half of compiling is LLVM's optimisation.
FLAGS = "--xla_backend_optimization_level=0"

# A third of what is left is the newer way to emit fusions. XLA ends the process on a flag it does not know, and debug
# flags come and go, so this one is for the versions that are known to have it.
if importlib.metadata.version("jaxlib").startswith("0.10."):
    FLAGS += " --xla_cpu_use_fusion_emitters=false"


def with_devices(count: int) -> str:
    """The value of XLA_FLAGS for a process with so many simulated devices."""
    return f"{FLAGS} --xla_force_host_platform_device_count={count}"
