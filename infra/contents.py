"""What goes into the artifact: what the handlers import, what that imports, and nothing else.

Of our own modules, only those that the handlers reach. Of the requirements, everything except what
is named here. Of pyarrow and of botocore's service models, which are nine tenths of all bytes, only
what our modules name.
"""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

ENTRY = "pipeline.handlers"
# Modules of handlers that run by a schedule: they are in an artifact of their own, so that the
# stream's does not grow by what they need.
SCHEDULED = frozenset({"pipeline.handlers._commit", "pipeline.handlers._tables"})

_LEFT_OUT = (
    ".lock",  # uv's
    "bin/*",
    "*/tests/*",
    # For compilers and type checkers.
    "*.h",
    "*.pxd",
    "*.pxi",
    "*.pyi",
    "*.pyx",
    "*/py.typed",
    # boto3's resources and examples: the adapters use clients.
    "boto3/data/*",
    "boto3/examples/*",
    "*/examples-1.json",
    # For a library that is not there.
    "obstore/fsspec.py",
)
# For type checkers: msgspec would import it at each start.
_LEFT_OUT_WITHOUT_ICEBERG = ("typing_extensions.py",)
# Of pyiceberg's requirements: for its command line, and for another catalog.
_LEFT_OUT_WITH_ICEBERG = (
    "fb303/*",
    "hive_metastore/*",
    "markdown_it/*",
    "mdurl/*",
    "pygments/*",
    "pyiceberg/cli/*",
)
# Of a distribution's metadata, the files that its licence requires to be kept with it.
_LICENCES = re.compile(
    r"[^/]+\.dist-info/(METADATA|.*(LICEN[CS]E|NOTICE|COPYING|AUTHORS).*)", re.IGNORECASE
)
# `import pyarrow` loads these; `acero` is for joins and groups.
_ARROW_MODULES = frozenset({
    "__init__", "acero", "compute", "compute_docstrings", "generated_version", "ipc", "lib",
    "types", "util",
})  # fmt: skip
# pyiceberg imports these, whatever its files are read by.
_ARROW_OF_ICEBERG = frozenset({"dataset", "dataset_parquet", "fs", "s3fs"})
# Every module of pyarrow is linked to all of these, called or not. Under one name each: a wheel
# has some of them three times.
_ARROW_LIBRARIES = re.compile(
    r"lib(arrow|arrow_acero|arrow_compute|arrow_dataset|arrow_python|arrow_substrait|parquet)"
    r"\.(so\.\d+|\d+\.dylib)"
)
_SERVICE_MODELS = re.compile(r"botocore/data/([^/]+)/.*")


@dataclass(slots=True)
class Reached:
    """What the handlers reach: our modules, names they import, services they make clients for."""

    modules: dict[str, Path] = field(default_factory=dict)
    names: set[str] = field(default_factory=set)
    services: set[str] = field(default_factory=set)

    @property
    def arrow(self) -> frozenset[str]:
        """The modules of pyarrow that ours import, without the underscore of a private one."""
        names = (name.split(".")[1] for name in self.names if name.startswith("pyarrow."))
        found = frozenset(name.removeprefix("_") for name in names)
        return found | _ARROW_OF_ICEBERG if self.iceberg else found

    @property
    def iceberg(self) -> bool:
        """Whether they reach pyiceberg."""
        return any(name.partition(".")[0] == "pyiceberg" for name in self.names)


def reached(
    package: Path,
    entry: str = ENTRY,
    also: frozenset[str] = frozenset(),
    without: frozenset[str] = frozenset(),
) -> Reached:
    """Follow our modules' imports from `entry`, and `also`. `package` is the folder `pipeline`.

    Modules of `without` stay out, with what they alone import.

    An import inside a function counts: some invocation executes it.
    """
    found = Reached()
    waiting = [entry, *_below(package, entry), *sorted(also)]
    while waiting:
        name = waiting.pop()
        file = _file(package, name)
        if name in found.modules or name in without or file is None:
            continue
        found.modules[name] = file
        tree = ast.parse(file.read_text(encoding="utf-8"))
        names = set(_imports(tree))
        found.names |= names
        found.services |= set(_clients(tree))
        waiting += [*names, name.rpartition(".")[0]]
    return found


def _below(package: Path, entry: str) -> list[str]:
    """Return the modules of an entry that is a folder: each may be named as a handler."""
    folder = package.parent.joinpath(*entry.split("."))
    return [f"{entry}.{file.stem}" for file in sorted(folder.glob("[!_]*.py"))]


def _file(package: Path, name: str) -> Path | None:
    first, *rest = name.split(".")
    if first != package.name:
        return None
    path = package.joinpath(*rest)
    candidates = [path / "__init__.py", path.with_suffix(".py") if rest else path]
    return next((file for file in candidates if file.is_file()), None)


def _imports(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _clients(tree: ast.AST) -> Iterator[str]:
    """Find the services of `boto3.client("service", …)`, and of `make_client(SERVICE, …)`."""
    for node in ast.walk(tree):
        match node:
            case ast.Call(
                func=ast.Attribute(attr="client") | ast.Name(id="make_client"),
                args=[ast.Constant(value=str(service)) | ast.Name(id=service), *_],
            ):
                yield service.lower()
            case _:
                pass


def wanted(path: str, found: Reached) -> bool:
    """Return whether a file of a requirement goes in. `path` is relative, with slashes."""
    more = _LEFT_OUT_WITH_ICEBERG if found.iceberg else _LEFT_OUT_WITHOUT_ICEBERG
    if any(fnmatchcase(path, pattern) for pattern in (*_LEFT_OUT, *more)):
        return False
    folder, _, rest = path.partition("/")
    if folder.endswith(".dist-info"):
        return bool(_LICENCES.fullmatch(path))
    if folder == "pyarrow":
        return _arrow(rest, found)
    if model := _SERVICE_MODELS.fullmatch(path):
        return model[1] in found.services
    return True


def _arrow(path: str, found: Reached) -> bool:
    if "/" in path:
        folder = path.partition("/")[0]
        return folder == "vendored" or f"pyarrow.{folder}" in found.names
    if path.startswith("lib") and not path.startswith("lib."):
        s3 = found.iceberg and path.startswith("libarrow_s3.")  # which s3fs is linked to
        return s3 or bool(_ARROW_LIBRARIES.fullmatch(path))
    stem = path.partition(".")[0]
    module = stem if stem.startswith("__") else stem.removeprefix("_")
    return module in _ARROW_MODULES | found.arrow
