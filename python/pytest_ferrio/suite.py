"""What concerns a whole run of pytest: `ferrio = true` runs it on ferrio, and `ferrio_loop = true` on its loop alone.

Invariant: every change is undone when the run ends.
"""

from __future__ import annotations

import asyncio
import warnings

import pytest

from pytest_ferrio import exploring, item

INSTALL = "ferrio"
LOOP = "ferrio_loop"

_active: dict[pytest.Config, str] = {}


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds the settings."""
    parser.addini(INSTALL, "run on ferrio: asyncio's names are ferrio's in the whole test run", "bool", default=False)
    parser.addini(LOOP, "run the standard asyncio on ferrio's loop", "bool", default=False)
    item.add_settings(parser)
    exploring.add_options(parser)


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    """Turns it on before the suite's first file is imported, which may import names from asyncio."""
    _turn_on(early_config)


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Turns it on if a `conftest.py` named the plugin, which comes after the hook above. Names the mark."""
    config.addinivalue_line("markers", item.MARK_HELP)
    exploring.check_options(config)
    _turn_on(config)


def pytest_report_header(config: pytest.Config) -> str | None:
    """Says what the suite runs on."""
    return _active.get(config)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Turns it off."""
    if _active.pop(config, None) is None:
        return
    import ferrio

    if config.getini(INSTALL):
        ferrio.uninstall()
    else:
        _set_policy(None)


def _turn_on(config: pytest.Config) -> None:
    if config in _active or not (config.getini(INSTALL) or config.getini(LOOP)):
        return
    import ferrio

    if config.getini(INSTALL):
        ferrio.install()
        _active[config] = f"ferrio: {ferrio.__version__}, asyncio is ferrio"
    else:
        # Plugins and unittest make their loops with it, unless they are given a loop factory.
        _set_policy(ferrio.EventLoopPolicy())
        _active[config] = f"ferrio: {ferrio.__version__}, asyncio on ferrio's loop"


def _set_policy(policy: asyncio.AbstractEventLoopPolicy | None) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # from Python 3.14 on; there is no other way for all
        asyncio.set_event_loop_policy(policy)
