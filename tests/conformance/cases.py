"""What is stored, delivery by delivery, and the rows that every reader should see of it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Case:
    """Deliveries, each with the schema of its time, to one directory.

    `columns` are what is asked for, and `rows` what should be seen of them, by `id`. `configs` are
    the settings of each delivery, where they are not the same. `texts` are the rows of CSV as they
    stand in its cells.
    """

    name: str
    title: str
    deliveries: tuple[tuple[tuple[Row, ...], tuple[Row, ...]], ...]
    config: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    configs: tuple[str, ...] = ()
    texts: tuple[Row, ...] = ()

    @property
    def is_csv(self) -> bool:
        """Whether it is about CSV; otherwise it is about Parquet."""
        return bool(self.texts)


def field(name: str, kind: Any, **more: Any) -> Row:
    """Return a field of an Avro schema."""
    return {"name": name, "type": kind, **more}


def null(kind: Any) -> list[Any]:
    """Return the union of null and a type."""
    return ["null", kind]


def logical(kind: str, name: str, **more: Any) -> Row:
    """Return a logical type."""
    return {"type": kind, "logicalType": name, **more}


def record(name: str, *fields: Row) -> Row:
    """Return a record."""
    return {"type": "record", "name": name, "fields": list(fields)}


def array(items: Any) -> Row:
    """Return an array."""
    return {"type": "array", "items": items}


def mapping(values: Any) -> Row:
    """Return a map."""
    return {"type": "map", "values": values}


ID = field("id", "long")
ENUM = {"type": "enum", "name": "E", "symbols": ["A", "b_2"]}
INSTANT, WALL = logical("long", "timestamp-micros"), logical("long", "local-timestamp-micros")
MILLIS, MICROS = logical("int", "time-millis"), logical("long", "time-micros")
DATE = logical("int", "date")


def instant(text: str) -> datetime:
    """Return an instant."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def wall(text: str) -> datetime:
    """Return a time without a zone."""
    return datetime.fromisoformat(text)


# ------------------------------------------------------------------------------------- types


# A type, and its values as a document has them and as a reader should.
TYPES: dict[str, tuple[Any, list[tuple[Any, Any]]]] = {
    "boolean": ("boolean", [(True, True), (False, False)]),
    "int": ("int", [(-(2**31), -(2**31)), (2**31 - 1, 2**31 - 1)]),
    "long": ("long", [(-(2**63), -(2**63)), (2**63 - 1, 2**63 - 1)]),
    "float": ("float", [(1.5, 1.5), (-0.25, -0.25)]),
    "double": ("double", [(0.1, 0.1), (1e300, 1e300)]),
    "string": ("string", [("", ""), ('ü "\\, \n\U0001f600', 'ü "\\, \n\U0001f600')]),
    "leading zeros": ("string", [("01067", "01067"), ("1e5", "1e5"), ("NA", "NA")]),
    "enum": (ENUM, [("A", "A"), ("b_2", "b_2")]),
    "uuid": (
        logical("string", "uuid"), [("7C9E6679-7425-40DE-944B-E07FC1F90AE7",
                                     "7c9e6679-7425-40de-944b-e07fc1f90ae7")],
    ),
    "bytes": ("bytes", [("AP8=", b"\0\xff"), ("", b"")]),
    "fixed": ({"type": "fixed", "name": "F", "size": 4}, [("AAECAw==", b"\0\1\2\3")]),
    "decimal": (
        logical("bytes", "decimal", precision=12, scale=2),
        [("-1234567890.12", Decimal("-1234567890.12")), (0, Decimal(0))],
    ),
    "decimal of 38 digits": (
        logical("bytes", "decimal", precision=38, scale=10),
        [("1234567890123456789012345678.0123456789",
          Decimal("1234567890123456789012345678.0123456789"))],
    ),
    "decimal of 50 digits": (
        logical("bytes", "decimal", precision=50, scale=5),
        [("123456789012345678901234567890123456789012345.12345",
          Decimal("123456789012345678901234567890123456789012345.12345"))],
    ),
    "date": (DATE, [("2026-11-23", date(2026, 11, 23)), ("1969-12-31", date(1969, 12, 31))]),
    "old dates": (
        DATE, [("0001-01-01", date(1, 1, 1)), ("1582-10-10", date(1582, 10, 10)),
               ("9999-12-31", date(9999, 12, 31))],
    ),
    "time-millis": (MILLIS, [("23:59:59.999", time(23, 59, 59, 999000)), ("00:00:00", time())]),
    "time-micros": (MICROS, [("23:59:59.999999", time(23, 59, 59, 999999))]),
    "timestamp": (
        INSTANT, [("2026-11-23T09:30:00.123456+05:30", instant("2026-11-23T04:00:00.123456")),
                  ("1969-12-31T23:59:59.999999Z", instant("1969-12-31T23:59:59.999999"))],
    ),
    "old timestamps": (
        INSTANT, [("0001-01-01T00:00:00Z", instant("0001-01-01")),
                  ("1582-10-10T00:00:00Z", instant("1582-10-10")),
                  ("1899-12-31T12:00:00Z", instant("1899-12-31T12:00:00"))],
    ),
    "local timestamp": (WALL, [("2026-01-02T03:04:05.000006", wall("2026-01-02T03:04:05.000006"))]),
    "record": (
        record("R", field("a", "int"), field("select", null("string"))),
        [({"a": 1, "select": "x"}, {"a": 1, "select": "x"}), ({"a": 2}, {"a": 2, "select": None})],
    ),
    "record in a record": (
        record("R", field("deep", null(record("D", field("x", null("int")))))),
        [({"deep": {"x": 1}}, {"deep": {"x": 1}}), ({"deep": None}, {"deep": None})],
    ),
    "array": (array(null("string")), [(["a", None, ""], ["a", None, ""]), ([], [])]),
    "array of records": (
        array(record("R", field("sku", "string"), field("n", null("int")))),
        [([{"sku": "x", "n": 1}, {"sku": ""}], [{"sku": "x", "n": 1}, {"sku": "", "n": None}])],
    ),
    "map": (mapping(null("double")), [({"k": 1.5, "": None}, {"k": 1.5, "": None}), ({}, {})]),
}  # fmt: skip


def _type_cases() -> list[Case]:
    """Make a case of each type: its values, required and nullable, and null."""
    cases = []
    for title, (kind, values) in TYPES.items():
        other = json.loads(
            json.dumps(kind).replace('"name": "', '"name": "N')
            if not isinstance(kind, str) and kind["type"] in ("enum", "fixed")
            else json.dumps(kind)
        )
        named = json.dumps(kind).count('"record"')
        optional = field("optional", null(other)) if not named else None
        fields = (ID, field("v", kind), *([optional] if optional else []))
        documents, rows = list[Row](), list[Row]()
        for number, (sent, read) in enumerate(values):
            document, row = {"id": number, "v": sent}, {"id": number, "v": read}
            if optional:
                document["optional"], row["optional"] = (sent, read) if number else (None, None)
            documents.append(document)
            rows.append(row)
        columns = ("id", "v", *(["optional"] if optional else []))
        name = title.replace(" ", "_").replace("-", "_")
        cases.append(
            Case(f"type_{name}", title, ((fields, tuple(documents)),), "", columns, tuple(rows))
        )
    return cases


# -------------------------------------------------------------------------------- partitions


_TEXTS: dict[str, list[str | None]] = {
    "text": ["DE", "FR"],
    "leading zeros": ["01067", "00501", "10115"],
    "one number in two spellings": ["01067", "1067"],
    "numbers and text": ["1", "abc", "2026-01-01"],
    "true and false": ["true", "false"],
    "dates as text": ["2026-01-01", "2026-01-02"],
    "slashes and spaces": ["a/b", "c d", "=", "100%"],
    "umlauts": ["ü", "日本"],
    "null and empty": [None, "", "x"],
    "null alone": [None],
}
_KINDS: dict[str, tuple[Any, list[tuple[Any, Any]]]] = {
    "int": ("int", [(7, 7), (-1, -1)]),
    "large long": ("long", [(2**40, 2**40), (1, 1)]),
    "boolean": ("boolean", [(True, True), (False, False)]),
    "date": (DATE, [("2026-01-02", date(2026, 1, 2)), ("0001-01-01", date(1, 1, 1))]),
    "enum": (ENUM, [("A", "A"), ("b_2", "b_2")]),
}


def _partition_cases() -> list[Case]:
    values = {
        title: (null("string"), [(text, text) for text in texts]) for title, texts in _TEXTS.items()
    } | _KINDS
    cases = []
    for title, (kind, pairs) in values.items():
        documents = tuple({"id": number, "v": sent} for number, (sent, _) in enumerate(pairs))
        rows = tuple({"id": number, "v": read} for number, (_, read) in enumerate(pairs))
        name = title.replace(" ", "_")
        cases.append(
            Case(
                f"path_{name}", f"path: {title}", (((ID, field("v", kind)), documents),),
                'partition_by = ["v"]', ("id", "v"), rows,
            )
        )  # fmt: skip
    timestamp, nested = field("at", INSTANT), field("r", record("R", field("v", null("string"))))
    moment = "2026-11-23T09:30:00Z"
    cases.append(
        Case(
            "path_times", "path: times and a nested field",
            (((ID, timestamp, nested), ({"id": 0, "at": moment, "r": {"v": "01"}},
                                 {"id": 1, "at": moment, "r": {"v": None}})),),
            'partition_by = ["year(at)", "month(at)", "date(at)", "hour(at)", "r.v"]',
            ("id", "at", "r"),
            ({"id": 0, "at": instant(moment[:-1]), "r": {"v": "01"}},
             {"id": 1, "at": instant(moment[:-1]), "r": {"v": None}}),
        )
    )  # fmt: skip
    return cases


# ---------------------------------------------------------------------------------- versions


# What `check` allows: the field before, and its value; after, and its value; both as read.
_CHANGES: dict[str, tuple[Row | None, Any, Row, Any, Any]] = {
    "a new nullable field": (None, None, field("v", null("int")), 2, None),
    "a new field with a default": (None, None, field("v", "int", default=0), 2, None),
    "required to nullable": (field("v", "string"), "a", field("v", null("string")), None, "a"),
    "a new symbol": (field("v", {**ENUM, "symbols": ["A"]}), "A", field("v", ENUM), "b_2", "A"),
    "an enum to a string": (field("v", ENUM), "A", field("v", "string"), "c", "A"),
    "null within a record": (
        field("v", record("R", field("x", "int"))), {"x": 1},
        field("v", record("R", field("x", null("int")))), {"x": None}, {"x": 1},
    ),
    "a record to nullable": (
        field("v", record("R", field("x", "int"))), {"x": 1},
        field("v", null(record("R", field("x", "int")))), None, {"x": 1},
    ),
    "null among items": (field("v", array("int")), [1], field("v", array(null("int"))), [None, 2], [1]),
    "null among a map's values": (
        field("v", mapping("int")), {"k": 1}, field("v", mapping(null("int"))), {"k": None}, {"k": 1},
    ),
    "a new field in a record": (
        field("v", record("R", field("x", "int"))), {"x": 1},
        field("v", record("R", field("x", "int"), field("y", null("int")))), {"x": 1, "y": 2},
        {"x": 1, "y": None},
    ),
    "a new field in records of an array": (
        field("v", array(record("R", field("x", "int")))), [{"x": 1}],
        field("v", array(record("R", field("x", "int"), field("y", null("int"))))), [{"x": 1, "y": 2}],
        [{"x": 1, "y": None}],
    ),
    "fields of a record in another order": (
        field("v", record("R", field("x", "int"), field("y", "string"))), {"x": 1, "y": "a"},
        field("v", record("R", field("y", "string"), field("x", "int"))), {"x": 1, "y": "b"},
        {"x": 1, "y": "a"},
    ),
}  # fmt: skip


def _version_cases() -> list[Case]:
    """Make two cases of each change: readers take types from the first file, whichever it is."""
    cases = []
    for title, (before, sent, after, sent_after, read) in _CHANGES.items():
        old = ((ID, *([before] if before else [])), ({"id": 0} | ({"v": sent} if before else {}),))
        new = ((ID, after), ({"id": 1, "v": sent_after},))
        rows = ({"id": 0, "v": read}, {"id": 1, "v": sent_after})
        name = title.replace(" ", "_").replace("'", "")
        for order, deliveries in (("old", (old, new)), ("new", (new, old))):
            cases.append(
                Case(
                    f"{order}_first_{name}", f"two versions, {order} file first: {title}",
                    deliveries, "", ("id", "v"), rows,
                )
            )  # fmt: skip
    return cases


# ----------------------------------------------------------------------------------- layouts


def _layout_cases() -> list[Case]:
    """Make a case of each change of `partition_by` that the pipeline refuses, made all the same."""
    fields = (ID, field("v", "string"), field("w", "string"))
    documents = ({"id": 0, "v": "a", "w": "x"},), ({"id": 1, "v": "b", "w": "y"},)
    rows = tuple(row for delivery in documents for row in delivery)
    one, both, none = 'partition_by = ["v"]', 'partition_by = ["v", "w"]', ""
    return [
        Case(
            f"layout_{title.replace(' ', '_')}", f"partition_by: {title}",
            tuple((fields, delivery) for delivery in documents), "", ("id", "v", "w"), rows, configs,
        )
        for title, configs in {
            "one level more": (one, both), "one level less": (both, one), "none before": (none, one),
            "another field": (one, 'partition_by = ["w"]'),
        }.items()
    ]  # fmt: skip


CASES = [*_type_cases(), *_partition_cases(), *_version_cases(), *_layout_cases()]
