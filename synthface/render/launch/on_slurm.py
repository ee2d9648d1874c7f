"""An array job on a SLURM cluster: submitit writes the sbatch script; each task is `synthface render --part i/n`.

Nothing here waits for the tasks: `synthface status` tells how far they are, and the task that ends last packs the dataset.
"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from synthface.errors import MissingPackageError, ResourceError
from synthface.recipe.pictures import RenderRecipe

_DEFAULTS: dict[str, Any] = {"name": "synthface", "nodes": 1, "tasks_per_node": 1, "timeout_min": 24 * 60}


@dataclass(frozen=True)
class Submitted:
    """job: SLURM's number of the array; folder: where submitit keeps the tasks' logs."""

    job: str
    parts: int
    folder: Path


def submit(run: Path, settings: RenderRecipe) -> Submitted:
    """Submits the parts of a run directory, whose recipe.yaml they read.

    Raises MissingPackageError without submitit, ResourceError when there is no SLURM or it refuses.
    """
    try:
        import submitit
        from submitit.core.utils import FailedJobError
    except ImportError as error:
        raise MissingPackageError(
            "The launcher 'slurm' needs submitit, which is not installed.", "Install it: pip install 'synthface[slurm]'"
        ) from error
    folder = run / "slurm"
    try:
        executor = submitit.AutoExecutor(folder=folder, cluster="slurm")
        executor.update_parameters(**{**_DEFAULTS, "slurm_array_parallelism": settings.parts, **settings.slurm})
        jobs = executor.map_array(Task(run.resolve(), settings.parts, settings.devices), range(1, settings.parts + 1))
    except (RuntimeError, FileNotFoundError, FailedJobError) as error:
        raise ResourceError(
            f"SLURM does not take the job: {str(error).strip().splitlines()[0].rstrip('.')}.",
            "Run it where `sbatch` is, or check render.slurm (submitit's parameters, such as slurm_partition).",
        ) from error
    except (TypeError, ValueError, NameError) as error:
        raise ResourceError(
            f"render.slurm is not understood: {str(error).strip().splitlines()[0].rstrip('.')}.",
            "Its keys are submitit's: slurm_partition, gpus_per_node, cpus_per_task, mem_gb, timeout_min, …",
        ) from error
    return Submitted(str(jobs[0].job_id).partition("_")[0], settings.parts, folder)


@dataclass(frozen=True)
class Task:
    """What runs in an array task; submitit pickles it."""

    run: Path
    parts: int
    devices: tuple[str, ...]

    def __call__(self, part: int) -> int:
        """Runs the part and gives its exit code. Raises RuntimeError when it failed, so that SLURM says so."""
        command = [sys.executable, "-m", "synthface", "render", "--run", str(self.run), "--part", f"{part}/{self.parts}",
                   "--launcher", "local", *(("--devices", ",".join(self.devices)) if self.devices else ())]  # fmt: skip
        code = subprocess.run(command, check=False, env=os.environ.copy()).returncode
        if code not in (0, 3):
            raise RuntimeError(f"part {part}/{self.parts} ended with code {code}")
        return code
