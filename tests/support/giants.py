"""An upstream of many giant files, and the memory that it takes to bring them in.

``python -m support.giants KIND ...`` prints it. The kinds: ``singly`` (where some file is known) and ``archive`` fetch
them from a repository at an address, ``zip`` reads a file of Kaggle's, ``inspect`` decodes what is in a store.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import sys
import tarfile
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from random import Random
from threading import Thread
from types import SimpleNamespace
from typing import Any

from cxr_snapshot.ingestion.ingest import _held, _Uploader
from cxr_snapshot.inspection.results import PARTITIONS, inspect_blobs
from cxr_snapshot.settings import Settings
from cxr_snapshot.sources import zips
from cxr_snapshot.sources.base import Revision
from cxr_snapshot.sources.covid import CovidCollection
from cxr_snapshot.store.parallel import bounded_map
from support.stores import client_of, store_in

SIZE = 60 * 1024**2  # bytes of a file
FILES = 16
COMMIT = "1" * 40


def giant(number: int) -> bytes:
    """Return one file: enough of it random that no limit on ratios refuses it."""
    return Random(number).randbytes(SIZE // 100).ljust(SIZE, b"\0")


def git_sha1(body: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(body) + body, usedforsecurity=False).hexdigest()


def write_zip(file: Path) -> None:
    """Write the files as Kaggle's zip."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for number in range(FILES):
            archive.writestr(f"chest_xray/train/NORMAL/{number}.jpeg", giant(number))


@contextmanager
def served() -> Iterator[str]:
    """Serve the files as a repository on a loopback port: tree, raw files and archive; give its address."""
    tree = [
        {"path": f"images/{number}.png", "type": "blob", "sha": git_sha1(giant(number)), "size": SIZE}
        for number in range(FILES)
    ]
    known = {"path": "images/known.png", "type": "blob", "sha": "0" * 40, "size": 1}

    class Repository(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if "/git/trees/" in self.path:
                body = json.dumps({"tree": [*tree, *[known] * ("/singly/" in self.path)], "truncated": False}).encode()
            elif "/tar.gz/" in self.path:
                body = _archive()
            else:
                body = giant(int(re.search(r"(\d+)\.png$", self.path)[1]))
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Repository) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def _archive() -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz", compresslevel=1) as tar:
        for number in range(FILES):
            info = tarfile.TarInfo(f"repo-{COMMIT}/images/{number}.png")
            info.size = SIZE
            tar.addfile(info, io.BytesIO(giant(number)))
    return packed.getvalue()


def _ingest(files: Any) -> int:
    """Take files in as the pipeline does, into a store that is slower than their upstream; return how many bytes."""
    store = SimpleNamespace(scan=lambda _: (), put=lambda *_, **__: time.sleep(0.2))
    uploaded = bounded_map(_Uploader(store, erased=()).upload, files, held=_held)
    return sum(file.size for file, sha256 in uploaded if sha256)


def main(kind: str, where: str, *others: str) -> int:
    """Print the number of bytes that were read, and the most memory that this process had, in KB."""
    if kind == "inspect":
        store = store_in(client_of(where), *others)
        sizes = {name.rpartition("/")[2]: item.size for name, item in store.scan("_work/blobs/")}
        read = inspect_blobs(store, PARTITIONS, sizes, searched=sizes)["new"] * SIZE
    elif kind == "zip":
        read = _ingest(zips.read_members(Path(where), zips.list_members(Path(where))))
    else:
        names = dict.fromkeys(("github_api_url", "github_raw_url", "github_codeload_url"), where)
        source = CovidCollection(Settings(bucket="any", github_repo=f"any/{kind}", **names))
        read = _ingest(source.files(Revision("covid", COMMIT), known={"0" * 40}).files)
    print(read, re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1])
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
