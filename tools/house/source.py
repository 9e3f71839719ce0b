"""The house rules that one Python file can break. Each rule yields where, and in words what is wrong."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import PurePosixPath

Fault = tuple[int, str]
Function = ast.FunctionDef | ast.AsyncFunctionDef
Named = Function | ast.ClassDef

MOST_LINES = 400
MOST_FUNCTION_LINES = 60
MOST_PARAMETERS = 6

DRAWERS = frozenset({"util", "utils", "helper", "helpers", "common", "core", "services", "manager", "managers"})
# What the house says instead: see ARCHITECTURE.md, "Words".
OTHER_WORDS = {
    "provider": "engine",
    "providers": "engines",
    "backend": "engine",
    "backends": "engines",
    "channel": "engine",
    "channels": "engines",
    "dialect": "protocol",
    "dialects": "protocols",
    "format": "protocol",
    "formats": "protocols",
    "convert": "translate",
    "converts": "translates",
    "converted": "translated",
    "converter": "translator",
    "conversion": "translation",
    "adapt": "translate",
    "adapter": "translator",
    "adaptor": "translator",
    "mapper": "translator",
}
# Names that others chose, and we must write as they do.
NAMES_OF_OTHERS = {
    "format_help": "the method that Typer calls for a help page",
    "response_format": "a field of both protocols",
    "result_format": "a field of the native protocol",
    "_FORMATS": "the values of JSON Schema's keyword `format`",
}
# The child process answers its parent on standard output.
PRINTERS = ("cli", "engines/engine_child.py")
# The child process gets the environment of its parent, without the secrets; no setting is read from it.
READERS_OF_ENVIRONMENT = ("config.py", "cli", "engines/process.py")

_BANNER = re.compile(r"^#+\s*[-=#*~_─━═]{3,}|[-=#*~_─━═]{3,}\s*$")
_DEFERRED = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")
_BARE_SILENCE = re.compile(r"(noqa(: ?[A-Z0-9, ]+)?|(type|pyright): ?ignore(\[[^\]]*\])?)\s*$")
_SQL = re.compile(r"\s*(SELECT|INSERT INTO|UPDATE|DELETE FROM|CREATE|DROP|ALTER|PRAGMA)\s")
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")


@dataclass(frozen=True)
class Source:
    """One Python file: its path from the root of the project, its text, and what it parses to."""

    path: PurePosixPath
    text: str
    tree: ast.Module = field(init=False)
    comments: list[Fault] = field(init=False)

    def __post_init__(self) -> None:
        tokens = tokenize.generate_tokens(io.StringIO(self.text).readline)
        comments = [(token.start[0], token.string) for token in tokens if token.type == tokenize.COMMENT]
        object.__setattr__(self, "tree", ast.parse(self.text))
        object.__setattr__(self, "comments", comments)

    @property
    def is_product(self) -> bool:
        return self.path.is_relative_to("src")

    @property
    def is_test(self) -> bool:
        return self.path.is_relative_to("tests")

    def is_under(self, *rooms: str) -> bool:
        """Whether it is one of these files or in one of these folders of src/qiao."""
        return any(self.path.is_relative_to(PurePosixPath("src/qiao", room)) for room in rooms)


def faults(path: str, text: str) -> list[str]:
    """Everything that is wrong with one file, as `path:line: what`."""
    source = Source(PurePosixPath(path), text)
    found = sorted({fault for rule in RULES for fault in rule(source)})
    return [f"{path}:{line}: {what}" for line, what in found]


def size(source: Source) -> Iterator[Fault]:
    """Files, functions and parameter lists have a largest size; the parameters of a test are fixtures."""
    lines = source.text.count("\n")
    if lines > MOST_LINES:
        yield lines, f"{lines} lines, {MOST_LINES} at most"
    for function in _functions(source):
        lines = (function.end_lineno or function.lineno) - function.lineno + 1
        if lines > MOST_FUNCTION_LINES:
            yield function.lineno, f"{function.name} has {lines} lines, {MOST_FUNCTION_LINES} at most"
        parameters = len([name for name in _parameters(function) if name not in {"self", "cls"}])
        if parameters > MOST_PARAMETERS and not source.is_test:
            yield function.lineno, f"{function.name} has {parameters} parameters, {MOST_PARAMETERS} at most"


def drawers(source: Source) -> Iterator[Fault]:
    """A module is named for a thing, not for a drawer."""
    for part in source.path.with_suffix("").parts:
        if part.lower().strip("_") in DRAWERS:
            yield 1, f"{part} is the name of a drawer, not of a thing"


def words(source: Source) -> Iterator[Fault]:
    """The product has one word for each thing; only names that it chooses itself are looked at."""
    if not source.is_product:
        return
    for line, name in [(1, source.path.stem), *_chosen_names(source)]:
        plain = name
        for other in NAMES_OF_OTHERS:
            plain = plain.replace(other, "")
        for word in (found.lower() for found in _WORD.findall(plain)):
            if word in OTHER_WORDS:
                yield line, f"{name}: the house says {OTHER_WORDS[word]}, not {word}"


def comments(source: Source) -> Iterator[Fault]:
    """A comment says why: no banners, no promises, and what silences a check says its reason on the same line."""
    for line, comment in source.comments:
        if _BANNER.search(comment):
            yield line, "a banner"
        if _DEFERRED.search(comment):
            yield line, "something put off"
        if _BARE_SILENCE.search(comment):
            yield line, "a check is silenced without a reason"


def output(source: Source) -> Iterator[Fault]:
    """Only the command line prints."""
    if source.is_product and not source.is_under(*PRINTERS):
        for node in ast.walk(source.tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print":
                yield node.lineno, "print outside the command line"


def imports(source: Source) -> Iterator[Fault]:
    """The product brings its own HTTP client, and tests mock nothing of ours."""
    refused = {"httpx", "requests", "aiohttp"} if source.is_product else {"unittest.mock", "mock"}
    for line, module in _imported(source):
        yield from ((line, f"{name} is not imported here") for name in refused if f"{module}.".startswith(f"{name}."))


def docstrings(source: Source) -> Iterator[Fault]:
    """Each public module, class and function of the product says in a sentence what it is."""
    if not source.is_product:
        return
    if source.text.strip() and not ast.get_docstring(source.tree):
        yield 1, "the module has no docstring"
    for node in source.tree.body:
        if isinstance(node, Named) and not node.name.startswith("_") and not ast.get_docstring(node):
            yield node.lineno, f"{node.name} has no docstring"


def queries(source: Source) -> Iterator[Fault]:
    """Values reach a query as its parameters, never as its text."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.JoinedStr):
            built = any(isinstance(part, ast.FormattedValue) for part in node.values) and node.values[0]
        elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Mod):
            built = node.left
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "format":
            built = node.func.value
        else:
            continue
        if isinstance(built, ast.Constant) and isinstance(built.value, str) and _SQL.match(built.value):
            yield node.lineno, "a query is built from text"


def environment(source: Source) -> Iterator[Fault]:
    """Settings are read in one place and passed on as values."""
    if not source.is_product or source.is_under(*READERS_OF_ENVIRONMENT):
        return
    readers = {"environ", "environb", "getenv", "getenvb"}
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Attribute) and node.attr in readers and getattr(node.value, "id", "") == "os":
            yield node.lineno, f"os.{node.attr} outside config.py and cli"
        if isinstance(node, ast.ImportFrom) and node.module == "os":
            for name in node.names:
                if name.name in readers:
                    yield node.lineno, f"os.{name.name} outside config.py and cli"


def plain_tests(source: Source) -> Iterator[Fault]:
    """A test is a function, and it runs: none is expected to fail, or skipped but on a system that it is not for."""
    if not source.is_test:
        return
    for node in ast.walk(source.tree):
        if isinstance(node, ast.ClassDef) and node.name.startswith("Test"):
            yield node.lineno, f"{node.name}: tests are plain functions"
        if isinstance(node, ast.Attribute) and node.attr in {"skip", "xfail", "importorskip"}:
            yield node.lineno, f"a test that may not run: {node.attr}"
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(".skipif") and not _asks_for_system(node):
            yield node.lineno, "a test that may not run: skipif"


RULES: tuple[Callable[[Source], Iterator[Fault]], ...] = (
    size,
    drawers,
    words,
    comments,
    output,
    imports,
    docstrings,
    queries,
    environment,
    plain_tests,
)


def _functions(source: Source) -> Iterator[Function]:
    return (node for node in ast.walk(source.tree) if isinstance(node, Function))


def _parameters(function: Function) -> list[str]:
    given = function.args
    stars = [star for star in (given.vararg, given.kwarg) if star is not None]
    return [parameter.arg for parameter in [*given.posonlyargs, *given.args, *given.kwonlyargs, *stars]]


def _chosen_names(source: Source) -> Iterator[Fault]:
    """Everything that the file gives a name to: classes, functions, parameters, variables and attributes."""
    for node in ast.walk(source.tree):
        if isinstance(node, Named):
            yield node.lineno, node.name
        elif isinstance(node, ast.arg):
            yield node.lineno, node.arg
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.id
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.attr
        elif isinstance(node, ast.alias) and node.asname:
            yield node.lineno, node.asname


def _imported(source: Source) -> Iterator[Fault]:
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, name.name) for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.lineno, node.module
            yield from ((node.lineno, f"{node.module}.{name.name}") for name in node.names)


def _asks_for_system(skipif: ast.Call) -> bool:
    return ast.unparse(skipif.args[0]).startswith("sys.platform")
