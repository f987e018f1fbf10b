"""`ferrio.testing`: a test bench for asynchronous programs.

    from ferrio import testing

    testing.explore(main, runs=1000)

Nothing imports this module but a program that tests.
"""

from ferrio.testing.cancelling import cancel_everywhere
from ferrio.testing.exploring import Explored, explore
from ferrio.testing.replaying import replay
from ferrio.testing.running import Departed, Stuck

__all__ = ("Departed", "Explored", "Stuck", "cancel_everywhere", "explore", "replay")
