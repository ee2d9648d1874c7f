"""The 8-bit screen never overlooks a similar pair."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthface.identity import sample, sphere
from synthface.identity.int8 import Queries, Tile
from synthface.identity.nearest import Crowd
from synthface.identity.neighbours import FaissEngine, Int8Engine


@given(
    seed=st.integers(0, 10**6),
    dimension=st.sampled_from([2, 5, 64, 512]),
    rows=st.integers(1, 100),
    least=st.floats(-1, 1),
    spikes=st.floats(0, 30),
)
@settings(max_examples=80, deadline=None)
def test_every_pair_above_the_bound_is_a_suspect(
    seed: int, dimension: int, rows: int, least: float, spikes: float
) -> None:
    """Also for rows added later that exceed the scale which the first rows fixed."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((rows, dimension))
    x[:, 0] += spikes * (rng.random(rows) < 0.3)
    x = sphere.normalize(x)
    queries = sphere.normalize(rng.standard_normal((20, dimension)))
    tile = Tile(dimension, 128)
    tile.add(x[: rows // 2 + 1])
    tile.add(x[rows // 2 + 1 :])
    suspects = set(zip(*(part.tolist() for part in tile.suspects(Queries(queries), least)), strict=True))
    for q, m in np.argwhere(queries.astype(np.float64) @ x.T.astype(np.float64) >= least):
        assert (q, m) in suspects


def test_the_screen_leaves_few_suspects_in_a_wide_space() -> None:
    rng = np.random.default_rng(0)
    x = sphere.normalize(rng.standard_normal((4_096, 512)))
    tile = Tile(512, 4_096)
    tile.add(x)
    query, _ = tile.suspects(Queries(sphere.normalize(rng.standard_normal((1_000, 512)))), 0.3)
    assert len(query) < 20


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("own", [0, 77, 150, 190, 200, 300])
def test_only_rows_before_the_queries_themselves_are_looked_at_where_that_is_asked_for(packed: bool, own: int) -> None:
    x = sphere.normalize(np.random.default_rng(0).standard_normal((300, 16)))
    tile = Tile(16, 256)
    tile.add(x[:200])
    if packed:
        tile.pack()
    query, row = tile.suspects(Queries(x[own : own + 50]), -1.1, own)
    expected = [(q, m) for q in range(len(x[own : own + 50])) for m in range(200) if m < own + q]
    assert sorted(zip(query.tolist(), row.tolist(), strict=True)) == expected


@pytest.mark.parametrize("threshold", [0.0, 0.15, 0.3])
def test_engines_agree_over_many_tiles_and_crowded_spaces(threshold: float) -> None:
    rng = np.random.default_rng(1)
    x = sphere.normalize(rng.standard_normal((9_500, 24)))
    one, other = Int8Engine(threshold, 24), FaissEngine(threshold, 24)
    for engine in (one, other):
        engine.add(x[:5_000])
        engine.add(x[5_000:9_000])
    for candidates in (x[9_000:], x[8_999:9_001]):
        np.testing.assert_array_equal(one.near_any(candidates), other.near_any(candidates))
        assert sorted(one.near_pairs(candidates).tolist()) == sorted(other.near_pairs(candidates).tolist())


@pytest.mark.parametrize(("threshold", "most", "least"), [(0.52, 0.99, 0.9), (0.46, 0.8, 0.5), (0.3, 0.2, 0.05)])
def test_engines_keep_the_same_candidates_of_large_blocks_however_many_are_rejected(
    threshold: float, most: float, least: float
) -> None:
    x = sphere.normalize(np.random.default_rng(2).standard_normal((10_000, 64)))
    kept = []
    for engine in (Int8Engine(threshold, 64), FaissEngine(threshold, 64)):
        numbers = [np.empty(0, np.intp)]
        for first in range(0, len(x), 4_096):
            far = np.flatnonzero(~engine.near_any(x[first : first + 4_096])) + first
            stays = sample.greedy(len(far), engine.near_pairs(x[far]))
            engine.keep(stays)
            numbers.append(far[stays])
            assert engine.rows == sum(map(len, numbers))
        kept.append(np.concatenate(numbers))
    np.testing.assert_array_equal(*kept)
    assert least < len(kept[0]) / len(x) < most


def test_a_packed_tile_gives_the_suspects_of_an_unpacked_one_and_may_grow() -> None:
    x = sphere.normalize(np.random.default_rng(3).standard_normal((200, 16)))
    tile, packed = Tile(16, 256), Tile(16, 256)
    for end in (50, 120, 200):
        start = tile.rows
        tile.add(x[start:end])
        packed.add(x[start:end])
        packed.pack()
        for one, other in zip(tile.suspects(Queries(x), 0.3), packed.suspects(Queries(x), 0.3), strict=True):
            np.testing.assert_array_equal(one, other)
    assert packed.capacity == 256
    packed.add(x[:30])
    packed.pack()
    assert packed.capacity == packed.rows == 230


def test_an_empty_index_is_near_to_nobody() -> None:
    x = sphere.normalize(np.random.default_rng(1).standard_normal((5, 8)))
    for engine in (Int8Engine(0.3, 8), FaissEngine(0.3, 8)):
        assert not engine.near_any(x).any()


@pytest.mark.parametrize(("dimension", "rows"), [(16, 1), (16, 900), (16, 6_000), (128, 10_000), (512, 6_000)])
def test_the_nearest_of_a_crowd_is_the_nearest_of_all_float64_products(dimension: int, rows: int) -> None:
    rng = np.random.default_rng(dimension + rows)
    crowd_MD = sphere.normalize(rng.standard_normal((rows, dimension)) + 0.1)
    point_BD = sphere.normalize(rng.standard_normal((700, dimension)) + 0.1)
    point_BD[5], point_BD[6] = crowd_MD[-1], -crowd_MD[0]
    similarity_B, row_B = Crowd(crowd_MD).nearest(point_BD)
    exact_BM = point_BD.astype(np.float64) @ crowd_MD.T.astype(np.float64)
    bound = sphere.float32_bound(dimension)
    np.testing.assert_allclose(similarity_B, exact_BM.max(axis=1), rtol=0, atol=bound)
    np.testing.assert_allclose(exact_BM[np.arange(700), row_B], exact_BM.max(axis=1), rtol=0, atol=2 * bound)
    assert row_B[5] == rows - 1
    assert (row_B == exact_BM.argmax(axis=1)).mean() > 0.99


def test_the_nearest_of_a_crowd_does_not_depend_on_who_else_is_asked_for() -> None:
    rng = np.random.default_rng(1)
    crowd_MD = sphere.normalize(rng.standard_normal((5_000, 64)))
    point_BD = sphere.normalize(rng.standard_normal((1_100, 64)))
    crowd = Crowd(crowd_MD)
    row_B = crowd.nearest(point_BD)[1]
    np.testing.assert_array_equal(
        np.concatenate([crowd.nearest(point_BD[k : k + 137])[1] for k in range(0, 1_100, 137)]), row_B
    )
    assert [len(part) for part in crowd.nearest(point_BD[:0])] == [0, 0]
