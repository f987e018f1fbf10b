"""How hypothesis runs here: the same examples every time, so that a failure comes back; no time limits."""

from hypothesis import settings

settings.register_profile("repeatable", derandomize=True, deadline=None, max_examples=300)
settings.load_profile("repeatable")
