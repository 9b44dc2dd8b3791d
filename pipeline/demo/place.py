"""Where a demo writes: a directory of its own, which a later demo may replace."""

import itertools
import shutil
from dataclasses import dataclass
from pathlib import Path

import pipeline
from pipeline.core.errors import DemoRefused

DATASETS = ("clicks", "orders")
DEFAULT = Path("pipeline-demo")
SAMPLE = "orders.ndjson"
"""A file of documents to try other commands with."""
_MARK = ".pipeline-demo"
_MARK_TEXT = "Made by `pipeline demo`, which may replace the files beside this one.\n"


@dataclass(frozen=True, slots=True)
class Place:
    """The directories of one demo."""

    root: Path

    @property
    def output(self) -> Path:
        """The tables."""
        return self.root / "output"

    @property
    def dead_letters(self) -> Path:
        """What did not become a row."""
        return self.root / "dead-letters"

    @property
    def schemas(self) -> Path:
        """The two datasets, copied: whoever tries things out here changes nothing elsewhere."""
        return self.root / "schemas"


def prepare(out: Path | None) -> Place:
    """Make the directory, or clear that of an earlier demo; refuse anybody else's."""
    root = (out or DEFAULT).resolve()
    if root.exists() and not root.is_dir():
        message = f"{root} is not a directory; name a new one with --out."
        raise DemoRefused(message)
    root.mkdir(parents=True, exist_ok=True)
    mark = root / _MARK
    if any(root.iterdir()) and not mark.is_file():
        message = (
            f"{root} is not empty, and no earlier demo made it; name a new directory with --out."
        )
        raise DemoRefused(message)
    mark.write_text(_MARK_TEXT, "utf-8")
    place = Place(root)
    for folder in (place.output, place.dead_letters, place.schemas):
        if folder.exists():
            shutil.rmtree(folder)
        folder.mkdir()
    for name in DATASETS:
        shutil.copytree(_schemas() / name, place.schemas / name)
    return place


def new_folder(place: Place) -> str:
    """Return a name for a folder of drafts that is not there: what somebody has edited stays."""
    names = itertools.chain(["drafts"], (f"drafts-{number}" for number in itertools.count(2)))
    return next(name for name in names if not (place.root / name).exists())


def write_sample(place: Place, documents: list[bytes]) -> None:
    """Leave a file of documents, one a line."""
    (place.root / SAMPLE).write_bytes(b"".join(document + b"\n" for document in documents))


def _schemas() -> Path:
    """Find the example schemas: beside the package in a checkout, inside it in a wheel."""
    package = Path(pipeline.__file__).parent
    checkout = package.parent / "schemas"
    return checkout if all((checkout / name).is_dir() for name in DATASETS) else package / "schemas"
