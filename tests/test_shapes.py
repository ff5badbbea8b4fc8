"""A signature that names a false shape is found."""

import numpy as np
import pytest
from jaxtyping import Float, TypeCheckError, jaxtyped

from maxrl_jax import losses
from tests import shapes

pytest.importorskip("beartype")


@jaxtyped(typechecker=shapes.checked)
def shifted(
    values: Float[np.ndarray, " N"], by: Float[np.ndarray, " N"] | float, cut: int = 0
) -> Float[np.ndarray, " N"]:
    return values[cut:] + by


def test_a_shape_that_is_not_the_signatures_is_an_error():
    assert shifted(np.ones(3), 1.0).tolist() == [2.0] * 3
    assert shifted(np.ones(3, np.int32), np.arange(3)).tolist() == [1.0, 2.0, 3.0]  # shapes alone
    with pytest.raises(TypeCheckError):
        shifted(np.ones(3), 1.0, cut=1)
    with pytest.raises(TypeCheckError):
        shifted(np.ones(3), np.ones(1))
    with pytest.raises(ValueError, match="broadcast"):  # the function's own words go first
        shifted(np.ones(3), np.ones(2))


def test_the_package_is_checked():
    assert hasattr(losses.aggregate, "__wrapped__")
