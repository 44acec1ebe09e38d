"""The program `llmplan`: finds the subcommand, loads only its module, and turns errors into exit codes.

0 answered; 1 internal error; 2 bad usage or bad input; 3 answered, and the answer is no.
"""

from __future__ import annotations

import gc

gc.disable()  # what is imported lives to the end; looking for garbage in it is a tenth of a cold start

# ruff: noqa: E402
import difflib
import importlib
import os
import signal
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer
from typer.core import TyperCommand

from llmplan.cli.values import PlainGroup
from llmplan.errors import InputError, did_you_mean
from llmplan.interrupts import stop, stopped

if TYPE_CHECKING:
    from collections.abc import Sequence


class Command(NamedTuple):
    """A subcommand: the module whose `app` it is, loaded when it is called, and the first line of its help."""

    module: str
    help: str


COMMANDS = {
    "estimate": Command(
        "estimate", "Estimate a training run or a deployment: does it fit, how fast is it, what holds it back."
    ),
    "fit": Command(
        "fit",
        "Find the best layout: every legal tp x pp x vp x cp x ep x dp with sharding, micro-batch and recomputation.",
    ),
    "compare": Command(
        "compare", "Compare hardware, models, precisions, sizes, stacks or whole plans, each as `estimate` gives it."
    ),
    "diff": Command(
        "diff",
        "Say what changes in memory, time and cost from one plan to another, and what of it is beyond the error.",
    ),
    "launch": Command(
        "launch", "Write what starts a plan: a command line, and the configuration file where the framework has one."
    ),
    "sweep": Command("sweep", "Estimate one plan under every combination of some of its options."),
    "list": Command(
        "model_list",
        "List the models of the catalogue that run on a machine: widest precision that fits, speed, context.",
    ),
    "explain": Command(
        "explain",
        "Explain a warning's code, or a figure of a plan: formula, numbers put in, sources, the next level down.",
    ),
    "validate": Command("validate", "Predict every run of a CSV and say how far off the predictions are."),
    "calibrate": Command("calibrate", "Fit your own runs as a stack entry, drawn to the stack that they ran."),
    "catalog": Command("catalog", "List, show and check devices, clusters, stacks, prices and models."),
    "schema": Command(
        "schema", "Print the JSON Schema of what is read (plan, model, device, ...) or written (estimate, ...)."
    ),
}
ANSWERED, INTERNAL, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130
DEBUG, TIMINGS = "--debug", "--timings"
MANY_OBJECTS = 100_000  # made before garbage is looked for: an answer leaves few circles, and looking takes long
ALIKE = 0.7  # of an option that is suggested; those of two or three letters are alike at less
MAX_MESSAGES = 200  # on stderr; nobody reads more

# Typer brings its own copy of Click since 0.26 and the real one before; what both raise is known by its name.
_USAGE_ERROR: type[Exception] = next(c for c in typer.BadParameter.__mro__ if c.__name__ == "ClickException")


class LazyGroup(PlainGroup):
    """Subcommands by name, imported when they are called; the list of them imports none."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Every subcommand, in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """What the list of commands shows of a subcommand; a usage error that names the nearest ones otherwise."""
        if cmd_name not in COMMANDS:
            near = difflib.get_close_matches(cmd_name, COMMANDS, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else f" There are {', '.join(COMMANDS)}."
            ctx.fail(f"No such command {cmd_name!r}.{hint}")
        return TyperCommand(cmd_name, help=COMMANDS[cmd_name].help)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The subcommand that is called, whole."""
        name, shown, rest = super().resolve_command(ctx, args)
        if name is None:
            return name, shown, rest
        module = importlib.import_module(f"llmplan.cli.{COMMANDS[name].module}")
        command = typer.main.get_command(module.app)
        command.name = name
        if not gc.isenabled():  # what later commands of a process leave is garbage like any other
            gc.freeze()
            gc.set_threshold(MANY_OBJECTS)
            gc.enable()
        return name, command, rest


# the shell asks through this variable what goes on; what installs that is rarely wanted, and takes time to make
COMPLETES = "_LLMPLAN_COMPLETE" in os.environ
INSTALLS = ("--install-completion", "--show-completion")
app = typer.Typer(cls=LazyGroup, no_args_is_help=True, add_completion=COMPLETES)


def _print_version(value: bool) -> None:
    if value:
        from llmplan.version import __version__

        typer.echo(f"llmplan {__version__}")
        raise typer.Exit


class TimeIsUp(BaseException):
    """Raised when a time limit ends; no answer that is looked for on the way catches it."""


_LONGEST = 1e9  # s; a system's timer takes no infinity
_AGAIN = 1.0  # s until it is raised once more: what is raised in a finaliser or a callback of C code is lost


def _limit_time(seconds: float | None) -> float | None:
    if seconds is not None:
        if not hasattr(signal, "setitimer"):
            raise InputError("--time-limit: this system has no timer for it")

        def end(number: int, frame: Any) -> None:
            stop(TimeIsUp(f"no answer in {seconds:g} s (--time-limit)"))

        signal.signal(signal.SIGALRM, end)
        signal.setitimer(signal.ITIMER_REAL, min(seconds, _LONGEST), _AGAIN)
    return seconds


@app.callback()
def llmplan(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
    debug: Annotated[
        bool, typer.Option(DEBUG, help="Show the traceback of an internal error (works anywhere).")
    ] = False,
    timings: Annotated[bool, typer.Option(TIMINGS, help="Say on stderr how long it took (works anywhere).")] = False,
    time_limit: Annotated[
        float | None,
        typer.Option(
            "--time-limit", min=0.001, metavar="SECONDS", callback=_limit_time, help="Give up after so many seconds."
        ),
    ] = None,
) -> None:
    """Plans language models on accelerators: does it fit, how fast will it run, what holds it back."""


def run() -> int:
    """What `llmplan.program` runs; the exit code."""
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")  # looking for them reads every installed package
    # numpy starts a thread for each processor, for products of matrices; our arrays are worked on element by element
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    return main(sys.argv[1:])


def main(arguments: Sequence[str]) -> int:
    """Runs one command line; the exit code. stdout carries the answer and nothing else."""
    flags = {DEBUG, TIMINGS} & set(arguments)
    start, worked = time.perf_counter(), time.process_time()
    stopped()
    try:
        return _run([argument for argument in arguments if argument not in flags], debug=DEBUG in flags)
    finally:
        if hasattr(signal, "setitimer"):
            signal.setitimer(signal.ITIMER_REAL, 0.0)
        if TIMINGS in flags:
            wall, processor = time.perf_counter() - start, time.process_time() - worked
            typer.echo(f"timings: {wall:.3f} s, {processor:.3f} s of processor time", err=True)


def _run(arguments: list[str], *, debug: bool) -> int:
    if not _can_write():
        return _complain("standard output is closed: the answer cannot be written")
    code = INTERNAL
    try:
        returned = _called(arguments)
        sys.stdout.flush()
        code = returned if isinstance(returned, int) else ANSWERED
    except InputError as error:
        code = _complain(*(str(fault) for fault in error.faults))
    except _USAGE_ERROR as error:
        code = _usage(error)
    except (BrokenPipeError, SystemExit) as error:  # Click turns a closed pipe into an exit
        if isinstance(error, SystemExit) and not isinstance(error.__context__, BrokenPipeError):
            raise
        _drop_output()  # whoever reads has enough
        code = ANSWERED
    except TimeIsUp as error:
        _drop_output()
        code = _complain(str(error))
    except (KeyboardInterrupt, typer.Abort):
        typer.echo("interrupted", err=True)
        code = INTERRUPTED
    except Exception as error:
        if debug:
            raise
        if isinstance(error, OSError) and error.errno is not None:  # a full disk; what is read is read elsewhere
            _drop_output()
            code = _complain(f"cannot be written: {error.strerror}")
        else:
            _complain(f"internal: {type(error).__name__}: {error} ({DEBUG} shows the traceback)")
    return code


def _called(arguments: list[str]) -> Any:
    """What the command returns. Libraries make errors of their own of what ends it from outside (pydantic, of all)."""
    try:
        return _app(arguments)(args=arguments, prog_name="llmplan", standalone_mode=False)
    except Exception:
        if (error := stopped()) is not None:
            raise error from None
        raise


def _app(arguments: list[str]) -> typer.Typer:
    """The program; with the options that install completion where one of them is asked for."""
    if COMPLETES or not any(option in arguments[:1] for option in INSTALLS):
        return app
    from llmplan.cli.completion import known_shell

    known_shell()
    whole = typer.Typer(cls=LazyGroup, no_args_is_help=True)
    whole.callback()(llmplan)
    return whole


def _can_write() -> bool:
    """Whether there is a stdout, which an ASCII terminal gets `?` on and no traceback; stderr is there in any case."""
    if sys.stderr is None:  # closed by whoever started the program
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="replace")
    return sys.stdout is not None


def _drop_output() -> None:
    """What is still to be written to stdout goes nowhere: Python would try it again at its end."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _complain(*messages: str) -> int:
    for message in messages[:MAX_MESSAGES]:
        typer.echo(f"error: {_one_line(message)}", err=True)
    if len(messages) > MAX_MESSAGES:
        typer.echo(f"error: and {len(messages) - MAX_MESSAGES} more", err=True)
    return BAD_INPUT


def _usage(error: Any) -> int:
    """A fault in the command line itself, and where help is; the help where nothing was asked."""
    if type(error).__name__ == "NoArgsIsHelpError":
        error.show()
        return BAD_INPUT
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "llmplan"
    message = error.format_message()
    if type(error).__name__ == "NoSuchOption":
        from llmplan.cli.other_names import suggestion

        name = error.option_name
        known = [] if context is None else [option for one in context.command.params for option in one.opts]
        message = f"No such option: {name}{did_you_mean(name, known, ALIKE)}"
        if ours := suggestion(name):
            message = f"No such option: {name}. Did you mean {ours}?"
        elif name == "--plan" and command.endswith(" diff"):
            message = f"No such option: {name}; its plan files stand alone: {command} before.yaml after.yaml"
    return _complain(f"{message} (see `{command} --help`)")


def _one_line(text: str) -> str:
    """Text without line breaks or other control characters, which may come from a name that was typed."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
