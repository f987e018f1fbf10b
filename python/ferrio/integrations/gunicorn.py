"""gunicorn's worker: `gunicorn -k ferrio.integrations.gunicorn.Worker app:app`.

It is uvicorn's worker with another loop; what it takes from gunicorn's settings is the business of uvicorn-worker.
Nothing else of ferrio imports this file.
"""

try:
    from uvicorn_worker import UvicornWorker
except ImportError as error:
    raise ImportError(
        f"gunicorn's worker on ferrio is made of uvicorn's, which can't be imported ({error}): "
        "pip install gunicorn uvicorn-worker"
    ) from error

__all__ = ("Worker",)


class Worker(UvicornWorker):  # type: ignore[misc]  # of Any: linted without it
    """A gunicorn worker that serves an ASGI application by uvicorn on ferrio's loop.

    To be named to gunicorn (`-k`, `worker_class`), which makes one in each worker process. Subclasses may give more of
    uvicorn's options in `CONFIG_KWARGS`, as with `uvicorn_worker.UvicornWorker`.
    """

    CONFIG_KWARGS = {**UvicornWorker.CONFIG_KWARGS, "loop": "ferrio:new_event_loop"}
