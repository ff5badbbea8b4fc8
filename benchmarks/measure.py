"""Parts shared by every benchmark: medians of repeated calls with the result ready, and a record of the machine."""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable
from typing import Any

import jax


def median_seconds(call: Callable[[], Any], *, repeats: int = 7, warm_up: int = 1) -> float:
    """Median wall time of `call()` with its result ready, after `warm_up` calls that are not counted."""
    for _ in range(warm_up):
        jax.block_until_ready(call())
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        jax.block_until_ready(call())
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def machine() -> dict[str, Any]:
    """Device, versions and size of the machine, to stand beside every number."""
    device = jax.devices()[0]
    return {
        "device": device.device_kind,
        "platform": device.platform,
        "devices": jax.device_count(),
        "cpu_cores": os.cpu_count(),
        "jax": jax.__version__,
        "python": platform.python_version(),
    }
