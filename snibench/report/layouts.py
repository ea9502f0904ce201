"""Layout of frames as tables: as their protocol says, or plain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from snibench.report.values import METHOD, Column, Frame, Table

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["METHOD", "distinct", "laid_out", "ordered", "plain_frame", "present", "summary_columns"]


def laid_out(name: str, frame: pd.DataFrame, layout: Frame, protocol: str, section: str) -> Table:
    """``frame`` as a table of ``protocol``, below the heading ``section``."""
    columns = present(layout.columns, frame)
    return Table(
        name=name,
        title=layout.title,
        frame=frame,
        keys=present(layout.keys, frame),
        columns=columns,
        notes=layout.notes,
        protocol=protocol,
        section=section,
        across=layout.across if columns else "",
        detail=layout.detail,
        figure=layout.figure,
    )


def present(columns: Sequence[Column], frame: pd.DataFrame) -> tuple[Column, ...]:
    """The columns that ``frame`` has something for, each leaning only on fields that are there."""
    fields = {str(name) for name in frame.columns}
    return tuple(
        replace(
            column,
            low=column.low if column.low in fields else "",
            high=column.high if column.high in fields else "",
            n=column.n if column.n in fields else "",
            mark=column.mark if column.mark in fields else "",
            also=tuple(name for name in column.also if name in fields),
        )
        for column in columns
        if column.field in fields and frame[column.field].notna().any()
    )


def ordered(table: Table, order: Sequence[str]) -> Table:
    """``table`` with its methods in ``order``, inside whatever else its rows are grouped by."""
    if "method" not in table.frame:
        return table
    groups = [key.field for key in table.keys if key.field != "method"]
    group = table.frame.groupby(groups, sort=False, dropna=False).ngroup() if groups else 0
    place = table.frame["method"].map({label: index for index, label in enumerate(order)})
    frame = table.frame.assign(_group=group, _place=place).sort_values(["_group", "_place"], kind="stable")
    return replace(table, frame=frame.drop(columns=["_group", "_place"]).reset_index(drop=True))


def distinct(tables: Sequence[Table]) -> tuple[Table, ...]:
    """``tables`` each under a name of its own: a protocol's name stands before that of a table which is taken."""
    taken = {table.name for table in tables if not table.section}
    named = []
    for table in tables:
        if table.section and table.name in taken:
            table = replace(table, name=f"{table.protocol}.{table.name}")
        taken.add(table.name)
        named.append(table)
    return tuple(named)


def plain_frame(protocol: str, name: str, frame: pd.DataFrame) -> Frame:
    """Layout of a frame that its protocol does not describe.

    Text columns name the row; a number X with X_low and X_high beside it has an interval.
    """
    from pandas.api.types import is_bool_dtype, is_numeric_dtype

    numeric = [str(c) for c in frame.columns if is_numeric_dtype(frame[c]) and not is_bool_dtype(frame[c])]
    ends = {f"{field}_{end}" for field in numeric for end in ("low", "high")}
    words = name.replace("_", " ")
    return Frame(
        title=f"{protocol}: {words}" if name != protocol else words,
        keys=tuple(Column(str(c), str(c)) for c in frame.columns if str(c) not in numeric),
        columns=tuple(
            Column(field, field.replace("_", " "), "number", low=f"{field}_low", high=f"{field}_high")
            for field in numeric
            if field not in ends
        ),
    )


def summary_columns(frame: Frame) -> dict[str, Column]:
    """Field of the frame -> its column in the summary."""
    by_field = {column.field: column for column in frame.columns}
    return {
        field: replace(by_field[field], field=name, title=heading, low=f"{name}_low", high=f"{name}_high", n="")
        for field, heading in frame.summary.items()
        for name in [heading.lower().replace(" ", "_")]
    }
