"""The first page can be followed: its programs and commands run as written, and print what it says.

Here with the ferrio of the interpreter that tests; `python tests/docs/first_page.py` installs as the page says.
"""

import os
import sys
from pathlib import Path

import pytest
from tests.docs.first_page import follow


# Its programs compute for some seconds: on a machine that does much else, for some minutes.
@pytest.mark.timeout(600)
def test_first_page_can_be_followed(tmp_path):
    # The page says `python`: it must be the one that runs this test.
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / "python").write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    (tools / "python").chmod(0o755)
    folder = tmp_path / "checkout"
    folder.mkdir()
    environment = os.environ | {"PATH": f"{tools}{os.pathsep}{os.environ['PATH']}"}
    assert follow(Path(folder), install=False, environment=environment) == []
