"""Encoded rows as Arrow files, which every trial of a node maps into its memory."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from xtransfer.forms.encoding import Encoded, Ragged, Rows


def write_rows(path: Path, encoded: Encoded) -> None:
    """Write encoded rows as an Arrow IPC file of int32 and list<int32> columns."""
    table = pa.table({name: _column(values) for name, values in encoded.columns.items()})
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table.combine_chunks())


def _column(values: Sequence[Any]) -> pa.Array:
    if values and isinstance(values[0], array):
        ends = pa.array(np.cumsum([0, *map(len, values)]), type=pa.int32())  # or an error
        flat = np.concatenate([np.frombuffer(each, dtype=np.int32) for each in values])
        return pa.ListArray.from_arrays(ends, flat)
    lists = values and isinstance(values[0], list)
    return pa.array(values, type=pa.list_(pa.int32()) if lists else pa.int32())


def read_rows(path: Path) -> Rows:
    """Memory-map rows that `write_rows` wrote."""
    with pa.memory_map(str(path)) as source:
        table = pa.ipc.open_file(source).read_all().combine_chunks()
    rows: Rows = {}
    for name in table.column_names:
        column = table.column(name)
        array = column.chunk(0) if column.num_chunks else pa.array([], type=column.type)
        if pa.types.is_list(array.type):
            offsets = array.offsets.to_numpy().astype(np.int64)
            rows[name] = Ragged(array.values.to_numpy(), offsets)
        else:
            rows[name] = array.to_numpy()
    return rows
