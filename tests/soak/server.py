"""The soak's server process: the services on ferrio's loop, watched once a second.

    python -m tests.soak.server PLAN

It prints the services' ports as JSON, waits for a line on its input, which says that the plan is complete, and serves
until SIGTERM. Its levels go to `server.jsonl` in the plan's folder, a sample on each line, and at the end a line with
what it counted. It fails if the loop's exception handler was called.
"""

import asyncio
import json
import os
import signal
import sys

from tests.soak import levels
from tests.soak import plan as plans
from tests.soak.services import Services

import ferrio
from ferrio.sight.metrics import snapshot

#: What `--leak` made the server keep.
KEPT: list = []


def leak(kind: str) -> None:
    """Keeps one more of what is asked for, which the soak must notice."""
    if kind == "descriptors":
        KEPT.append(os.open("/dev/null", os.O_RDONLY))
    elif kind == "tasks":
        KEPT.append(asyncio.ensure_future(asyncio.Event().wait()))
    elif kind == "memory":
        KEPT.append(bytearray(os.urandom(200_000)))


async def watch(plan: plans.Plan, path: str, at_rest=leak) -> None:
    """Writes the levels of this process, each second and at the end of each rest, until the plan's time is over."""
    loop = asyncio.get_running_loop()
    await asyncio.sleep(max(0.0, -plan.now()))
    with open(path, "w") as file:
        while not plan.over():
            wait = plan.until_sample()
            resting = wait < 1.0
            await asyncio.sleep(wait if resting else 1.0)
            found = levels.sample_at_rest(loop) if resting else levels.sample(loop)
            file.write(json.dumps({"t": round(plan.now(), 2), "rest": resting} | found) + "\n")
            file.flush()
            if resting:
                at_rest(plan.leak)
                await asyncio.sleep(0.3)


async def main(path: str) -> int:
    """Serves; returns the exit status."""
    loop = asyncio.get_running_loop()
    counts = {"SIGUSR1": 0, "SIGUSR2": 0, "SIGHUP": 0}
    reports: list[str] = []

    def on_signal(name: str) -> None:
        counts[name] += 1

    def report(loop, context) -> None:
        error = context.get("exception")
        reports.append(f"{context['message']}: {error!r} {context.get('task') or context.get('transport') or ''}")

    loop.set_exception_handler(report)
    ending = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, ending.set)
    for name in counts:
        loop.add_signal_handler(getattr(signal, name), on_signal, name)
    services = Services(plans.load(path))
    print(json.dumps(await services.start()), flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    plan = plans.load(path)
    async with asyncio.TaskGroup() as group:
        watching = group.create_task(watch(plan, f"{plan.folder}/server.jsonl"))
        await ending.wait()
        watching.cancel()
    await services.stop()
    found = snapshot(loop)
    ended = {
        "counts": counts,
        "reports": reports[:20],
        "accepted": found.connections_accepted,
        "tasks": found.tasks_created,
        "received": found.bytes_received,
        "sent": found.bytes_sent,
        "cpu": round(sum(os.times()[:4]), 2),
    }
    with open(f"{plan.folder}/server-end.json", "w") as file:
        json.dump(ended, file)
    for each in reports[:20]:
        print("the loop reported:", each, file=sys.stderr)
    return 1 if reports else 0


if __name__ == "__main__":
    ferrio.install()
    sys.exit(asyncio.run(main(sys.argv[1])))
