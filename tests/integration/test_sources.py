"""The real clients against the upstream simulator: what they ask for, what they survive, and what their errors say."""

from __future__ import annotations

import hashlib
import logging
import random
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cxr_snapshot.errors import (
    RateLimitedError,
    SourceError,
    UpstreamCorruptError,
    UpstreamRefusedError,
    UpstreamUnavailableError,
)
from cxr_snapshot.settings import Settings
from cxr_snapshot.sources.covid import CovidCollection
from cxr_snapshot.sources.github import FEW, LOOK_AHEAD, THREADS
from cxr_snapshot.sources.kaggle import CHUNK
from support.waiting import PATIENCE
from support.world import (
    API,
    ARCHIVE,
    DATASET,
    DOWNLOAD,
    GET_DATASET,
    RAW,
    STORAGE,
    THIRD,
    TREE,
    ZIPPED,
    World,
    bodies,
    everything,
    git,
    start,
    wanted,
    write_commits,
    write_zip,
)
from upstream_simulator.faults import Fault
from upstream_simulator.sample import GIT_NAME, KAGGLE_NAME
from upstream_simulator.server import UpstreamSimulator

# GitHub: what is asked


def test_the_newest_commit_takes_one_request(world: World) -> None:
    assert world.github().resolve().id == world.commits[2]
    assert [request.status for request in world.asked()] == [200]


def test_an_unchanged_branch_is_answered_with_304(world: World) -> None:
    assert world.github().resolve(last_seen=world.commits[2]).id == world.commits[2]
    assert world.github().resolve(last_seen=world.commits[1]).id == world.commits[2]
    assert [request.status for request in world.asked()] == [304, 200]


@pytest.mark.parametrize(
    ("pin", "number"),
    [("2020-03-11", 0), ("2020-03-12", 0), ("2020-03-13", 1), ("2021-01-01", 2), ("first 7", 0), ("WHOLE", 1)],
)
def test_a_pin_takes_one_request(world: World, pin: str, number: int) -> None:
    sha = world.commits[number]
    pin = {"first 7": sha[:7], "WHOLE": sha.upper()}.get(pin, pin)
    assert world.github().resolve(pin=pin).id == sha
    assert len(world.asked()) == 1


@pytest.mark.parametrize(
    ("pin", "text"), [("2020-03-10", "no commit up to 2020-03-10"), ("f" * 40, "the repository has no commit ffff")]
)
def test_an_unknown_pin_is_refused(world: World, pin: str, text: str) -> None:
    with pytest.raises(UpstreamRefusedError, match=text):
        world.github().resolve(pin=pin)


def test_an_unknown_branch_is_refused(world: World) -> None:
    with pytest.raises(UpstreamRefusedError, match="CXR_GITHUB_BRANCH"):
        world.github(github_branch="main").resolve()


def test_the_first_run_takes_one_archive(world: World) -> None:
    assert bodies(everything(world.github())) == wanted(THIRD)
    assert [request.path.split("/")[1] for request in world.asked()] == ["github-api", "github-api", "github-codeload"]


def test_a_refresh_fetches_only_new_blobs(world: World) -> None:
    source = world.github()
    first = source.resolve(pin=world.commits[0])
    known = {file.upstream_hash for file in source.files(first, known=()).files}
    world.sim.requests.clear()
    files = list(source.files(source.resolve(last_seen=first.id), known).files)
    assert [file.path for file in files] == sorted(wanted(THIRD))
    assert {path: body for path, body in bodies(files).items() if body is not None} == {
        path: THIRD[path] for path in ("images/d.jpg", "metadata.csv")
    }
    assert [file.size for file in files] == [len(THIRD[file.path]) for file in files]
    assert len(world.asked(RAW)) == 2
    assert len(world.asked()) == 4  # commit, tree and two blobs


def test_a_change_of_other_files_fetches_nothing(world: World) -> None:
    source = world.github()
    known = {file.upstream_hash for file in source.files(source.resolve(pin=world.commits[1]), known=()).files}
    world.sim.requests.clear()
    files = list(source.files(source.resolve(), known).files)
    assert set(bodies(files).values()) == {None}
    assert world.asked(RAW) == world.asked(ARCHIVE) == []


def test_odd_names_can_be_fetched_singly(world: World) -> None:
    source = world.github()
    table = next(file for file in everything(source) if file.path == "metadata.csv")
    files = list(source.files(source.resolve(), {table.upstream_hash}).files)
    assert bodies(files) == wanted(THIRD) | {"metadata.csv": None}


def test_the_token_goes_to_the_api_only_and_into_no_text(world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    source = world.github(github_token="SECRET-TOKEN")
    files = everything(source)
    list(source.files(source.resolve(), {files[0].upstream_hash}).files)
    for request in world.asked():
        assert (request.headers.get("authorization") == "Bearer SECRET-TOKEN") is ("/github-api/" in request.path)
    world.sim.faults.add(Fault("401"))
    with pytest.raises(UpstreamRefusedError) as caught:
        source.resolve()
    assert "SECRET-TOKEN" not in caplog.text + str(caught.value)


HUNDRED = [f"images/{number:03}.jpg" for number in range(100)]


@contextmanager
def all_but(folder: Path, count: int) -> Iterator[tuple[UpstreamSimulator, CovidCollection, set[str]]]:
    """Give an upstream of a hundred images and a table, and the hashes of all files but the first ``count`` images."""
    images = {path: b"%d" % number for number, path in enumerate(HUNDRED)}
    write_commits(folder / GIT_NAME, (images | {"metadata.csv": b"x"},))
    (folder / KAGGLE_NAME).mkdir()
    with start(folder) as sim:
        source = CovidCollection(Settings(bucket="abc", **sim.settings()))
        known = {file.upstream_hash for file in everything(source) if file.path not in HUNDRED[:count]}
        sim.requests.clear()
        yield sim, source, known


def test_many_unknown_files_come_in_one_archive(tmp_path: Path) -> None:
    with all_but(tmp_path, FEW + 1) as (sim, source, known):
        files = list(source.files(source.resolve(), known).files)
        assert {path for path, body in bodies(files).items() if body is not None} == set(HUNDRED[: FEW + 1])
        assert len(files) == 101
        assert [request.path.split("/")[1] for request in sim.requests] == [
            "github-api",
            "github-api",
            "github-codeload",
        ]


def test_few_bodies_are_fetched_ahead(tmp_path: Path) -> None:
    with all_but(tmp_path, FEW) as (sim, source, known):
        files = source.files(source.resolve(), known).files
        assert next(files).path == "images/000.jpg"
        files.close()  # type: ignore[attr-defined]
        assert THREADS <= len([request for request in list(sim.requests) if RAW in request.path]) <= LOOK_AHEAD


# GitHub: faults


@pytest.mark.parametrize("place", [API, TREE, ARCHIVE, RAW])
@pytest.mark.parametrize("kind", ["429", "403-rate-limit", "500", "cut", "corrupt"])
def test_github_faults_that_pass_are_survived(world: World, kind: str, place: str) -> None:
    source = world.github()
    readme = {"x"} if place != RAW else _hash_of(world, "metadata.csv")
    world.sim.faults.add(Fault(kind, place, times=2, seconds=1))
    files = list(source.files(source.resolve(), readme).files)
    assert bodies(files) == wanted(THIRD) | ({"metadata.csv": None} if place == RAW else {})
    assert len(files) == len({file.path for file in files})
    assert world.sleeps or (kind, place) == ("corrupt", ARCHIVE)  # such files may come from raw without a pause


def _hash_of(world: World, path: str) -> set[str]:
    return {git(world.git_dir, "rev-parse", f"master:{path}")}


@pytest.mark.parametrize("place", [API, TREE, ARCHIVE, RAW])
@pytest.mark.parametrize(
    ("kind", "error", "remedy"),
    [
        ("429", RateLimitedError, "GITHUB_TOKEN or the Airflow connection cxr_github|Wait an hour"),
        ("403-rate-limit", RateLimitedError, "GITHUB_TOKEN or the Airflow connection cxr_github|Wait an hour"),
        ("500", UpstreamUnavailableError, "Try again later"),
        ("cut", UpstreamUnavailableError, "Try again later"),
        ("corrupt", UpstreamCorruptError, "Run again"),
        ("401", UpstreamRefusedError, "renew GITHUB_TOKEN|Check the settings"),
        ("403", UpstreamRefusedError, "Try another token|Check the settings"),
        ("404", UpstreamRefusedError, "CXR_GITHUB_REPO|Run again"),
    ],
)
def test_github_faults_that_last_end_in_a_clear_error(
    world: World, kind: str, error: type[SourceError], remedy: str, place: str
) -> None:
    """A remedy is for the API, or, after a bar, for files and archives."""
    source = world.github(http_attempts=2)
    files = place in (ARCHIVE, RAW)
    remedy = remedy.split("|")[-1 if files else 0]
    if place == RAW and error is RateLimitedError:
        world.sim.faults.add(Fault(kind, ARCHIVE, times=99, seconds=1))  # which is asked instead
    known = _hash_of(world, "metadata.csv") if place == RAW else set()
    world.sim.faults.add(Fault(kind, place, times=99, seconds=1))
    if (kind, place) == ("corrupt", ARCHIVE):
        world.sim.faults.add(Fault("corrupt", RAW, times=99))  # a damaged archive alone is made good from there
    with pytest.raises(error) as caught:
        list(source.files(source.resolve(), known).files)
    assert type(caught.value) is error
    _assert_helpful(caught.value, "covid", world.sim.files_url if files else world.sim.url, remedy)


@pytest.mark.parametrize("kind", ["429", "403-rate-limit"])
def test_where_single_files_are_limited_the_archive_gives_the_rest(world: World, kind: str) -> None:
    source = world.github()
    known = _hash_of(world, "images/a.jpg")
    world.sim.faults.add(Fault(kind, RAW, times=99, seconds=3600))
    files = list(source.files(source.resolve(), known).files)
    assert bodies(files) == wanted(THIRD) | {"images/a.jpg": None}
    assert len(files) == len(bodies(files))
    assert len(world.asked(ARCHIVE)) == 1
    assert world.sleeps == []


def _assert_helpful(error: SourceError, source: str, url: str, remedy: str) -> None:
    text = str(error)
    assert text.startswith(f"{source}: ")
    assert f"({url}/" in text
    assert remedy in text


def test_a_long_rate_limit_is_not_slept_through(world: World) -> None:
    world.sim.faults.add(Fault("403-rate-limit", seconds=3600))
    with pytest.raises(RateLimitedError, match=r"until \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC"):
        world.github().resolve()
    assert world.sleeps == []


def test_a_truncated_tree_is_refused(world: World) -> None:
    world.sim.faults.add(Fault("truncated"))
    with pytest.raises(UpstreamCorruptError, match="truncated") as caught:
        everything(world.github())
    _assert_helpful(caught.value, "covid", world.sim.url, "nothing is published")


def test_a_cut_archive_is_read_again_without_repeating_files(world: World) -> None:
    world.sim.faults.add(Fault("cut", ARCHIVE, times=2))
    files = everything(world.github())
    assert len(files) == len(bodies(files)) == len(wanted(THIRD))
    assert len(world.asked(ARCHIVE)) == 3


def test_files_that_the_archive_lacks_come_singly(own_world: World) -> None:
    (own_world.git_dir / "info").mkdir(exist_ok=True)
    (own_world.git_dir / "info" / "attributes").write_text("images/a.jpg export-ignore\n")  # for `git archive` alone
    assert bodies(everything(own_world.github())) == wanted(THIRD)
    assert [request.path.rpartition("/")[2] for request in own_world.asked(RAW)] == ["a.jpg"]


def test_an_upstream_that_is_away_is_named(world: World) -> None:
    nowhere = "http://127.0.0.1:9"  # the discard port: nothing listens there
    with pytest.raises(
        UpstreamUnavailableError, match=r"covid: no complete answer \(ConnectionRefusedError: .*refused\)"
    ):
        world.github(github_api_url=nowhere).resolve()
    with pytest.raises(UpstreamUnavailableError, match=r"pneumonia: no complete answer \(ConnectionRefused"):
        world.kaggle(kaggle_api_url=nowhere).resolve()


# Kaggle: what is asked


def test_the_newest_version_takes_one_request(own_world: World) -> None:
    write_zip(own_world.kaggle_dir / "12.zip", {"a": b"a"})
    revision = own_world.kaggle().resolve(last_seen="1")
    assert (revision.id, revision.license) == ("12", "Attribution 4.0 International (CC BY 4.0)")
    assert [request.status for request in own_world.asked()] == [200]


def test_a_pinned_version_is_the_one_that_is_downloaded(own_world: World) -> None:
    write_zip(own_world.kaggle_dir / "2.zip", {"chest_xray/new": b"new"})
    source = own_world.kaggle()
    assert [file.path for file in source.files(source.resolve(), ()).files] == ["chest_xray/new"]
    assert len(list(source.files(source.resolve(pin="1"), ()).files)) == len(ZIPPED)


@pytest.mark.parametrize("pin", ["2", "0", "-1", "one", "1.0", ""])
def test_an_unknown_version_is_refused(world: World, pin: str) -> None:
    with pytest.raises(UpstreamRefusedError, match=r"has no version .* Give a number from 1 to 1\."):
        world.kaggle().resolve(pin=pin)


def test_an_unknown_dataset_is_refused(world: World) -> None:
    with pytest.raises(UpstreamRefusedError, match=r"CXR_KAGGLE_DATASET \(some/thing\)"):
        world.kaggle(kaggle_dataset="some/thing").resolve()


def test_the_zip_is_listed_whole_and_then_deleted(world: World) -> None:
    files = everything(world.kaggle())
    assert [(file.path, file.ignored) for file in files] == [
        ("chest_xray/__MACOSX/train/._a.jpeg", "mac_metadata"),
        ("chest_xray/chest_xray/.DS_Store", "mac_metadata"),
        ("chest_xray/chest_xray/test/NORMAL/b.jpeg", "nested_copy"),
        ("chest_xray/test/NORMAL/b.jpeg", None),
        ("chest_xray/train/PNEUMONIA/a.jpeg", None),
    ]
    assert all(file.body == (None if file.ignored else ZIPPED[file.path]) for file in files)
    assert list((world.scratch / "downloads").iterdir()) == []


def test_a_zip_that_was_not_read_to_its_end_is_used_again(world: World) -> None:
    source = world.kaggle()
    listing = source.files(source.resolve(), ())
    next(listing.files)
    assert len(list(world.kaggle().files(source.resolve(), ()).files)) == len(ZIPPED)
    assert len(world.asked(STORAGE)) == 1


@pytest.mark.parametrize(
    ("login", "header"),
    [
        ({}, None),
        ({"kaggle_token": "SECRET"}, "Bearer SECRET"),
        ({"kaggle_username": "ann", "kaggle_key": "SECRET"}, "Basic YW5uOlNFQ1JFVA=="),
        ({"kaggle_username": "ann"}, None),
    ],
)
def test_only_the_settings_log_in(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, login: dict[str, str], header: str | None
) -> None:
    home = tmp_path / "home"
    (home / ".kaggle").mkdir(parents=True)
    (home / ".kaggle" / "access_token").write_text("OTHER")
    (home / ".kaggle" / "kaggle.json").write_text('{"username": "OTHER", "key": "OTHER"}')
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("KAGGLE_API_TOKEN", "OTHER")
    world.kaggle(**login).resolve()
    assert [request.headers.get("authorization") for request in world.asked()] == [header]


def test_memory_stays_flat(own_world: World) -> None:
    big = {f"chest_xray/{n:02}.jpeg": random.Random(n).randbytes(CHUNK) for n in range(24)}
    write_zip(own_world.kaggle_dir / "2.zip", big)
    del big
    source = own_world.kaggle()
    tracemalloc.start()
    try:
        total = sum(file.size for file in source.files(source.resolve(), ()).files)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert total == 24 * CHUNK
    assert peak < 8 * CHUNK


# Kaggle: faults


@pytest.mark.parametrize(
    ("kind", "place"),
    [
        *((kind, GET_DATASET) for kind in ("429", "403-rate-limit", "500", "cut", "corrupt")),
        *((kind, DOWNLOAD) for kind in ("429", "403-rate-limit", "500")),
        *((kind, STORAGE) for kind in ("429", "500", "403", "404", "cut", "corrupt")),
    ],
)
def test_kaggle_faults_that_pass_are_survived(world: World, kind: str, place: str) -> None:
    source = world.kaggle()
    world.sim.faults.add(Fault(kind, place, times=2, seconds=1))
    files = everything(source)
    assert {file.path: file.body for file in files if not file.ignored} == {
        path: ZIPPED[path] for path in ("chest_xray/test/NORMAL/b.jpeg", "chest_xray/train/PNEUMONIA/a.jpeg")
    }
    pauses = [seconds for seconds in world.sleeps if seconds > 0.01]
    # Where a rate limit asks for a pause, the next request of the same service makes it too.
    assert len(pauses) == 2 or (len(pauses) == 3 and kind in ("429", "403-rate-limit"))


@pytest.mark.parametrize(
    ("kind", "place", "error", "remedy"),
    [
        *(
            (kind, place, error, remedy)
            for place in (GET_DATASET, DOWNLOAD)
            for kind, error, remedy in (
                ("429", RateLimitedError, "KAGGLE_API_TOKEN"),
                ("403-rate-limit", RateLimitedError, "KAGGLE_API_TOKEN"),
                ("500", UpstreamUnavailableError, "Try again later"),
                ("401", UpstreamRefusedError, "KAGGLE_API_TOKEN"),
                ("403", UpstreamRefusedError, DATASET),
                ("404", UpstreamRefusedError, DATASET),
            )
        ),
        ("cut", GET_DATASET, UpstreamUnavailableError, "Try again later"),
        ("corrupt", GET_DATASET, UpstreamCorruptError, "Run again"),
        ("429", STORAGE, RateLimitedError, "KAGGLE_API_TOKEN"),
        ("500", STORAGE, UpstreamUnavailableError, "Try again later"),
        ("403", STORAGE, UpstreamUnavailableError, "Try again later"),
        ("corrupt", STORAGE, UpstreamCorruptError, "Run again"),
    ],
)
def test_kaggle_faults_that_last_end_in_a_clear_error(
    world: World, kind: str, place: str, error: type[SourceError], remedy: str
) -> None:
    world.sim.faults.add(Fault(kind, place, times=99, seconds=1))
    with pytest.raises(error) as caught:
        everything(world.kaggle(http_attempts=2))
    assert type(caught.value) is error
    _assert_helpful(caught.value, "pneumonia", world.sim.url, remedy)
    assert "Signature" not in str(caught.value)


def test_a_cut_download_goes_on_where_it_was(world: World) -> None:
    world.sim.faults.add(Fault("cut", STORAGE))
    everything(world.kaggle())
    first, second = world.asked(STORAGE)
    assert (first.status, second.status) == (200, 206)
    start = int(second.headers["range"].removeprefix("bytes=").removesuffix("-"))
    assert start >= CHUNK
    assert second.headers["if-range"] == f'"{_md5(world)}"'
    assert start + second.sent_bytes == (world.kaggle_dir / "1.zip").stat().st_size


def _md5(world: World) -> str:
    return hashlib.md5((world.kaggle_dir / "1.zip").read_bytes()).hexdigest()


def test_a_later_task_goes_on_with_what_an_earlier_one_left(world: World) -> None:
    world.sim.faults.add(Fault("cut", STORAGE))
    with pytest.raises(UpstreamUnavailableError):
        everything(world.kaggle(http_attempts=1))
    (part,) = (world.scratch / "downloads").glob("*.part")
    kept = part.stat().st_size
    assert kept >= CHUNK
    assert len(everything(world.kaggle())) == len(ZIPPED)
    assert world.asked(STORAGE)[-1].headers["range"] == f"bytes={kept}-"


def test_a_part_of_other_bytes_is_thrown_away(own_world: World) -> None:
    own_world.sim.faults.add(Fault("cut", STORAGE))
    with pytest.raises(UpstreamUnavailableError):
        everything(own_world.kaggle(http_attempts=1))
    write_zip(own_world.kaggle_dir / "1.zip", {"chest_xray/other": random.Random(3).randbytes(3 * CHUNK)})
    assert [file.path for file in everything(own_world.kaggle())] == ["chest_xray/other"]
    assert own_world.asked(STORAGE)[-1].status == 200  # If-Range did not match: the whole file came


def test_an_expired_link_is_replaced_by_a_fresh_one(world: World) -> None:
    world.sim.faults.add(Fault("cut", STORAGE))
    world.sim.faults.add(Fault("403", STORAGE))
    everything(world.kaggle())
    assert [request.status for request in world.asked(STORAGE)] == [200, 403, 206]
    assert len(world.asked(DOWNLOAD)) == 3
    assert len({request.path for request in world.asked(STORAGE)}) == 3


@pytest.mark.parametrize("damage", ["no zip", "bad crc", "climbing path"])
def test_a_zip_that_is_damaged_upstream_is_refused_and_not_kept(own_world: World, damage: str) -> None:
    file = own_world.kaggle_dir / "1.zip"
    changes: dict[str, Callable[[], object]] = {
        "no zip": lambda: file.write_bytes(b"<html>" * 1000),
        "bad crc": lambda: file.write_bytes(
            file.read_bytes().replace(ZIPPED["chest_xray/train/PNEUMONIA/a.jpeg"][:99], b"!" * 99, 1)
        ),
        "climbing path": lambda: write_zip(file, {"../../etc/cron.d/x": b"x"}),
    }
    changes[damage]()
    with pytest.raises(UpstreamCorruptError) as caught:
        everything(own_world.kaggle())
    _assert_helpful(caught.value, "pneumonia", own_world.sim.url, "Run again")
    assert list((own_world.scratch / "downloads").iterdir()) == []


# Both: slow answers, with a server of their own, because it still works on them when the client has given up


@pytest.mark.parametrize("place", [API, TREE, RAW, GET_DATASET, DOWNLOAD, STORAGE])
def test_a_slow_answer_is_given_up_and_asked_for_again(own_world: World, place: str) -> None:
    own_world.sim.faults.add(Fault("slow", place, seconds=PATIENCE))
    known = _hash_of(own_world, "metadata.csv")
    for source in (own_world.github(http_timeout=2), own_world.kaggle(http_timeout=2)):
        list(source.files(source.resolve(), known).files)
    assert len(own_world.sleeps) == 1


@pytest.mark.parametrize("place", [API, TREE, ARCHIVE, GET_DATASET, DOWNLOAD, STORAGE])
def test_answers_that_stay_slow_end_in_a_clear_error(own_world: World, place: str) -> None:
    own_world.sim.faults.add(Fault("slow", place, times=99, seconds=PATIENCE))
    with pytest.raises(UpstreamUnavailableError, match=r"no complete answer \(TimeoutError\) .* Try again later"):
        for source in (own_world.github(http_timeout=0.3, http_attempts=1), own_world.kaggle(http_timeout=0.3)):
            everything(source)
