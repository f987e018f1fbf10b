"""The worker class that `with_gunicorn.py` gives to gunicorn: uvicorn's, with the loop of the way that the program
runs in.
"""

from common import WAY
from uvicorn_worker import UvicornWorker


class Worker(UvicornWorker):
    """uvicorn's worker; under `install()` with uvicorn's own loop of asyncio."""

    CONFIG_KWARGS = {"loop": "ferrio:new_event_loop" if WAY == "loop" else "asyncio", "http": "httptools"}
