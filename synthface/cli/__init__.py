"""The `synthface` command. A command's module is imported when the command runs, not before."""

from __future__ import annotations

import atexit
import contextlib
import os
import sys

from synthface.cli.group import INTERRUPTED, LazyGroup

# name → (module under synthface.cli, one line for `synthface --help`), in the order of the data's way
COMMANDS: dict[str, tuple[str, str]] = {
    "embed": ("embed", "Photographs and datasets to embeddings."),
    "fit-prior": ("fit_prior", "Learn the distribution of real embeddings."),
    "sample-ids": ("sample_ids", "Sample people who do not exist."),
    "render": ("render", "Photograph them: pictures, shards, the packed dataset."),
    "status": ("status", "How far a rendering is: speed, time left, rejections, failures."),
    "retry": ("retry", "Make the failed shards of a rendering again."),
    "train-fr": ("train_fr", "Train a face recogniser on a dataset, then measure it."),
    "evaluate": ("evaluate", "Measure a face recogniser on verification sets."),
    "audit": ("audit", "How good a dataset is, and whether it shows anybody."),
    "report": ("report", "One page about a run."),
    "portrait": ("portrait", "One person: from a photograph to new pictures."),
    "train-generator": ("train_generator", "Train a generator on pictures and their embeddings."),
    "pack": ("pack", "Pack pictures into a RecordIO dataset."),
    "parametric": ("parametric", "Computed people: training data, verification sets, contact sheets."),
    "models": ("models", "The public weights: list, pull, verify."),
    "verify": ("verify", "Check a RecordIO dataset, record by record and picture by picture."),
    "export": ("export", "Write a dataset as class folders, WebDataset, LMDB and the like."),
    "preview": ("preview", "Draw a contact sheet of a dataset."),
    "recipe": ("recipe", "List, show, copy and validate recipes."),
    "doctor": ("doctor", "What this machine has, what it lacks, and what to do about it."),
}

cli = LazyGroup(
    name="synthface",
    commands_table=COMMANDS,
    package="synthface.cli",
    help="Face-recognition training sets of people who do not exist.\n\n"
    "sample people → photograph each of them many times → pack the photos → train a recogniser → measure it.\n\n"
    "\b\nThe main job, on the demonstration models:\n"
    "  synthface sample-ids\n"
    "  synthface render --ids 100 --per-id 10\n"
    "  synthface train-fr",
)


def main() -> None:
    """Entry point: runs the command and exits with its code.

    What was interrupted may have threads inside libraries, which would crash the interpreter as it is torn down, or hold
    up its end. Everything that is to last is on the disk: so the process then ends as it is, after its exit functions.
    """
    code = cli.run()
    if code == INTERRUPTED:
        atexit._run_exitfuncs()  # multiprocessing's ends the workers
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)
    sys.exit(code)
