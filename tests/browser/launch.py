"""Which browser is started, and how: the system's chromium, or the program that FERRIO_BROWSER names."""

import os
import shutil

# As root, chromium has no sandbox. The others keep it from the network and from asking questions.
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def program() -> str | None:
    """Returns the browser's path, or None if the system has none."""
    found = (os.environ.get("FERRIO_BROWSER"), shutil.which("chromium"), shutil.which("google-chrome"))
    return next(filter(None, found), None)
