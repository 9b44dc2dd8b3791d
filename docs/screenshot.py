"""The picture of the page of `pipeline demo --live`, docs/pictures/page.png.

    make screenshot

It needs Chromium. A browser draws letters as its machine has them, so no test compares pictures.
"""

import re
import shutil
import subprocess
import sys
import tempfile
from contextlib import redirect_stderr
from io import StringIO
from pathlib import Path

from pipeline.demo.watched import run_watched

_PICTURE = Path(__file__).parent / "pictures" / "page.png"
_DOCUMENTS = 2_000
_SIZE = "840,1230"
_SHOWN = "wrong_type"


def main() -> int:
    """Draw the picture."""
    browser = shutil.which("chromium")
    if browser is None:
        print("This needs chromium on the PATH.", file=sys.stderr)
        return 1
    said = StringIO()

    def shoot() -> None:
        url = re.findall(r"http\S+", said.getvalue())
        with tempfile.TemporaryDirectory() as profile:
            subprocess.run(
                [
                    *(browser, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"),
                    *(
                        "--disable-background-networking",
                        "--disable-component-update",
                        "--disable-lcd-text",
                    ),
                    *("--hide-scrollbars", f"--user-data-dir={profile}", f"--window-size={_SIZE}"),
                    *("--virtual-time-budget=6000", f"--screenshot={_PICTURE}"),
                    f"{url[0]}#{_SHOWN}",
                ],
                check=True,
                stderr=subprocess.DEVNULL,
            )

    with tempfile.TemporaryDirectory() as folder, redirect_stderr(said):
        return run_watched(_DOCUMENTS, Path(folder) / "demo", 1, port=0, until=shoot)


if __name__ == "__main__":
    sys.exit(main())
