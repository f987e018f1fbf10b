"""Texts that can be compared: outcomes of calls, and reprs without what differs between runs or packages."""

import re
import warnings
from collections.abc import Callable
from typing import Any

_CHANGING = [
    (r"0x[0-9a-f]+", "0x"),
    (r"\b(fd|pid|when|maxsize)=\d+[\d.]*", r"\1=N"),
    (r"'127\.0\.0\.1', \d+", "'127.0.0.1', N"),
    (r"\b(?:_asyncio|asyncio|ferrio|_ferrio)(?:\._ferrio)?\.", "PACKAGE."),
    (r"Task-\d+", "Task-N"),
    (r"Process \d+", "Process N"),
    (r"(?<=\W)/[\w./-]+\.py:\d+", "FILE"),
    (r"\b_(?:Selector|Unix)(?=[A-Z]\w+Transport)", ""),
    (r"\b_UnixSelectorEventLoop", "EventLoop"),
]


def normal(text: str) -> str:
    """Returns `text` without addresses, numbers and the package's name."""
    for pattern, word in _CHANGING:
        text = re.sub(pattern, word, text)
    return text


def outcome(call: Callable[[], Any], show: Callable[[Any], str] = lambda result: type(result).__name__) -> str:
    """Returns the outcome of a call: what `show` makes of the result, or the exception's type."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return show(call())
    except (SystemExit, KeyboardInterrupt):
        raise
    except BaseException as failure:
        return f"raises {type(failure).__name__}"
