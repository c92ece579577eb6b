"""The answers of a batch as CSV, JSON and Parquet, a chunk in memory at a time."""

from __future__ import annotations

import csv
import io
import json
import tempfile
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from samplemind_core.files import inert
from samplemind_core.inference.table import LABEL_SEPARATOR, NONE
from samplemind_core.store.records import Answer, AnswerFilter, Batch

if TYPE_CHECKING:
    from samplemind_core.store import Store

FORMATS = {"csv": "text/csv", "json": "application/json", "parquet": "application/vnd.apache.parquet"}
CHUNK = 1_000


def export(store: Store, batch: Batch, form: str, where: AnswerFilter | None = None) -> Iterator[bytes]:
    """Yield a file of the answers of a batch, piece by piece.

    Parameters
    ----------
    form : {'csv', 'json', 'parquet'}
        One row or object a file, in the order in which they were classified, with a column for
        every class. CSV values that a spreadsheet would run are quoted.
    where : AnswerFilter, optional
        Which answers; all by default.

    Raises
    ------
    KeyError
        If there is no such format.
    """
    makers: dict[str, Callable[[Iterator[Answer], Sequence[str], bool], Iterator[bytes]]] = {
        "csv": _csv,
        "json": _json,
        "parquet": _parquet,
    }
    answers = store.answers.iterate(batch.id, where or AnswerFilter(), chunk=CHUNK)
    # One that was heard says which columns there are: any number of broken files may come before it.
    heard = store.answers.page(batch.id, AnswerFilter(failed=False), limit=1)
    names = [name for answer in heard for name in answer.details.get("probs") or {}]
    return makers[form](answers, names, any(answer.several_labels for answer in heard))


def flat(answer: Answer, names: Sequence[str], several_labels: bool = False) -> dict[str, Any]:
    """Return an answer as one flat row: every key is there in every row.

    Several labels stand in one text with ``;`` between them; ``label`` and ``confidence`` are the surest's.
    """
    probs = answer.details.get("probs") or {}
    label = answer.label if answer.error or answer.label else NONE
    row: dict[str, Any] = {"file": answer.file or answer.name}
    if several_labels:
        row |= {
            "labels": LABEL_SEPARATOR.join(answer.labels),
            "label": label,
            "confidence": answer.confidence,
            "duration_s": answer.duration_s,
        }
        return row | {f"p_{name}": probs.get(name) for name in names} | {"error": answer.error}
    row |= {
        "label": label,
        "confidence": answer.confidence,
        "none_of_these": answer.details.get("none"),
        "prediction_set": "|".join(answer.details.get("prediction_set") or ()) or None,
        "duration_s": answer.duration_s,
    }
    row |= {f"p_{name}": probs.get(name) for name in names}
    return row | {"error": answer.error}


def _csv(answers: Iterator[Answer], names: Sequence[str], several: bool) -> Iterator[bytes]:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    header = False
    while chunk := list(islice(answers, CHUNK)):
        for answer in chunk:
            row = flat(answer, names, several)
            if not header:
                writer.writerow(row)
                header = True
            writer.writerow([_cell(value) for value in row.values()])
        yield text.getvalue().encode()
        text.seek(0)
        text.truncate()


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.6g}"
    return inert(str(value))


def _json(answers: Iterator[Answer], names: Sequence[str], several: bool) -> Iterator[bytes]:
    yield b"["
    lead = "\n"
    while chunk := list(islice(answers, CHUNK)):
        yield (
            lead + ",\n".join(json.dumps(flat(answer, names, several), ensure_ascii=False) for answer in chunk)
        ).encode()
        lead = ",\n"
    yield b"\n]\n"


def _parquet(answers: Iterator[Answer], names: Sequence[str], several: bool) -> Iterator[bytes]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    texts, numbers = (
        ("file", "label", "labels", "prediction_set", "error"),
        ("confidence", "none_of_these", "duration_s"),
    )
    kinds = dict.fromkeys(texts, pa.string()) | dict.fromkeys(numbers, pa.float64())
    columns = flat(Answer(0, ""), names, several)
    schema = pa.schema([(name, kinds.get(name, pa.float64())) for name in columns])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "answers.parquet"
        with pq.ParquetWriter(path, schema) as writer:
            while chunk := list(islice(answers, CHUNK)):
                writer.write_table(
                    pa.Table.from_pylist([flat(answer, names, several) for answer in chunk], schema=schema)
                )
        with path.open("rb") as file:
            while piece := file.read(1 << 20):
                yield piece
