"""What the project calls public can be imported, from the wheel too, and is all of it."""

import importlib
import inspect

import pytest
import reference
from support import ROOT

import pipeline
from pipeline import handlers, producer


@pytest.mark.parametrize("path", pipeline.PUBLIC)
def test_a_public_name_can_be_imported(path: str) -> None:
    module, _, name = path.rpartition(".")
    assert hasattr(importlib.import_module(module), name)


def test_all_that_the_producer_offers_is_public() -> None:
    assert public_in("pipeline.producer") == set(producer.__all__)


def test_every_function_that_lambda_could_invoke_is_public() -> None:
    found = {
        name
        for name, value in vars(handlers).items()
        if inspect.isfunction(value)
        and list(inspect.signature(value).parameters) == ["event", "context"]
    }
    assert found == public_in("pipeline.handlers")


def test_the_readme_says_what_is_public() -> None:
    assert "docs/reference/public-api.md" in (ROOT / "README.md").read_text("utf-8")
    assert (reference.PAGES_FOLDER / "public-api.md").is_file()


def public_in(module: str) -> set[str]:
    """Return the public names of one module."""
    return {
        path.removeprefix(f"{module}.") for path in pipeline.PUBLIC if path.startswith(f"{module}.")
    }
