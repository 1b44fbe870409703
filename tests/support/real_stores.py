"""S3 servers of several makers, each from a package, on loopback ports and folders of their own.

The environment variable ``TEST_STORE`` names the one that the tests run against; see docs/storage.md.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Final

from local_stack.processes import Child, StackError, fetch, free_port
from local_stack.stack import s3_server
from support.paths import ROOT
from support.waiting import PATIENCE

KEY, SECRET = "test", "test-secret"  # of whoever may do everything
REGION = "us-east-1"


@contextmanager
def ministack(folder: Path) -> Iterator[str]:
    """Run the S3 server that `make run` uses, but without a disk, which takes time; give its address."""
    keys = {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET}
    environ = {"PATH": os.environ["PATH"], "HOME": str(folder)} | keys
    with s3_server(ROOT, folder / "data", folder / "log", environ, persist=False) as (address, _):
        yield address


@contextmanager
def moto(folder: Path) -> Iterator[str]:
    """Run moto, which keeps everything in memory; give its address."""
    address = f"http://127.0.0.1:{(port := free_port())}"
    program = str(ROOT / ".local/moto-venv/bin/moto_server")
    environ = {"PATH": os.environ["PATH"], "HOME": str(folder)}
    command = [program, "--host", "127.0.0.1", "--port", str(port)]
    with Child("moto", command, env=environ, log=folder / "log") as server:
        server.wait_until(lambda: fetch(f"{address}/moto-api/data.json") is not None, seconds=PATIENCE)
        yield address


# The monitor's clients ask for encryption unless told otherwise, for which there are no keys without logins.
CEPH = """\
[global]
fsid = {fsid}
mon host = {monitor}
ms bind msgr1 = false
ms mon client mode = crc
auth cluster required = none
auth service required = none
auth client required = none
run dir = {folder}
admin socket = {folder}/$name.asok
mon data = {folder}/mon
osd data = {folder}/osd
rgw data = {folder}/rgw
log to file = false
log to stderr = true
mon cluster log to file = false
osd objectstore = memstore
memstore device bytes = 8589934592
osd class update on start = false
osd crush update on start = false
osd crush chooseleaf type = 0
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 8
osd pool default pg autoscale mode = off
mon allow pool size one = true
rgw frontends = beast endpoint=127.0.0.1:{port}
"""


@contextmanager
def ceph(_: Path) -> Iterator[str]:
    """Run Ceph's RADOS gateway over one monitor and one OSD in memory; give its address.

    Raises:
        StackError: a program did not start.
    """
    # Outside of pytest's folders, whose long names do not fit a socket's address.
    folder = Path(tempfile.mkdtemp(prefix="ceph-test-"))
    conf, address = folder / "ceph.conf", f"http://127.0.0.1:{(port := free_port())}"
    fsid, monitor = str(uuid.uuid4()), f"[v2:127.0.0.1:{free_port()}]"
    conf.write_text(CEPH.format(fsid=fsid, folder=folder, monitor=monitor, port=port))
    environ = {"PATH": os.environ["PATH"], "HOME": str(folder)}

    def do(*command: str) -> None:
        name, *rest = command
        words = [name, "--conf", str(conf), *rest]
        done = subprocess.run(words, env=environ, check=False, capture_output=True, text=True, timeout=PATIENCE)
        if done.returncode:
            raise StackError(f"{' '.join(words)} ended with exit status {done.returncode}: {done.stderr[-1000:]}")

    def start(*command: str) -> Child:
        name, *rest = command
        return Child(name, [name, "--conf", str(conf), "-f", *rest], env=environ, log=folder / f"{name}.log")

    try:
        with ExitStack() as running:
            (folder / "osd").mkdir()
            do("monmaptool", "--create", "--fsid", fsid, "--addv", "a", monitor, str(folder / "monmap"))
            do("ceph-mon", "--mkfs", "-i", "a", "--monmap", str(folder / "monmap"))
            running.enter_context(start("ceph-mon", "-i", "a"))
            do("ceph-osd", "--mkfs", "-i", "0")
            do("ceph", "osd", "new", (folder / "osd/fsid").read_text().strip())
            do("ceph", "osd", "crush", "add", "osd.0", "1", "root=default", "host=localhost")
            running.enter_context(start("ceph-osd", "-i", "0"))
            gateway = running.enter_context(start("radosgw", "-n", "client.rgw"))
            gateway.wait_until(lambda: fetch(address) is not None, seconds=PATIENCE)
            owner = ("--uid=test", "--display-name=test", f"--access-key={KEY}", f"--secret-key={SECRET}")
            do("radosgw-admin", "user", "create", *owner, "--max-buckets=0")  # 0: any number
            yield address
    finally:
        shutil.rmtree(folder)


@dataclass(frozen=True)
class RealStore:
    """A server, and what is known of it.

    Attributes:
        title: its name for people.
        run: starts it, with a folder of its own, and gives its address.
        version: command that prints its version.
        install: what gives the programs that it needs.
        honours_from: first version with conditional writes.
        lacks: why tests fail, by a part of their ids, besides those that need conditional writes.
    """

    title: str
    run: Callable[[Path], AbstractContextManager[str]]
    version: tuple[str, ...]
    install: str
    honours_from: tuple[int, ...] = ()
    lacks: Mapping[str, str] = field(default_factory=dict)

    @property
    def conditional_writes(self) -> bool:
        """Say whether the pipeline may count on them."""
        return not self.honours_from or tuple(map(int, self.measured_version.split("."))) >= self.honours_from

    @property
    def must_fail(self) -> dict[str, str]:
        """Why tests fail, by a part of their ids."""
        return {**self.lacks, **({} if self.conditional_writes else _NEED_CONDITIONS)}

    @cached_property
    def measured_version(self) -> str:
        """Its version, by its own word.

        Raises:
            StackError: it is not installed.
        """
        try:
            text = subprocess.run(self.version, check=True, capture_output=True, text=True).stdout
        except FileNotFoundError:
            raise StackError(f"{self.title} is missing. {self.install}") from None
        return text.removeprefix("ceph version ").split()[0]


def _of_environment(name: str) -> tuple[str, ...]:
    python = str(ROOT / f".local/{name}-venv/bin/python")
    return python, "-Ic", f"import importlib.metadata as m; print(m.version({name!r}))"


_NEED_CONDITIONS = {
    "test_conditions[True]": "it refuses every If-Match",
    "test_a_lost_answer_to_a_conditional_write_is_read_back": "nothing refuses the repeated write; it writes the same",
}
_IGNORES_CHECKSUMS = "it takes bytes that are not those of x-amz-checksum-sha256"

STORES: Final = {
    "ministack": RealStore("MiniStack", ministack, _of_environment("ministack"), "make test-stores installs it."),
    "moto": RealStore(
        "moto",
        moto,
        _of_environment("moto"),
        "make test-stores installs it.",
        lacks={"test_damaged_bytes_are_refused": _IGNORES_CHECKSUMS},
    ),
    "ceph": RealStore(
        "Ceph RGW",
        ceph,
        ("radosgw", "--version"),
        "As root on Debian or Ubuntu: apt-get install --no-install-recommends radosgw ceph-mon ceph-osd ceph-common",
        honours_from=(20,),  # 16.2.15 and 18.2.7 refuse every If-Match that has its quotes, as all have
        lacks={"test_damaged_bytes_are_refused": _IGNORES_CHECKSUMS},
    ),
}


def chosen() -> RealStore:
    """Return the store that these tests run against."""
    return STORES[os.environ.get("TEST_STORE", "ministack")]
