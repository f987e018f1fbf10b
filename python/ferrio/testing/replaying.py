"""`replay`: runs a program by the schedule that `explore` has printed."""

from __future__ import annotations

from typing import Any

from ferrio.testing import running, schedule
from ferrio.testing.running import Departed, Main

__all__ = ("replay",)


def replay(main: Main, text: str, /, *, relaxed: bool = False, virtual_time: bool = True) -> None:
    """Runs `main()` by a schedule, such as "z12.2.z3.1", and raises what it raises, with a note of the steps.

    `relaxed` and `virtual_time` as they were for `explore`. Raises `Departed` if the program has gone another way
    and didn't fail, and `ValueError` if the text isn't a schedule.
    """
    choices = schedule.parse(text)
    running.check_call("replay", main)
    order: dict[str, Any] = {"way": "fixed", "choices": choices, "relaxed": relaxed}
    done = running.run(main, order, with_steps=True, virtual_time=virtual_time)
    steps = running.steps_in_words(done.steps)
    departed = done.departed
    if departed is None and len(done.schedule) < len(choices):
        departed = len(done.schedule)
    if done.error is not None:
        away = "" if departed is None else f" It has left the schedule at choice {departed + 1}."
        done.error.add_note(f"ferrio.testing: replayed {text!r}.{away}\n{steps}")
        raise done.error
    if departed is not None:
        raise Departed(
            f"the program has left the schedule at choice {departed + 1} of {len(choices)}, and didn't fail\n{steps}"
        )
