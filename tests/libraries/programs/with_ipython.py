"""ipython, pexpect: a shell at a pseudo-terminal: `await` at the prompt, tasks that go on while it waits for input
(`%gui asyncio`), Ctrl-C, `asyncio.run` from it; cells that a running loop awaits.

pexpect plays the person at the terminal, asynchronously.
"""

import asyncio
import os
import re
import sys
import tempfile

import pexpect
from common import WAY, python_command, report_loop
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

ON_A_LOOP = """
import asyncio, ferrio
asyncio.set_event_loop_policy(ferrio.EventLoopPolicy())
from IPython import start_ipython
start_ipython()
"""
OPTIONS = ["--no-banner", "--no-confirm-exit", "--colors=NoColor", "--no-tip"]


class Person:
    """Types at a shell and reads from it."""

    def __init__(self) -> None:
        command = [sys.executable, "-c", ON_A_LOOP] if WAY == "loop" else [*python_command(), "-m", "IPython"]
        # A terminal without cursor movements, so that what is shown equals what is sent.
        environment = {**os.environ, "TERM": "dumb", "PROMPT_TOOLKIT_NO_CPR": "1"}
        here = os.path.dirname(__file__)
        self._shell = pexpect.spawn(
            command[0], [*command[1:], *OPTIONS], env=environment, cwd=here, encoding="utf-8", timeout=60
        )

    async def prompt(self) -> None:
        await self._shell.expect(r"In \[\d+\]: ", async_=True)

    async def types(self, line: str) -> None:
        self._shell.sendline(line)

    async def reads(self, pattern: str) -> str:
        await self._shell.expect(pattern, async_=True)
        return re.sub(r"\x1b\[[\d;?]*[a-zA-Z]", "", self._shell.match[0])

    async def sees(self, pattern: str) -> None:
        print("sees", await self.reads(pattern))

    async def runs(self, line: str, pattern: str) -> None:
        await self.types(line)
        await self.sees(pattern)
        await self.prompt()

    def interrupts(self) -> None:
        self._shell.sendintr()

    async def leaves(self) -> None:
        # Not Ctrl-D, which is lost if it comes before the shell has set up the terminal for its next prompt.
        self._shell.sendline("exit")
        await self._shell.expect(pexpect.EOF, async_=True)
        self._shell.close()
        print("status", self._shell.exitstatus)


async def at_a_terminal() -> None:
    person = Person()
    await person.prompt()
    await person.runs("from common import report_loop; import asyncio, sys", "")
    await person.runs("await asyncio.sleep(0.001, 'sl' + 'ept')", r"Out\[\d+\]: \S*'slept'")
    await person.types("async def which(): sys.stderr = sys.stdout; report_loop()")
    await person.types("")
    await person.prompt()
    await person.types("await which()")
    sys.stderr.write(await person.reads(r"running on \w+") + "\n")
    await person.prompt()
    await person.runs("asyncio.run(asyncio.sleep(0, 6 * 7))", r"Out\[\d+\]: \S*42")
    await person.runs("[await asyncio.sleep(0, n) for n in range(3)]", r"Out\[\d+\]: \S*\[0, 1, 2\]")
    await person.runs("%autoawait", "IPython autoawait is .*asyncio")
    await person.types("print('it ' + 'waits'); await asyncio.sleep(60)")
    await person.sees("it waits")
    person.interrupts()
    await person.sees("KeyboardInterrupt")
    await person.prompt()
    await person.runs("%gui asyncio", "")
    await person.types("task = asyncio.create_task(asyncio.sleep(0.5)); await asyncio.sleep(0)")
    await person.prompt()
    # The task ends while the shell waits for the next line.
    await person.types("task.add_done_callback(lambda _: print('it is ' + 'over'))")
    await person.sees("it is over")
    await person.leaves()


async def in_a_running_loop() -> None:
    shell = InteractiveShell.instance(config=Config({"HistoryManager": {"enabled": False}}))
    for cell in (
        "import asyncio",
        "await asyncio.sleep(0, 7)",
        "await asyncio.gather(*(asyncio.sleep(0, n) for n in range(3)))",
        "await asyncio.to_thread(len, 'ab')",
    ):
        done = await shell.run_cell_async(cell, transformed_cell=shell.transform_cell(cell), store_history=False)
        print(done.success, done.result)


async def main() -> None:
    report_loop()
    with tempfile.TemporaryDirectory() as directory:
        os.environ["IPYTHONDIR"] = directory
        await at_a_terminal()
        await in_a_running_loop()


if __name__ == "__main__":
    asyncio.run(main())
