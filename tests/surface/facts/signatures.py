"""How something is called: the names, kinds and defaults of parameters; and what a wrong call raises."""

import functools
import inspect
from collections.abc import Iterator

from tests.surface.facts.words import normal, outcome
from tests.surface.walk import Subject

NO_SUCH_KEYWORD = {"no_such_keyword": None}


def facts(subject: Subject) -> Iterator[tuple[str, str]]:
    """The signature, if there is one, and the outcomes of wrong calls, which end before anything is done."""
    callee = subject.in_use
    if not (subject.is_callable or inspect.isclass(callee)) or subject.path.endswith(_NEVER_CALLED):
        return
    try:
        signature = inspect.signature(callee)
    except (TypeError, ValueError):
        return
    parameters = signature.parameters.values()
    yield "signature", ", ".join(_text(parameter) for parameter in parameters)
    kinds = {parameter.kind for parameter in parameters}
    required = [each for each in parameters if each.default is each.empty and each.kind not in _VARIADIC]
    if required:
        yield "call without arguments", outcome(callee)
    if inspect.Parameter.VAR_POSITIONAL not in kinds:
        yield "call with too many arguments", outcome(functools.partial(callee, *[None] * 30))
    wrong = functools.partial(callee, *[None] * len(required), **NO_SUCH_KEYWORD)
    if inspect.Parameter.VAR_KEYWORD not in kinds or "create_task" in subject.path:
        yield "call with a wrong keyword", outcome(wrong)


def offers(theirs: str, ours: str) -> bool:
    """Whether a signature has all parameters of another, in its order. Parameters may be added only if they are
    optional.

    A `**keywords` parameter covers missing keywords.
    """
    remaining = ours.split(", ") if ours else []
    takes_any = bool(remaining) and remaining[-1].startswith("**")
    for parameter in theirs.split(", ") if theirs else []:
        if takes_any and " (keyword)" in parameter and parameter not in remaining:
            continue
        while remaining and remaining[0] != parameter:
            if "=" not in remaining.pop(0):
                return False
        if not remaining:
            return False
        remaining.pop(0)
    return all("=" in parameter or parameter.startswith("**") for parameter in remaining)


_VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
# The interpreter calls these.
_NEVER_CALLED = (".__class__", ".__init_subclass__", ".__subclasshook__")
_MARKS = {
    inspect.Parameter.POSITIONAL_ONLY: " (positional)",
    inspect.Parameter.KEYWORD_ONLY: " (keyword)",
    inspect.Parameter.POSITIONAL_OR_KEYWORD: "",
}


def _text(parameter: inspect.Parameter) -> str:
    if parameter.kind is inspect.Parameter.VAR_POSITIONAL:
        return f"*{parameter.name}"
    if parameter.kind is inspect.Parameter.VAR_KEYWORD:
        return f"**{parameter.name}"
    default = "" if parameter.default is parameter.empty else f"={normal(repr(parameter.default))}"
    return f"{parameter.name}{_MARKS[parameter.kind]}{default}"
