"""The handler that registers partitions: its settings, and what it says of a run."""

from __future__ import annotations

import pytest

from pipeline.core.errors import SettingsError
from pipeline.settings import TableSettings

GIVEN = {
    "PIPELINE_GLUE_DATABASE": "pipeline",
    "PIPELINE_OUTPUT": "s3://lake/rows/",
    "PIPELINE_DEAD_LETTERS": "s3://dead/letters",
    "PIPELINE_SCHEMAS": "schemas",
}


def test_the_settings_are_read() -> None:
    expected = TableSettings("pipeline", "s3://lake/rows", "s3://dead/letters", "schemas", 5)
    assert TableSettings.from_environment(GIVEN) == expected
    assert TableSettings.from_environment({**GIVEN, "PIPELINE_TABLES_MINUTES": "15"}).minutes == 15


def test_every_fault_of_the_settings_is_named_at_once() -> None:
    wrong = {"PIPELINE_OUTPUT": "file:///lake", "PIPELINE_TABLES_MINUTES": "0"}
    with pytest.raises(SettingsError) as caught:
        TableSettings.from_environment(wrong)
    assert str(caught.value).splitlines() == [
        "PIPELINE_GLUE_DATABASE is not set; give the tables' database in Glue.",
        "PIPELINE_OUTPUT is 'file:///lake'; Glue's tables are on S3: give s3://bucket/prefix.",
        "PIPELINE_DEAD_LETTERS is not set; give s3://bucket/prefix or file:///directory.",
        "PIPELINE_SCHEMAS is not set; give the directory of the datasets.",
        "PIPELINE_TABLES_MINUTES is '0'; give a whole number from 1 to 1440.",
    ]
