"""docs/testing.md does what it says: each of its test files runs as written, and pytest says what the page shows."""

import itertools

import pytest
from tests.docs.blocks import ROOT, blocks, matches

PAGE = blocks(ROOT / "docs" / "testing.md")
PAIRS = [(block, after) for block, after in itertools.pairwise(PAGE) if after.kind == "text"]

pytest_plugins = ["pytester"]
pytestmark = pytest.mark.timeout(240)  # a test takes seconds, or longer on a busy machine


def settings():
    """Returns the page's configuration."""
    return next(block.body for block in PAGE if block.kind == "toml").partition("\n")[2]


@pytest.mark.parametrize(("block", "shown"), PAIRS, ids=lambda block: block.name)
def test_example(suite, block, shown):
    assert block.kind == "python"
    _, text = suite(block.body)
    assert matches(text, "...\n" + shown.body), f"{block.name} says:\n{text}"


def test_configuration(suite):
    example = next(block.body for block in PAGE if "test_forgets_its_task" in block.body)
    outcomes, text = suite(
        example.replace("@pytest.mark.ferrio(checks=True, virtual_time=True)\n", ""), configuration=settings()
    )
    assert outcomes == {"test_forgets_its_task": "ERROR"}
    assert "- task 'poller'" in text


def test_hook(suite):
    conftest = next(block.body for block in PAGE if "pytest_asyncio_loop_factories" in block.body)
    outcomes, text = suite(PAIRS[0][0].body, conftest=conftest)
    assert outcomes == {"test_an_hour": "PASSED"}, text


def test_every_block_is_tested():
    others = [block for block in PAGE if not any(block in pair for pair in PAIRS)]
    assert [block.kind for block in others] == ["toml", "python"]
