"""The English of comments, docstrings and documents: no endless sentences, and no phrases that readers stumble over.

CONTRIBUTING.md has the rule. Here a sentence ends at a full stop, a question mark, a colon or a semicolon. A span of
code is one word; tables, listings and indented examples don't count.
"""

import ast
import functools
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.repo.sources import name, own_files

MOST_WORDS = 30
# Has the phrases as examples of what not to write.
RULE = "CONTRIBUTING.md"
PHRASES = {
    r"\bfor who\b": "for callers that",
    r"\b(?:callers?|code|functions?|loops?|tasks?|threads?) who\b": "code is no person: that",
    r"\bin vain\b": "say what failed",
    r"\bonce it was\b": "after",
    r"\bwithout a word\b": "silently",
    r"\bthat can be had\b": "available",
    r"\b(?:has|have)(?:n't| not) got\b": "doesn't have",
    r"\b(?:is|are) dear\b": "expensive",
    r"\bmerely\b": "only",
    r"\bof another make\b": "another kind of",
    r"\b(?:what|which|that) is no\b(?! longer)": "isn't a",
    r"\bwhat came of\b": "the result of",
    r"\blets? go of\b": "drop, release",
    r"\bha(?:s|ve) to be told\b": "must be told",
}

Passage = tuple[Path, int, str]


@functools.cache
def passages() -> list[Passage]:
    """The paragraphs of prose in the repository's files: file, line and text."""
    readers = {".md": paragraphs, ".py": prose_of_python, ".pyi": prose_of_python, ".rs": prose_of_rust}
    return [(path, line, text) for path in own_files(*readers) for line, text in readers[path.suffix](path.read_text())]


def prose_of_python(source: str) -> Iterator[tuple[int, str]]:
    """Docstrings, those of attributes included, and comments."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield from paragraphs(node.value.value, node.lineno)
    comments = [
        (token.start[0], token.string.lstrip("#: "))
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type == tokenize.COMMENT
    ]
    yield from joined(comments)


def prose_of_rust(source: str) -> Iterator[tuple[int, str]]:
    """Comments of all kinds."""
    comments = [
        (number, found["text"])
        for number, line in enumerate(source.splitlines(), 1)
        if (found := re.match(r"\s*//[/!]? ?(?P<text>.*)", line))
    ]
    yield from joined(comments)


def joined(comments: list[tuple[int, str]]) -> Iterator[tuple[int, str]]:
    """Paragraphs of comments: those on consecutive lines are one text."""
    block: list[str] = []
    last = 0
    for number, text in [*comments, (-1, "")]:
        if block and number != last + 1:
            yield from paragraphs("\n".join(block), last - len(block) + 1)
            block = []
        block.append(text)
        last = number


def paragraphs(text: str, first: int = 1) -> Iterator[tuple[int, str]]:
    """The paragraphs of a text and where they begin. Tables, listings and headings are left out."""
    text = re.sub(r"^```.*?^```$", lambda found: "\n" * found[0].count("\n"), text, flags=re.MULTILINE | re.DOTALL)
    least = min((len(line) - len(line.lstrip()) for line in text.splitlines()[1:] if line.strip()), default=0)
    paragraph: list[str] = []
    begin = number = first
    for number, line in enumerate([*text.splitlines(), ""], first):
        line = line if number == first else line[least:]
        # Spaces in the middle align columns; more than a list's indentation shows code.
        listing = re.match(r"\||#|<|    ", line) or re.search(r"\S {3,}\S", line)
        item = re.match(r"\s*(?:[-*]|\d+\.) ", line)
        if paragraph and (listing or item or not line.strip()):
            yield begin, " ".join(paragraph)
            paragraph = []
        if line.strip() and not listing:
            begin = begin if paragraph else number
            paragraph.append(line[item.end() :] if item else line.strip())


def sentences(paragraph: str) -> list[str]:
    """The sentences of a paragraph, without its code and the targets of its links."""
    plain = re.sub(r"`+[^`]+`+", "code", paragraph)
    plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", plain)
    return re.split(r"[.?!:;][)\"*]*(?:\s|$)", plain)


def words(sentence: str) -> int:
    """How many words a sentence has; dashes and signs are none."""
    return len(re.findall(r"\S*\w\S*", sentence))


def test_no_sentence_is_endless():
    found = [
        f"{name(path)}:{line}: {words(sentence)} words: {sentence.strip()}"
        for path, line, text in passages()
        for sentence in sentences(text)
        if words(sentence) > MOST_WORDS
    ]
    assert not found, "split these:\n" + "\n".join(found)


@pytest.mark.parametrize(("phrase", "better"), PHRASES.items(), ids=PHRASES)
def test_phrases_do_not_come_back(phrase, better):
    found = [
        f"{name(path)}:{line}: {text}"
        for path, line, text in passages()
        if name(path) != RULE and re.search(phrase, re.sub(r"`[^`]+`", "code", text))
    ]
    assert not found, f"write {better!r}:\n" + "\n".join(found)


def test_prose_is_found():
    source = '"""Head of it.\n\n    a listing\n\nAnother paragraph.\n"""\n\nx = 1  # why\n\n# two\n# lines\n'
    assert list(prose_of_python(source)) == [
        (1, "Head of it."),
        (5, "Another paragraph."),
        (8, "why"),
        (10, "two lines"),
    ]
    assert list(prose_of_rust("//! Head\n//! of it.\nfn x() {} // no\n    /// Does x.\n")) == [
        (1, "Head of it."),
        (4, "Does x."),
    ]
    assert list(paragraphs("# Title\n\nText `a b`\nmore.\n\n- item\n  of a list\n\n| a | b |\n")) == [
        (3, "Text `a b` more."),
        (6, "item of a list"),
    ]
    assert sentences("One `a b. c` [two](x.md). Three: four") == ["One code two", "Three", "four"]
    assert {path.suffix for path, _, _ in passages()} >= {".md", ".py", ".pyi", ".rs"}
