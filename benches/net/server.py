"""The process that runs one server of `servers.py` on one implementation, until it is ended.

    server.py IMPLEMENTATION SERVER CPU [--path PATH] [--certificate PEM --key PEM] [--control]

Its first line on standard output is JSON: the port and the implementation's version, or `missing` with the reason why
it can't be imported. `processes.py` starts it.

Invariant: while it is measured it only serves. With --control, a thread reads standard input and collects garbage for
each line, for `memory.py`. Otherwise there is no such thread, because a second thread makes system calls more
expensive.
"""

import argparse
import gc
import json
import os
import resource
import ssl
import sys
import threading

import beside  # noqa: F401 - makes the modules of benches/ importable
import implementations
import servers


def main() -> None:
    """Serve as the arguments say."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("implementation")
    parser.add_argument("server")
    parser.add_argument("cpu")
    parser.add_argument("--path")
    parser.add_argument("--certificate")
    parser.add_argument("--key")
    parser.add_argument("--control", action="store_true")
    options = parser.parse_args()
    if options.cpu:
        os.sched_setaffinity(0, {int(options.cpu)})
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    implementation = implementations.IMPLEMENTATIONS[options.implementation]
    try:
        aio, run, version = implementations.load(implementation)
    except ImportError as error:
        say({"missing": str(error)})
        return
    context = None
    if options.certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(options.certificate, options.key)

    def listens(port):
        if options.control:
            threading.Thread(target=obey, daemon=True).start()
        say({"port": port, "version": version})

    async def serve():
        implementations.check_loop(implementation, aio.get_running_loop())
        await servers.SERVERS[options.server](aio, servers.Place(listens, options.path, context))

    run(serve())


def obey() -> None:
    """Collect garbage for each line received, and answer with one."""
    for _ in sys.stdin:
        gc.collect()
        say({})


def say(message: dict) -> None:
    """Send a message to the process that started this one."""
    print(json.dumps(message), flush=True)


if __name__ == "__main__":
    main()
