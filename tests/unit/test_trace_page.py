"""The page of a trace, without a browser: it is one file, holds the trace, and nothing in it gets out of its place."""

import base64
import hashlib
import json
import pathlib
import re
import zlib

import pytest
from tests.browser.synthetic import make_trace

from ferrio.sight import page

NAMES = ["</script><script>alert(1)</script>", "<!--", "@@SCRIPT@@", "\u2028 \x00 \udc80 é", "&lt;"]


@pytest.fixture(scope="module")
def trace():
    trace = make_trace(500)
    for row, name in zip(trace["rows"], NAMES, strict=False):
        row["name"] = name
    return trace | {"program": NAMES[0]}


@pytest.fixture(scope="module")
def text(trace):
    return page.render(trace)


def embedded(text, kind):
    """Returns the contents of the page's elements of one kind, as a browser finds them."""
    return re.findall(rf"<{kind}>(.*?)</{kind.split()[0]}>", text, re.DOTALL)


def test_page_holds_the_trace(text, trace):
    (data,) = embedded(text, 'script type="application/json" id="trace"')
    data = json.loads(data)
    rest = json.loads(zlib.decompress(base64.b64decode(data.pop("packed"))))
    assert data | rest == trace


def test_names_leave_nothing_in_the_page(text, trace):
    plain = page.render({**trace, "program": "", "rows": [], "labels": []})
    assert text.isascii()
    assert not re.search(r"alert\(1\)|@@", text)
    for mark in ("<", ">", "&", "</script"):
        assert text.count(mark) == plain.count(mark)


def test_policy_names_the_page_own_script_and_style(text):
    policy = re.search('http-equiv="Content-Security-Policy" content="([^"]*)"', text)[1]
    for kind, directive in (("script", "script-src"), ("style", "style-src")):
        (source,) = embedded(text, kind)
        digest = base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()
        assert f"{directive} 'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy


def test_page_needs_no_other_file(text):
    assert not re.search(r"https?:|\bimport\b|\beval\b|new Function|innerHTML|@import|url\(", text)
    assert re.findall(r'(?:src|href)="([^"]*)"', text) == ["data:,"]


def test_every_part_of_the_script_is_in_the_page():
    folder = pathlib.Path(page.__file__).parent
    assert {path.name for path in folder.glob("*.js")} == set(page.SCRIPTS)
    for path in folder.glob("*.*"):
        assert path.suffix in (".py", ".js", ".css", ".html")


@pytest.mark.parametrize("column", ["</script>", "a\nb", "é"])
def test_columns_must_be_base64(trace, column):
    with pytest.raises(ValueError, match="base64"):
        page.render({**trace, "polls": {"count": 1, "start": column}})


def test_numbers_that_json_lacks_are_refused(trace):
    with pytest.raises(ValueError):
        page.render({**trace, "duration": float("nan")})
