"""Runs a soak: a server of everything on ferrio, under load and disturbances, whose levels must not rise.

    python -m tests.soak.run --minutes 60 [--write]

`make soak MINUTES=60` calls it. The server (`server.py`), the clients (`load.py`) and the disturbers (`disturb.py`) are
processes of their own; everything is on loopback. At the end the levels of the server and of the clients are judged by
the rule that is printed (`levels.py`). The exit status is 1 if a line rises, an answer was wrong, a loop reported an
error, or a process failed. `target/soak.json` and `target/soak.svg` keep the run; `--write` puts them into docs/ too.
"""

import argparse
import dataclasses
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.soak import levels, picture
from tests.soak import plan as plans

ROOT = Path(__file__).resolve().parents[2]


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """Returns the options."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seconds", type=float, help="instead of minutes")
    parser.add_argument("--rate", type=float, default=40.0, help="operations that clients begin in a second of work")
    parser.add_argument("--period", type=float, default=30.0, help="seconds of work and rest")
    parser.add_argument("--rest", type=float, default=5.0, help="seconds of each period in which clients rest")
    parser.add_argument("--idle", type=float, default=2.0, help="seconds after which the server gives up a silent peer")
    parser.add_argument("--leak", default="", choices=("", "descriptors", "tasks", "memory"), help="leak on purpose")
    parser.add_argument("--out", type=Path, default=ROOT / "target" / "soak", help="where to write, without the ending")
    parser.add_argument("--write", action="store_true", help="put the run into docs/ as well")
    options = parser.parse_args(arguments)
    options.seconds = options.seconds or options.minutes * 60
    return options


def start(module: str, *arguments: object, **options: object) -> subprocess.Popen:
    """Starts one of the processes with this Python."""
    command = [sys.executable, "-m", f"tests.soak.{module}", *map(str, arguments)]
    return subprocess.Popen(command, cwd=ROOT, text=True, **options)


def soak(options: argparse.Namespace, folder: str) -> tuple[plans.Plan, dict[str, int]]:
    """Runs all the processes; returns the plan, and the exit status of each."""
    plans.make_certificate(Path(folder))
    plan = plans.Plan(
        folder, 0.0, options.seconds, options.period, options.rest, options.rate, options.idle, options.leak
    )
    processes = {"server": start("server", plan.save(), stdin=subprocess.PIPE, stdout=subprocess.PIPE)}
    server = processes["server"]
    try:
        ports = json.loads(server.stdout.readline() or "{}")
        if not ports:
            raise SystemExit("the server didn't start")
        # The clients need a moment to start.
        plan = dataclasses.replace(plan, ports=ports, start=time.monotonic() + 2)
        path = plan.save()
        server.stdin.write("\n")
        server.stdin.flush()
        processes["load"] = start("load", path)
        processes["disturb"] = start("disturb", path, server.pid)
        while not plan.over():
            time.sleep(0.2)
            ended = [name for name, process in processes.items() if process.poll() is not None]
            if ended and not plan.over():
                print(f"ended early: {', '.join(ended)}", file=sys.stderr)
                break
        statuses = {}
        for name in ("load", "disturb"):
            statuses[name] = wait(processes[name], 60)
        server.send_signal(signal.SIGTERM)
        statuses["server"] = wait(server, 60)
        return plan, statuses
    finally:
        for process in processes.values():
            if process.poll() is None:
                process.kill()
                process.wait()
        server.stdin.close()
        server.stdout.close()


def wait(process: subprocess.Popen, limit: float) -> int:
    """Returns a process's exit status; one that doesn't end is a hang, and is killed."""
    try:
        return process.wait(limit)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGABRT)
        return process.wait()


def collect(plan: plans.Plan, statuses: dict[str, int]) -> dict:
    """Returns everything that is known of the run."""
    import ferrio

    folder = Path(plan.folder)
    run = {
        "date": time.strftime("%Y-%m-%d"),
        "python": platform.python_version(),
        "ferrio": ferrio.__version__,
        "machine": f"{os.cpu_count()} cores, {platform.system()} {platform.release()}",
        "seconds": plan.seconds,
        "period": plan.period,
        "rest": plan.rest,
        "rate": plan.rate,
        "leak": plan.leak,
        "statuses": statuses,
        "samples": {},
        "ends": {},
    }
    for name in ("server", "load", "disturb"):
        lines = folder / f"{name}.jsonl"
        if lines.exists():
            run["samples"][name] = [json.loads(line) for line in lines.read_text().splitlines()]
        end = folder / f"{name}-end.json"
        run["ends"][name] = json.loads(end.read_text()) if end.exists() else None
    return run


def verdicts(run: dict) -> dict[str, list[levels.Verdict]]:
    """Judges each process that was watched."""
    return {
        name: levels.judge([each for each in samples if each["rest"]], run["seconds"])
        for name, samples in run["samples"].items()
    }


def report(run: dict, judged: dict[str, list[levels.Verdict]]) -> list[str]:
    """Prints the run; returns what is wrong with it."""
    print(levels.RULE)
    wrong = [f"{name} ended with status {status}" for name, status in run["statuses"].items() if status != 0]
    wrong += [f"{name} was never watched" for name in ("server", "load") if name not in run["samples"]]
    for name, lines in judged.items():
        print(f"{name}:")
        for verdict in lines:
            print(f"  {verdict}")
        wrong += [f"{name}: {verdict.line} rises" for verdict in lines if verdict.rises]
        if not lines:
            wrong.append(f"{name}: nothing could be judged")
    for name, end in run["ends"].items():
        if end is None:
            wrong.append(f"{name} left no report of its end")
            continue
        counts = ", ".join(f"{what} {count:,}" for what, count in end["counts"].items())
        print(f"{name}, {end['cpu']:.0f} s of CPU: {counts}")
        wrong += end.get("reports", []) + end.get("failures", [])
    return wrong


def main(arguments: list[str] | None = None) -> int:
    """Runs the command; returns the exit status."""
    options = parse(arguments)
    print(f">> a soak of {options.seconds:.0f} s", flush=True)
    with tempfile.TemporaryDirectory(prefix="soak") as folder:
        plan, statuses = soak(options, folder)
        run = collect(plan, statuses)
    judged = verdicts(run)
    wrong = report(run, judged)
    run["verdicts"] = {name: [dataclasses.asdict(each) for each in lines] for name, lines in judged.items()}
    run["wrong"] = wrong
    options.out.parent.mkdir(parents=True, exist_ok=True)
    json_path, svg_path = options.out.with_suffix(".json"), options.out.with_suffix(".svg")
    json_path.write_text(json.dumps(run))
    svg_path.write_text(picture.draw(run, "light"))
    print(f">> {json_path}, {svg_path}")
    if options.write:
        picture.publish(run, ROOT / "docs" / "assets")
    for each in wrong:
        print("WRONG:", each)
    print("nothing rises" if not wrong else f"{len(wrong)} findings")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
