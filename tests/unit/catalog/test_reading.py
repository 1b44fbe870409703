"""What is published, asked by functions and by the command line."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from cxr_snapshot.__main__ import main
from cxr_snapshot.catalog import reading as catalog
from cxr_snapshot.catalog.download import download
from cxr_snapshot.errors import DownloadError, MissingObjectError, VerificationError
from cxr_snapshot.publication.checksums import read_sums, sums_bytes
from cxr_snapshot.publication.index import INDEX
from cxr_snapshot.store.objects import Store
from support.paths import ROOT
from support.publishers import Prepared, publish_and_verify, publisher_in
from support.s3_proxy import S3Proxy
from support.stores import client_of, copied_bucket, store_in

OLD, NEW = "2026-11-22", "2026-11-23"
Command = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def published(two_plans: Prepared) -> Store:
    """Two snapshots with different images, and one that was begun only; not to be changed."""
    store = copied_bucket(two_plans.store)
    pipeline, (first, second) = publisher_in(store), two_plans.plans
    assert publish_and_verify(pipeline, {**first, "date": OLD})
    assert publish_and_verify(pipeline, second)
    store.put("2026-11-24/manifest.csv", b"")
    store.put("other/_SUCCESS", b"")
    return store


@pytest.fixture(scope="module")
def damaged(published: Store) -> Store:
    """A copy in which the manifest of the newest snapshot is not what it was; not to be changed further."""
    copy = copied_bucket(published)
    copy.put(f"{NEW}/manifest.csv", b"damaged")
    return copy


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    """Return what runs the command line on a store and returns exit status, output and errors."""

    def run(store: Store, *arguments: str) -> tuple[int, str, str]:
        for name, value in environ_of(store).items():
            monkeypatch.setenv(name, value)
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        return int(ended.value.code or 0), *capsys.readouterr()

    return run


def environ_of(store: Store) -> dict[str, str]:
    return {
        "CXR_BUCKET": store.bucket,
        "CXR_CONDITIONAL_WRITES": "required" if store.conditional_writes else "unavailable",
        "AWS_ENDPOINT_URL_S3": store.client.meta.endpoint_url,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test-secret",
        "AWS_DEFAULT_REGION": "us-east-1",
        "COLUMNS": "200",
    }


def test_list_and_show(published):
    assert [(item["version"], item["latest"]) for item in catalog.list_snapshots(published)] == [
        (OLD, False),
        (NEW, True),
    ]
    shown = catalog.show(published, "latest")
    assert published.get_json(f"{NEW}/snapshot.json").items() <= shown.items()
    assert shown["files"] == len(published.list(f"{NEW}/"))
    assert catalog.resolve(published, OLD) == OLD
    for name in ("2026-11-24", "2026-11-25", "other", "../x"):
        with pytest.raises(MissingObjectError, match=f"no complete snapshot. The newest are: {NEW}, {OLD}."):
            catalog.resolve(published, name)


def test_an_empty_store(store):
    assert catalog.list_snapshots(store) == []
    with pytest.raises(MissingObjectError, match=r"latest\.json names nothing\. Nothing was published yet"):
        catalog.resolve(store, "latest")


def test_diff_agrees_with_the_published_changes(published):
    report = catalog.diff(published, OLD, "latest")
    assert (report["old"], report["new"]) == (OLD, NEW)
    assert report["counts"]["added"] == report["counts"]["removed"] > 0
    changes = published.get_json(f"{NEW}/changes.json")
    for kind in ("added", "removed", "relabelled", "moved"):
        names = {entry["file"] for entry in changes[kind]}
        assert {entry["file"] for entry in report[kind]} == names, kind
    assert set(catalog.diff(published, NEW, NEW)["counts"].values()) == {0}


def test_a_snapshot_of_an_earlier_release_says_nothing_of_its_columns(store):
    snapshot_of(store, "manifest.csv")
    with pytest.raises(MissingObjectError, match=r"has no data_dictionary\.csv, since an earlier release made it"):
        catalog.columns(store, NEW)


class TestDownload:
    def test_all_files_once(self, published, tmp_path):
        seen: list[tuple[int, int]] = []
        folder = tmp_path / "new" / "folder"
        files = len(published.list(f"{NEW}/"))
        assert download(published, NEW, folder, lambda done, total: seen.append((done, total))).fetched == files - 2
        assert seen[-1][0] == seen[-1][1]
        subprocess.run(["sha256sum", "--quiet", "-c", "SHA256SUMS"], cwd=folder, check=True)
        assert sum(file.is_file() for file in folder.rglob("*")) == files
        assert download(published, NEW, folder) == (0, seen[-1][1])

    def test_goes_on_after_an_interruption(self, published, tmp_path):
        with S3Proxy(published.client.meta.endpoint_url) as proxy:
            weak = store_in(client_of(proxy.url), published.bucket, published.prefix)
            download(weak, NEW, tmp_path / "whole")
            begun = tmp_path / "begun"
            download(weak, NEW, begun)
            (begun / "_SUCCESS").unlink()
            (begun / "manifest.csv").unlink()
            (begun / "README.md").write_bytes(b"half of")
            proxy.start_again()
            assert download(weak, NEW, begun).fetched == 2
            fetched = [r.key.rsplit("/", 1)[1] for r in proxy.requests if r.method == "GET" and r.key]
            looked_for = {"SHA256SUMS", "_SUCCESS", "WITHDRAWN.json"}
            assert set(fetched) == {"README.md", "manifest.csv"} | looked_for
        subprocess.run(["diff", "-r", "whole", "begun"], cwd=tmp_path, check=True)

    def test_leaves_other_folders_alone(self, published, tmp_path):
        (tmp_path / "mine").write_text("mine")
        with pytest.raises(DownloadError, match="Choose an empty folder"):
            download(published, NEW, tmp_path)
        download(published, NEW, tmp_path / "new")
        with pytest.raises(DownloadError, match=f"not of snapshot .*/{OLD}/, and no earlier"):
            download(published, OLD, tmp_path / "new")
        with pytest.raises(DownloadError, match="cannot write to"):
            download(published, NEW, tmp_path / "mine")

    def test_of_a_later_snapshot_only_what_is_new_is_fetched(self, published, tmp_path):
        old, new = (read_sums(published, version) for version in (OLD, NEW))
        same = {name for name in new if old.get(name) == new[name]}
        sizes = {name: published.list(f"{NEW}/")[f"{NEW}/{name}"].size for name in same}
        assert any(name.startswith("images/") for name in same)
        with S3Proxy(published.client.meta.endpoint_url) as proxy:
            weak = Store(client_of(proxy.url), published.bucket, published.prefix)
            download(weak, OLD, tmp_path / "grown")
            proxy.start_again()
            assert download(weak, NEW, tmp_path / "grown") == (len(new) - len(same), sum(sizes.values()))
            fetched = {r.key.split(f"{NEW}/", 1)[1] for r in proxy.requests if r.method == "GET" and r.key}
        assert fetched == new.keys() - same | {"SHA256SUMS", "_SUCCESS", "WITHDRAWN.json"}
        download(published, NEW, tmp_path / "whole")
        subprocess.run(["diff", "-r", "whole", "grown"], cwd=tmp_path, check=True)

    def test_a_later_snapshot_goes_on_where_a_killed_call_was(self, published, tmp_path):
        folder = tmp_path / "grown"
        download(published, OLD, folder)
        stale = sorted(read_sums(published, OLD).keys() - read_sums(published, NEW).keys())
        (folder / "_SUCCESS").unlink()
        (folder / stale[0]).unlink()
        (folder / f".{'0' * 32}.part").write_bytes(b"half of")
        download(published, NEW, folder)
        download(published, NEW, tmp_path / "whole")
        subprocess.run(["diff", "-r", "whole", "grown"], cwd=tmp_path, check=True)

    def test_a_file_of_somebody_else_beside_an_earlier_snapshot_stops_it(self, published, tmp_path):
        download(published, OLD, tmp_path / "old")
        (tmp_path / "old" / "images" / "mine.txt").write_text("mine")
        with pytest.raises(DownloadError, match=r"such as images/mine\.txt\. Choose an empty folder"):
            download(published, NEW, tmp_path / "old")
        assert (tmp_path / "old" / "_SUCCESS").exists(), "nothing was touched"

    @pytest.mark.parametrize(
        "facts",
        [
            None,
            "no JSON",
            "[]",
            '{"version": 1, "uri": 2}',
            f'{{"version": "{OLD}", "uri": "s3://other/{OLD}/"}}',
        ],
    )
    def test_an_earlier_snapshot_of_another_place_stays(self, published, tmp_path, facts):
        download(published, OLD, tmp_path)
        (tmp_path / "snapshot.json").unlink()
        if facts is not None:
            (tmp_path / "snapshot.json").write_text(facts)
        with pytest.raises(DownloadError, match="no earlier snapshot of the same place"):
            download(published, NEW, tmp_path)
        assert (tmp_path / "_SUCCESS").exists()

    def test_damaged_file(self, damaged, tmp_path):
        with pytest.raises(VerificationError, match=r"manifest\.csv is damaged"):
            download(damaged, NEW, tmp_path / "new")
        assert not (tmp_path / "new" / "manifest.csv").exists()
        assert not (tmp_path / "new" / "_SUCCESS").exists()

    def test_missing_file(self, damaged, tmp_path):
        store = copied_bucket(damaged)
        store.delete([f"{NEW}/manifest.csv"])
        with pytest.raises(MissingObjectError, match=r"lacks 1 files .* such as manifest\.csv"):
            download(store, NEW, tmp_path / "new")

    def test_a_list_of_checksums_cannot_lead_out_of_the_folder(self, store, tmp_path):
        sums = f"{hashlib.sha256(b'x').hexdigest()}  ../evil\n".encode()
        store.put(f"{NEW}/SHA256SUMS", sums)
        store.put(f"{NEW}/_SUCCESS", hashlib.sha256(sums).hexdigest().encode())
        store.put(f"{NEW}/../evil", b"x")
        with pytest.raises(VerificationError, match="outside of the snapshot"):
            download(store, NEW, tmp_path / "new")
        assert not (tmp_path / "evil").exists()

    @pytest.mark.parametrize("name", ["a" * 250 + ".jpg", "a" * 255, "\u00e9" * 127, "a.jpg.part", ".part"])
    def test_a_name_of_any_length_that_a_disk_takes(self, store, tmp_path, name):
        snapshot_of(store, f"images/COVID/{name}", "images/COVID/a.jpg")
        assert download(store, NEW, tmp_path / "new") == (2, 0)
        assert (tmp_path / "new" / "images" / "COVID" / name).read_bytes() == b"x"
        assert len(list((tmp_path / "new").rglob("*"))) == 6  # two folders, two images, SHA256SUMS and _SUCCESS
        assert download(store, NEW, tmp_path / "new") == (0, 2)

    @pytest.mark.parametrize(
        ("name", "words"),
        [("a" * 256, "name too long. Choose a folder with a shorter path, or a snapshot"), ("b/c", "Choose another f")],
    )
    def test_a_name_that_no_disk_takes(self, store, tmp_path, name, words):
        snapshot_of(store, f"images/{name}", "images/b")
        with pytest.raises(DownloadError, match=f"(?i)cannot write to .*{words}"):
            download(store, NEW, tmp_path / "new")
        assert not (tmp_path / "new" / "_SUCCESS").exists()


def snapshot_of(store: Store, *names: str) -> None:
    """Write files, each one byte long, with their checksums."""
    sums = sums_bytes(dict.fromkeys(names, hashlib.sha256(b"x").hexdigest()))
    for name in names:
        store.put(f"{NEW}/{name}", b"x")
    store.put(f"{NEW}/SHA256SUMS", sums)
    store.put(f"{NEW}/_SUCCESS", hashlib.sha256(sums).hexdigest().encode())


class TestCommand:
    def test_every_command_in_json(self, command, published, tmp_path):
        def asked(*arguments: str) -> Any:
            status, output, errors = command(published, *arguments, "--json")
            assert (status, errors) == (0, "")
            return json.loads(output)

        assert [item["version"] for item in asked("list")] == [OLD, NEW]
        assert asked("show", "latest")["content_digest"] == catalog.show(published, NEW)["content_digest"]
        assert asked("diff", OLD, NEW)["counts"]["added"] > 0
        assert asked("verify", NEW, "--all")["read_back"] == asked("show", NEW)["files"] - 2
        assert asked("download", "latest", str(tmp_path / "x"))["fetched"] > 12
        assert asked("columns", "latest")["columns"][0]["table"] == "images/CLASS/SOURCE-HASH.*"
        [entry] = asked("editions")
        assert (entry["edition"], entry["version"]) == ("default", NEW)
        assert {probe["question"] for probe in entry["probes"]} == {"classes"}
        plan = asked("prune", "--keep", "1")
        assert (plan["kept"], plan["deleted"], plan["done"]) == ([NEW], [OLD], False)

    def test_every_command_in_words(self, command, published, tmp_path):
        for arguments, words in (
            (["list"], f"{NEW} (latest)"),
            (["list", "--check", "--edition", "default"], f"{NEW} (latest)"),
            (["show", OLD], "content_digest"),
            (["diff", OLD, NEW], f"{OLD} to {NEW}: added "),
            (["verify", NEW], f"{NEW} is whole"),
            (["download", NEW, str(tmp_path / "x")], "every file checked"),
            (["download", NEW, str(tmp_path / "x")], " were there), every file checked"),
            (["columns", OLD], "age of the patient"),
            (["editions"], "Class told from lungs blacked out, data/"),
            (["prune", "--keep", "1"], f"To delete: {OLD}.\nNothing was deleted. Add --yes to delete this."),
        ):
            status, output, errors = command(published, *arguments)
            assert status == 0, errors
            assert words in output

    def test_problems_and_wrong_usage(self, command, damaged):
        for arguments, expected, words in (
            (["show", "2020-01-01"], 1, "is no complete snapshot"),
            (["list", "--edition", "none"], 1, "holds no edition 'none'. The editions are: default."),
            (["list", "--check"], 1, "index.json is lost, or wrong about 2026-11-23/. To write it anew: python -m"),
            (["verify", NEW], 1, "manifest.csv is not what SHA256SUMS says"),
            (["prune", "--keep", "0"], 2, "not in the range"),
            (["prune"], 2, "--keep"),
            (["nonsense"], 2, "nonsense"),
        ):
            status, output, errors = command(damaged, *arguments)
            assert (status, output) == (expected, "")
            assert words in errors

    def test_prune(self, command, damaged):
        store = copied_bucket(damaged)
        status, output, _ = command(store, "prune", "--keep", "1", "--yes")
        assert status == 0
        assert f"Deleted: {OLD}." in output
        assert catalog.versions(store) == [NEW]

    def test_a_list_that_is_wrong_is_told_and_made_anew(self, command, published):
        store = copied_bucket(published)
        store.delete([f"{OLD}/_SUCCESS"])
        status, _, errors = command(store, "list", "--check")
        assert (status, "wrong about 2026-11-22/" in errors) == (1, True)
        assert OLD in command(store, "list")[1], "in one request it cannot be known"
        assert "index.json and index.html list 1 snapshot." in command(store, "reindex")[1]
        assert OLD not in command(store, "list", "--check")[1]
        store.delete([INDEX])
        assert [item["version"] for item in json.loads(command(store, "list", "--json")[1])] == [NEW]

    def test_as_a_program(self, published):
        environ = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT / "include")}
        line = [sys.executable, "-m", "cxr_snapshot", "show", "latest", "--json"]
        shown = subprocess.run(line, env=environ | environ_of(published), capture_output=True, text=True, check=True)
        assert json.loads(shown.stdout)["version"] == NEW

    def test_without_a_bucket(self, capsys, monkeypatch):
        monkeypatch.delenv("CXR_BUCKET", raising=False)
        with pytest.raises(SystemExit) as ended:
            main(["show", "latest", "--json"])
        output, errors = capsys.readouterr()
        assert (ended.value.code, output) == (2, "")
        assert "set CXR_BUCKET" in errors
