"""The process that runs one implementation: it reads requests, measures, and answers, with a line of JSON each.

`workers.py` starts it and holds the other ends of its pipes. It decides nothing: the request has the counts, and others
make statistics from its answers.

Invariant: between two requests it blocks in a read, so it takes no CPU while another implementation runs.
"""

import gc
import json
import mmap
import os
import resource
import sys
import time
import traceback
import tracemalloc

import implementations
import scenarios


def measure_scenario(aio, run, implementation, request):
    """Time `scenario` with count `n` on a new loop: operations, wall and CPU nanoseconds (all threads)."""
    body = BODIES[request["scenario"]]

    async def timed():
        implementations.check_loop(implementation, aio.get_running_loop())
        gc.collect()
        cpu = time.process_time_ns()
        wall = time.perf_counter_ns()
        operations = await body(aio, request["n"])
        wall = time.perf_counter_ns() - wall
        cpu = time.process_time_ns() - cpu
        return {"operations": operations, "wall_ns": wall, "cpu_ns": cpu}

    return run(timed())


def measure_sleep(aio, run, implementation, request):
    """Sleep `count` times for `delay` seconds; return the lateness of each in nanoseconds (negative: early)."""
    delay, count = request["delay"], request["count"]

    async def sleeper():
        implementations.check_loop(implementation, aio.get_running_loop())
        late = []
        for _ in range(count):
            start = time.perf_counter_ns()
            await aio.sleep(delay)
            late.append(time.perf_counter_ns() - start - round(delay * 1e9))
        return late

    return {"late_ns": run(sleeper())}


def measure_memory(aio, run, implementation, request):
    """Bytes that `count` pending sleeping tasks take: resident, or as tracemalloc sees it if `trace`."""
    count, wrapped = request["count"], request["wrapped"]

    async def sleeper():
        await aio.sleep(3600)

    def used():
        gc.collect()
        if request["trace"]:
            return tracemalloc.get_traced_memory()[0]
        with open("/proc/self/statm") as statm:
            return int(statm.read().split()[1]) * resource.getpagesize()

    async def main():
        implementations.check_loop(implementation, aio.get_running_loop())
        # Leave out what only the first tasks allocate.
        tasks = [aio.create_task(aio.sleep(0)) for _ in range(100)]
        await aio.gather(*tasks)
        tasks = [None] * count
        if request["trace"]:
            tracemalloc.start()
        before = used()
        for index in range(count):
            tasks[index] = aio.create_task(sleeper() if wrapped else aio.sleep(3600))
        await aio.sleep(0)
        await aio.sleep(0)
        after = used()
        # Ending 100,000 tasks isn't part of the measurement: exit without it.
        answer({"bytes": after - before})
        os._exit(0)

    run(main())


def measure_block(aio, run, implementation, request):
    """Start children from a program with `memory` MiB; for each, the longest time without a turn and the start's time,
    in ns.

    With `user` the child must become the user that it already is, which keeps `subprocess.Popen` from using `vfork`.
    `way` says who starts it: the implementation, `Popen` for ferrio, or `os.posix_spawn` called in the loop's thread.
    """
    if request["way"] == "popen":
        os.environ["FERRIO_SPAWN"] = "popen"
    else:
        os.environ.pop("FERRIO_SPAWN", None)
    ballast = None
    if request["memory"]:
        ballast = mmap.mmap(-1, request["memory"] << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        ballast.madvise(mmap.MADV_NOHUGEPAGE)
        for start in range(0, len(ballast), mmap.PAGESIZE):
            ballast[start] = 1
    keywords = {"user": os.getuid()} if request["user"] else {}

    async def starter():
        loop = aio.get_running_loop()
        implementations.check_loop(implementation, loop)
        gaps, starts = [], []
        last = longest = 0

        def tick():
            nonlocal last, longest, handle
            now = time.perf_counter_ns()
            longest, last = max(longest, now - last), now
            handle = loop.call_soon(tick)

        for _ in range(request["starts"]):
            last, longest = time.perf_counter_ns(), 0
            handle = loop.call_soon(tick)
            began = time.perf_counter_ns()
            if request["way"] == "posix_spawn":
                pid = os.posix_spawn("/bin/true", ["/bin/true"], os.environ)
                await aio.sleep(0)  # the next turn measures for how long the loop stood still
                wait = aio.to_thread(os.waitpid, pid, 0)
            else:
                wait = (await aio.create_subprocess_exec("/bin/true", **keywords)).wait()
            starts.append(time.perf_counter_ns() - began)
            gaps.append(longest)
            handle.cancel()
            await wait
        return {"gap_ns": gaps, "start_ns": starts}

    try:
        return run(starter())
    finally:
        if ballast is not None:
            ballast.close()


MEASURES = {"scenario": measure_scenario, "sleep": measure_sleep, "memory": measure_memory, "block": measure_block}
BODIES = {each.name: each.body for each in scenarios.load(scenarios.FAMILIES + scenarios.OTHER_FAMILIES)}


def answer(message):
    """Send one line to the process that started this one."""
    ANSWERS.write(json.dumps(message) + "\n")
    ANSWERS.flush()


def main(name, cpus):
    """Serve requests for the implementation `name`, pinned to `cpus` ("": not pinned), until input ends."""
    if cpus:
        os.sched_setaffinity(0, map(int, cpus.split(",")))
    implementation = implementations.IMPLEMENTATIONS[name]
    try:
        aio, run, version = implementations.load(implementation)
    except ImportError as error:
        answer({"missing": str(error)})
        return
    answer({"version": version})
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer(MEASURES[request["measure"]](aio, run, implementation, request))
        except BaseException:
            answer({"error": traceback.format_exc()})
        gc.collect()


if __name__ == "__main__":
    # Answers have their own descriptor: what a scenario or a library prints goes to standard error.
    ANSWERS = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    main(*sys.argv[1:])
