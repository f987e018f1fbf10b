"""How hypothesis runs here: the same examples every time, so that a failure comes back; no time limits."""

from hypothesis import HealthCheck, settings

settings.register_profile(
    "repeatable",
    derandomize=True,
    deadline=None,
    max_examples=300,
    # By the clock, too: on a busy machine all is slow.
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("repeatable")
