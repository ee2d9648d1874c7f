"""What starts the workers.

local.py    this process, or one process a device
on_ray.py   actors on a Ray cluster
on_slurm.py an array job, each task of which is `synthface render --part i/n`
serving.py  a worker in a process of its own

Whatever starts them, workers make shards of the same plan and leave them in the same folder.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from synthface.errors import MissingPackageError
from synthface.render.ledger import Ledger
from synthface.render.worker import Job


class Engine(Protocol):
    """What `start` gives."""

    @property
    def devices(self) -> Sequence[str]:
        """One a worker."""
        ...

    def measure(self, seconds: float) -> dict[str, Any]:
        """The speed of one worker; see `synthface.render.measure`."""
        ...

    def run(self, ledger: Ledger) -> None:
        """Makes all shards of the ledger. Raises SynthfaceError for what no repetition mends."""
        ...

    def close(self) -> None:
        """Ends the workers."""
        ...


def start(launcher: str, job: Job, devices: Sequence[str]) -> Engine:
    """The engine of a recipe's launcher; `devices` empty: what there is."""
    if launcher == "ray":
        try:
            from synthface.render.launch.on_ray import RayEngine
        except ImportError as error:
            raise MissingPackageError(
                f"The launcher 'ray' needs Ray, which is not installed ({error}).",
                "Install it with: pip install 'synthface[ray]'",
            ) from error
        return RayEngine(job, devices)
    from synthface.render.launch.local import Processes, ThisProcess
    from synthface.render.networks import default_devices

    chosen = tuple(devices) or default_devices(job.recipe)
    return ThisProcess(job, chosen[0]) if len(chosen) == 1 else Processes(job, chosen)
