"""The array type of signatures, as in `Float[Array, "B H"]`: jaxtyping says element type and shape, so numpy's own stay open.

Written out, because `numpy.typing.NDArray` is an alias without a class from numpy 2.5 on Python 3.12 on, which jaxtyping cannot take.
"""

from typing import Any

import numpy as np

Array = np.ndarray[tuple[Any, ...], np.dtype[Any]]
