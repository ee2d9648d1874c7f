"""One vector a person: the mean of the directions of that person's embeddings."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

_ROWS = 16_384  # rows in memory at once; a person with more is read as a whole


class People(NamedTuple):
    """mean_PD: mean unit vector of each person, shorter the more the embeddings disagree; count_P: how many they were."""

    label_P: NDArray[np.int64]
    mean_PD: NDArray[np.float32]
    count_P: NDArray[np.int64]


def by_person(row_ND: NDArray[Any], label_N: NDArray[np.int64], rows: int = _ROWS) -> Iterator[People]:
    """People in the order of their labels, a group of about `rows` rows at a time; rows may be memory-mapped.

    Rows of one person need not lie together.
    """
    sorted_already = bool((label_N[1:] >= label_N[:-1]).all())
    order_N = None if sorted_already else np.argsort(label_N, kind="stable")
    sorted_N = np.asarray(label_N if order_N is None else label_N[order_N])
    start_P = np.flatnonzero(np.append(True, sorted_N[1:] != sorted_N[:-1]))
    end_P = np.append(start_P[1:], len(sorted_N))
    first = 0
    while first < len(start_P):
        last = max(int(np.searchsorted(end_P, start_P[first] + rows, side="right")), first + 1)
        begin, end = int(start_P[first]), int(end_P[last - 1])
        raw_BD = row_ND[begin:end] if order_N is None else row_ND[order_N[begin:end]]
        unit_BD = raw_BD.astype(np.float64)
        unit_BD /= np.linalg.norm(unit_BD, axis=1, keepdims=True)
        count_P = end_P[first:last] - start_P[first:last]
        mean_PD = np.add.reduceat(unit_BD, start_P[first:last] - begin, axis=0) / count_P[:, None]
        yield People(sorted_N[start_P[first:last]], mean_PD.astype(np.float32), count_P)
        first = last
