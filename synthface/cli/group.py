"""click, taught three things: load commands late, suggest on typos, and print every expected failure as a sentence."""

from __future__ import annotations

import contextlib
import importlib
import os
import signal
import sys
import traceback
from collections.abc import Sequence
from typing import Any

import click

from synthface.devices import is_out_of_memory
from synthface.errors import SynthfaceError, did_you_mean
from synthface.stop import interrupt

INTERRUPTED = 130


class LazyGroup(click.Group):
    """A group whose commands are modules with an attribute `command`, imported on use."""

    def __init__(self, *args: Any, commands_table: dict[str, tuple[str, str]], package: str, **kwargs: Any) -> None:
        kwargs.setdefault("context_settings", {"help_option_names": ["-h", "--help"], "max_content_width": 110})
        super().__init__(*args, **kwargs)
        self.table = commands_table
        self.package = package
        self.params.append(
            click.Option(
                ["--version"],
                is_flag=True,
                is_eager=True,
                expose_value=False,
                callback=_print_version,
                help="Print the version.",
            )
        )

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.table)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.table:
            return None
        command: click.Command = importlib.import_module(f"{self.package}.{self.table[cmd_name][0]}").command
        return command

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        name = args[0] if args else ""
        if name and not name.startswith("-") and name not in self.table:
            hint = did_you_mean(name, list(self.table)) or "`synthface --help` lists the commands."
            raise click.UsageError(f"There is no command '{name}'. {hint}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in self.table.items()])

    def run(self, args: Sequence[str] | None = None) -> int:
        """Runs a command line; gives the exit code: 0 done, 1 failed, 2 usage or recipe, 3 partly done, 130 stopped.

        `--debug` shows the traceback before the sentence, and changes nothing else.
        """
        arguments = list(sys.argv[1:] if args is None else args)
        debug = "--debug" in arguments or bool(os.environ.get("SYNTHFACE_DEBUG"))
        _signals_interrupt()
        try:
            code = self.main(args=arguments, prog_name="synthface", standalone_mode=False)
        except click.exceptions.Exit as stop:
            return stop.exit_code
        except click.ClickException as error:
            _show_traceback(debug)
            error.show()
            return error.exit_code
        except SynthfaceError as error:
            _show_traceback(debug)
            click.echo(f"synthface: {error}", err=True)
            return error.exit_code
        except (KeyboardInterrupt, click.Abort):
            _show_traceback(debug)
            click.echo("synthface: stopped. What was finished is kept; the same command goes on.", err=True)
            return INTERRUPTED
        except BrokenPipeError:  # `synthface ... | head`
            with contextlib.suppress(OSError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 1
        except Exception as error:
            _show_traceback(debug)
            click.echo(f"synthface: {_unexpected(error)}", err=True)
            return 1
        return code if isinstance(code, int) else 0


def _show_traceback(asked: bool) -> None:
    if asked:
        click.echo(traceback.format_exc(), err=True, nl=False)


def _unexpected(error: Exception) -> str:
    """A sentence about a failure that no code foresaw."""
    if is_out_of_memory(error):
        reason = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
        return f"The memory is too small: {reason}. Use a smaller batch or block, or a machine with more memory."
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}. Check the path, its permissions and the disk."
    what = f"{type(error).__name__}: {error}".rstrip(": ")
    return f"Unexpected {what}. The same command with --debug shows where; please report it."


def _print_version(ctx: click.Context, _: click.Parameter, asked: bool) -> None:
    if asked and not ctx.resilient_parsing:
        from importlib.metadata import version

        click.echo(f"synthface {version('synthface')}")
        ctx.exit()


def _signals_interrupt() -> None:
    """SIGTERM stops as Ctrl-C does: at the next safe instant, with exit code 130."""
    with contextlib.suppress(ValueError):  # not the main thread: an embedding program owns the signals
        signal.signal(signal.SIGTERM, interrupt)
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, interrupt)
