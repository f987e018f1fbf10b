"""The worker class that `with_gunicorn.py` passes to gunicorn: uvicorn's, with the loop for the way in which the
program runs.
"""

from common import WAY
from uvicorn_worker import UvicornWorker


class Worker(UvicornWorker):
    """uvicorn's worker; under `install()` it uses uvicorn's own asyncio loop."""

    CONFIG_KWARGS = {"loop": "ferrio:new_event_loop" if WAY == "loop" else "asyncio", "http": "httptools"}
