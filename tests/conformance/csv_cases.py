"""What is stored as CSV, and the rows that readers should see of it: as text, and with types."""

from __future__ import annotations

from typing import Any

from conformance.cases import ID, INSTANT, TYPES, Case, Row, array, field, instant, null, record

# The cells of each value of each type, in the order of `TYPES`; of records, of each member.
_CELLS: dict[str, list[Any]] = {
    "boolean": ["true", "false"],
    "int": ["-2147483648", "2147483647"],
    "long": ["-9223372036854775808", "9223372036854775807"],
    "float": ["1.5", "-0.25"],
    "double": ["0.1", "1e+300"],
    "string": ["", 'ü "\\, \n\U0001f600'],
    "leading zeros": ["01067", "1e5", "NA"],
    "enum": ["A", "b_2"],
    "uuid": ["7c9e6679-7425-40de-944b-e07fc1f90ae7"],
    "bytes": ["AP8=", ""],
    "fixed": ["AAECAw=="],
    "decimal": ["-1234567890.12", "0.00"],
    "decimal of 38 digits": ["1234567890123456789012345678.0123456789"],
    "decimal of 50 digits": ["123456789012345678901234567890123456789012345.12345"],
    "date": ["2026-11-23", "1969-12-31"],
    "old dates": ["0001-01-01", "1582-10-10", "9999-12-31"],
    "time-millis": ["23:59:59.999", "00:00:00.000"],
    "time-micros": ["23:59:59.999999"],
    "timestamp": ["2026-11-23T04:00:00.123456Z", "1969-12-31T23:59:59.999999Z"],
    "old timestamps": [
        "0001-01-01T00:00:00.000000Z", "1582-10-10T00:00:00.000000Z", "1899-12-31T12:00:00.000000Z",
    ],
    "local timestamp": ["2026-01-02T03:04:05.000006"],
    "record": [{"a": "1", "select": "x"}, {"a": "2", "select": None}],
    "record in a record": [{"deep.x": "1"}, {"deep.x": None}],
    "array": ['["a",null,""]', "[]"],
    "array of records": ['[{"sku":"x","n":1},{"sku":"","n":null}]'],
    "map": ['{"k":1.5,"":null}', "{}"],
}  # fmt: skip
_MEMBERS: dict[str, list[Row]] = {
    "record": [{"a": 1, "select": "x"}, {"a": 2, "select": None}],
    "record in a record": [{"deep.x": 1}, {"deep.x": None}],
}
BOTH = 'formats = ["parquet", "csv"]\n'


def _case(
    name: str, title: str, deliveries: Any, rows: list[Row], texts: list[Row], *configs: str
) -> Case:
    texts = [{"id": str(row["id"]), **text} for row, text in zip(rows, texts, strict=True)]
    made = tuple(BOTH + config for config in configs or [""] * len(deliveries))
    return Case(
        f"csv_{name}", title, tuple(deliveries), "", tuple(rows[0]), tuple(rows), made, tuple(texts)
    )  # fmt: skip


def _type_cases() -> list[Case]:
    """Make a case of each type: its values, and null where the type may be null."""
    cases = []
    for title, (kind, values) in TYPES.items():
        documents, rows, texts = list[Row](), list[Row](), list[Row]()
        for number, (sent, read) in enumerate(values):
            cell, members = _CELLS[title][number], _MEMBERS.get(title)
            documents.append({"id": number, "v": sent})
            value = (
                {f"v.{key}": one for key, one in members[number].items()}
                if members
                else {"v": read}
            )
            rows.append({"id": number, **value})
            texts.append({f"v.{key}": one for key, one in cell.items()} if members else {"v": cell})
        documents.append({"id": len(rows), "v": None})
        rows.append({"id": len(rows)} | dict.fromkeys(list(rows[0])[1:]))
        texts.append(dict.fromkeys(texts[0]))
        name = title.replace(" ", "_").replace("-", "_")
        fields = (ID, field("v", null(kind)))
        cases.append(_case(f"type_{name}", title, [(fields, tuple(documents))], rows, texts))
    return cases


# Texts as they are sent, and as the file has them.
_GUARDED: list[tuple[str | None, str | None]] = [
    ("=1+2", "'=1+2"),
    ("-1", "'-1"),
    ("@a", "'@a"),
    ("\tx", "'\tx"),
    ("a=1", "a=1"),
]
_TEXTS: dict[str, tuple[str, list[tuple[str | None, str | None]]]] = {
    "null and the empty string": ("", [(None, None), ("", ""), ("x", "x")]),
    "quotes and commas": ("", [(one, one) for one in ('"', '""', 'a"b,c', "a,b", "'", ";", "\\", '\\"')]),
    "line breaks": ("", [(one, one) for one in ("a\nb", "\n", "a\r\nb", "a\rb")]),
    "spaces": ("", [(one, one) for one in (" a", "a ", " ", "\t")]),
    "words for null": ("", [(one, one) for one in ("NULL", "null", "NA", "nan", "N/A", "\\N", "None")]),
    "a backslash and a dot": ("", [(one, one) for one in ("\\.", "a\n\\.\nb")]),
    "numbers as text": ("", [(one, one) for one in ("007", "1e5", "1_000", "+1", "0x10", "1.0")]),
    "truths and times as text": ("", [(one, one) for one in ("true", "2026-01-01", "F")]),
    "a number sign": ("", [(one, one) for one in ("#a", "a#b")]),
    "NUL": ("", [("a\0b", "a\0b"), ("c", "c")]),
    "NUL, removed": ('[csv]\nnul = "remove"', [("a\0b", "ab"), ("\0", "")]),
    "NUL, replaced": ('[csv]\nnul = "replace"', [("a\0b", "a\ufffdb")]),
    "a byte order mark": ("[csv]\nbyte_order_mark = true", [("ü", "ü"), ("日本", "日本")]),
    "a formula guard": ("[csv]\nformula_guard = true", _GUARDED),
    "gzip": ('[csv]\ncompression = "gzip"', [("ü", "ü"), ("a\nb", "a\nb"), (None, None)]),
    "all options": (
        '[csv]\nbyte_order_mark = true\nformula_guard = true\ncompression = "gzip"\nnul = "remove"',
        [("=\0a", "'=a"), ("ü", "ü"), (None, None)],
    ),
}  # fmt: skip


def _text_cases() -> list[Case]:
    fields = (ID, field("v", null("string")))
    return [
        _case(
            title.replace(" ", "_").replace(",", ""), title,
            [(fields, tuple({"id": number, "v": sent} for number, (sent, _) in enumerate(pairs)))],
            [{"id": number, "v": stored} for number, (_, stored) in enumerate(pairs)],
            [{"v": stored} for _, stored in pairs], config,
        )
        for title, (config, pairs) in _TEXTS.items()
    ]  # fmt: skip


def _nested_cases() -> list[Case]:
    """Make a case of texts within arrays, which are JSON in a cell, whatever the options say."""
    texts = ["a\0b", '"', "a\nb", "=1", "\\", "\u2028", "NA", "01"]
    cell = '["a\\u0000b","\\"","a\\nb","=1","\\\\","\u2028","NA","01"]'
    options = '[csv]\nnul = "remove"\nformula_guard = true'
    fields = (ID, field("v", null(array(null("string")))))
    deliveries = [(fields, ({"id": 0, "v": texts}, {"id": 1, "v": None}))]
    rows: list[Row] = [{"id": 0, "v": texts}, {"id": 1, "v": None}]
    title = "texts within an array"
    return [_case("in_an_array", title, deliveries, rows, [{"v": cell}, {"v": None}], options)]


def _version_cases() -> list[Case]:
    """Make two cases of each change of columns: readers look into the first file for them."""
    x, y = field("x", "int"), field("y", null("int"))
    text = field("t", "string")
    changes: dict[str, Any] = {
        "a new nullable field": (
            (ID, text), {"t": "a"}, (ID, text, field("v", null("int"))), {"t": "b", "v": 2},
            [{"t": "a", "v": None}, {"t": "b", "v": 2}],
        ),
        "a new field in a record": (
            (ID, text, field("r", record("R", x))), {"r": {"x": 1}, "t": "a"},
            (ID, text, field("r", record("R", x, y))), {"r": {"x": 1, "y": 2}, "t": "b"},
            [{"t": "a", "r.x": 1, "r.y": None}, {"t": "b", "r.x": 1, "r.y": 2}],
        ),
    }  # fmt: skip
    cases = []
    for title, (before, sent, after, sent_after, read) in changes.items():
        old, new = (before, ({"id": 0, **sent},)), (after, ({"id": 1, **sent_after},))
        rows = [{"id": number, **row} for number, row in enumerate(read)]
        texts = [{key: _text(value) for key, value in row.items()} for row in read]
        for order, deliveries in (("old", (old, new)), ("new", (new, old))):
            name = f"{order}_first_{title.replace(' ', '_')}"
            cases.append(_case(name, f"{order} file first: {title}", deliveries, rows, texts))
    return cases


def _text(value: str | int | None) -> str | None:
    return value if value is None else str(value)


def _layout_cases() -> list[Case]:
    """Make a case of each change of the options, which may change, and of values in the path."""
    fields = (ID, field("at", INSTANT), field("v", "string"))
    moment = "2026-11-23T09:30:00"
    sent = [
        {"id": number, "at": moment + "Z", "v": text} for number, text in enumerate(("01", "ü"))
    ]
    rows = [row | {"at": instant(moment)} for row in sent]
    texts = [{"at": f"{moment}.000000Z", "v": row["v"]} for row in sent]
    one_by_one = [(fields, (document,)) for document in sent]
    return [
        _case(name.replace(" ", "_").replace(",", ""), name, deliveries, rows, texts, *configs)
        for name, deliveries, configs in (
            ("plain, then gzip", one_by_one, ["", '[csv]\ncompression = "gzip"']),
            ("plain, then a byte order mark", one_by_one, ["", "[csv]\nbyte_order_mark = true"]),
            ("values in the path", [(fields, tuple(sent))], ['partition_by = ["date(at)", "v"]']),
        )
    ]


CSV_CASES = [*_type_cases(), *_text_cases(), *_nested_cases(), *_version_cases(), *_layout_cases()]
