"""A trace as one HTML page that needs no network, no server and no other file.

`render` joins the sources of this folder and one object of data, whose format stands in `columns.js`. The program chose
the names in that object, so they may hold anything. They are packed, so none of their characters is in the page's text.
The page's policy names its own script by hash, so no other one could run.

How the page looks and behaves is in the other files of this folder; nothing here knows it. Runs once per trace.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import zlib
from collections.abc import Mapping
from typing import Any

__all__ = ("SCRIPTS", "render")

# The page's script, in the order in which the parts build upon each other.
SCRIPTS = (
    "words.js",
    "columns.js",
    "bands.js",
    "trace.js",
    "layout.js",
    "theme.js",
    "camera.js",
    "strips.js",
    "road.js",
    "arrows.js",
    "minimap.js",
    "search.js",
    "panel.js",
    "lists.js",
    "input.js",
    "main.js",
)

_FOLDER = os.path.dirname(os.path.abspath(__file__))

# What the data may consist of: numbers, the names of columns, base64.
_HARMLESS = re.compile(r'[A-Za-z0-9+/={}:",]*').fullmatch


def render(trace: Mapping[str, Any]) -> str:
    """Returns the page of a trace. The text is ASCII, so no encoding can spoil it."""
    style = _source("page.css")
    script = '(() => {\n"use strict";\n' + "".join(_source(name) for name in SCRIPTS) + "})();\n"
    parts = {
        "STYLE_HASH": _hash(style),
        "SCRIPT_HASH": _hash(script),
        "STYLE": style,
        "SCRIPT": script,
        "TRACE": _embeddable(trace),
    }
    # Only the page's own text is searched for marks: what was put in isn't looked at again.
    pieces = _source("page.html").split("@@")
    pieces[1::2] = [parts[mark] for mark in pieces[1::2]]
    return "".join(pieces)


def _source(name: str) -> str:
    with open(os.path.join(_FOLDER, name), encoding="ascii") as file:
        return file.read()


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _embeddable(trace: Mapping[str, Any]) -> str:
    """Returns the trace as JSON whose strings are all base64: the columns, and the rest packed as one more."""
    tables = {name: part for name, part in trace.items() if isinstance(part, Mapping)}
    rest = {name: part for name, part in trace.items() if name not in tables}
    packed = zlib.compress(json.dumps(rest, separators=(",", ":"), allow_nan=False).encode("ascii"), 6)
    text = json.dumps({"packed": base64.b64encode(packed).decode(), **tables}, separators=(",", ":"))
    if not _HARMLESS(text):
        raise ValueError("a column of the trace isn't base64")
    return text
