"""The array type of signatures, as in `Float[Array, "B H"]`: jaxtyping says element type and shape, so numpy's own stay open."""

from typing import Any

from numpy.typing import NDArray

Array = NDArray[Any]
