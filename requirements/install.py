"""Install a lock file into an environment of its own: `install.py DIRECTORY LOCK`.

With uv where it is on the path, else with pip, which is made to say how far it is. It needs nothing
but Python.
"""

import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

_TAKEN = re.compile(r"(?:Collecting|Processing) (?:\S*/)?([\w.]+)")
_WIDTH = 60  # of the progress line


def main(directory: Path, lock: Path) -> int:
    """Make the environment, install, and leave a stamp; return an exit code."""
    started = shutil.which("uv")
    packages = len(re.findall(r"^[\w.-]+==", lock.read_text("utf-8"), re.MULTILINE))
    print(f"Installing {packages} packages into {directory}, the first time ...", flush=True)
    code = _with_uv(started, directory, lock) if started else _with_pip(directory, lock, packages)
    if code == 0:
        # The stamp is written last: an installation that broke half way is taken up again.
        (directory / ".installed").touch()
    return code


def _with_uv(uv: str, directory: Path, lock: Path) -> int:
    python = str(directory / "bin" / "python")
    make = [uv, "venv", "--quiet", "--allow-existing", "--python", sys.executable, str(directory)]
    install = [uv, "pip", "install", "--python", python, "--no-deps", "--require-hashes"]
    return _run(make) or _run([*install, "--requirements", str(lock)])


def _with_pip(directory: Path, lock: Path, packages: int) -> int:
    code = _run([sys.executable, "-m", "venv", str(directory)])
    if code:
        return code
    # What is not imported need not be compiled: boto3 alone brings thousands of modules.
    install = [
        *(str(directory / "bin" / "python"), "-m", "pip", "install", "--no-compile", "--no-deps"),
        *("--disable-pip-version-check", "--require-hashes", "--requirement", str(lock)),
    ]
    done = 0
    with subprocess.Popen(install, stdout=subprocess.PIPE, encoding="utf-8") as pip:
        for line in pip.stdout or ():
            if found := _TAKEN.match(line):
                done += 1
                _show(f"  {done} of {packages}: {found[1]}")
            elif line.startswith("Installing"):
                _show("  unpacking ...")
    _show("")
    return pip.returncode


def _show(text: str) -> None:
    """Show how far it is: one line on a terminal, which is written over."""
    if sys.stdout.isatty():
        print(f"\r{text:<{_WIDTH}}", end="" if text else "\r", flush=True)
    elif text:
        print(text, flush=True)


def _run(command: Sequence[str]) -> int:
    return subprocess.run(command, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
