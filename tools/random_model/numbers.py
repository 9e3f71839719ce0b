"""Random weights that are the same bits on every machine.

PCG64's raw output is promised to stay as it is (numpy's policy for random numbers); its distributions are not. Every
weight is a signed byte times a power of two, which 16 bits hold exactly in both kinds (bfloat16 and IEEE): so a folder
in BF16 and files in F16 and F32 hold the same numbers.
"""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray


def draw(seed: int, name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """The tensor of this name: of a spread that keeps a deep network's numbers in bounds."""
    count = int(np.prod(shape))
    start = hashlib.sha256(f"{seed} {name}".encode()).digest()
    raw = np.random.PCG64(int.from_bytes(start[:16], "little")).random_raw(-(-count // 8))
    values = raw.astype("<u8").view(np.int8)[:count].astype(np.float32).reshape(shape)
    return _scaled(name, values)


def _scaled(name: str, values: NDArray[np.float32]) -> NDArray[np.float32]:
    short = name.rpartition(".")[0].rpartition(".")[2]
    if name.endswith("A_log"):
        return values * np.float32(2**-6)  # decays of 0.14 to 7.4
    if "norm" in short or name.endswith("dt_bias"):
        return np.floor(values * np.float32(2**-2)) * np.float32(2**-7) + np.float32(1)  # 0.75 to 1.24
    if name.endswith("bias"):
        return values * np.float32(2**-8)
    inputs = values.shape[-1]
    return values * np.float32(2.0 ** (-7 - (inputs.bit_length() - 2) // 2))
