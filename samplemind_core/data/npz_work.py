"""What an import of ready-made spectrograms has finished: a stopped or killed one goes on from there.

Blocks of rows come in an order that only the files decide, so that their number says which are done.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from samplemind_core.data.incoming import storage_errors

_COPIED_BYTES = 8 << 20


@dataclass(frozen=True, slots=True)
class Checked:
    """A block whose values were looked at: their range, and the hash of each row."""

    low: float
    high: float
    hashes: tuple[str, ...]


class NpzWork:
    """The folder in which an import of spectrograms is put together.

    Parameters
    ----------
    folder : Path
        Made if need be; ``journal`` says which blocks were checked, ``log_mel`` holds the rows that were stored.
    stamp : str
        What tells the source from another one of the same place; work for another source is not believed.
    """

    def __init__(self, folder: Path, stamp: str) -> None:
        self.folder = folder
        self._journal, self._rows = folder / "journal", folder / "log_mel"
        with storage_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
            self.checked = self._read(stamp)
            if not self.checked:
                self._rows.unlink(missing_ok=True)
            # Written anew, for the last line may be half a line; what was stored is not touched.
            lines = [json.dumps({"stamp": stamp}), *(json.dumps(asdict(block)) for block in self.checked)]
            part = self._journal.with_suffix(".part")
            part.write_text("".join(f"{line}\n" for line in lines), encoding="ascii")
            part.replace(self._journal)

    def check(self, block: Checked) -> None:
        """Note the next block."""
        with storage_errors(self.folder), self._journal.open("a", encoding="ascii") as journal:
            journal.write(json.dumps(asdict(block)) + "\n")
        self.checked.append(block)

    def stored(self, row_bytes: int) -> int:
        """Return how many whole rows are stored, dropping a row that was being written."""
        with storage_errors(self.folder), self._rows.open("ab") as rows:
            count = rows.seek(0, os.SEEK_END) // row_bytes
            rows.truncate(count * row_bytes)
        return count

    def store(self, block: NDArray[np.float16]) -> None:
        """Add rows."""
        with storage_errors(self.folder), self._rows.open("ab") as rows:
            rows.write(np.ascontiguousarray(block, dtype="<f2").data)

    def rows(self, shape: tuple[int, ...]) -> Iterator[NDArray[np.float16]]:
        """Yield the stored rows of one shape in blocks, row after row."""
        row_bytes = 2 * int(np.prod(shape))
        step = row_bytes * max(1, _COPIED_BYTES // row_bytes)
        with self._rows.open("rb") as stream:
            while data := stream.read(step):
                yield np.frombuffer(data, dtype="<f2").reshape(-1, *shape)

    def _read(self, stamp: str) -> list[Checked]:
        """Return the blocks that an earlier attempt checked; none where its source was another."""
        found: list[Checked] = []
        try:
            lines = self._journal.read_text(encoding="ascii").splitlines()
            if json.loads(lines[0]) != {"stamp": stamp}:
                return []
            for line in lines[1:]:
                values = json.loads(line)
                found.append(Checked(values["low"], values["high"], tuple(values["hashes"])))
        except (OSError, ValueError, IndexError, TypeError, KeyError):
            return found  # up to the line that was being written when the process died
        return found
