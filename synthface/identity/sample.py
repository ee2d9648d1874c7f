"""Greedy sampling of people who do not exist.

Candidates come in a fixed seeded order. A candidate is kept iff its cosine similarity to every identity kept before it
and to every excluded real embedding is below the threshold. What is kept therefore depends on the order alone: not on
how many identities are wanted, nor on blocks, threads, engines or interruptions.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from synthface.errors import OutOfReachError
from synthface.identity import neighbours
from synthface.identity.density import DRAW, CandidateStream
from synthface.identity.embeddings import EmbeddingSet
from synthface.identity.identities import Identities
from synthface.identity.neighbours import Engine, Pairs
from synthface.identity.threads import cores
from synthface.progress import Progress
from synthface.recipe.people import IdentitiesRecipe

_LEAST_ACCEPTANCE = 0.05  # for estimates of the work ahead
_WAVE = 32  # draw blocks whose candidates meet the excluded rows in one pass over them
Save = Callable[[Identities], None]


def sample(
    stream: CandidateStream,
    settings: IdentitiesRecipe,
    wanted: int,
    begun: Identities,
    excluded: EmbeddingSet | None = None,
    save: Save = lambda identities: None,
) -> Identities:
    """Goes on from `begun` until `wanted` identities are accepted.

    `save` receives what has been accepted every `settings.save_every` seconds, and when sampling ends or is interrupted.
    Raises OutOfReachError when, over the last `acceptance_window` candidates, fewer than `min_acceptance` were kept.
    """
    if len(begun) >= wanted:
        return begun
    sampler = _Sampler(stream, settings, begun)
    saved, patience = time.monotonic(), settings.save_every
    with Progress(wanted, "identities", "sampling", initial=len(begun)) as progress:
        try:
            if sampler.next_candidate % DRAW == 0:
                sampler.stop_when_out_of_reach(wanted)
            for number_D, candidate_BD in _candidates(stream, wanted, sampler, excluded, settings):
                before = len(sampler)
                sampler.consider(number_D, candidate_BD, wanted)
                progress.update(len(sampler) - before, accepted=f"{sampler.recent_acceptance():.0%}")
                if len(sampler) >= wanted:
                    break
                sampler.stop_when_out_of_reach(wanted)
                if time.monotonic() - saved > patience:
                    started = time.monotonic()
                    save(sampler.identities())
                    saved = time.monotonic()
                    patience = max(settings.save_every, 10 * (saved - started))  # large files are written less often
        finally:
            if sampler.next_candidate > begun.next_candidate:  # bad input that shows before a decision leaves no file
                save(sampler.identities())
    return sampler.identities()


class _Sampler:
    """The identities kept so far, and the decision about the next candidates."""

    def __init__(self, stream: CandidateStream, settings: IdentitiesRecipe, begun: Identities) -> None:
        self._settings = settings
        self._begun = begun
        # (centers, their candidate numbers, next candidate): one append a step, so that an interrupt finds it whole
        self._steps = [(begun.center_ND, begun.candidate_N, begun.next_candidate)]
        self._count = len(begun)
        self._engine: Engine = neighbours.engine(settings.engine, settings.threshold, stream.prior.dimension)
        self._engine.add(begun.center_ND)

    def __len__(self) -> int:
        return self._count

    @property
    def next_candidate(self) -> int:
        return self._steps[-1][2]

    def consider(self, number_D: NDArray[np.int64], candidate_BD: NDArray[np.float32], wanted: int) -> None:
        """Decides about the usable candidates of the current draw block; `number_D` are their numbers, ascending."""
        end = (self.next_candidate // DRAW + 1) * DRAW
        for start in range(0, len(candidate_BD), self._settings.block):
            last = start + self._settings.block >= len(candidate_BD)
            number_B = number_D[start : start + self._settings.block]
            self._step(number_B, candidate_BD[start : start + len(number_B)], wanted, end if last else number_B[-1] + 1)
            if self._count >= wanted:
                return
        if not len(candidate_BD):
            self._step(number_D, candidate_BD, wanted, end)

    def _step(self, number_B: NDArray[np.int64], block_BD: NDArray[np.float32], wanted: int, following: int) -> None:
        """Decides about one block; `following` is the candidate after it."""
        far_B = ~self._engine.near_any(block_BD)
        number_B, block_BD = number_B[far_B], np.ascontiguousarray(block_BD[far_B])
        kept_K = greedy(len(block_BD), self._engine.near_pairs(block_BD))[: wanted - self._count]
        if self._count + len(kept_K) == wanted:
            following = number_B[kept_K[-1]] + 1  # and nobody will be asked about any more
        else:
            self._engine.keep(kept_K)
        self._steps.append((block_BD[kept_K], number_B[kept_K], int(following)))
        self._count += len(kept_K)

    def recent_acceptance(self) -> float:
        """Share of the latest candidates, over a window of whole draw blocks, that were kept."""
        window = min(math.ceil(self._settings.acceptance_window / DRAW) * DRAW, self.next_candidate)
        since = self.next_candidate - window
        recent = 0
        for _, candidate_K, _ in reversed(self._steps):
            recent += int((candidate_K >= since).sum())
            if len(candidate_K) and candidate_K[0] < since:
                break
        return recent / max(window, 1)

    def candidates_needed(self, wanted: int) -> float:
        """How many more candidates `wanted` identities will probably take."""
        acceptance = self.recent_acceptance() if self.next_candidate else 1.0
        return (wanted - self._count) / max(acceptance, _LEAST_ACCEPTANCE)

    def stop_when_out_of_reach(self, wanted: int) -> None:
        """Raises OutOfReachError at the end of a draw block after which hardly any candidate fits."""
        settings = self._settings
        if self.next_candidate < settings.acceptance_window or self.recent_acceptance() >= settings.min_acceptance:
            return
        raise OutOfReachError(
            f"{self._count:,} identities fit below a similarity of {settings.threshold:g}, and {wanted:,} were asked for: "
            f"of the last {settings.acceptance_window:,} candidates {self.recent_acceptance():.2%} were accepted "
            f"(identities.min_acceptance is {settings.min_acceptance:.2%}).",
            f"What was found is kept. Ask for at most {self._count:,}, raise identities.threshold, raise identities.scale, "
            "use all components, or take a prior of higher dimension.",
        )

    def identities(self) -> Identities:
        """All that is accepted now."""
        if len(self._steps) > 1:
            center_ND = np.concatenate([centers for centers, _, _ in self._steps])
            candidate_N = np.concatenate([candidates for _, candidates, _ in self._steps])
            self._steps = [(center_ND, candidate_N, self.next_candidate)]
        center_ND, candidate_N, _ = self._steps[0]
        return dataclasses.replace(
            self._begun, center_ND=center_ND, candidate_N=candidate_N, next_candidate=self.next_candidate
        )


def greedy(count: int, pair_P2: Pairs) -> NDArray[np.intp]:
    """Which of `count` candidates stay when, in order, each must be far from every one that stayed before it.

    pair_P2: near pairs (earlier, later), in the order of the later one.
    """
    stays = np.ones(count, bool)
    edges = [*np.flatnonzero(np.diff(pair_P2[:, 1], prepend=-1)).tolist(), len(pair_P2)]
    for start, stop in itertools.pairwise(edges):
        stays[pair_P2[start, 1]] = not stays[pair_P2[start:stop, 0]].any()
    return np.flatnonzero(stays)


def _candidates(
    stream: CandidateStream,
    wanted: int,
    sampler: _Sampler,
    excluded: EmbeddingSet | None,
    settings: IdentitiesRecipe,
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
    """The candidates still to be looked at, a draw block at a time, with their numbers, without those near excluded rows.

    Blocks that will be needed are drawn ahead on all cores. With excluded rows, a wave of blocks is tested in one pass over
    those rows.
    """
    position = sampler.next_candidate
    block = position // DRAW
    with ThreadPoolExecutor(cores()) as pool:
        ahead: deque[Future[NDArray[np.float32]]] = deque()
        while True:
            expected = math.ceil(sampler.candidates_needed(wanted) / DRAW)
            wave = 1 if excluded is None else int(np.clip(expected, 1, _WAVE))
            drawn = []
            for offset in range(wave):
                while len(ahead) < max(1, min(expected - offset, cores() + 1)):
                    ahead.append(pool.submit(stream.draw, block + offset + len(ahead)))
                drawn.append(ahead.popleft().result())
            candidate_WD = np.concatenate(drawn) if wave > 1 else drawn[0]
            number_W = np.arange(block * DRAW, (block + wave) * DRAW, dtype=np.int64)
            usable_W = number_W >= position
            if excluded is not None:
                usable_W &= ~near_excluded(candidate_WD, excluded, settings)
            for offset in range(wave):
                part = slice(offset * DRAW, (offset + 1) * DRAW)
                usable_B = usable_W[part]
                yield number_W[part][usable_B], candidate_WD[part][usable_B]
            block += wave


def near_excluded(
    candidate_WD: NDArray[np.float32], excluded: EmbeddingSet, settings: IdentitiesRecipe
) -> NDArray[np.bool_]:
    """Which candidates are too near to a row of `excluded`, in one pass over its files."""
    near_W = np.zeros(len(candidate_WD), bool)
    with Progress(len(excluded), "excluded rows", "comparing") as progress:
        for chunk in excluded.chunks(8 * neighbours.TILE):
            engine = neighbours.engine(settings.engine, settings.threshold, excluded.dimension)
            engine.add(chunk.embedding_BD)
            left_W = np.flatnonzero(~near_W)
            for start in range(0, len(left_W), settings.block):
                asked_B = left_W[start : start + settings.block]
                near_W[asked_B] = engine.near_any(candidate_WD[asked_B])
            progress.update(len(chunk.embedding_BD))
    return near_W
