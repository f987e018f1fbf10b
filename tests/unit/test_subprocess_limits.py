"""Too many children, or too little for them: thousands at once, no processes, no descriptors."""

import errno
import os
import resource
import signal
import subprocess

import pytest
from tests.unit.implementations import in_a_fork

import ferrio

PIPE = subprocess.PIPE
MANY = 2000
#: A user that nobody is, not even a test in another process, so all its processes belong to one test.
NOBODY = 30_000 + os.getpid() % 30_000

FERRIO_ONLY = pytest.mark.parametrize("aio", [ferrio], ids=["ferrio"])
IS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root may become another user")


def free_descriptor():
    """Returns the lowest free number: it grows when descriptors are left open.

    It may also fall, as `open_descriptors()` may, because the collector closes what other tests have left.
    """
    number = os.dup(0)
    os.close(number)
    return number


def open_descriptors():
    """Returns what is open, except what `listdir` itself opens."""
    return set(os.listdir("/proc/self/fd"))


@FERRIO_ONLY
def test_thousands_at_once(aio):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 4 * MANY + 200
    if hard != resource.RLIM_INFINITY and hard < wanted:
        pytest.skip(f"{MANY} children need {wanted} descriptors, and no more than {hard} are allowed here")

    async def one(number):
        child = await aio.create_subprocess_exec("sh", "-c", f"exit {number % 200}", stdout=PIPE)
        output, _ = await child.communicate()
        assert output == b""
        return child.returncode

    async def main():
        before = open_descriptors()
        tasks = [aio.create_task(one(number)) for number in range(MANY)]
        assert await aio.gather(*tasks) == [number % 200 for number in range(MANY)]
        # The last pipes are closed in the following turns.
        while len(open_descriptors()) > len(before):
            await aio.sleep(0)

    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    try:
        aio.run(main())
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.parametrize("by_popen", [False, True], ids=["launched", "by Popen"])
@FERRIO_ONLY
@IS_ROOT
def test_out_of_processes(aio, monkeypatch, by_popen):
    monkeypatch.setattr(subprocess, "_USE_VFORK", not by_popen, raising=False)

    async def main():
        children, failure = [], None
        # Itself and four more.
        resource.setrlimit(resource.RLIMIT_NPROC, (5, 5))
        for _ in range(5):
            before = free_descriptor()
            try:
                children.append(await aio.create_subprocess_exec("/bin/cat", stdin=PIPE, stdout=PIPE))
            except BlockingIOError as refusal:
                failure = refusal
                break
        assert len(children) == 4
        assert failure.errno == errno.EAGAIN
        assert os.strerror(errno.EAGAIN) in str(failure)
        assert free_descriptor() <= before
        # The others don't mind, and once one has ended there is room.
        assert await children.pop().communicate(b"one") == (b"one", None)
        another = await aio.create_subprocess_exec("/bin/true")
        assert await another.wait() == 0
        for child in children:
            assert await child.communicate(b"rest") == (b"rest", None)
        with pytest.raises(ChildProcessError):
            os.waitpid(-1, os.WNOHANG)

    def body():
        os.setuid(NOBODY)
        aio.run(main())

    in_a_fork(body)


@FERRIO_ONLY
@IS_ROOT
def test_childs_user_is_out_of_processes(aio):
    # The kernel reports that when the program is about to run.
    async def main():
        before = open_descriptors()
        limits = resource.getrlimit(resource.RLIMIT_NPROC)
        first = await aio.create_subprocess_exec("/bin/cat", stdin=PIPE, user=NOBODY)
        resource.setrlimit(resource.RLIMIT_NPROC, (0, limits[1]))
        try:
            with pytest.raises(BlockingIOError) as caught:
                await aio.create_subprocess_exec("/bin/true", user=NOBODY, stdin=PIPE, stdout=PIPE)
        finally:
            resource.setrlimit(resource.RLIMIT_NPROC, limits)
        assert caught.value.errno == errno.EAGAIN
        await first.communicate()
        assert first.returncode == 0
        assert len(open_descriptors()) <= len(before)

    aio.run(main())


@FERRIO_ONLY
def test_out_of_descriptors_leaves_nothing(aio):
    async def main():
        loop = aio.get_running_loop()
        await loop.run_in_executor(None, int)
        before = open_descriptors()
        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        refused = spare = 0
        started = False
        while not started:
            resource.setrlimit(resource.RLIMIT_NOFILE, (free_descriptor() + spare, limits[1]))
            spare += 1
            try:
                child = await aio.create_subprocess_exec("cat", stdin=PIPE, stdout=PIPE, stderr=PIPE)
            except OSError as failure:
                assert failure.errno == errno.EMFILE
                assert os.strerror(errno.EMFILE) in str(failure)
                refused += 1
            else:
                child.send_signal(signal.SIGTERM)
                await child.communicate()
                started = True
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, limits)
            assert len(open_descriptors()) <= len(before)
        # Three pipes, the child's own descriptor, and the one through which it reports.
        assert refused >= 8

    aio.run(main())
