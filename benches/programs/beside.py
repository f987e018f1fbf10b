"""Lets the scripts in this folder import the modules of `benches/`: import it before them."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
