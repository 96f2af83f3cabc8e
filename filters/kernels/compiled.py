"""How every kernel is compiled: once per machine (cached on disk), and free of the interpreter lock.

Numba's cache notices a change of the file that holds a kernel, not of the files whose kernels it calls: after
editing a kernel that others call, delete ``__pycache__``.
"""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
import numpy as np
import numpy.typing as npt

Kernel = TypeVar("Kernel", bound=Callable[..., object])
U8 = npt.NDArray[np.uint8]
I32 = npt.NDArray[np.int32]
I64 = npt.NDArray[np.int64]
U32 = npt.NDArray[np.uint32]
U64 = npt.NDArray[np.uint64]
F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]


def compiled(function: Kernel) -> Kernel:
    """A loop over numpy arrays, compiled at its first call."""
    dispatcher: Any = numba.njit(cache=True, nogil=True)(function)
    return cast(Kernel, dispatcher)


def inlined(function: Kernel) -> Kernel:
    """A part of a loop, put where it is called: a call hands over every array of a named tuple, one by one."""
    dispatcher: Any = numba.njit(cache=True, nogil=True, forceinline=True)(function)
    return cast(Kernel, dispatcher)
