"""What may differ between the logs of a program on asyncio and on ferrio; each rule has its reason.

What `stage.py` leaves out of a log altogether is said there, beside the code that does so.
"""

import json
import re

# Patterns of texts, and what stands for them in both logs.
RULES = [
    # A waiting `async for` over a stream shows itself as what it is in ferrio; asyncio shows a future of its own.
    (re.compile(r"waiter=<.*"), "waiter=..."),
    # What an operation waits for shows itself as a future. Nobody gets its result, which differs from case to case in
    # asyncio.
    (re.compile(r"wait_for=<Future finished result=[^ >]*>"), "wait_for=<Future finished>"),
    # A `shield` knows its waiter without a callback. It may be among those that are only counted.
    (re.compile(r"cb=\[[^\]]*(?:shield|more>)[^\]]*\]"), "cb=[...]"),
]


def usual(line):
    """Returns a line of a log as text, without what may differ."""
    text = json.dumps(line)
    for pattern, replacement in RULES:
        text = pattern.sub(replacement, text)
    return text


def first(expected, got):
    """Returns the first lines that differ as text, or None."""
    longest = max(len(expected), len(got))
    for index in range(longest):
        theirs, ours = (usual(log[index]) if index < len(log) else "(nothing)" for log in (expected, got))
        if theirs != ours:
            return [f"asyncio: {theirs}", f"ferrio:  {ours}"]
    return None
