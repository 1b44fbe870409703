"""Parquet objects of which only what is asked for is read, and a bounded memory of what was read of them.

An object with the same ETag has the same bytes, so what was read of it once need not be read again.
"""

from __future__ import annotations

import io
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from functools import cached_property
from typing import Any, TypeVar, cast

import pyarrow as pa
import pyarrow.parquet as pq

from cxr_snapshot.errors import DamagedObjectError
from cxr_snapshot.store.objects import Store, StoredObject

Made = TypeVar("Made")

_AT_ONCE = 4  # things that are made at the same time, each of which takes memory of its own
_FOOTER = 4  # bytes in memory for each byte of a footer, about


class Kept:
    """Things that were made of objects, the last used of them.

    Args:
        most: bytes that all may take together; one that takes more is not kept.
    """

    def __init__(self, most: int) -> None:
        self.most, self.size = most, 0
        self._things: OrderedDict[Hashable, tuple[Any, int]] = OrderedDict()
        self._lock = threading.Lock()
        self._making = [threading.Lock() for _ in range(_AT_ONCE)]

    def get(self, key: Hashable, make: Callable[[], Made], size: Callable[[Made], int]) -> Made:
        """Return the thing of this key; where it is not there, what ``make`` returns, which is called once at a time.

        Args:
            key: names the bytes that it is made of, and what is made.
            make: may raise; then nothing is kept. It asks for no other thing that is kept here, or it could wait for
                itself.
            size: bytes that it takes.
        """
        if (found := self._find(key)) is not None:
            return cast(Made, found[0])
        with self._making[hash(key) % _AT_ONCE]:
            if (found := self._find(key)) is not None:  # made while this one waited
                return cast(Made, found[0])
            made = make()
            self._keep(key, made, size(made))
            return made

    def _find(self, key: Hashable) -> tuple[Any, int] | None:
        with self._lock:
            if key in self._things:
                self._things.move_to_end(key)
            return self._things.get(key)

    def _keep(self, key: Hashable, made: Any, size: int) -> None:
        if size > self.most:
            return
        with self._lock:
            self._things[key] = made, size
            self.size += size
            while self.size > self.most:
                _, (_, gone) = self._things.popitem(last=False)
                self.size -= gone


class RangedTable:
    """A Parquet object that is read by row group and column, each stretch of it in one request.

    Args:
        store: where it is.
        name: its name.
        item: what a listing says of it.
        kept: remembers its footer.
    """

    def __init__(self, store: Store, name: str, item: StoredObject, kept: Kept) -> None:
        self.store, self.name, self.item, self._kept = store, name, item, kept

    @cached_property
    def footer(self) -> pq.FileMetaData:
        """What it says of its row groups and columns."""
        return self._keep("footer", self._read_footer, lambda footer: _FOOTER * footer.serialized_size)

    @property
    def columns(self) -> list[str]:
        """Names of its columns; of a struct, ``<column>.<field>``."""
        parts = self.footer.schema
        return [parts.column(number).path for number in range(len(parts))]

    @property
    def rows_of_groups(self) -> list[int]:
        """How many rows each row group has."""
        return [self.footer.row_group(number).num_rows for number in range(self.footer.num_row_groups)]

    def bounds(self, column: str) -> list[tuple[str, str] | None]:
        """Return the lowest and highest text of a column in each row group; ``None`` where that is not noted."""
        place = self.columns.index(column)
        noted = [self.footer.row_group(number).column(place).statistics for number in range(self.footer.num_row_groups)]
        return [(each.min, each.max) if each is not None and each.has_min_max else None for each in noted]

    def read(self, groups: Sequence[int], columns: Sequence[str], *, coded: bool = False) -> pa.Table:
        """Return some columns of some row groups; as dictionaries where they are to be ``coded``.

        Raises:
            DamagedObjectError: it is no Parquet file, or a damaged one.
            StorageUnavailableError: it was replaced meanwhile, or the store does not answer.
        """
        footer = self.footer
        return self._whole(
            lambda: pq.ParquetFile(
                _Requests(self.store, self.name, self.item),
                metadata=footer,
                pre_buffer=True,
                read_dictionary=list(columns) if coded else None,
            ).read_row_groups(list(groups), columns=list(columns), use_threads=False)
        )

    def keep(self, what: Hashable, make: Callable[[], Made], size: Callable[[Made], int]) -> Made:
        """Return what ``make`` makes of this object, from memory where it was made before; see :meth:`Kept.get`."""
        _ = self.footer  # which ``make`` needs, and must not ask for
        return self._keep(what, make, size)

    def _keep(self, what: Hashable, make: Callable[[], Made], size: Callable[[Made], int]) -> Made:
        return self._kept.get((self.store.uri(self.name), self.item.etag, what), make, size)

    def _read_footer(self) -> pq.FileMetaData:
        return self._whole(lambda: pq.read_metadata(_Requests(self.store, self.name, self.item)))

    def _whole(self, read: Callable[[], Any]) -> Any:
        try:
            return read()
        except (pa.ArrowException, ValueError) as error:
            raise self._damaged(error) from error
        except OSError as error:
            if type(error) is not OSError:  # the store's own errors are of it too
                raise
            raise self._damaged(error) from error

    def _damaged(self, error: Exception) -> DamagedObjectError:
        return DamagedObjectError(f"{self.store.uri(self.name)} is damaged: it is no Parquet file ({error}).")


class _Requests(io.RawIOBase):
    """An object as a file; each read of it is a request."""

    def __init__(self, store: Store, name: str, item: StoredObject) -> None:
        self._store, self._name, self._item, self._place = store, name, item, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._place

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._place = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: self._item.size}[whence]
        return self._place

    def read(self, size: int = -1) -> bytes:
        left = self._item.size - self._place
        size = left if size < 0 else min(size, left)
        if size <= 0:
            return b""
        body = self._store.get_range(self._name, self._place, size, self._item.etag)
        self._place += size
        return body
