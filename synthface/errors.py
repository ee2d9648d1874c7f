"""Everything that synthface raises on purpose.

Each error is one sentence that says what is wrong and where, followed by what to do about it.
The command line prints it and exits with the class's `exit_code`; a traceback appears with `--debug` only.

    SynthfaceError              exit 1
      UsageError                exit 2   an option or argument that cannot be meant
      RecipeError               exit 2   a recipe with unknown keys or impossible values
      RunConflictError          exit 2   the run directory was made with other decisive values
      InputError                exit 1   a file that is missing, damaged or of the wrong kind
      OutputError               exit 1   a place that cannot be written: full, read-only, not a directory
      MissingPackageError       exit 1   an optional package that this operation needs
      MissingWeightsError       exit 1   weights that have not been pulled
      ResourceError             exit 1   a device that is absent or too small
      OutOfReachError           exit 1   more was asked for than can exist under the given values
      PartlyDoneError           exit 3   finished, but short of what was asked
"""

from __future__ import annotations


class SynthfaceError(Exception):
    """An expected failure: `problem` says what is wrong and where, `fix` what to do."""

    exit_code = 1

    def __init__(self, problem: str, fix: str = "") -> None:
        self.problem = problem
        self.fix = fix
        super().__init__(problem + ("" if fix.startswith("\n") else " ") + fix if fix else problem)


class UsageError(SynthfaceError):
    exit_code = 2


class RecipeError(SynthfaceError):
    exit_code = 2


class RunConflictError(SynthfaceError):
    exit_code = 2


class InputError(SynthfaceError):
    pass


class OutputError(SynthfaceError):
    pass


class MissingPackageError(SynthfaceError):
    pass


class MissingWeightsError(SynthfaceError):
    pass


class ResourceError(SynthfaceError):
    pass


class OutOfReachError(SynthfaceError):
    pass


class PartlyDoneError(SynthfaceError):
    exit_code = 3


def did_you_mean(wrong: str, known: list[str]) -> str:
    """`Did you mean 'x'?`, or an empty string when nothing in `known` comes near `wrong`."""
    import difflib

    near = difflib.get_close_matches(wrong, known, n=1, cutoff=0.6)
    return f"Did you mean '{near[0]}'?" if near else ""
