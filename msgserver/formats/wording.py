"""Texts with holes, filled with data: Jinja2 in a sandbox, bounded in time and size by construction. Pure.

``{{ name }}`` puts a value in, ``{% if %}`` and ``{% for %}`` choose and repeat, some filters shape. What could run
long or grow large is not there: no macros, no assignments, no calls, no arithmetic that makes texts longer. Loops pay
for each turn with the number of things in them; what is written is counted while it is written. So nobody needs a
clock to stop a template, and a template that was accepted once ends in the same way for ever.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import msgspec
from jinja2 import StrictUndefined, TemplateSyntaxError, UndefinedError, nodes
from jinja2.exceptions import SecurityError, TemplateAssertionError, TemplateRuntimeError
from jinja2.runtime import Context, LoopContext
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import pass_context

LONGEST_SOURCE = 200_000  # characters of a template's one part
MOST_HOLES = 1_000  # in one part
LONGEST_RESULT = 500_000  # characters that it may write
MOST_STEPS = 50_000  # turns of loops, each times what it holds, and what filters go through
LARGEST_DATA = 64_000  # bytes of the values, as JSON
_BUDGET = "budget of this rendering"

_ALLOWED = (
    nodes.Template, nodes.Output, nodes.TemplateData, nodes.Name, nodes.Getattr, nodes.Getitem, nodes.Const, nodes.If,
    nodes.For, nodes.Filter, nodes.Compare, nodes.Operand, nodes.And, nodes.Or, nodes.Not, nodes.CondExpr, nodes.Test,
)  # fmt: skip
_OF_TEXT = ("upper", "lower", "title", "capitalize", "trim")  # these go through a whole text
_FILTERS = (*_OF_TEXT, "default", "length", "round", "int", "escape", "e")
_OF_LOOPS = ("index", "index0", "first", "last", "length")
_TESTS = ("defined", "undefined", "none", "number", "string", "even", "odd", "divisibleby", "eq", "ne", "lt", "gt",
          "le", "ge", "in")  # fmt: skip


class BadWording(ValueError):
    """A template that cannot be used, or not with these values; says why, for people."""


class Wording(msgspec.Struct, frozen=True):
    """A template's three parts; where ``html`` is empty there is none."""

    subject: str = ""
    text: str = ""
    html: str = ""


class _Budget:
    def __init__(self) -> None:
        self.left = MOST_STEPS

    def spend(self, steps: int) -> None:
        self.left -= steps
        if self.left < 0:
            raise BadWording("it repeats too much: fewer loops, or shorter lists")


@pass_context
def _counted(context: Context, values: Any, cost: int) -> Iterator[Any]:
    budget: _Budget = context[_BUDGET]
    if isinstance(values, str | Mapping) or not isinstance(values, Iterable):
        raise BadWording("{% for %} goes through lists only")
    for value in values:
        budget.spend(cost)
        yield value


def _paying(shape: Callable[..., Any]) -> Callable[..., Any]:
    """A filter that pays for the text it goes through."""

    @pass_context
    def paying(context: Context, value: Any, *more: Any) -> Any:
        context[_BUDGET].spend(1 + (len(value) if isinstance(value, str) else 20) // 50)
        return shape(value, *more)

    return paying


@pass_context
def _joined(context: Context, values: Any, between: str = ", ") -> str:
    """The values of a list with something between them."""
    if not isinstance(values, list | tuple):
        raise BadWording("join takes a list")
    context[_BUDGET].spend(len(values))
    return between[:20].join(str(value) for value in values)


def _date(value: Any, pattern: str = "%Y-%m-%d") -> str:
    """POSIX seconds as a date (UTC)."""
    try:
        return datetime.fromtimestamp(float(value), UTC).strftime(pattern[:40])
    except (TypeError, ValueError, OverflowError, OSError) as error:
        raise BadWording("date takes POSIX seconds, and a pattern such as %Y-%m-%d %H:%M") from error


class _Sandbox(ImmutableSandboxedEnvironment):
    """Nothing but what this module allows."""

    def __init__(self, autoescape: bool) -> None:
        super().__init__(autoescape=autoescape, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
        self.globals.clear()
        known, asked = self.filters, self.tests
        self.filters = {name: known[name] for name in _FILTERS}
        self.filters |= {name: _paying(known[name]) for name in _OF_TEXT}
        self.filters |= {"join": _joined, "date": _date, "counted": _counted}
        self.tests = {name: asked[name] for name in _TESTS}

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:  # noqa: ARG002 - as Jinja calls it
        """Attributes are keys of the data; objects have none."""
        return False

    def getattr(self, obj: Any, attribute: str) -> Any:
        """``a.b`` is ``a["b"]``."""
        return self.getitem(obj, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        """A key of a table, a place in a list; of ``loop`` its number and the like."""
        if isinstance(obj, LoopContext) and argument in _OF_LOOPS:
            return getattr(obj, argument)
        if isinstance(obj, Mapping | list | tuple):
            try:
                return obj[argument]
            except (KeyError, IndexError, TypeError):
                pass
        return self.undefined(obj=obj, name=argument)


_PLAIN, _HTML = _Sandbox(autoescape=False), _Sandbox(autoescape=True)


def _compiled(source: str, html: bool) -> Any:
    """Read, check, and make it ready to run.

    Raises:
        BadWording: it is no template, or takes what is not allowed.
    """
    if len(source) > LONGEST_SOURCE:
        raise BadWording(f"it is longer than {LONGEST_SOURCE} characters")
    if source.count("{{") + source.count("{%") > MOST_HOLES:
        raise BadWording(f"it has more than {MOST_HOLES} holes")
    sandbox = _HTML if html else _PLAIN
    try:
        tree = sandbox.parse(source)
        if _check(tree, 0) > 5 * MOST_HOLES:
            raise BadWording("there is too much in its holes")
        return sandbox.from_string(tree)
    except TemplateSyntaxError as error:  # TemplateAssertionError too: a filter or test that is not there
        hint = f" (there are: {', '.join((*_FILTERS, 'join', 'date'))})" if "filter" in str(error) else ""
        kind = "" if isinstance(error, TemplateAssertionError) else "not understood: "
        raise BadWording(f"line {error.lineno}: {kind}{error.message}{hint}") from error
    except (RecursionError, MemoryError) as error:
        raise BadWording("it is nested too deeply") from error


_ready = lru_cache(64)(_compiled)


def _check(node: nodes.Node, depth: int) -> int:
    """How much there is in a node; refuses what is not allowed, and makes loops pay."""
    line = getattr(node, "lineno", 0)
    if not isinstance(node, _ALLOWED):
        raise BadWording(f"line {line}: {type(node).__name__.lower()} is not allowed in a template")
    if isinstance(node, nodes.Name) and node.name == _BUDGET:
        raise BadWording(f"line {line}: there is no such value")
    if isinstance(node, nodes.Filter) and (node.name == "counted" or node.node is None):
        raise BadWording(f"line {line}: there is no filter of this name here")
    if isinstance(node, nodes.For) and (node.recursive or depth >= 3):
        raise BadWording(f"line {line}: loops lie at most three deep in each other")
    inner = depth + 1 if isinstance(node, nodes.For) else depth
    size = 1 + sum(_check(child, inner) for child in node.iter_child_nodes())
    if isinstance(node, nodes.For):
        cost = nodes.Const(size, lineno=line)
        node.iter = nodes.Filter(node.iter, "counted", [cost], [], None, None, lineno=line)
    return size


def check(wording: Wording) -> None:
    """Whether a template can be used.

    Raises:
        BadWording: says in which part, and why not.
    """
    for part, html in (("subject", False), ("text", False), ("html", True)):
        try:
            _compiled(getattr(wording, part), html)
        except BadWording as error:
            raise BadWording(f"{part}: {error}") from error


def fill(wording: Wording, values: Mapping[str, Any]) -> Wording:
    """The template with its holes filled; in the HTML what the values say is text, never markup.

    Args:
        wording: a template that was checked.
        values: texts, numbers, true and false, lists and tables of them, as JSON has them.

    Raises:
        BadWording: a value is missing or too large, or the result is.
    """
    checked_values(values)
    subject = " ".join(_filled(wording.subject, False, values).split())
    return Wording(subject, _filled(wording.text, False, values), _filled(wording.html, True, values))


def checked_values(values: Mapping[str, Any]) -> None:
    """Refuse values that no template could be trusted with.

    Raises:
        BadWording: in words.
    """
    try:
        size = len(msgspec.json.encode(values))
    except (TypeError, ValueError, UnicodeEncodeError, RecursionError) as error:
        raise BadWording("the values are no plain data: texts, numbers, lists and tables") from error
    if size > LARGEST_DATA:
        raise BadWording(f"the values have {size} bytes, and {LARGEST_DATA} is the most")
    for name in values:
        if not name.isidentifier() or len(name) > 60:
            raise BadWording("the name of a value is made of letters, digits and _")


def _filled(source: str, html: bool, values: Mapping[str, Any]) -> str:
    if "{" not in source:
        return source
    budget = _Budget()
    pieces: list[str] = []
    length = 0
    try:
        for piece in _ready(source, html).generate({**values, _BUDGET: budget}):
            length += len(piece)
            if length > LONGEST_RESULT:
                raise BadWording(f"what it writes is longer than {LONGEST_RESULT} characters")
            pieces.append(piece)
    except UndefinedError as error:
        raise BadWording(f"a value is missing: {error.message}") from error
    except (TemplateRuntimeError, SecurityError, TypeError, ValueError, ArithmeticError) as error:
        if isinstance(error, BadWording):
            raise
        raise BadWording(f"it cannot be filled with these values: {error}") from error
    return "".join(pieces)


def names(wording: Wording) -> tuple[str, ...]:
    """Which values a template asks for, in the order of the alphabet."""
    from jinja2.meta import find_undeclared_variables  # noqa: PLC0415 - for the page alone

    found: set[str] = set()
    for part, html in ((wording.subject, False), (wording.text, False), (wording.html, True)):
        sandbox = _HTML if html else _PLAIN
        try:
            found |= find_undeclared_variables(sandbox.parse(part))
        except TemplateSyntaxError:
            continue
    return tuple(sorted(found))
