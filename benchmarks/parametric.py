"""How many parametric faces a second, with one process and with two, drawn from the population as the dataset is.

python benchmarks/parametric.py --keep
"""

from __future__ import annotations

import multiprocessing
import os
import statistics
import time
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import measure
import numpy as np

ROUNDS = 3
PEOPLE, PER_PERSON = 10, 20  # a process; pictures of a person follow one another, as in the dataset
TARGET = 80.0  # images a second on two cores


def photograph(first_person: int, people: int) -> tuple[float, float]:
    """Renders all pictures of `people` persons in this process; gives seconds of the clock and of the processor."""
    from synthface.parametric import population, render

    person = np.repeat(np.arange(first_person, first_person + people), PER_PERSON)
    picture = np.tile(np.arange(PER_PERSON), people)
    identity = population.identities(0, "benchmark", person)
    nuisance = population.nuisances(0, "benchmark", person, picture)
    seeds = population.sensor_seeds(0, "benchmark", person, picture)
    wall, processor = time.perf_counter(), time.process_time()
    render(identity, nuisance, seeds)
    return time.perf_counter() - wall, time.process_time() - processor


def first_picture() -> float:
    """Seconds until a new process has its first picture, without the imports."""
    from synthface.parametric import plain_nuisance, render

    start = time.perf_counter()
    render(np.zeros((1, 64)), plain_nuisance(1), [0])
    return time.perf_counter() - start


def processes(count: int) -> dict[str, Any]:
    """Images a second of `count` processes that work at the same time, and processor milliseconds an image: medians."""
    with ProcessPoolExecutor(count, multiprocessing.get_context("spawn")) as pool:
        starts = list(pool.map(photograph, [10_000] * count, [1] * count))  # imports and tables
        rounds = []
        for _ in range(ROUNDS):
            begin = time.perf_counter()
            spent = list(pool.map(photograph, [k * PEOPLE for k in range(count)], [PEOPLE] * count))
            rounds.append((time.perf_counter() - begin, sum(processor for _, processor in spent)))
    assert len(starts) == count
    pictures = count * PEOPLE * PER_PERSON
    speeds = [pictures / wall for wall, _ in rounds]
    return {
        "images_per_second": round(statistics.median(speeds), 1),
        "images_per_second_of_each_round": [round(speed, 1) for speed in speeds],
        "processor_ms_per_image": round(statistics.median(1000 * processor / pictures for _, processor in rounds), 2),
    }


def main() -> None:
    keep = measure.arguments(__doc__ or "").parse_args().keep
    os.environ["OMP_NUM_THREADS"] = "1"  # for the workers: one core each
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        first = pool.submit(first_picture).result()
    one, two = processes(1), processes(2)
    content = {
        "pictures_a_process": PEOPLE * PER_PERSON,
        "first_picture_s": round(first, 2),
        "one_process": one,
        "two_processes": two,
        "target_images_per_second_on_two_cores": TARGET,
        "ratio_to_target": round(two["images_per_second"] / TARGET, 2),
    }
    measure.report("parametric", content, keep)


if __name__ == "__main__":
    main()
