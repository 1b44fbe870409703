"""The services that the pipeline talks to: starts those that are local, for as long as they are needed."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from local_stack import airflow_home, environment
from local_stack.processes import Child, StackError, fetch, free_port

SERVER = Path(__file__).with_name("s3_server.py")
HEALTH = "/_ministack/health"
PORT = 9000  # of the local store, where it is free, so that what is set up in other programs lasts


class BusyError(StackError):
    """Another process runs the local stack of this checkout."""


@contextmanager
def only_one(local: Path) -> Iterator[None]:
    """Hold the checkout's lock.

    Raises:
        BusyError: another process holds it.
    """
    local.mkdir(exist_ok=True)
    with _endpoint_file(local).open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise BusyError(
                "`make run`, `make ui` or `make download` is running in this folder already. Wait for it or stop it. "
                "While `make ui` runs, start the pipeline in the browser."
            ) from error
        try:
            yield
        finally:
            lock.truncate(0)


@contextmanager
def services(root: Path, upstream: str, *, advance: bool = False) -> Iterator[list[Child]]:
    """Run what is local of store and upstream while the block lasts, and name both in ``os.environ``.

    Gives the processes that it runs.

    Args:
        root: the checkout.
        upstream: ``sample`` or ``live``.
        advance: move the sample one commit on first.

    Raises:
        StackError: a service did not start, or the environment contradicts itself.
    """
    environ = environment.with_prefix(environment.with_basics(os.environ, root), upstream)
    processes: list[Child] = []
    with ExitStack() as running:
        running.enter_context(only_one(root / ".local"))
        if environment.uses_local_store(environ, has_keys=environment.boto3_finds_keys):
            address, process = running.enter_context(local_store(root, environ))
            processes.append(process)
            environ = environment.with_local_store(environ, address, _keys(root))
            _use(environ)
            _create_bucket(environ["CXR_BUCKET"])
            print(f"Store:    local, bucket {environ['CXR_BUCKET']}, kept in .local/s3")
        else:
            address = environment.endpoint(environ) or "Amazon S3"
            print(f"Store:    {address}, bucket {environ['CXR_BUCKET']} (from the environment)")
        if upstream == "sample":
            environ = environment.with_sample(environ, running.enter_context(sample_upstream(root, advance=advance)))
        else:
            print("Upstream: live, GitHub and Kaggle")
        _use(environ)
        yield processes


@contextmanager
def store_only(root: Path, upstream: str) -> Iterator[None]:
    """Name the store in ``os.environ`` while the block lasts; a local one is started if it does not run.

    Args:
        root: the checkout.
        upstream: ``sample`` or ``live``: whose snapshots are wanted.

    Raises:
        StackError: it did not start, or the environment contradicts itself.
    """
    environ = environment.with_prefix(environment.with_basics(os.environ, root), upstream)
    with ExitStack() as running:
        if environment.uses_local_store(environ, has_keys=environment.boto3_finds_keys):
            local = root / ".local"
            try:
                running.enter_context(only_one(local))
                address, _ = running.enter_context(local_store(root, environ))
            except BusyError:
                address = _endpoint_file(local).read_text()
                if not address:
                    raise
            environ = environment.with_local_store(environ, address, _keys(root))
        _use(environ)
        yield


@contextmanager
def local_store(root: Path, environ: Mapping[str, str]) -> Iterator[tuple[str, Child]]:
    """Run the local store while the block lasts; give its address and its process. Its keys are those of this checkout.

    Raises:
        StackError: it did not start.
    """
    local = root / ".local"
    # Not the rest of our environment: it may hold keys and another server's settings.
    inherited = {name: environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in environ}
    arguments = (root, local / "s3", log_file(root, "ministack"), inherited | _keys(root))
    with ExitStack() as running:
        try:
            address, process = running.enter_context(s3_server(*arguments, free_port(PORT)))
        except StackError:  # another checkout took the port at the same moment
            address, process = running.enter_context(s3_server(*arguments))
        _endpoint_file(local).write_text(address)
        yield address, process


@contextmanager
def s3_server(
    root: Path, data: Path, log: Path, environ: Mapping[str, str], port: int = 0, *, persist: bool = True
) -> Iterator[tuple[str, Child]]:
    """Run MiniStack on a loopback port while the block lasts; give its address and its process.

    Args:
        root: the checkout, whose ``.local/ministack-venv`` holds the program.
        data: folder that keeps the objects.
        log: receives its output.
        environ: its environment, with the ``AWS_*`` keys that requests must be signed with.
        port: TCP port; 0 for any free one.
        persist: whether the objects are written to ``data``, and not only held in memory.

    Raises:
        StackError: it did not start.
    """
    port = port or free_port()
    address = f"http://127.0.0.1:{port}"
    own = {
        "BIND_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(port),
        "SERVICES": "s3",
        "S3_PERSIST": "1" if persist else "0",
        "S3_DATA_DIR": str(data),
        "IOT_MTLS_ENABLED": "0",
        "SFTP_ENABLED": "0",
    }
    # Isolated: it runs a file of ours in its own environment, and nothing else of ours, such as PYTHONUTF8.
    command = [str(root / ".local/ministack-venv/bin/python"), "-I", "-X", "utf8", str(SERVER)]
    with Child("The local S3 store", command, env={**environ, **own}, log=log) as store:
        # Its own word, and not only an answer: where it could not have the port, that of another one would be believed.
        store.wait_until(
            lambda: "Running on" in log.read_text() and fetch(f"{address}{HEALTH}") is not None, seconds=60
        )
        yield address, store


@contextmanager
def sample_upstream(root: Path, *, advance: bool) -> Iterator[dict[str, str]]:
    """Serve the generated upstream while the block lasts; give the settings that lead to it.

    Raises:
        StackError: git is missing.
    """
    from upstream_simulator import sample
    from upstream_simulator.server import UpstreamSimulator

    _check_git()
    folder = root / ".local/upstream"
    step = None
    if sample.move_older(folder):
        print("Moved the repository that an older version wrote to .local/upstream/github.", flush=True)
    if not sample.has_sample(folder):
        print("Writing a generated sample upstream to .local/upstream ...", flush=True)
        sample.write_sample(folder)
    if advance:
        step = advance_sample(folder)
    with UpstreamSimulator(folder / sample.GITHUB_NAME, folder / sample.KAGGLE_NAME) as simulator:
        moved = f", moved on to {step}" if step else ", already at its last commit: nothing to move on to"
        print(f"Upstream: generated sample in .local/upstream{moved if advance else ''}")
        yield simulator.settings()


def advance_sample(folder: Path) -> str | None:
    """Move the generated sample in ``folder`` one commit on, also while it is served.

    Returns:
        The name of the commit, or ``None`` where the sample is at its last one.

    Raises:
        StackError: there is no sample, or it cannot be moved on.
    """
    from upstream_simulator import sample

    _check_git()
    if not sample.has_sample(folder):
        raise StackError("There is no generated sample yet: `make run` and `make ui` write one. Then try again.")
    try:
        return sample.advance(folder / sample.GIT_NAME)
    except sample.SampleError as error:
        raise StackError(str(error)) from error


def _check_git() -> None:
    if shutil.which("git") is None:
        raise StackError("The sample upstream is a git repository, but there is no `git` program. Install git.")


def log_file(root: Path, name: str) -> Path:
    """Return the path of a log, in a folder that exists."""
    folder = root / ".local/logs"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{name}.log"


def _endpoint_file(local: Path) -> Path:
    """Return the file that holds the running local store's address; also the lock."""
    return local / "s3-endpoint"


def _keys(root: Path) -> dict[str, str]:
    return environment.local_keys(airflow_home.load_secrets(root / ".local/secrets.json"))


def _use(environ: Mapping[str, str]) -> None:
    os.environ.clear()
    os.environ.update(environ)


def _create_bucket(bucket: str) -> None:
    from cxr_snapshot.store.client import connect

    client = connect()
    if bucket not in [item["Name"] for item in client.list_buckets()["Buckets"]]:
        client.create_bucket(Bucket=bucket)
