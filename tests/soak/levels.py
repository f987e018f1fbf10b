"""The levels of a process: what is sampled, and the rule that decides whether a line rises.

Each second a process notes its levels. At the end of each rest it notes them after a full garbage collection, when no
client has a connection: those samples are judged. Nothing here starts anything or draws.
"""

import dataclasses
import gc
import os
import statistics
import sys

#: What is sampled: name, unit, and by how much a line may rise in the judged time, absolute and as a share of its
#: level. Most counts return to the same number at each rest, so half of one is already too much. Three wander: a pool
#: adds a thread when all are busy, a cancelled timer stays until there are many, and some descriptors leave lazily.
LINES = {
    "rss": ("MiB of memory (resident)", 4.0, 0.03),
    "blocks": ("blocks of Python's allocator", 1500.0, 0.01),
    "objects": ("objects of the garbage collector", 600.0, 0.01),
    "descriptors": ("file descriptors", 0.5, 0.0),
    "threads": ("threads", 2.5, 0.0),
    "children": ("child processes", 0.5, 0.0),
    "tasks": ("tasks", 0.5, 0.0),
    "connections": ("connections (transports)", 0.5, 0.0),
    "timers": ("timers", 32.0, 0.0),
    "watched": ("descriptors that the loop watches", 3.5, 0.0),
}
#: These need time to show a rise: caches fill, arenas and pools grow in the first minutes.
SLOW = ("rss", "blocks", "objects", "threads", "children")
SLOW_NEEDS = 300.0
#: This share of the run is the warm-up, whose samples aren't judged.
WARM_UP = 0.2
#: With fewer samples at rest after the warm-up no line is judged.
FEWEST = 3

RULE = (
    f"A line is level if neither of two estimates of its rise exceeds its bound. Both take the samples at rest after a "
    f"warm-up of the first {WARM_UP:.0%} of the run. One is the median of the slopes between all pairs of samples "
    "(Theil and Sen), times the time between the first and the last. The other is the median of the last third minus "
    "that of the first third, which also sees rare steps."
)
#: With fewer samples than this, one outlier would be a third of a third.
ENOUGH_FOR_THIRDS = 9
_PAGE = os.sysconf("SC_PAGE_SIZE") / 2**20


def sample(loop=None) -> dict[str, float]:
    """Returns the levels of this process, and of `loop` if it is ferrio's."""
    with open("/proc/self/statm") as file:
        resident = int(file.read().split()[1])
    children = 0
    threads = os.listdir("/proc/self/task")
    for thread in threads:
        try:
            with open(f"/proc/self/task/{thread}/children") as file:
                children += len(file.read().split())
        except OSError:  # the thread ended meanwhile
            pass
    found = {
        "rss": round(resident * _PAGE, 2),
        "blocks": sys.getallocatedblocks(),
        "descriptors": len(os.listdir("/proc/self/fd")) - 1,  # without the one that lists them
        "threads": len(threads),
        "children": children,
    }
    if loop is not None:
        from ferrio.sight.metrics import snapshot

        numbers = snapshot(loop)
        found |= {
            "tasks": numbers.tasks_pending,
            "connections": numbers.connections_open,
            "timers": numbers.timers,
            "watched": numbers.descriptors,
        }
    return found


def sample_at_rest(loop=None) -> dict[str, float]:
    """Returns the levels after a collection, with the number of objects."""
    for _ in range(5):
        if gc.collect() == 0:
            break
    return sample(loop) | {"objects": len(gc.get_objects())}


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What the rule says of one line."""

    line: str
    first: float
    last: float
    rise: float
    bound: float
    #: Whether the line rises; `None` if it can't be judged.
    rises: bool | None
    why_not: str = ""

    def __str__(self) -> str:
        unit = LINES[self.line][0]
        said = {True: "RISES", False: "level", None: f"not judged: {self.why_not}"}[self.rises]
        return (
            f"{unit:36} {self.first:>10,.10g} -> {self.last:<10,.10g} rise {self.rise:+.3g} (bound {self.bound:.3g}): "
            f"{said}"
        )


def slope(points: list[tuple[float, float]]) -> float:
    """Returns the median of the slopes between all pairs of points (Theil and Sen): outliers don't bend it."""
    slopes = [
        (later[1] - earlier[1]) / (later[0] - earlier[0])
        for number, earlier in enumerate(points)
        for later in points[number + 1 :]
        if later[0] > earlier[0]
    ]
    return statistics.median(slopes) if slopes else 0.0


def step(values: list[float]) -> float:
    """Returns the median of the last third minus the median of the first third."""
    third = len(values) // 3
    return statistics.median(values[-third:]) - statistics.median(values[:third])


def judge(samples: list[dict], seconds: float) -> list[Verdict]:
    """Judges the lines of one process; `samples` are those at rest, each with its time `t`."""
    judged = [each for each in samples if each["t"] >= WARM_UP * seconds]
    verdicts = []
    for line, (_, absolute, share) in LINES.items():
        points = [(each["t"], each[line]) for each in judged if line in each]
        if len(points) < FEWEST:
            if any(line in each for each in samples):
                verdicts.append(Verdict(line, 0, 0, 0, absolute, None, f"{len(points)} samples at rest"))
            continue
        rise = slope(points) * (points[-1][0] - points[0][0])
        if len(points) >= ENOUGH_FOR_THIRDS:
            rise = max(rise, step([value for _, value in points]))
        bound = max(absolute, share * statistics.median(value for _, value in points))
        rises, why_not = rise > bound, ""
        if line in SLOW and seconds < SLOW_NEEDS:
            rises, why_not = None, f"that needs {SLOW_NEEDS:.0f} s"
        verdicts.append(Verdict(line, points[0][1], points[-1][1], rise, bound, rises, why_not))
    return verdicts
