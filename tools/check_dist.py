"""Checks one sdist or wheel the way somebody who installs it would find it.

    PYTHON tools/check_dist.py FILE [--install PYTHON]

It checks the contents, the metadata and the required glibc (with auditwheel, which must be importable for wheels). With
`--install` it also installs into a fresh environment of that Python, away from the checkout, and runs the first
example. It ends with status 1 and a list of everything that is wrong. It builds nothing, except what pip builds from an
sdist.
"""

import argparse
import email
import email.message
import os
import re
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# The newest glibc symbol version that manylinux2014 allows.
OLDEST_GLIBC = (2, 17)
# What a wheel may weigh, in bytes.
LARGEST_WHEEL = 3_000_000

BREAKFAST = """\
start coffee
start eggs
coffee ready
eggs ready
served hot coffee and hot eggs after 2.0 s
"""

# What an installed ferrio reports about itself; it runs without the checkout's directory on the path.
SMOKE = """
import importlib.metadata, pathlib, sys
import ferrio
assert ferrio.__version__ == importlib.metadata.version("ferrio") == {version!r}, ferrio.__version__
here = pathlib.Path(ferrio.__file__).parent
assert here.is_relative_to(sys.prefix), here
async def main():
    reader, writer = await ferrio.open_connection(*server.sockets[0].getsockname())
    writer.write(b"hello\\n")
    line = await reader.readline()
    writer.close()
    return line
async def upper(reader, writer):
    writer.write((await reader.readline()).upper())
    writer.close()
async def serve():
    global server
    server = await ferrio.start_server(upper, "127.0.0.1", 0)
    async with server:
        return await main()
assert ferrio.run(serve()) == b"HELLO\\n"
"""


def workspace_version():
    """Returns the version in Cargo.toml."""
    return tomllib.loads((ROOT / "Cargo.toml").read_text())["workspace"]["package"]["version"]


def wrong_metadata(text):
    """Yields what is missing or wrong in METADATA or PKG-INFO."""
    metadata = email.message_from_string(text)
    expected = {"Name": "ferrio", "Version": workspace_version(), "License-Expression": "MIT OR Apache-2.0"}
    for field, value in expected.items():
        if metadata[field] != value:
            yield f"metadata: {field} is {metadata[field]!r}, not {value!r}"
    for field in ("Summary", "Author", "Keywords", "Requires-Python", "Description-Content-Type"):
        if not metadata[field]:
            yield f"metadata: no {field}"
    if set(metadata.get_all("License-File", [])) != {"LICENSE-APACHE", "LICENSE-MIT"}:
        yield f"metadata: License-File is {metadata.get_all('License-File')}"
    if "Typing :: Typed" not in metadata.get_all("Classifier", []):
        yield "metadata: the classifier Typing :: Typed is missing"
    # What belongs to an extra is installed only if somebody asks for it.
    if required := [line for line in metadata.get_all("Requires-Dist", []) if "extra ==" not in line]:
        yield f"metadata: it requires {required}, but ferrio needs nothing"
    if "# ferrio" not in str(metadata.get_payload()):
        yield "metadata: the README is not the description"


def package_files():
    """Returns the package's files as a wheel must have them."""
    packages = ROOT / "python"
    return {
        path.relative_to(packages).as_posix()
        for path in packages.rglob("*")
        if path.suffix in (".py", ".pyi", ".html", ".css", ".js") or path.name == "py.typed"
    }


def wrong_wheel(path):
    """Yields what is wrong with a wheel: its files, its metadata, the glibc that it needs."""
    with zipfile.ZipFile(path) as wheel:
        names = set(wheel.namelist())
        info = f"ferrio-{workspace_version()}.dist-info"
        metadata = wheel.read(f"{info}/METADATA").decode()
        modules = {name for name in names if re.fullmatch(r"ferrio/_ferrio\.cpython-[\w-]+\.so", name)}
        binaries = [wheel.read(name) for name in modules]
    yield from wrong_metadata(metadata)
    if len(modules) != 1:
        yield f"the wheel has {len(modules)} extension modules: {sorted(modules)}"
    for directory in (Path.home(), ROOT):
        if any(f"{directory}/".encode() in binary for binary in binaries):
            yield f"the extension module names a directory of this machine, {directory}"
    if any(b".symtab\0" in binary for binary in binaries):
        yield "the extension module isn't stripped"
    if path.stat().st_size > LARGEST_WHEEL:
        yield f"the wheel has {path.stat().st_size / 1e6:.1f} MB, more than {LARGEST_WHEEL / 1e6:.0f}"
    described = {name for name in names if name.startswith(info + "/")}
    if not any(name.startswith(f"{info}/sboms/") for name in described):
        yield "the wheel lacks the list of the crates in it (SBOM)"
    for needed in (f"{info}/licenses/LICENSE-MIT", f"{info}/licenses/LICENSE-APACHE", f"{info}/RECORD"):
        if needed not in described:
            yield f"the wheel lacks {needed}"
    if lacking := package_files() - names:
        yield f"the wheel lacks {sorted(lacking)}"
    if surplus := names - package_files() - modules - described:
        yield f"the wheel has files that no program needs: {sorted(surplus)}"
    shown = subprocess.run(
        [sys.executable, "-m", "auditwheel", "show", path], capture_output=True, text=True, check=False
    )
    text = " ".join((shown.stdout + shown.stderr).split())
    print(f"auditwheel: {text}")
    if shown.returncode != 0:
        yield "auditwheel does not accept the wheel"
    tag = re.search(r'consistent with the following platform tag: "manylinux_(\d+)_(\d+)_\w+"', text)
    if "manylinux2014" in path.name and (tag is None or (int(tag[1]), int(tag[2])) > OLDEST_GLIBC):
        yield "the wheel calls itself manylinux2014 but needs a newer glibc"
    if "musllinux" in path.name and '"musllinux_1_2_' not in text:
        yield "the wheel calls itself musllinux but auditwheel doesn't agree"


def wrong_sdist(path):
    """Yields what is wrong with an sdist, which must be the repository without its CI."""
    with tarfile.open(path) as archive:
        names = {member.name.partition("/")[2] for member in archive.getmembers() if member.isfile()}
        information = archive.extractfile(f"ferrio-{workspace_version()}/PKG-INFO")
        yield from wrong_metadata(information.read().decode())
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode != 0:
        print("not a git checkout, so the sdist's list of files can't be checked")
        return
    ours = {name for name in listed.stdout.splitlines() if not name.startswith(".")}
    if lacking := ours - names:
        yield f"the sdist lacks {sorted(lacking)}"
    if surplus := names - ours - {"PKG-INFO"}:
        yield f"the sdist has files that aren't in the repository: {sorted(surplus)}"


def wrong_installed(path, python):
    """Yields what goes wrong when the distribution is installed into a fresh environment of `python` and run."""
    with tempfile.TemporaryDirectory() as folder:
        # Nothing from the checkout or another environment may help.
        environment = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "VIRTUAL_ENV"))}
        subprocess.run([python, "-m", "venv", f"{folder}/venv"], check=True)
        fresh = f"{folder}/venv/bin/python"
        pip = [fresh, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        if path.suffix == ".whl":
            pip += ["--no-index", "--no-deps"]
        if subprocess.run([*pip, path.resolve()], env=environment, cwd=folder, check=False).returncode != 0:
            yield f"pip can't install it for {python}"
            return
        smoke = subprocess.run(
            [fresh, "-I", "-W", "error", "-c", SMOKE.format(version=workspace_version())],
            env=environment,
            cwd=folder,
            check=False,
        )
        if smoke.returncode != 0:
            yield "it installs but doesn't work"
        breakfast = subprocess.run(
            [fresh, "-m", "ferrio", "--virtual-time", ROOT / "examples" / "breakfast.py"],
            env=environment,
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
        if breakfast.stdout != BREAKFAST or breakfast.returncode != 0:
            yield f"examples/breakfast.py printed {breakfast.stdout!r}, {breakfast.stderr!r}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("file", type=Path, help="a wheel or an sdist")
    parser.add_argument("--install", metavar="PYTHON", help="also install it for this interpreter and run it")
    options = parser.parse_args()
    wrong = list(wrong_wheel(options.file) if options.file.suffix == ".whl" else wrong_sdist(options.file))
    if options.install:
        wrong += wrong_installed(options.file, options.install)
    for line in wrong:
        print(f"!! {options.file.name}: {line}", file=sys.stderr)
    if wrong:
        sys.exit(1)
    print(f"{options.file.name} is all right" + (f", and runs on {options.install}" if options.install else ""))


if __name__ == "__main__":
    main()
