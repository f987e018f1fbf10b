"""Jupyter: a kernel that runs its notebooks on ferrio. `python -m ferrio.integrations.jupyter install --sys-prefix`

The kernel is IPython's own, started by `python -m ferrio -m ipykernel_launcher`. Only its description is installed, so
there is nothing to keep up to date. Jupyter lists it beside the others, as "Python 3 (ferrio)".
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

__all__ = ("install", "main")

NAME = "ferrio"


def install(*, user: bool = False, prefix: str | None = None, name: str = NAME) -> str:
    """Registers the kernel with Jupyter. Returns the directory that describes it.

    `user`: only for this user. `prefix`: for the Jupyter of that environment (`sys.prefix`). With neither: for the
    whole machine. The kernel is called `name`. Raises `ImportError` without ipykernel, `OSError` if the directory can't
    be written.
    """
    try:
        from ipykernel.kernelspec import get_kernel_dict
        from jupyter_client.kernelspec import KernelSpecManager
    except ImportError as error:
        raise ImportError(f"ipykernel can't be imported ({error}): pip install ipykernel") from error
    kernel = get_kernel_dict()
    kernel["display_name"] = f"Python {sys.version_info[0]} (ferrio)"
    # After the interpreter's path, ipykernel writes `-m ipykernel_launcher -f {connection_file}`.
    kernel["argv"][1:1] = ["-m", "ferrio"]
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "kernel.json").write_text(json.dumps(kernel, indent=1))
        installed: str = KernelSpecManager().install_kernel_spec(folder, kernel_name=name, user=user, prefix=prefix)
    return installed


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line: `install [--user | --sys-prefix | --prefix DIRECTORY] [--name NAME]`."""
    parser = argparse.ArgumentParser(prog="python -m ferrio.integrations.jupyter", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    command = parser.add_subparsers(required=True, metavar="COMMAND").add_parser("install", help="register it")
    where = command.add_mutually_exclusive_group()
    where.add_argument("--user", action="store_true", help="only for this user")
    where.add_argument("--sys-prefix", action="store_const", const=sys.prefix, dest="prefix", help=f"in {sys.prefix}")
    where.add_argument("--prefix", metavar="DIRECTORY", help="in that environment")
    command.add_argument("--name", default=NAME, help=f"the kernel's name ({NAME})")
    options = parser.parse_args(arguments)
    try:
        print(f"installed {install(user=options.user, prefix=options.prefix, name=options.name)}")
    except (ImportError, OSError) as error:
        sys.exit(f"ferrio: {error}")


if __name__ == "__main__":
    main()
