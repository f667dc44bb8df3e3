"""Lists of different lengths as flat arrays, and tables of them."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq


def ranges(first, lengths):
    """The numbers of the ranges that begin at `first` and have `lengths`, one range after another."""
    ends = np.cumsum(lengths)
    total = int(ends[-1]) if len(ends) else 0
    return np.arange(total) + np.repeat(first - (ends - lengths), lengths)


def offsets(lengths):
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)


class Lists:
    """A column of lists: where each begins in the values, which are an array or, of structs, one array a field."""

    def __init__(self, column):
        array = column.combine_chunks()
        array = array.chunk(0) if isinstance(array, pa.ChunkedArray) else array
        begins = array.offsets.to_numpy()
        values = array.values
        if pa.types.is_struct(values.type):
            self.values = {field.name: values.field(at).to_numpy() for at, field in enumerate(values.type)}
        else:
            self.values = values.to_numpy()
        self.first, self.lengths = begins[:-1].astype(np.int64), np.diff(begins)

    def take(self, rows):
        """The values of some rows, and their lengths."""
        lengths = self.lengths[rows]
        at = ranges(self.first[rows], lengths)
        if isinstance(self.values, dict):
            return {name: values[at] for name, values in self.values.items()}, lengths
        return self.values[at], lengths


def list_array(field, values, lengths):
    """An array of lists of the type of a field."""
    of = field.type.value_type
    if pa.types.is_struct(of):
        children = [pa.array(values[child.name], child.type) for child in of]
        flat = pa.StructArray.from_arrays(children, fields=list(of))
    else:
        flat = pa.array(values, of)
    return pa.ListArray.from_arrays(pa.array(offsets(lengths)), flat, type=field.type)


def write(path, schema, columns, group_rows):
    """Writes a table, given its columns; those that are left out are null. `group_rows` are the rows of each row group."""
    n = len(next(iter(columns.values())))
    arrays = []
    for field in schema:
        column = columns.get(field.name)
        if column is None:
            column = pa.nulls(n, field.type)
        elif not isinstance(column, pa.Array):
            column = pa.array(column, field.type, from_pandas=False)
        arrays.append(column)
    table = pa.Table.from_arrays(arrays, schema=schema)
    with pq.ParquetWriter(path, schema, compression="zstd", compression_level=1, store_schema=False) as writer:
        at = 0
        for rows in group_rows:
            writer.write_table(table.slice(at, rows), row_group_size=max(int(rows), 1))
            at += rows
        assert at == n, path
