"""Wrong arguments of `ferrio.sight` and its switches: refused at once, by an exception or a line that says what is
needed. And places that can't be written to."""

import os
import signal
import subprocess
import sys

import pytest
from tests.unit import seen

from ferrio import sight
from ferrio.sight import recorder, stuck


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """Files go into a directory of this test's own."""
    monkeypatch.chdir(tmp_path)
    tmp_path.chmod(0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))


def ferrio_command(*arguments):
    command = [sys.executable, "-m", "ferrio", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


# ---- functions


@pytest.mark.parametrize(
    ("error", "function", "arguments", "keywords"),
    [
        (TypeError, sight.watch, ("x",), {}),
        (TypeError, sight.watch, (None,), {}),
        (ValueError, sight.watch, (0,), {}),
        (ValueError, sight.watch, (float("nan"),), {}),
        (TypeError, sight.watch, (0.1, "print"), {}),
        (TypeError, sight.metrics, ("x",), {}),
        (RuntimeError, sight.metrics, (), {}),
        (TypeError, sight.record, ("x",), {}),
        (TypeError, sight.record, (None,), {}),
        (ValueError, sight.record, (-1,), {}),
        (ValueError, sight.record, (float("nan"),), {}),
        (TypeError, sight.record, (), {"path": None}),
        (ValueError, sight.record, (), {"path": "out.txt"}),
        (ValueError, sight.record, (), {"path": ""}),
        (ValueError, sight.record, (), {"path": "a\0.html"}),
        (ValueError, sight.record, (), {"signal": "XX"}),
        (ValueError, sight.record, (), {"signal": 12345}),
        (ValueError, sight.record, (), {"signal": 1.5}),
        (ValueError, sight.record, (), {"signal": "KILL"}),
        (TypeError, sight.record, (), {"files": "x"}),
        (TypeError, sight.record, (), {"events": 1.5}),
        (OSError, sight.record, (), {"path": "none/out.html"}),
        (ValueError, sight.trace, ("out.txt",), {}),
        (ValueError, sight.trace, (b"out.txt",), {}),
        (OSError, sight.trace, ("none/out.html",), {}),
        (OSError, sight.trace, ("x" * 300 + ".html",), {}),
        (TypeError, sight.trace, (5,), {}),
        (ValueError, stuck.dump_on, ("XX",), {}),
        (ValueError, stuck.dump_on, ("",), {}),
    ],
)
def test_a_wrong_argument_is_refused_and_leaves_nothing_on(error, function, arguments, keywords):
    handlers = [signal.getsignal(number) for number in signal.valid_signals()]
    with pytest.raises(error):
        function(*arguments, **keywords)
    assert recorder._current is None
    assert [signal.getsignal(number) for number in signal.valid_signals()] == handlers
    assert os.listdir() == []


@pytest.mark.parametrize("name", ["USR2", "SIGUSR2", "usr2", signal.SIGUSR2, int(signal.SIGUSR2)])
def test_a_signal_has_many_names(name):
    before = signal.getsignal(signal.SIGUSR2)
    with sight.record(signal=name, on_stall=False):
        assert signal.getsignal(signal.SIGUSR2) is not before
    assert signal.getsignal(signal.SIGUSR2) is before


def test_a_path_may_be_bytes():
    with sight.trace(b"out.json") as trace:
        trace.write(b"now.json")
    assert sorted(os.listdir()) == ["now.json", "out.json"]


# ---- the command line


@pytest.mark.parametrize(
    "option",
    [
        *("--watch=x", "--watch=nan", "--watch=inf", "--watch=0", "--record=-1", "--record=x", "--trace", "--trace="),
        *("--trace=out.txt", "--trace=none/out.html", "--dump-signal=KILL", "--dump-signal=XX", "--metrics=x:y:z"),
    ],
)
def test_a_wrong_switch_is_refused(option):
    done = ferrio_command(option, "-c", "print('ran')")
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith(f"ferrio: {option.partition('=')[0]}")
    assert "Traceback" not in done.stderr
    assert os.listdir() == []


@pytest.mark.parametrize(
    "arguments",
    [
        *(("x",), ("1.5",), ("1", "--limit=-1"), ("1", "--limit=x"), ("1", "--sample=nan"), ("1", "--sample=inf")),
        *(("1", "--sample=-1"), ("1", "--sample=x"), ("1", "--sort=x"), ("1", "2")),
    ],
)
def test_a_wrong_argument_of_a_command_is_refused(arguments):
    done = ferrio_command("ps", *arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert "error: " in done.stderr


def test_what_cannot_be_written_is_said():
    with seen.program(seen.WAITS) as program:
        for options in ((), ("--json",)):
            for arguments in (("ps", str(program.pid)), ("ps",), ("tree", str(program.pid))):
                command = [sys.executable, "-m", "ferrio", *arguments, *options]
                with open("/dev/full", "w") as full:
                    done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
                said = f"ferrio {arguments[0]}: The output can't be written: No space left on device.\n"
                assert (done.returncode, done.stderr) == (1, said)
                done = subprocess.run(
                    ["sh", "-c", '"$@" >&-', "sh", *command], stderr=subprocess.PIPE, text=True, check=False
                )
                said = f"ferrio {arguments[0]}: The output can't be written: there is no standard output.\n"
                assert (done.returncode, done.stderr) == (1, said)
        program.stdin.write("\n")


@pytest.mark.parametrize("arguments", [("--nope",), ("ps", "x"), ("--trace=out.txt", "x.py"), ("--watch=x",)])
def test_without_standard_error_the_status_tells(arguments):
    command = [sys.executable, "-m", "ferrio", *arguments]
    done = subprocess.run(["sh", "-c", '"$@" 2>&-', "sh", *command], stdout=subprocess.PIPE, check=False)
    assert done.returncode == 2


@pytest.mark.parametrize("suffix", ["html", "json"])
@pytest.mark.parametrize("closed", ["", " 2>&-", " >&- 2>&- <&-"])
def test_a_trace_on_a_full_disk_leaves_the_status_alone(suffix, closed):
    os.symlink("/dev/full", f"out.{suffix}")
    program = "import asyncio; asyncio.run(asyncio.sleep(0)); raise SystemExit(7)"
    command = [sys.executable, "-m", "ferrio", f"--trace=out.{suffix}", "-c", program]
    done = subprocess.run(["sh", "-c", f'"$@"{closed}', "sh", *command], capture_output=True, text=True, check=False)
    assert done.returncode == 7
    said = "ferrio: the trace can't be written: [Errno 28] No space left on device\n"
    assert done.stderr == ("" if closed else said)
