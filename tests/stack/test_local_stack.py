"""The local stack: its words, its child processes and what the README and `make help` promise."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import logging
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import pytest

from cxr_snapshot.selection.rules import REASONS
from cxr_snapshot.settings import Settings
from local_stack import airflow_home, environment, stack, summary
from local_stack.__main__ import main
from local_stack.download import download
from local_stack.guard import session_members
from local_stack.processes import Child, StackError, free_port
from support.paths import ROOT
from support.waiting import PATIENCE, eventually
from upstream_simulator import sample

OVERRIDE = {
    "finding": "COVID lost 40 %.",
    "how": "approval",
    "run": "nightly",
    "user": "reviewer",
    "time": "2026-11-23T04:00:00",
}
SNAPSHOT = {
    "version": "2026-11-23",
    "uri": "s3://cxr-snapshots/covid-cxr/2026-11-23/",
    "revisions": {"covid": "5b82952cea2f2a1db5e8e63da6f43d2456617fc0", "pneumonia": "2"},
    "counts": {"COVID": 24, "NORMAL": 24, "PNEUMONIA": 24},
    "candidates": {"COVID": 24, "NORMAL": 1341, "PNEUMONIA": 48},
    "excluded": {"not_xray": 2, "mac_metadata": 1100, "duplicate_image": 2},
    "audit": {"checks": 14, "passed": 13, "headline": "It teaches the source."},
    "overrides": [OVERRIDE],
}

CHANGES = {"previous": "2026-11-22", "counts": {"added": 1002, "removed": 1, "updated": 0}}

# A command with a child that leaves its process group, as Airflow's scheduler does. It prints both process ids.
FAMILY = """
import os, sys, time
child = os.fork()
if child == 0:
    os.setpgid(0, 0)
    time.sleep(600)
print(os.getpid(), child, flush=True)
time.sleep(600)
"""


class TestSummary:
    def test_of_a_new_snapshot(self):
        assert summary.published(SNAPSHOT, CHANGES, seconds=61.4).splitlines() == [
            "Published snapshot 2026-11-23",
            "",
            "  Address   s3://cxr-snapshots/covid-cxr/2026-11-23/",
            "  Images    COVID                  24 of 24 candidates",
            "            NORMAL                 24 of 1,341 candidates",
            "            PNEUMONIA              24 of 48 candidates",
            "  Sources   covid              commit 5b82952cea2f2a1db5e8e63da6f43d2456617fc0",
            "            pneumonia          version 2",
            "  Changed   since 2026-11-22: 1,002 added, 1 removed; see CHANGES.md",
            "  Left out    1,100 mac_metadata: A file that macOS adds to zips; it is no image.",
            f"                  2 duplicate_image: {REASONS['duplicate_image']}",
            "                  2 not_xray: Not a projection radiograph.",
            "  Audit     13 of 14 checks passed, 1 failed and was accepted by reviewer; see audit.html",
            "            COVID lost 40 %. Accepted by reviewer in run nightly at 2026-11-23T04:00:00.",
            "            It teaches the source.",
            "  Took      1 min 1 s",
        ]

    def test_of_a_snapshot_that_left_nothing_out(self):
        assert "  Left out  nothing\n" in summary.published(SNAPSHOT | {"excluded": {}}, CHANGES, seconds=1)

    def test_names_the_folder_of_a_sample_as_make_download_makes_it(self):
        sample = {"version": "2026-11-23", "uri": "s3://b/covid-cxr-sample/2026-11-23/", "synthetic": True}
        text = summary.how_to_read(sample, None, local=True)
        assert text.startswith("To copy it into .local/snapshots/covid-cxr-sample/2026-11-23 and look at ")
        assert "\n\n    make download\n" in text

    @pytest.mark.parametrize(
        ("changes", "said"),
        [
            ({"previous": None, "counts": {"added": 72}}, "this is the first snapshot"),
            ({"previous": "2026-11-22", "counts": {"added": 0}}, "since 2026-11-22: no image; see CHANGES.md"),
        ],
    )
    def test_what_changed(self, changes, said):
        assert f"  Changed   {said}\n" in summary.published(SNAPSHOT, changes, seconds=1)

    def test_a_rule_of_another_version_is_named(self):
        odd = SNAPSHOT | {"excluded": {"a_rule_of_long_ago": 3}}
        assert "  Left out        3 a_rule_of_long_ago\n" in summary.published(odd, CHANGES, seconds=1)

    def test_of_a_run_without_news(self):
        latest = {"version": "2026-11-23", "uri": "s3://b/p/2026-11-23/"}
        assert summary.unchanged(latest, seconds=9.6) == (
            "Nothing new since 2026-11-23 (s3://b/p/2026-11-23/); nothing published. Took 10 s."
        )
        assert summary.unchanged(None, seconds=0) == "Nothing published, and no snapshot exists yet. Took 0 s."

    def test_names_a_command_that_works_for_the_store(self):
        snapshot = {"version": "v", "uri": "s3://b/v/"}
        local = summary.how_to_read(snapshot, "http://127.0.0.1:1", local=True)
        remote = summary.how_to_read(snapshot, "https://s3.example.org", local=False)
        amazon = summary.how_to_read(snapshot, None, local=False)
        assert local.startswith("To copy it into .local/snapshots/v and look at preview.jpg and audit.html there:\n")
        assert "\n\n    make download UPSTREAM=live\n" in local
        assert "127.0.0.1" not in local  # that server ends with the run
        assert "aws s3 sync s3://b/v/ v --endpoint-url https://s3.example.org" in remote
        assert amazon.endswith("aws s3 sync s3://b/v/ v")

    @pytest.mark.parametrize(("port", "odd"), [(9000, ""), (4711, " (port 9000, which it usually has, is in use)")])
    def test_says_where_the_store_is_and_that_its_port_is_another_one(self, port, odd):
        address = f"http://127.0.0.1:{port}"
        assert summary.how_to_reach(address, "AWS_ACCESS_KEY_ID=k", "s3://b/p/", usual=9000).splitlines() == [
            f"While this runs, the store answers at {address}{odd}. In another shell:",
            "",
            "    export AWS_ACCESS_KEY_ID=k",
            "    aws s3 sync s3://b/p/ snapshots --exclude '*_work/*'",
        ]


class TestEnvironment:
    @pytest.mark.parametrize(
        ("environ", "local"), [({}, True), ({"AWS_ACCESS_KEY_ID": "k"}, True), ({"CXR_BUCKET": "b"}, False)]
    )
    def test_chooses_the_store(self, environ, local):
        assert environment.uses_local_store(environ, has_keys=lambda: True) is local

    def test_a_bucket_that_is_named_is_never_the_local_one(self):
        with pytest.raises(StackError, match="CXR_BUCKET names the bucket mine, but boto3 finds no keys"):
            environment.uses_local_store({"CXR_BUCKET": "mine"}, has_keys=lambda: False)
        assert environment.with_local_store({"CXR_BUCKET": "mine"}, "http://x", {})["CXR_BUCKET"] == "cxr-snapshots"

    def test_keys_are_found_where_boto3_looks(self, tmp_path, monkeypatch):
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            monkeypatch.delenv(name)
        (tmp_path / "credentials").write_text("[work]\naws_access_key_id = k\naws_secret_access_key = s\n")
        monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
        monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        assert not environment.boto3_finds_keys()
        monkeypatch.setenv("AWS_PROFILE", "work")
        assert environment.boto3_finds_keys()

    @pytest.mark.parametrize(
        ("environ", "remedy"),
        [
            ({"AWS_ENDPOINT_URL_S3": "http://x"}, "Set CXR_BUCKET"),
            ({"AIRFLOW_CONN_CXR_S3": "aws://"}, "unset AIRFLOW_CONN_CXR_S3"),
        ],
    )
    def test_refuses_half_a_store(self, environ, remedy):
        with pytest.raises(StackError, match=remedy):
            environment.uses_local_store(environ, has_keys=lambda: True)

    def test_keeps_real_keys_from_the_local_store_and_the_sample(self):
        secret = dict.fromkeys(("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "GITHUB_TOKEN", "KAGGLE_KEY"), "secret")
        keys = {"AWS_SECRET_ACCESS_KEY": "local"}
        environ = environment.with_local_store(secret | {"CXR_PREFIX": "mine"}, "http://127.0.0.1:1", keys)
        environ = environment.with_sample(environ, {"github_api_url": "http://127.0.0.1:2"})
        assert "secret" not in environ.values()
        assert environ["CXR_PREFIX"] == "mine"
        assert environ["CXR_GITHUB_API_URL"] == "http://127.0.0.1:2"

    @pytest.mark.parametrize(
        ("named", "upstream", "prefix"),
        [
            ({}, "sample", "covid-cxr-sample"),
            ({"CXR_PREFIX": ""}, "sample", "covid-cxr-sample"),
            ({"CXR_PREFIX": "mine"}, "sample", "mine"),
            ({}, "live", None),
            ({"CXR_PREFIX": "mine"}, "live", "mine"),
        ],
    )
    def test_the_sample_has_a_prefix_of_its_own(self, named, upstream, prefix):
        assert environment.with_prefix(named, upstream).get("CXR_PREFIX") == prefix

    def test_what_make_ui_prints_is_what_a_shell_takes(self):
        keys = environment.reader("http://127.0.0.1:9000", {"store_key": "k", "store_secret": "s & t"})
        command = f"export {environment.assignments(keys)}; env"
        printed = subprocess.run(["sh", "-c", command], env={}, capture_output=True, text=True, check=True).stdout
        assert "AWS_ENDPOINT_URL_S3=http://127.0.0.1:9000" in printed.splitlines()
        assert {f"{name}={value}" for name, value in keys.items()} <= set(printed.splitlines())

    def test_airflow_secrets_are_private_long_enough_and_kept(self, tmp_path):
        file = tmp_path / "secrets.json"
        keys = airflow_home.load_secrets(file)
        assert file.stat().st_mode & 0o777 == 0o600
        assert len(keys["jwt_secret"]) >= 64
        assert airflow_home.load_secrets(file) == keys

    def test_a_database_is_migrated_where_it_is_another_one_or_airflow_is(self, tmp_path, monkeypatch):
        assert not airflow_home.is_migrated(tmp_path)
        with closing(sqlite3.connect(tmp_path / "airflow.db", isolation_level=None)) as database:
            airflow_home.note_migrated(tmp_path)
            assert not airflow_home.is_migrated(tmp_path)  # an empty file
            database.execute("CREATE TABLE alembic_version (version_num)")
            database.execute("INSERT INTO alembic_version VALUES ('fd0458b8d2f1')")
            assert not airflow_home.is_migrated(tmp_path)
            airflow_home.note_migrated(tmp_path)
            assert airflow_home.is_migrated(tmp_path)
            monkeypatch.setattr(airflow_home, "version", lambda _: "4.0.0")
            assert not airflow_home.is_migrated(tmp_path)
            monkeypatch.undo()
            database.execute("UPDATE alembic_version SET version_num = 'another'")
            assert not airflow_home.is_migrated(tmp_path)
        (tmp_path / "airflow.db").write_bytes(b"damaged")
        assert not airflow_home.is_migrated(tmp_path)


class TestProcesses:
    def test_a_stopped_child_leaves_nothing_behind(self, tmp_path):
        command = [sys.executable, "-c", FAMILY]
        with Child("family", command, env=os.environ, log=tmp_path / "log", grace=0.2) as child:
            members = family(child, tmp_path / "log")
            assert alive(members) == members
        assert alive(members) == []

    def test_a_child_that_ignores_the_interrupt_is_killed(self, tmp_path):
        stubborn = f"import signal; signal.signal(signal.SIGINT, signal.SIG_IGN){FAMILY}"
        command = [sys.executable, "-c", stubborn]
        with Child("stubborn", command, env=os.environ, log=tmp_path / "log", grace=0.2) as child:
            members = family(child, tmp_path / "log")
        assert alive(members) == []

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
    def test_children_end_with_their_parent(self, tmp_path, number):
        parent = f"""
import os, sys
from pathlib import Path
from local_stack.processes import Child, unwind_on_signals

unwind_on_signals()
with Child("family", [sys.executable, "-c", {FAMILY!r}], env=os.environ, log=Path("log")) as child:
    child.wait()
"""
        environ = os.environ | {"PYTHONPATH": str(ROOT / "include")}
        with subprocess.Popen(
            [sys.executable, "-c", parent], cwd=tmp_path, env=environ, stderr=subprocess.PIPE
        ) as process:
            eventually(lambda: (tmp_path / "log").exists() and (tmp_path / "log").read_text().endswith("\n"))
            members = [int(pid) for pid in (tmp_path / "log").read_text().split()]
            assert alive(members) == members
            process.send_signal(number)
            assert process.wait(PATIENCE) in (-number, 128 + number)
        eventually(lambda: alive(members) == [])

    def test_exit_status_is_passed_on(self, tmp_path):
        with Child(
            "three", [sys.executable, "-c", "raise SystemExit(3)"], env=os.environ, log=tmp_path / "log"
        ) as child:
            assert child.wait(PATIENCE) == 3

    def test_a_child_that_ends_early_is_reported_with_its_log(self, tmp_path):
        command = [sys.executable, "-c", "raise SystemExit('the port is taken')"]
        with (
            Child("The server", command, env=os.environ, log=tmp_path / "log") as child,
            pytest.raises(StackError, match=r"The server ended with exit status 1 .*\n    the port is taken"),
        ):
            child.wait_until(lambda: False, seconds=PATIENCE)

    def test_a_child_that_is_never_ready_is_reported(self, tmp_path):
        command = [sys.executable, "-c", "import time; time.sleep(600)"]
        with (
            Child("The server", command, env=os.environ, log=tmp_path / "log") as child,
            pytest.raises(StackError, match="The server was not ready after 0 seconds"),
        ):
            child.wait_until(lambda: False, seconds=0.2)

    def test_a_taken_port_is_replaced(self):
        import socket

        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            assert free_port(port) not in (0, port)

    def test_only_one_stack_runs_in_a_checkout(self, tmp_path):
        busy = pytest.raises(stack.BusyError, match="running in this folder already")
        with stack.only_one(tmp_path), busy, stack.only_one(tmp_path):
            pass


class TestSample:
    def test_that_of_an_older_version_goes_on(self, sample_folder, tmp_path, capsys):
        folder = tmp_path / ".local/upstream"
        shutil.copytree(sample_folder, folder)
        (folder / sample.GIT_NAME).rename(folder / "covid.git")
        (folder / sample.GITHUB_NAME / "ieee8023").rmdir()
        (folder / sample.GITHUB_NAME).rmdir()
        with stack.sample_upstream(tmp_path, advance=True) as settings:
            assert set(settings) == {"github_api_url", "github_raw_url", "github_codeload_url", "kaggle_api_url"}
        assert capsys.readouterr().out.splitlines() == [
            "Moved the repository that an older version wrote to .local/upstream/github.",
            "Upstream: generated sample in .local/upstream, moved on to step-2",
        ]

    def test_is_moved_on_to_its_last_commit(self, sample_folder, tmp_path):
        folder = tmp_path / "upstream"
        shutil.copytree(sample_folder, folder)
        steps = [stack.advance_sample(folder) for _ in range(5)]
        assert steps == ["step-2", "step-3", "step-4", "step-5", None]

    def test_that_is_not_there_or_has_been_changed_is_refused(self, sample_folder, tmp_path):
        with pytest.raises(StackError, match="There is no generated sample yet: `make run`"):
            stack.advance_sample(tmp_path)
        folder = tmp_path / "upstream"
        shutil.copytree(sample_folder, folder)
        git = ["git", "--git-dir", str(folder / sample.GIT_NAME)]
        subprocess.run([*git, "update-ref", "refs/heads/master", "refs/replay/step-3"], check=True)
        subprocess.run([*git, "update-ref", "-d", "refs/replay/step-3"], check=True)
        with pytest.raises(StackError, match="which is no replay step; set it to one"):
            stack.advance_sample(folder)


class TestDownload:
    @pytest.mark.parametrize("named", [None, "my folder"])
    def test_copies_the_latest_snapshot_once(self, store, tmp_path, named):
        files = {"images/COVID/a.jpg": b"a", "snapshot.json": b"{}"}
        sums = "".join(f"{hashlib.sha256(body).hexdigest()}  {name}\n" for name, body in files.items()).encode()
        files |= {"SHA256SUMS": sums, "_SUCCESS": hashlib.sha256(sums).hexdigest().encode()}
        for name, body in files.items():
            store.put(f"2026-11-23/{name}", body)
        store.put_json("latest.json", {"version": "2026-11-23"})
        where = (tmp_path / "snapshots", named and tmp_path / named)
        folder, fetched = download(store, *where)
        assert folder == tmp_path / (named or f"snapshots/{store.prefix}/2026-11-23")
        assert len(list(tmp_path.iterdir())) == 1
        assert {file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()} == files.keys()
        assert fetched == 2
        assert download(store, *where) == (folder, 0)

    def test_says_that_there_is_none(self, store, tmp_path):
        with pytest.raises(StackError, match="Run `make run` first"):
            download(store, tmp_path)


class TestWhatIsPromised:
    def test_the_page_lists_every_setting_with_its_default(self):
        rows = re.findall(
            r"^\| `(\w+)` \| `([A-Z_]+)` \| (.*?) \| .+ \|$", (ROOT / "docs/settings.md").read_text(), re.MULTILINE
        )
        listed = {name: default.strip("`") for name, _, default in rows}
        wanted = {}
        for item in dataclasses.fields(Settings):
            has_value = item.default not in (dataclasses.MISSING, None)
            wanted[item.name] = str(item.default) if has_value else listed.get(item.name)
        assert listed == wanted

    def test_the_page_names_each_settings_variable(self):
        rows = re.findall(r"^\| `(\w+)` \| `([A-Z_]+)` \|", (ROOT / "docs/settings.md").read_text(), re.MULTILINE)
        by_name = {
            "views": "frontal+lateral",
            "github_repo": "a/b",
            "kaggle_dataset": "a/b",
            "licences": "known-only",
            "controls": "prefer-upstream",
            "subtypes": "balanced",
            "ages": "adults",
            "files": "uniform",
            "picture_size": "512",
            "approval": "on",
            "conditional_writes": "unavailable",
            "verify": "all",
            "archive": "zip",
        }
        by_type = {"int": "7", "float": "0.5", "Path": "/x"}
        types = {item.name: str(item.type).removesuffix(" | None") for item in dataclasses.fields(Settings)}
        for name, variable in rows:
            other = "http://x" if name.endswith("_url") else "abc"
            text = by_name.get(name) or by_type.get(types[name]) or other
            settings = Settings.load(environ={"CXR_BUCKET": "bucket", variable: text})
            assert str(getattr(settings, name)) == text, variable

    def test_make_help_lists_every_target(self):
        makefile = (ROOT / "Makefile").read_text()
        targets = re.search(r"^\.PHONY: (.+)$", makefile, re.MULTILINE)[1].split()
        shown = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
        assert re.findall(r"^  make (\S+)", shown, re.MULTILINE) == targets

    def test_whatever_make_starts_reads_and_writes_utf_8(self):
        """Airflow (3.3.2) does not start where its Python reads files in Latin-1."""
        command = ["make", "--no-print-directory", "--eval", "mode: ; @echo $$PYTHONUTF8", "mode"]
        environ = os.environ | {"LC_ALL": "en_US.ISO-8859-1", "PYTHONUTF8": "0"}
        assert subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, check=True).stdout == b"1\n"

    def test_an_old_python_is_refused_in_one_sentence(self, tmp_path):
        old = tmp_path / "python3"
        old.write_text('#!/bin/sh\n[ "$1" = -V ] && echo Python 3.9.1 && exit\nexit 1\n')
        old.chmod(0o755)
        for file in (ROOT / "Makefile", *ROOT.glob("requirements*.txt")):
            (tmp_path / file.name).write_bytes(file.read_bytes())
        done = subprocess.run(
            ["make", "run", f"PYTHON={old}"], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.returncode != 0
        assert done.stderr.splitlines()[0] == (
            f"This needs Python 3.11, 3.12 or 3.13, but {old} is Python 3.9.1. "
            "Name another one: make run PYTHON=python3.12"
        )

    @pytest.mark.parametrize("arguments", [["run", "--advance"], ["advance"]])
    def test_live_upstreams_cannot_be_moved_on(self, capsys, arguments):
        assert main([*arguments, "--upstream", "live"]) == 1
        assert "Only the generated sample can be given a commit" in capsys.readouterr().err


def family(child: Child, log: Path) -> list[int]:
    """Return the process ids that FAMILY printed."""
    child.wait_until(lambda: log.read_text().endswith("\n"), seconds=PATIENCE)
    members = [int(pid) for pid in log.read_text().split()]
    assert session_members(members[0]) == sorted(members)
    return members


def alive(pids: list[int]) -> list[int]:
    """Return those that run; a zombie does not."""
    states = subprocess.run(["ps", "-A", "-o", "pid=,stat="], capture_output=True, text=True, check=True).stdout
    running = {int(pid) for pid, state in (line.split() for line in states.splitlines()) if not state.startswith("Z")}
    return [pid for pid in pids if pid in running]


def test_a_run_is_told_in_a_line_for_each_task_and_verbosely_in_full() -> None:
    from local_stack.dag_run import Progress  # imports Airflow, which not every worker needs

    def tell(*, verbose: bool) -> list[str]:
        terminal = io.StringIO()
        progress = Progress(terminal, verbose=verbose)
        task = SimpleNamespace(task_id="ingest", map_index=1)
        progress.on_task_instance_running(task)
        for level, name, text in (
            (logging.INFO, "progress", "covid: files ingested: 1 of 9, 1/s, 8 s left"),
            (logging.WARNING, "pipeline", "odd"),
            (logging.WARNING, "pipeline", "odd"),
            (logging.INFO, "ingest", f"covid {'0123456789' * 4}: 9 files, 9 new; inventory s3://b/p/x.parquet"),
            (logging.INFO, "progress", "covid: files ingested: 9 of 9, 1/s"),
        ):
            progress.emit(logging.LogRecord(f"cxr_snapshot.{name}", level, "", 0, text, (), None))
        progress.on_task_instance_success(task)
        progress.on_task_instance_skipped(SimpleNamespace(task_id="approve", map_index=-1))
        return [re.sub(r"\d+\.\d s", "0.0 s", line) for line in terminal.getvalue().splitlines()]

    assert tell(verbose=False) == [
        "    covid: files ingested: 1 of 9, 1/s, 8 s left",
        "    Warning: odd",
        "  ingest[1]  covid 0123456789: 9 files, 9 new (0.0 s)",
        "  approve    not needed (0.0 s)",
    ]
    assert tell(verbose=True) == [
        "  ingest[1] ...",
        "    covid: files ingested: 1 of 9, 1/s, 8 s left",
        "    Warning: odd",
        f"    covid {'0123456789' * 4}: 9 files, 9 new; inventory s3://b/p/x.parquet",
        "    covid: files ingested: 9 of 9, 1/s",
        "  ingest[1]  done (0.0 s)",
        "  approve    not needed (0.0 s)",
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("18 of 18 checks passed for s3://b/p", "18 of 18 checks passed"),
        ("It teaches the source. Read s3://b/p/audit.html", "It teaches the source"),
        ("Published 2026-11-23 at s3://b/p/: COVID 1", "Published 2026-11-23"),
        ("To be built: covid 5; tables in s3://b/p", "To be built: covid 5"),
        ("Nothing new since 2026-11-23: pneumonia 1", "Nothing new since 2026-11-23: pneumonia 1"),
    ],
)
def test_the_line_of_a_task_holds_no_address(text: str, said: str) -> None:
    from local_stack.dag_run import short

    assert short(text) == said


def test_what_strangers_wrote_drives_no_terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    from local_stack.dag_run import Progress  # imports Airflow, which not every worker needs

    terminal = io.StringIO()
    Progress(terminal).show("\x1b]52;c;eA==\x07 line 2\nis kept")
    assert terminal.getvalue() == "\\x1b]52;c;eA==\\x07 line 2\nis kept\n"

    def fail(*_: str) -> int:
        raise StackError("The end of the log:\n    \x1b[2J\u202e")

    monkeypatch.setattr("local_stack.__main__.download", fail)
    assert main(["download"]) == 1
    assert capsys.readouterr().err == "\nError: The end of the log:\n    \\x1b[2J\\u202e\n"
