"""`ferrio.sight`: what a loop is doing, while it does it.

    from ferrio import sight

    with sight.watch(0.1):
        ferrio.run(main())

Everything here is off until a program, the command line or the environment turns it on. Nothing here runs per callback.
"""

from ferrio.sight.ledger import all_metrics
from ferrio.sight.metrics import Histogram, Metering, Metrics, meter, metrics
from ferrio.sight.watchdog import Block, Watch, watch

__all__ = ("Block", "Histogram", "Metering", "Metrics", "Watch", "all_metrics", "meter", "metrics", "watch")
