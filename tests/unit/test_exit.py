"""The end of a program whose threads are idle, at work, or never finish."""

import re
import sys

import pytest
from tests.unit.programs import run_program


def test_exit_with_idle_threads():
    output = run_program(
        """
        import ferrio
        loop = ferrio.new_event_loop()
        print(loop.run_until_complete(loop.run_in_executor(None, abs, -1)))
        """
    )
    assert output == "1\n"


def test_exit_waits_for_queued_calls():
    output = run_program(
        """
        import threading
        from ferrio.executor import ThreadPool
        pool = ThreadPool(1)
        pool.submit(threading.main_thread().join)
        for number in range(3):
            pool.submit(print, number, flush=True)
        print("end of main", flush=True)
        """
    )
    assert output == "end of main\n0\n1\n2\n"


def test_submit_at_exit_is_refused():
    output = run_program(
        """
        import threading, ferrio
        from ferrio.executor import ThreadPool
        pool = ThreadPool(1)

        def late():
            threading.main_thread().join()
            try:
                # The pool learns of the end a moment after the main thread can be joined.
                while True:
                    pool.submit(int).result()
            except RuntimeError as error:
                print(error)

        pool.submit(abs, 1).result()
        threading.Thread(target=late).start()
        """
    )
    assert output == "cannot schedule new futures after interpreter shutdown\n"


def test_interrupt_with_idle_threads_ends_at_once():
    output = run_program(
        """
        import os, signal, ferrio

        async def main():
            await ferrio.gather(*[ferrio.to_thread(abs, 1) for _ in range(10)])
            os.kill(os.getpid(), signal.SIGINT)
            await ferrio.sleep(3600)

        try:
            ferrio.run(main())
        except KeyboardInterrupt:
            print("interrupted")
        """
    )
    assert output == "interrupted\n"


# A thread that never ends

NEVER = """
    import os, signal, sys, threading, warnings, {aio} as aio

    def never():
        threading.Event().wait()

    def interrupt_when(thread, function):
        # Sends Ctrl-C once the main thread is inside the function.
        def look():
            frame = sys._current_frames()[thread]
            while frame is not None:
                if frame.f_code.co_name == function:
                    return os.kill(os.getpid(), signal.SIGINT)
                frame = frame.f_back
            threading.Timer(0.01, look).start()
        look()

    async def main():
        aio.get_running_loop().run_in_executor(None, never)
    """


@pytest.mark.parametrize("name", ["asyncio", "ferrio"])
def test_interrupts_end_a_program_whose_thread_never_ends(name):
    # The first ends the wait in the runner's close(), the second that of the interpreter.
    output = run_program(
        NEVER.format(aio=name)
        + """
    main_thread = threading.get_ident()
    interrupt_when(main_thread, "close")
    try:
        aio.run(main())
    except KeyboardInterrupt:
        print("interrupted", flush=True)
    interrupt_when(main_thread, "_shutdown")
    """
    )
    # If it came while close() was calling a coroutine function, Python warns first that nobody awaited the coroutine.
    assert "interrupted\n" in output


@pytest.mark.skipif(
    sys.version_info[:2] == (3, 12), reason="at its end Python 3.12 starts no thread that could report it"
)
def test_exit_that_waits_for_a_thread_names_its_function():
    output = run_program(
        NEVER.format(aio="ferrio")
        + """
    import ferrio._exit
    ferrio._exit.REPORT_DELAY = 0.01
    ended = threading.Event()

    def report(message, *rest, **keywords):
        print(message, flush=True)
        ended.set()

    warnings.showwarning = report

    def slow_one():
        ended.wait()

    loop = ferrio.new_event_loop()
    loop.run_in_executor(None, slow_one)
    loop.close()
    """
    )
    assert re.fullmatch(
        r"The program has ended, but is still waiting for <function slow_one at 0x\w+> in a thread\. "
        r"Press Ctrl-C to stop it\n",
        output,
    )
