"""The commands as Typer sees them: each has its options in `options` and a module of its name with `run`."""

from __future__ import annotations

import difflib
import importlib
import inspect
from collections.abc import Callable, Iterator, Sequence
from dataclasses import MISSING, fields
from typing import Annotated, Any, cast, get_type_hints

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from qiao import __version__
from qiao.cli import help as help_page
from qiao.cli.options import COMMANDS
from qiao.cli.text import complain, knows, say
from qiao.cli.trouble import Trouble


class Command(TyperCommand):
    """A command whose help speaks both languages."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        formatter.write(_help(self, ctx, []))


class Commands(TyperGroup):
    """All commands; one is built when it is asked for, and its module imported when it runs."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in COMMANDS:
            raise Trouble(_no_such_command(cmd_name), 2)
        return build(cmd_name)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        formatter.write(_help(self, ctx, [(name, say(f"{name}.help")) for name in COMMANDS]))


def run(arguments: list[str]) -> int:
    """Parse the command line and run what it names; the exit code."""
    from typer.exceptions import TyperException

    try:
        code = _root().main(arguments, prog_name="qiao", standalone_mode=False)
    except TyperException as error:
        complain(f"{_usage_error(error)}\n{say('usage.hint', command=_command_path(error))}")
        return error.exit_code
    return code or 0


def build(name: str) -> TyperCommand:
    """The Typer command of a name."""
    app = _app()
    app.command(name, cls=Command, help=say(f"{name}.help"))(_callback(name))
    return cast(TyperCommand, _explained(get_command(app), name))


def _explained(command: Any, name: str) -> Any:
    """Give each option its help in the language of this run."""
    for parameter in command.params:
        own = f"{name}.{parameter.name}"
        parameter.help = say(own if knows(own) else f"option.{parameter.name}")
    return command


def _root() -> TyperGroup:
    # Plain flags only, the one for help included: any other option makes Typer import pydantic, for every command.
    app = _app(cls=Commands, invoke_without_command=True, add_help_option=False)

    def qiao(
        ctx: typer.Context,
        version: Annotated[bool, typer.Option("--version")] = False,
        help: Annotated[bool, typer.Option("--help", "-h")] = False,
    ) -> None:
        if version:
            typer.echo(f"qiao {__version__}")
            raise typer.Exit
        if help or ctx.invoked_subcommand is None:
            typer.echo(ctx.get_help())
            raise typer.Exit

    app.callback(help=say("qiao.help"))(qiao)
    return cast(TyperGroup, _explained(get_command(app), "qiao"))


def _app(**given: Any) -> typer.Typer:
    return typer.Typer(
        rich_markup_mode=None,
        add_completion=False,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
        **given,
    )


def _callback(name: str) -> Callable[..., int]:
    """A function with one parameter for each option of a command, which imports the command's module and runs it."""
    options = COMMANDS[name]

    def callback(**values: Any) -> int:
        return importlib.import_module(f"qiao.cli.{name}").run(options(**values))

    callback.__dict__["__signature__"] = inspect.Signature(list(_parameters(options)))
    return callback


def _parameters(options: type[Any]) -> Iterator[inspect.Parameter]:
    """Its own fields first, then the inherited ones."""
    hints = get_type_hints(options, include_extras=True)
    inherited = {name for base in options.__mro__[1:] for name in getattr(base, "__annotations__", ())}
    for field in sorted(fields(options), key=lambda field: field.name in inherited):
        default = field.default_factory() if field.default_factory is not MISSING else field.default
        default = inspect.Parameter.empty if default is MISSING else default
        kind = inspect.Parameter.KEYWORD_ONLY
        yield inspect.Parameter(field.name, kind, default=default, annotation=hints[field.name])


def _help(command: TyperCommand | TyperGroup, ctx: Any, commands: Sequence[tuple[str, str]]) -> str:
    pieces: dict[str, list[tuple[str, str]]] = {"argument": [], "option": []}
    for parameter in command.get_params(ctx):
        if "--help" in parameter.opts:
            cast(Any, parameter).help = say("option.help")
        row = parameter.get_help_record(ctx)
        if row is not None:
            name = row[0] if parameter.param_type_name == "option" else cast(Any, parameter).metavar
            pieces[parameter.param_type_name].append((name, cast(Any, parameter).help))
    # Taken out of the arguments before Typer reads them: the language of the help depends on it.
    pieces["option"].insert(-1, ("--lang zh|en", say("option.lang")))
    usage = " ".join([say("help.usage"), ctx.command_path, *command.collect_usage_pieces(ctx)])
    return help_page.page(
        usage,
        command.help or "",
        [
            (say("help.commands"), commands),
            (say("help.arguments"), pieces["argument"]),
            (say("help.options"), pieces["option"]),
        ],
    )


def _no_such_command(name: str) -> str:
    close = difflib.get_close_matches(name, COMMANDS, 1)
    if close:
        return say("usage.command_close", name=name, close=close[0])
    return say("usage.command", name=name, names=" ".join(COMMANDS))


def _usage_error(error: Any) -> str:
    """What is wrong with the command line. Typer's classes are private; their names are stable."""
    kind = type(error).__name__
    if kind == "NoSuchOption":
        close = " / ".join(sorted(error.possibilities or ()))
        return say("usage.option_close" if close else "usage.option", option=error.option_name, close=close)
    if kind == "BadOptionUsage":
        return say("usage.no_value", option=error.option_name)
    parameter = getattr(error, "param", None)
    if parameter is not None:
        option = parameter.opts[0] if parameter.param_type_name == "option" else parameter.metavar
        if kind == "MissingParameter":
            return say("usage.missing", option=option)
        return say("usage.value", option=option, expected=parameter.display_type(error.ctx))
    return error.format_message()


def _command_path(error: Any) -> str:
    return error.ctx.command_path if getattr(error, "ctx", None) is not None else "qiao"
