"""Random programs of asyncio's API do on ferrio what they do on the newest asyncio, in the same order.

`digests.json` has what the newest asyncio does, written by `python3.15 -m tests.fuzz.record`. `make fuzz` compares
other programs; `compare.py` says how to look at one.
"""

import gc
import json
import pathlib
import sys

import pytest
from tests.fuzz import programs, trace

pytestmark = pytest.mark.skipif(
    sys.version_info < (3, 13), reason="ferrio shows handles as its Python does, and those of older ones show more"
)

RECORDED = json.loads(pathlib.Path(__file__).with_name("digests.json").read_text())


@pytest.fixture(scope="module", autouse=True)
def frozen():
    """Each program's garbage is collected. That is quick if everything older is left alone."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


# Programs leave coroutines and generators behind on purpose. What these raise while they are closed becomes a warning.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::RuntimeWarning")
@pytest.mark.parametrize("part", range(10))
def test_programs_do_what_they_do_on_asyncio(part):
    differing = []
    for seed, digest in list(RECORDED.items())[part::10]:
        log = trace.log_of("ferrio", trace.compiled(programs.source(programs.program(int(seed)))))
        if trace.digest(log) != digest:
            differing.append(seed)
    assert differing == [], "python -m tests.fuzz.compare --count 1 --first SEED"
