"""What a task puts aside on its machine's disk, so that its memory stays flat."""

from __future__ import annotations

import tempfile
import weakref

from cxr_snapshot.errors import SpillError


class Spill:
    """A file without a name in the folder for temporary files, which ``TMPDIR`` may name; gone with the object.

    Raises:
        SpillError: the folder cannot be written, or has no room.
    """

    def __init__(self) -> None:
        try:
            self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - open for as long as the object is there
        except OSError as error:
            raise _error(error) from error
        weakref.finalize(self, self._file.close)
        self.size = 0  # bytes

    def append(self, body: bytes) -> int:
        """Write bytes behind those that are there, and return where they begin; errors as for the class."""
        begin, rest = self.size, memoryview(body)
        try:
            self._file.seek(begin)
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            raise _error(error) from error
        self.size += len(body)
        return begin

    def read(self, begin: int, size: int) -> bytes:
        """Return ``size`` bytes from ``begin`` on, or those that are left."""
        self._file.seek(begin)
        return self._file.read(size)


def _error(error: OSError) -> SpillError:
    return SpillError(
        f"The folder for temporary files cannot be used ({error}). It holds 24 KB for each image that is searched for "
        "crops: make room there, or let the variable TMPDIR name another folder."
    )
