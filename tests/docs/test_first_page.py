"""A reader can follow the first page: its programs and commands run as written and print what it shows.

This uses the ferrio of the testing interpreter; `python tests/docs/first_page.py` installs it as the page says.
"""

import os
import sys
from pathlib import Path

import pytest
from tests.docs.first_page import follow


# The page's programs compute for some seconds, or for minutes on a busy machine.
@pytest.mark.timeout(600)
def test_first_page_can_be_followed(tmp_path):
    # The page says `python`, which must be the interpreter that runs this test.
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / "python").write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    (tools / "python").chmod(0o755)
    folder = tmp_path / "checkout"
    folder.mkdir()
    environment = os.environ | {"PATH": f"{tools}{os.pathsep}{os.environ['PATH']}"}
    assert follow(Path(folder), install=False, environment=environment) == []
