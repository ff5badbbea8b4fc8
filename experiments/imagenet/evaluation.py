"""Validation: every image once, exact pass@k and top-1, padded batches masked."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.imagenet import measures
from experiments.imagenet.problem import Problem


def batch_size(problem: Problem) -> int:
    """Images of a validation batch: eval.batch_size, rounded up so that every device gets as many."""
    count = problem.mesh.size
    return -(-problem.config.eval.batch_size // count) * count


class Evaluator:
    """``evaluator(state, step) -> {"eval/...": value}``; compiled at its first call."""

    def __init__(self, problem: Problem):
        self.problem = problem
        self._sums = jax.jit(self._batch_sums)

    def __call__(self, state: dict[str, Any], step: int) -> dict[str, float]:
        """Means over the validation images: eval/loss (cross-entropy), top1, entropy, pass@k."""
        del step
        sums: list[dict[str, jax.Array]] = []
        for batch in self.problem.validation_batches(batch_size(self.problem)):
            sums.append(self._sums(state["params"], state["batch_stats"], batch))
            # The host may read one batch ahead of the device, not all of them.
            jax.block_until_ready(sums[-2:][0])
        fetched = jax.device_get(sums)
        totals = {name: np.sum([float(part[name]) for part in fetched]) for name in fetched[0]}
        count = totals.pop("images")
        if count != self.problem.num_validation:
            raise RuntimeError(f"{count:.0f} validation images were seen, there are {self.problem.num_validation}")
        means = {name: float(total / count) for name, total in totals.items()}
        loss = means.pop("cross_entropy")
        return {"eval/loss": loss, **{f"eval/{name}": value for name, value in means.items()}}

    def _batch_sums(self, params: Any, stats: Any, batch: Any) -> dict[str, jax.Array]:
        images, labels, mask = self.problem.validation_batch(batch)
        measured = measures.measures(self.problem.network.predict(params, stats, images), labels)
        sums = {name: jnp.sum(jnp.where(mask, value, 0)) for name, value in measured.items()}
        return {**sums, "images": jnp.sum(mask, dtype=jnp.float32)}
