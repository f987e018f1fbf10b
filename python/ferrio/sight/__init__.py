"""`ferrio.sight`: what a loop is doing, while it does it.

    from ferrio import sight

    with sight.watch(0.1):
        ferrio.run(main())

Everything here is off until a program, the command line or the environment turns it on. Nothing here runs per callback.
"""

from ferrio.sight.watchdog import Block, Watch, watch

__all__ = ("Block", "Watch", "watch")
