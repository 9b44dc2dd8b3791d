"""Runs the blocks of commands on pages, as they stand: `pages.py FOLDER PAGE …`, in that folder."""

import re
import subprocess
import sys
from pathlib import Path

_BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def main(folder: Path, pages: list[str]) -> int:
    """Run them all; return the exit code of the first that fails, or 0."""
    for page in pages:
        for commands in _BLOCK.findall((folder / page).read_text("utf-8")):
            print(f"--- {page}:\n{commands}", flush=True)
            done = subprocess.run(["sh", "-e", "-c", commands], cwd=folder, check=False)
            if done.returncode:
                return done.returncode
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
