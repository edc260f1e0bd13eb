"""Reads the tables of a folder with pyarrow, DuckDB and pandas, and compares them with its report.json.

usage: tables.py FOLDER
"""

import datetime
import json
import sys

import duckdb
import pandas
import pyarrow.parquet

folder = sys.argv[1]
report = json.load(open(f"{folder}/report.json", encoding="utf-8"))
flows = pyarrow.parquet.read_table(f"{folder}/flows.parquet").to_pylist()
cells = pyarrow.parquet.read_table(f"{folder}/cells.parquet").to_pylist()

TIMES = ("time", "first_seen", "last_seen")


def told(record):
    """A JSON record as a row tells it."""
    if isinstance(record, list):
        return [told(item) for item in record]
    if not isinstance(record, dict):
        return record
    row = {}
    for key, value in record.items():
        if key not in TIMES:
            row[key] = told(value)
            continue
        # Python has no nanoseconds, and the tables have none either.
        text = value and (value[:26] + "Z" if value.endswith("Z") and len(value) > 27 else value)
        time = text and datetime.datetime.fromisoformat(text)
        row[key] = time if time and time.tzinfo else None
        row[f"{key}_local"] = time if time and not time.tzinfo else None
    return row


assert len(flows) == len(report["flows"]) > 0
for row, flow in zip(flows, report["flows"]):
    expected = told(flow) | {"capture_path": report["captures"][flow["capture"]]["path"]}
    assert row == expected, (row, expected)
assert len(cells) == len(report["matrix"]["cells"]) > 0
for row, cell in zip(cells, report["matrix"]["cells"]):
    row = {key: value for key, value in row.items() if key not in ("from_names", "to_names")}
    assert row == told(cell), (row, cell)

found = duckdb.sql(
    f"""
    select responder.address, responder.port, verdict, count(*), sum(len(evidence)),
           epoch_us(min(first_seen))
    from '{folder}/flows.parquet' group by all order by all
    """
).fetchall()
expected = {}
for flow in report["flows"]:
    key = (flow["responder"]["address"], flow["responder"]["port"], flow["verdict"])
    count, evidence, first = expected.get(key, (0, 0, None))
    seen = round(told(flow)["first_seen"].timestamp() * 1_000_000)
    expected[key] = (count + 1, evidence + len(flow["evidence"]), min(first or seen, seen))
assert found == sorted(key + value for key, value in expected.items()), found

frame = pandas.read_parquet(f"{folder}/flows.parquet")
assert list(frame["verdict"]) == [flow["verdict"] for flow in report["flows"]]
assert str(frame["first_seen"].dtype) in ("datetime64[us, UTC]", "datetime64[ns, UTC]"), frame.dtypes
assert [host["address"] for host in frame["initiator"]] == [f["initiator"]["address"] for f in report["flows"]]
