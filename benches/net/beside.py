"""Makes the modules of `benches/` importable, which scripts in this folder share: import it before them."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
