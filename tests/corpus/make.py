"""Writes the Parquet files beside it as the usual programs write them, and `expected.json`: what pyarrow reads in them.

    pip install -r requirements.txt && python make.py
"""

import json
import os
from pathlib import Path

import datasets
import duckdb
import pandas
import polars
import pyarrow as pa
import pyarrow.parquet as pq

HERE = Path(__file__).parent
TEXTS = [
    "The net sees “words”.",
    "",
    "漢字とかな, naïve café, e\u0301, 🦀",
    "two\nlines\r\nand a\ttab, \"quoted\"",
    "the same text",
    "the same text",
    "a longer text " * 12,
    "\ufeffa mark",
    "the same text, but with an end",
]
ROWS = [
    {"text": text, "id": f"doc-{at}", "source": ["web", "books"][at % 2], "license": "CC0-1.0"}
    for at, text in enumerate(TEXTS)
]
COLUMNS = {key: [row[key] for row in ROWS] for key in ROWS[0]}
CHATS = [
    [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "漢字?"}, {"role": "assistant", "content": "はい"}],
    [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": None, "name": "bot"}],
    [{"role": "user", "content": ""}],
]
SHARE_GPT = [
    [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello"}],
    [{"from": "system", "value": "Be brief."}, {"from": "human", "value": "So?"}],
]
made = {}


def made_as(name, **options):
    """Notes how a file is to be read."""
    made[name] = options
    return str(HERE / name)


def arrow(name, table, options=None, **written):
    pq.write_table(table, made_as(name, **(options or {})), **written)


def of_type(kind, texts=TEXTS):
    return pa.table({"text": pa.array(texts, kind), "id": pa.array(range(len(texts)), pa.int64())})


def write():
    frame = pandas.DataFrame(COLUMNS)
    frame.to_parquet(made_as("pandas_snappy.parquet"))
    frame.to_parquet(made_as("pandas_gzip_index.parquet"), compression="gzip", index=True)
    polars.DataFrame(COLUMNS).write_parquet(made_as("polars_zstd.parquet"))
    polars.DataFrame({"messages": CHATS}).write_parquet(
        made_as("polars_lz4_messages.parquet", messages_field="messages"), compression="lz4"
    )
    data = duckdb.connect()
    data.register("rows", pa.table(COLUMNS))
    for name, options in [
        ("duckdb_snappy.parquet", "compression snappy"),
        ("duckdb_zstd_v2.parquet", "compression zstd, parquet_version v2"),
        ("duckdb_gzip_struct.parquet", "compression gzip"),
    ]:
        is_nested = "struct" in name
        more = {"text_field": "doc.body.text", "source_field": "doc.from"} if is_nested else {}
        what = "{'body': {'text': text, 'n': 1}, 'from': source} AS doc, id" if is_nested else "*"
        data.execute(f"COPY (SELECT {what} FROM rows) TO '{made_as(name, **more)}' (FORMAT parquet, {options})")
    datasets.Dataset.from_dict(COLUMNS).to_parquet(made_as("datasets.parquet"))
    datasets.Dataset.from_dict({"conversations": SHARE_GPT, "id": [7, 8]}).to_parquet(
        made_as("datasets_sharegpt.parquet", messages_field="conversations")
    )

    arrow("plain_v1.parquet", pa.table(COLUMNS), use_dictionary=False, compression="none")
    arrow("plain_v2_brotli.parquet", pa.table(COLUMNS), use_dictionary=False, compression="brotli", data_page_version="2.0")
    arrow("dictionary_v2_gzip.parquet", pa.table(COLUMNS), compression="gzip", data_page_version="2.0")
    delta = {"use_dictionary": False, "data_page_version": "2.0", "compression": "zstd"}
    arrow("delta_byte_array.parquet", pa.table(COLUMNS), column_encoding={"text": "DELTA_BYTE_ARRAY"}, **delta)
    arrow("delta_length.parquet", pa.table(COLUMNS), column_encoding={"text": "DELTA_LENGTH_BYTE_ARRAY"}, **delta)
    arrow("large_string_lz4.parquet", of_type(pa.large_string()), compression="lz4")
    arrow("string_view.parquet", of_type(pa.string_view()))
    arrow("binary.parquet", of_type(pa.binary(), [text.encode() for text in TEXTS] + [b"not \xff UTF-8", b"after it"]))
    arrow("dictionary_type.parquet", pa.table({"text": pa.array(TEXTS).dictionary_encode()}))
    arrow("nulls.parquet", of_type(pa.string(), ["a", None, "", None, None, "b"]))
    meta = [{"text": "a", "source": {"name": "web"}}, {"text": None, "source": None}, None, {"text": "b", "source": {"name": None}}]
    arrow(
        "struct_nulls.parquet",
        pa.table({"meta": meta, "other": [1.5, 2.5, 3.5, None]}),
        {"text_field": "meta.text", "source_field": "meta.source.name"},
    )
    arrow(
        "literal_dot.parquet",
        pa.table({"meta": [{"text": "inside"}], "meta.text": ["literal"]}),
        {"text_field": "meta.text"},
    )
    many = pa.table({"text": [f"row {at}: " + TEXTS[at % len(TEXTS)] for at in range(300)]})
    arrow("row_groups.parquet", many, row_group_size=70, data_page_size=512, write_batch_size=8, compression="zstd")
    arrow("empty.parquet", pa.table({"text": pa.array([], pa.string())}))
    tools = pa.array(
        [
            [
                {"role": "user", "content": "2+2?", "calls": None, "score": None},
                {"role": "assistant", "content": None, "calls": [{"name": "add", "args": [("a", 2), ("b", 2)]}], "score": 0.5},
            ],
            None,
            [],
            [{"role": "tool", "content": "4", "calls": [], "score": -1.0}, None],
            [{"role": "tool", "content": "4", "calls": [None], "score": 1e300}],
        ],
        pa.list_(
            pa.struct(
                {
                    "role": pa.string(),
                    "content": pa.string(),
                    "calls": pa.list_(pa.struct({"name": pa.string(), "args": pa.map_(pa.string(), pa.int32())})),
                    "score": pa.float64(),
                }
            )
        ),
    )
    arrow("messages_tools.parquet", pa.table({"turns": pa.array([{"list": turn} for turn in tools.to_pylist()], pa.struct({"list": tools.type}))}), {"messages_field": "turns.list"})
    texts = [json.dumps(chat, ensure_ascii=False) for chat in CHATS] + ["not JSON", "[]"]
    arrow("messages_text.parquet", pa.table({"messages": texts}), {"messages_field": "messages"})


def plain(value):
    """A value as JSON: without fields that are null; pairs of a map as an object."""
    if isinstance(value, dict):
        return {key: plain(inner) for key, inner in value.items() if inner is not None}
    if isinstance(value, list) and value and all(isinstance(inner, tuple) for inner in value):
        return {key: plain(inner) for key, inner in value}
    return [plain(inner) for inner in value] if isinstance(value, list) else value


def at(row, path):
    if path in row:
        return row[path]
    for step in path.split("."):
        row = row.get(step) if row else None
    return row


def messages(value):
    """Messages with the names that templates know, or nothing if they are none."""
    try:
        value = json.loads(value) if isinstance(value, str) else plain(value)
    except ValueError:
        return None
    if not value or not all(isinstance(one, dict) for one in value):
        return None
    roles = {"human": "user", "gpt": "assistant"}
    rename = {"from": "role", "value": "content"}
    if "role" in value[0]:
        return value
    return [{rename.get(key, key): roles.get(inner, inner) if key == "from" else inner for key, inner in one.items()} for one in value]


def read(name, options):
    """The documents of a file, as pyarrow reads it; null where a row is none."""
    documents = []
    for number, row in enumerate(pq.read_table(HERE / name).to_pylist(), 1):
        if "messages_field" in options:
            content = messages(at(row, options["messages_field"]))
        else:
            content = at(row, options.get("text_field", "text"))
        if isinstance(content, bytes):
            try:
                content = content.decode()
            except ValueError:
                content = None
        source = at(row, options.get("source_field", "source"))
        names = {
            "source": name if source is None else source,
            "license": row.get("license") or "",
            "id": str(row.get("id", f"{name}:{number}")),
        }
        documents.append(None if content is None else {"content": content, **names})
    return documents


def main():
    for old in HERE.glob("*.parquet"):
        old.unlink()
    write()
    files = {name: {"options": options, "documents": read(name, options)} for name, options in sorted(made.items())}
    text = json.dumps(files, ensure_ascii=False, indent=0)
    (HERE / "expected.json").write_text(text + "\n")
    sizes = [os.path.getsize(path) for path in HERE.iterdir() if path.is_file()]
    print(len(made), "files,", sum(sizes), "bytes in all, the largest", max(sizes))


main()
