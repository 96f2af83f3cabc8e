"""Division of counts that never makes NaN or infinity."""

from typing import Any

import numpy as np

from filters.kernels.compiled import F64


def ratio(part: Any, whole: Any) -> F64:
    """part / whole, 0 where the whole is 0."""
    quotient = np.zeros(len(part))
    np.divide(part, whole, out=quotient, where=np.asarray(whole) != 0)
    return quotient
