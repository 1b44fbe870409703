"""PostgreSQL and Redis from the system's packages, on loopback ports and folders of their own."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from local_stack.processes import Child, StackError, free_port
from support.waiting import PATIENCE


@contextmanager
def postgres(log: Path) -> Iterator[str]:
    """Run a new, empty PostgreSQL; give the part of a database URL that follows the scheme."""
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda folder: int(folder.parent.name))
    if not programs:
        raise StackError("PostgreSQL is missing: apt-get install postgresql")
    # Outside of pytest's folders, which nobody but us may enter: PostgreSQL refuses to run as root.
    folder = Path(tempfile.mkdtemp(prefix="postgres-test-"))
    user = []
    if os.getuid() == 0:
        account = pwd.getpwnam("postgres")
        os.chown(folder, account.pw_uid, account.pw_gid)
        user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", "env", f"HOME={folder}"]
    try:
        data, port = folder / "data", free_port()
        initdb = [str(programs[-1] / "initdb"), "--username=airflow", "--auth=trust", "--no-sync", f"--pgdata={data}"]
        subprocess.run([*user, *initdb], check=True, stdout=subprocess.DEVNULL)
        options = {"listen_addresses": "127.0.0.1", "port": port, "unix_socket_directories": "", "fsync": "off"}
        command = [*user, str(programs[-1] / "postgres"), "-D", str(data)]
        command += [text for name, value in options.items() for text in ("-c", f"{name}={value}")]
        with Child("PostgreSQL", command, env={"PATH": os.environ["PATH"]}, log=log) as server:
            server.wait_until(lambda: _answers(port), seconds=PATIENCE)
            yield f"airflow@127.0.0.1:{port}/postgres"
    finally:
        shutil.rmtree(folder)


@contextmanager
def redis(folder: Path, log: Path) -> Iterator[str]:
    """Run an empty Redis that keeps nothing; give its URL."""
    program = shutil.which("redis-server")
    if program is None:
        raise StackError("Redis is missing: apt-get install redis-server")
    port = free_port()
    command = [program, "--bind", "127.0.0.1", "--port", str(port), "--dir", str(folder), "--save", ""]
    with Child("Redis", command, env={"PATH": os.environ["PATH"]}, log=log) as server:
        server.wait_until(lambda: _answers(port), seconds=PATIENCE)
        yield f"redis://127.0.0.1:{port}/0"


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
