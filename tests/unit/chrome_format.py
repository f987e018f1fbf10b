"""What the "Trace Event Format" of Chrome and Perfetto asks of a file, as far as ferrio's traces use it."""

import collections
import json

# The keys that each kind of event must have, and those that it may have.
COMMON = {"ph", "name", "pid", "tid"}
KEYS = {
    "M": (COMMON | {"args"}, set()),
    "X": (COMMON | {"cat", "ts", "dur"}, {"args", "cname"}),
    "b": (COMMON | {"cat", "ts", "id"}, set()),
    "e": (COMMON | {"cat", "ts", "id"}, set()),
    "s": (COMMON | {"cat", "ts", "id"}, set()),
    "f": (COMMON | {"cat", "ts", "id", "bp"}, set()),
}
METADATA = {
    "process_name": {"name": str},
    "thread_name": {"name": str},
    "process_sort_index": {"sort_index": int},
    "thread_sort_index": {"sort_index": int},
}


def check(text):
    """Fails unless `text` is a trace that viewers show as it is meant. Returns its events."""
    loaded = json.loads(text)
    assert set(loaded) == {"displayTimeUnit", "otherData", "traceEvents"}
    assert loaded["displayTimeUnit"] in ("ns", "ms") and isinstance(loaded["otherData"], dict)
    events = loaded["traceEvents"]
    for event in events:
        _check_fields(event)
    _check_names(events)
    _check_nesting(events)
    _check_flows(events)
    _check_pairs(events)
    return events


def nanos(micros):
    return round(micros * 1000)


def _check_fields(event):
    needed, allowed = KEYS[event["ph"]]
    assert needed <= set(event) <= needed | allowed, event
    assert isinstance(event["name"], str), event
    assert all(type(event[key]) is int for key in ("pid", "tid")), event
    for key in ("ts", "dur"):
        assert key not in event or (type(event[key]) in (int, float) and event[key] >= 0), event
    if event["ph"] == "M":
        assert {key: type(value) for key, value in event["args"].items()} == METADATA[event["name"]], event
    if event["ph"] == "f":
        assert event["bp"] == "e", event


def _check_names(events):
    """Each track and each process has one name."""
    for kind in ("process_name", "thread_name"):
        named = [(e["pid"], e["tid"] if kind == "thread_name" else 0) for e in events if e["name"] == kind]
        assert len(named) == len(set(named))
        used = {(e["pid"], e["tid"] if kind == "thread_name" else 0) for e in events if e["ph"] != "M"}
        assert used <= set(named), used - set(named)


def _tracks(events):
    tracks = collections.defaultdict(list)
    for event in events:
        if event["ph"] == "X":
            start = nanos(event["ts"])
            tracks[event["pid"], event["tid"]].append((start, start + nanos(event["dur"]), event))
    return tracks


def _check_nesting(events):
    """Slices of a track lie inside of each other or apart."""
    for track in _tracks(events).values():
        track.sort(key=lambda each: (each[0], -each[1]))
        around = []
        for start, end, event in track:
            while around and around[-1] <= start:
                around.pop()
            assert not around or end <= around[-1], f"{event} is only in part inside of another slice"
            around.append(end)


def _check_flows(events):
    """Each flow begins and ends in a slice, and doesn't go back in time."""
    tracks = _tracks(events)
    begun = {event["id"]: event for event in events if event["ph"] == "s"}
    ended = {event["id"]: event for event in events if event["ph"] == "f"}
    assert set(begun) == set(ended)
    assert len(begun) + len(ended) == sum(event["ph"] in "sf" for event in events)
    for number, event in begun.items():
        arrival = ended[number]
        assert nanos(event["ts"]) <= nanos(arrival["ts"])
        for end in (event, arrival):
            at = nanos(end["ts"])
            inside = [each for start, stop, each in tracks[end["pid"], end["tid"]] if start <= at <= stop]
            assert any(each["cat"] not in ("task", "wait") for each in inside), end
        assert (event["name"], event["cat"]) == (arrival["name"], arrival["cat"])


def _check_pairs(events):
    """What is asynchronous begins before it ends, once."""
    open_ones, seen = {}, set()
    for event in events:
        key = (event.get("cat"), event.get("id"), event["pid"])
        if event["ph"] == "b":
            assert key not in seen
            seen.add(key)
            open_ones[key] = event
        elif event["ph"] == "e":
            begin = open_ones.pop(key)
            assert begin["ts"] <= event["ts"] and begin["name"] == event["name"]
    assert not open_ones
