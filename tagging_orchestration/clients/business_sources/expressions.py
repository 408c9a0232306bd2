"""Small formulas over the columns of a source, such as `sum(quantity * unit_price)`.

The syntax is a few words of Python's; a formula is translated into functions of ours, never executed as code.
"""

from __future__ import annotations

import ast
import operator
import statistics
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from decimal import Decimal, DivisionByZero, InvalidOperation
from typing import Any

from tagging_orchestration.core.errors import ConfigurationError

Row = Mapping[str, Any]
# Takes the rows of one group; outside of aggregates the first row speaks for its group.
Formula = Callable[[Sequence[Row]], Any]

_ARITHMETIC: Mapping[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}
_COMPARISONS: Mapping[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}


def _concat(*parts: Any) -> str:
    return "".join("" if part is None else str(part) for part in parts)


def _left(text: Any, length: Any) -> Any:
    return None if text is None else str(text)[: int(length)]


def _coalesce(*values: Any) -> Any:
    return next((value for value in values if not is_missing(value)), None)


# Name: the function and the least and greatest number of its arguments.
_FUNCTIONS: Mapping[str, tuple[Callable[..., Any], int, int]] = {
    "abs": (lambda value: None if is_missing(value) else abs(_number(value)), 1, 1),
    "round": (lambda value, digits=0: None if is_missing(value) else round(_number(value), int(digits)), 1, 2),
    "concat": (_concat, 1, 20),
    "left": (_left, 2, 2),
    "lower": (lambda text: None if text is None else str(text).lower(), 1, 1),
    "upper": (lambda text: None if text is None else str(text).upper(), 1, 1),
    "starts_with": (lambda text, start: text is not None and str(text).startswith(str(start)), 2, 2),
    "missing": (lambda value: is_missing(value), 1, 1),
    "coalesce": (_coalesce, 2, 20),
}

# Over the rows of a group, without the missing values.
_AGGREGATES: Mapping[str, Callable[[list[Any]], Any]] = {
    "sum": lambda values: sum(map(_number, values), Decimal()),
    "mean": lambda values: statistics.mean(map(_number, values)) if values else None,
    "median": lambda values: statistics.median(map(_number, values)) if values else None,
    "min": lambda values: min(_comparable(values)) if values else None,
    "max": lambda values: max(_comparable(values)) if values else None,
    "first": lambda values: values[0] if values else None,
    "last": lambda values: values[-1] if values else None,
    "count": len,
}

FUNCTION_NAMES = (*_FUNCTIONS, *_AGGREGATES)


def parse(text: str) -> tuple[Formula, frozenset[str]]:
    """The formula, and the columns it reads. Raises ConfigurationError for anything but columns, numbers, texts,
    + - * /, comparisons, and/or/not, `a if b else c`, and the functions of FUNCTION_NAMES.

    A formula raises ValueError for a value it cannot calculate with. Whatever is calculated from a missing value
    is missing; a comparison with one is false.
    """
    try:
        tree = ast.parse(text.strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError):
        raise ConfigurationError(f"{text!r} is no formula that can be read") from None
    columns: set[str] = set()
    return _formula(tree.body, text, columns), frozenset(columns)


def is_missing(value: Any) -> bool:
    """Whether a cell holds nothing: None, an empty text, not a number."""
    return value is None or value == "" or (isinstance(value, float) and value != value)


def _formula(node: ast.AST, text: str, columns: set[str]) -> Formula:
    def part(inner: ast.AST) -> Formula:
        return _formula(inner, text, columns)

    match node:
        case ast.Constant(value=int() | float() | str() | None as value):
            constant = Decimal(str(value)) if isinstance(value, int | float) else value
            return lambda _: constant
        case ast.Name(id=column):
            columns.add(column)
            return lambda rows: rows[0].get(column)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _ARITHMETIC:
            return _calculation(_ARITHMETIC[type(op)], part(left), part(right))
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return _calculation(operator.sub, lambda _: Decimal(), part(operand))
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            inner = part(operand)
            return lambda rows: not _truth(inner(rows))
        case ast.BoolOp(op=op, values=values):
            parts = [part(value) for value in values]
            every = all if isinstance(op, ast.And) else any
            return lambda rows: every(_truth(item(rows)) for item in parts)
        case ast.IfExp(test=test, body=body, orelse=otherwise):
            condition, then, other = part(test), part(body), part(otherwise)
            return lambda rows: then(rows) if _truth(condition(rows)) else other(rows)
        case ast.Compare(left=left, ops=[op], comparators=[right]) if type(op) in _COMPARISONS:
            return _comparison(_COMPARISONS[type(op)], part(left), part(right))
        case ast.Compare(left=left, ops=[ast.In()], comparators=[ast.Tuple(elts=items) | ast.List(elts=items)]):
            value, choices = part(left), [part(item) for item in items]
            return lambda rows: any(_compared(operator.eq, value(rows), choice(rows)) for choice in choices)
        case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]) if name in _AGGREGATES:
            return _aggregate(name, [part(argument) for argument in arguments], text)
        case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]) if name in _FUNCTIONS:
            function, least, most = _FUNCTIONS[name]
            parts = [part(argument) for argument in arguments]
            if not least <= len(parts) <= most:
                raise ConfigurationError(f"{text!r}: {name} takes {least} to {most} values, not {len(parts)}")
            return lambda rows: function(*(item(rows) for item in parts))
    said = ast.unparse(node) if isinstance(node, ast.expr) else text
    raise ConfigurationError(
        f"{text!r}: {said!r} is not understood. A formula may hold columns, numbers, texts, + - * /, comparisons,"
        f" and, or, not, if else, and {', '.join(FUNCTION_NAMES)}"
    )


def _aggregate(name: str, arguments: list[Formula], text: str) -> Formula:
    function = _AGGREGATES[name]
    if name == "count" and not arguments:
        return len
    if len(arguments) != 1:
        raise ConfigurationError(f"{text!r}: {name} takes one value")
    value = arguments[0]

    def over_rows(rows: Sequence[Row]) -> Any:
        found = [value([row]) for row in rows]
        return function([item for item in found if not is_missing(item)])

    return over_rows


def _calculation(calculate: Callable[[Any, Any], Any], left: Formula, right: Formula) -> Formula:
    def calculated(rows: Sequence[Row]) -> Any:
        one, other = left(rows), right(rows)
        if is_missing(one) or is_missing(other):
            return None
        try:
            return calculate(_number(one), _number(other))
        except (DivisionByZero, InvalidOperation):
            return None

    return calculated


def _comparison(compare: Callable[[Any, Any], bool], left: Formula, right: Formula) -> Formula:
    return lambda rows: _compared(compare, left(rows), right(rows))


def _compared(compare: Callable[[Any, Any], bool], one: Any, other: Any) -> bool:
    if is_missing(one) or is_missing(other):
        return False
    if isinstance(one, int | float | Decimal) or isinstance(other, int | float | Decimal):
        return compare(_number(one), _number(other))
    if type(one) is type(other):
        return compare(one, other)
    return compare(str(one), str(other))


def _truth(value: Any) -> bool:
    return not is_missing(value) and bool(value)


def _number(value: Any) -> Decimal:
    if isinstance(value, Decimal):
        return value
    if isinstance(value, bool | date):
        raise ValueError(f"{value} is not a number")
    try:
        number = Decimal(str(value).strip())
    except InvalidOperation:
        raise ValueError(f"{str(value)[:60]!r} is not a number") from None
    if not number.is_finite():
        raise ValueError(f"{value} is not a number one can calculate with")
    return number


def _comparable(values: list[Any]) -> list[Any]:
    """The values as numbers where all are, else as they are if of one kind, else as texts."""
    try:
        return [_number(value) for value in values]
    except ValueError:
        same = len({type(value) for value in values}) == 1
        return values if same else [str(value) for value in values]
