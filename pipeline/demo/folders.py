"""A directory as a tree: what is in it, how many files and how large, long lists folded."""

from dataclasses import dataclass
from pathlib import Path

from rich.filesize import decimal
from rich.text import Text
from rich.tree import Tree

_SHOWN = 4  # of the folders beside each other; one more is shown if it would be folded alone


@dataclass(frozen=True, slots=True)
class _Folder:
    name: str
    files: int
    size: int
    folders: tuple["_Folder", ...]


def folder_tree(root: Path) -> Tree:
    """Draw a directory and those below it; files are counted, not named."""
    folder = _read(root)
    tree = Tree(_label(f"{folder.name}/", folder.files, folder.size), guide_style="dim")
    _grow(tree, folder)
    return tree


def _read(path: Path) -> _Folder:
    files, size, folders = 0, 0, list[_Folder]()
    for entry in sorted(path.iterdir()):
        if entry.is_dir():
            folders.append(_read(entry))
        else:
            files, size = files + 1, size + entry.stat().st_size
    return _Folder(
        path.name,
        files + sum(folder.files for folder in folders),
        size + sum(folder.size for folder in folders),
        tuple(folders),
    )


def _grow(tree: Tree, folder: _Folder) -> None:
    """Draw what is inside; of partitions beside each other only the largest is opened."""
    largest = max(folder.folders, key=lambda inner: inner.size, default=None)
    shown = len(folder.folders) if len(folder.folders) <= _SHOWN + 1 else _SHOWN
    for inner in folder.folders[:shown]:
        branch = tree.add(_label(inner.name, inner.files, inner.size))
        if inner is largest or "=" not in inner.name:
            _grow(branch, inner)
    if rest := folder.folders[shown:]:
        files, size = sum(inner.files for inner in rest), sum(inner.size for inner in rest)
        tree.add(_label(f"… {len(rest)} more", files, size))


def _label(name: str, files: int, size: int) -> Text:
    count = "1 file" if files == 1 else f"{files:,} files"
    return Text.assemble(
        (name, "" if "=" in name else "bold"), (f"  {count}, {decimal(size)}", "dim")
    )
