"""gunicorn's worker: `gunicorn -k ferrio.integrations.gunicorn.Worker app:app`.

It is uvicorn's worker with another loop; uvicorn-worker handles gunicorn's settings. Nothing else in ferrio imports
this file.
"""

try:
    from uvicorn_worker import UvicornWorker
except ImportError as error:
    raise ImportError(
        f"gunicorn's worker on ferrio is based on uvicorn's, which can't be imported ({error}): "
        "pip install gunicorn uvicorn-worker"
    ) from error

__all__ = ("Worker",)


class Worker(UvicornWorker):  # type: ignore[misc]  # it is Any where uvicorn isn't installed
    """A gunicorn worker that serves an ASGI application with uvicorn on ferrio's loop.

    Name it to gunicorn (`-k`, `worker_class`), which makes one in each worker process. Subclasses may set more of
    uvicorn's options in `CONFIG_KWARGS`, as with `uvicorn_worker.UvicornWorker`.
    """

    CONFIG_KWARGS = {**UvicornWorker.CONFIG_KWARGS, "loop": "ferrio:new_event_loop"}
