"""How hypothesis runs here: with the same examples every time, so that failures can be repeated, and no time limits."""

from hypothesis import HealthCheck, settings

settings.register_profile(
    "repeatable",
    derandomize=True,
    deadline=None,
    max_examples=300,
    # That includes its health check of speed: on a busy machine everything is slow.
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("repeatable")
