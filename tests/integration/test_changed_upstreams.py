"""Upstreams that change under the pipeline's feet, are throttled, or answer in the odder ways of the real ones."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from cxr_snapshot.errors import (
    RateLimitedError,
    SourceError,
    UpstreamCorruptError,
    UpstreamRefusedError,
    UpstreamUnavailableError,
)
from cxr_snapshot.pipeline import Pipeline
from cxr_snapshot.settings import Settings
from cxr_snapshot.sources.covid import CovidCollection
from cxr_snapshot.sources.github import FEW
from cxr_snapshot.sources.kaggle import CHUNK
from cxr_snapshot.store.objects import Store
from support.world import (
    API,
    ARCHIVE,
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
    wanted,
    write_commits,
    write_zip,
)
from upstream_simulator.faults import Fault
from upstream_simulator.kaggle import HashForm
from upstream_simulator.sample import GIT_NAME, GITHUB_NAME, KAGGLE_NAME
from upstream_simulator.server import UpstreamSimulator

REPOSITORY = "ieee8023/covid-chestxray-dataset"


# A forced push: GitHub has thrown away what no branch leads to any more


def push_by_force(world: World) -> str:
    """Let the branch begin anew with the first commit, and throw the others away; return the newest one of them."""
    git(world.git_dir, "update-ref", "refs/heads/master", world.commits[0])
    git(world.git_dir, "repack", "-a", "-d", "--quiet")
    git(world.git_dir, "prune", "--expire=now")
    return world.commits[2]


def assert_says(error: SourceError, *parts: str) -> None:
    for part in parts:
        assert part in str(error)


def test_a_commit_that_a_forced_push_removed_before_its_files_were_listed(own_world: World) -> None:
    source = own_world.github()
    revision = source.resolve()
    lost = push_by_force(own_world)
    with pytest.raises(UpstreamRefusedError) as caught:
        source.files(revision, known=())
    assert_says(caught.value, f"commit {lost} is not in the repository any more", "A forced push", "Start a new run")
    assert source.resolve().id == own_world.commits[0], "the remedy works"
    assert len(everything(source)) == 5


@pytest.mark.parametrize(("place", "known"), [(ARCHIVE, ()), (RAW, ("metadata.csv",))])
def test_a_commit_that_a_forced_push_removed_while_its_files_were_fetched(
    own_world: World, place: str, known: tuple[str, ...]
) -> None:
    source = own_world.github()
    hashes = {git(own_world.git_dir, "rev-parse", f"master:{path}") for path in known}
    listing = source.files(source.resolve(), hashes)
    lost = push_by_force(own_world)
    with pytest.raises(UpstreamRefusedError) as caught:
        list(listing.files)
    assert own_world.asked(place)[-1].status == 404
    assert_says(caught.value, f"commit {lost} is not in the repository any more", "Start a new run")
    assert not caught.value.transient


def test_a_pinned_commit_that_a_forced_push_removed(own_world: World) -> None:
    lost = push_by_force(own_world)
    with pytest.raises(UpstreamRefusedError) as caught:
        own_world.github().resolve(pin=lost)
    assert_says(caught.value, f"the repository has no commit {lost}", "forced push", "Give a commit SHA-1")


def test_where_the_commit_is_still_there_no_forced_push_is_blamed(world: World) -> None:
    """Such as with a token for a private repository, whose files are asked for without it."""
    world.sim.faults.add(Fault("404", ARCHIVE, times=99))
    with pytest.raises(UpstreamRefusedError) as caught:
        everything(world.github())
    assert_says(caught.value, "refused with HTTP 404", "a private repository cannot be read")
    assert "forced push" not in str(caught.value)


# A branch and a repository under other names


def rename_branch(world: World) -> None:
    git(world.git_dir, "update-ref", "refs/heads/main", world.commits[2])
    git(world.git_dir, "update-ref", "-d", "refs/heads/master")
    git(world.git_dir, "symbolic-ref", "HEAD", "refs/heads/main")


@pytest.mark.parametrize("pin", [None, "2020-03-13"])
def test_a_branch_that_was_renamed(own_world: World, pin: str | None) -> None:
    rename_branch(own_world)
    with pytest.raises(UpstreamRefusedError) as caught:
        own_world.github().resolve(pin=pin)
    assert_says(caught.value, "the repository has no branch master (HTTP 422)", "from master to main")
    assert_says(caught.value, f"https://github.com/{REPOSITORY}/branches", "Set CXR_GITHUB_BRANCH")
    mended = own_world.github(github_branch="main")
    assert mended.resolve(pin=pin).id == own_world.commits[1 if pin else 2], "the remedy works"
    assert bodies(everything(mended)) == wanted(THIRD)


def rename_repository(world: World) -> None:
    new = world.git_dir.with_name("renamed.git")
    world.git_dir.rename(new)
    world.git_dir.symlink_to(new.name)


@pytest.mark.parametrize("known", [(), ("metadata.csv",)])
def test_a_repository_that_was_renamed_is_followed_and_the_setting_named(
    own_world: World, caplog: pytest.LogCaptureFixture, known: tuple[str, ...]
) -> None:
    rename_repository(own_world)
    hashes = {git(own_world.git_dir, "rev-parse", f"master:{path}") for path in known}
    source = own_world.github(github_token="SECRET")
    files = list(source.files(source.resolve(), hashes).files)
    assert bodies(files) == wanted(THIRD) | dict.fromkeys(known)
    moved = {request.path.split("/")[1] for request in own_world.asked() if request.status == 301}
    assert moved == {"github-api", "github-raw" if known else "github-codeload"}
    warnings = [record.getMessage() for record in caplog.records if "renamed" in record.getMessage()]
    assert len(warnings) == 1
    assert f"covid: the repository {REPOSITORY} was renamed" in warnings[0]
    assert "CXR_GITHUB_REPO" in warnings[0]
    sent = {
        urlsplit(request.path).path.split("/")[1] for request in own_world.asked() if "authorization" in request.headers
    }
    assert sent == {"github-api"}


def test_after_the_setting_is_mended_nothing_is_asked_twice(own_world: World, caplog: pytest.LogCaptureFixture) -> None:
    rename_repository(own_world)
    assert bodies(everything(own_world.github(github_repo="ieee8023/renamed"))) == wanted(THIRD)
    assert [request.status for request in own_world.asked()] == [200] * 3
    assert "renamed or moved" not in caplog.text


@pytest.mark.parametrize("pin", [None, "2020-03-13"])
def test_a_repository_that_is_gone_is_named(own_world: World, pin: str | None) -> None:
    with pytest.raises(UpstreamRefusedError) as caught:
        own_world.github(github_repo="ieee8023/nope").resolve(pin=pin)
    assert_says(caught.value, "refused with HTTP 404", "Check CXR_GITHUB_REPO", "ieee8023/nope")
    assert "branch" not in str(caught.value)


@pytest.mark.parametrize("pin", [None, "2020-03-13", "1234567"])
def test_an_empty_repository_is_named(own_world: World, pin: str | None) -> None:
    git_dir = own_world.git_dir.with_name("empty.git")
    subprocess.run(["git", "init", "--quiet", "--bare", git_dir], check=True)
    with pytest.raises(UpstreamRefusedError, match=r"HTTP 409 .*The repository is empty: check CXR_GITHUB_REPO"):
        own_world.github(github_repo="ieee8023/empty").resolve(pin=pin)


def test_two_repositories_and_two_datasets_are_kept_apart(own_world: World) -> None:
    shutil.copytree(own_world.git_dir, own_world.git_dir.parents[1] / "ann/other.git")
    write_zip(own_world.kaggle_dir.parents[1] / "ann/other/7.zip", {"chest_xray/other": b"other"})
    git(own_world.git_dir.parents[1] / "ann/other.git", "update-ref", "refs/heads/master", own_world.commits[0])
    assert own_world.github(github_repo="ann/other").resolve().id == own_world.commits[0]
    assert own_world.github().resolve().id == own_world.commits[2]
    other = own_world.kaggle(kaggle_dataset="ann/other")
    assert (other.resolve().id, own_world.kaggle().resolve().id) == ("7", "1")
    assert [file.path for file in everything(other)] == ["chest_xray/other"]


# Limits


class Clock:
    """Simulated time, which passes only where somebody sleeps."""

    def __init__(self) -> None:
        self.time, self.sleeps = 1_600_000_000.0, list[float]()

    def now(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        self.time += seconds


class Throttled:
    """An upstream that allows 60 requests an hour to the API and 100 to single files; two commits."""

    def __init__(self, folder: Path, new: int, **limits: int) -> None:
        self.clock = Clock()
        rows = b"".join(b"%d,new-%d.jpg\r\n" % (number, number) for number in range(new))
        first = {"metadata.csv": b"patientid,filename\r\n0,old.jpg\r\n", "images/old.jpg": b"old"}
        images = {f"images/new-{number}.jpg": b"picture %d" % number for number in range(new)}
        second = first | images | {"metadata.csv": first["metadata.csv"] + rows}
        write_commits(folder / GIT_NAME, (first, second))
        write_zip(folder / KAGGLE_NAME / "paultimothymooney/chest-xray-pneumonia/1.zip", ZIPPED)
        allowed = {"api_per_hour": 60, "raw_per_hour": 100, **limits}
        self.sim = UpstreamSimulator(
            folder / GITHUB_NAME,
            folder / KAGGLE_NAME,
            now=self.clock.now,
            **allowed,  # type: ignore[arg-type]
        )
        self.commits = git(folder / GIT_NAME, "rev-list", "--reverse", "master").split()
        self.scratch = folder / "scratch"

    def source(self, **others: Any) -> CovidCollection:
        settings = Settings(**{"bucket": "abc", "scratch_dir": self.scratch, **self.sim.settings(), **others})
        return CovidCollection(settings, sleep=self.clock.sleep, now=self.clock.now)

    def asked(self) -> Counter[str]:
        """Count the requests by what was asked for."""
        kinds = {API: "commit", TREE: "tree", ARCHIVE: "archive", RAW: "file"}
        return Counter(name for request in self.sim.requests for part, name in kinds.items() if part in request.path)


def test_a_refresh_of_300_new_files_takes_one_try_and_three_requests(tmp_path: Path, store: Store) -> None:
    throttled = Throttled(tmp_path, 300)
    with throttled.sim:
        settings = Settings(bucket=store.bucket, prefix=store.prefix, **throttled.sim.settings())
        pipeline = Pipeline(settings, store, {"covid": throttled.source()})
        pins = {"covid": throttled.commits[0]}
        first = pipeline.poll("first", "2026-11-22T03:00:00+00:00", pins=pins)
        assert first is not None
        assert pipeline.ingest(first, "covid")["fetched"] == 2
        throttled.sim.requests.clear()

        second = pipeline.poll("second", "2026-11-23T03:00:00+00:00")
        assert second is not None
        done = pipeline.ingest(second, "covid")

        assert (done["files"], done["fetched"]) == (302, 301)
        assert throttled.asked() == {"commit": 1, "tree": 1, "archive": 1}
        assert {request.status for request in throttled.sim.requests} == {200}
        assert throttled.clock.sleeps == []


def test_single_files_that_are_limited_without_a_word_come_from_the_archive_at_once(tmp_path: Path) -> None:
    """Twenty files, of which the budget leaves seven: nobody waits for an hour that nobody named."""
    throttled = Throttled(tmp_path, FEW - 1, raw_per_hour=7)
    with throttled.sim:
        source = throttled.source()
        old = source.resolve(pin=throttled.commits[0])
        known = {file.upstream_hash for file in source.files(old, ()).files}
        throttled.sim.requests.clear()
        files = list(source.files(source.resolve(), known).files)
        assert len(files) == len(bodies(files)) == FEW + 1
        assert sum(file.body is not None for file in files) == FEW
        asked = throttled.asked()
        assert (asked["commit"], asked["tree"], asked["archive"]) == (1, 1, 1)
        assert asked["file"] <= FEW
        assert Counter(request.status for request in throttled.sim.requests)[200] == 3 + 7
        assert throttled.clock.sleeps == []


def test_an_api_that_is_used_up_is_asked_again_when_its_hour_is_over(tmp_path: Path) -> None:
    throttled = Throttled(tmp_path, 1, api_per_hour=3)
    with throttled.sim:
        source = throttled.source()
        for _ in range(3):
            source.resolve()
        with pytest.raises(RateLimitedError, match=r"HTTP 403.* until 2020-09-13 13:26:41 UTC.*GITHUB_TOKEN") as caught:
            source.resolve()
        assert caught.value.seconds == 3601
        assert len(throttled.sim.requests) == 4, "it is not tried again before"
        assert throttled.clock.sleeps == []
        throttled.clock.time += caught.value.seconds
        assert source.resolve().id == throttled.commits[1]


@pytest.mark.parametrize("kind", ["403-secondary", "429-secondary"])
@pytest.mark.parametrize("place", [API, TREE, ARCHIVE])
def test_a_limit_without_a_word_is_waited_for_a_minute(world: World, kind: Any, place: str) -> None:
    world.sim.faults.add(Fault(kind, place, times=2))
    assert bodies(everything(world.github(http_max_wait=120.0))) == wanted(THIRD)
    assert [seconds for seconds in world.sleeps if seconds >= 60] == [60, 60]


@pytest.mark.parametrize("kind", ["403-secondary", "429-secondary"])
def test_a_limit_of_single_files_without_a_word_leads_to_the_archive(world: World, kind: Any) -> None:
    known = {git(world.git_dir, "rev-parse", "master:images/a.jpg")}
    world.sim.faults.add(Fault(kind, RAW, times=99))
    source = world.github(http_max_wait=120.0)
    assert bodies(list(source.files(source.resolve(), known).files)) == wanted(THIRD) | {"images/a.jpg": None}
    assert (world.sleeps, len(world.asked(ARCHIVE))) == ([], 1)


# Other answers of GitHub's


@pytest.mark.parametrize("place", [API, TREE, ARCHIVE, RAW])
def test_a_page_in_the_place_of_an_answer_is_a_failure_that_passes(world: World, place: str) -> None:
    known = {git(world.git_dir, "rev-parse", "master:images/a.jpg")} if place == RAW else set()
    world.sim.faults.add(Fault("502-html", place, times=2))
    source = world.github()
    files = bodies(list(source.files(source.resolve(), known).files))
    assert files == wanted(THIRD) | ({"images/a.jpg": None} if known else {})
    world.sim.faults.add(Fault("502-html", place, times=99))
    with pytest.raises(UpstreamUnavailableError, match=r"the server failed \(HTTP 502\)") as caught:
        list(source.files(source.resolve(), known).files)
    assert "Unicorn" not in str(caught.value)


def test_packed_text_is_unpacked_and_checked(world: World) -> None:
    known = {git(world.git_dir, "rev-parse", f"master:{path}") for path in wanted(THIRD) if path != "metadata.csv"}
    source = world.github()
    files = bodies(list(source.files(source.resolve(), known).files))
    assert files["metadata.csv"] == THIRD["metadata.csv"]
    (request,) = world.asked(RAW)
    assert "gzip" in request.headers["accept-encoding"]
    assert request.sent_bytes != len(THIRD["metadata.csv"]), "it came packed"


@pytest.mark.parametrize("kind", ["corrupt", "cut"])
def test_packed_text_that_is_damaged_comes_again(world: World, kind: Any) -> None:
    known = {git(world.git_dir, "rev-parse", f"master:{path}") for path in wanted(THIRD) if path != "metadata.csv"}
    source = world.github()
    world.sim.faults.add(Fault(kind, RAW, times=2))
    assert bodies(list(source.files(source.resolve(), known).files))["metadata.csv"] == THIRD["metadata.csv"]
    world.sim.faults.add(Fault(kind, RAW, times=99))
    error = UpstreamCorruptError if kind == "corrupt" else UpstreamUnavailableError
    with pytest.raises(error) as caught:
        list(source.files(source.resolve(), known).files)
    assert type(caught.value) is error


# Kaggle and its storage


def whole(world: World, **changes: Any) -> None:
    """Take everything; fail where it is not what upstream has."""
    files = everything(world.kaggle(**changes))
    assert {file.path: file.body for file in files if not file.ignored} == {
        path: ZIPPED[path] for path in ("chest_xray/test/NORMAL/b.jpeg", "chest_xray/train/PNEUMONIA/a.jpeg")
    }


@pytest.mark.parametrize("login", [{"kaggle_token": "SECRET"}, {"kaggle_username": "ann", "kaggle_key": "SECRET"}])
def test_the_login_goes_to_the_api_and_not_to_the_storage(world: World, login: dict[str, str]) -> None:
    whole(world, **login)
    hosts = {request.headers["host"]: "authorization" in request.headers for request in world.asked()}
    assert hosts == {urlsplit(world.sim.url).netloc: True, urlsplit(world.sim.files_url).netloc: False}


@pytest.mark.parametrize("place", [GET_DATASET, DOWNLOAD])
def test_nested_errors_are_told_by_their_status(world: World, place: str) -> None:
    world.sim.faults.add(Fault("503-nested", place, times=2))
    whole(world)
    world.sim.faults.add(Fault("404-nested", place))
    with pytest.raises(UpstreamRefusedError, match="Check CXR_KAGGLE_DATASET"):
        everything(world.kaggle())


def test_a_link_that_expired_is_replaced(world: World) -> None:
    world.sim.faults.add(Fault("cut", STORAGE))
    world.sim.faults.add(Fault("400-expired", STORAGE))
    whole(world)
    assert [request.status for request in world.asked(STORAGE)] == [200, 400, 206]
    assert len({request.path for request in world.asked(STORAGE)}) == 3


def test_links_that_are_always_too_old_end_in_a_clear_error(own_world: World) -> None:
    folders = own_world.git_dir.parents[1], own_world.kaggle_dir.parents[1]
    with UpstreamSimulator(*folders, signed_url_seconds=0) as sim:
        with pytest.raises(
            UpstreamUnavailableError, match=r"the signed download link was refused \(HTTP 400\)"
        ) as caught:
            everything(own_world.kaggle(**sim.settings()))
        assert "Signature" not in str(caught.value)


SMALL = {"chest_xray/train/NORMAL/a.jpeg": random.Random(4).randbytes(30_000)}


@pytest.mark.parametrize("form", ["crc32c and md5", "crc32c, md5 in two headers"])
def test_the_md5_is_found_beside_another_hash(own_world: World, form: HashForm) -> None:
    """A damaged byte before the first file of the zip, which no CRC covers, is noticed by the MD5 alone."""
    file = own_world.kaggle_dir / "1.zip"
    write_zip(file, SMALL)
    file.write_bytes(bytes(2 * file.stat().st_size) + file.read_bytes())
    own_world.sim.kaggle.hash_form = form
    own_world.sim.faults.add(Fault("corrupt", STORAGE))
    assert bodies(everything(own_world.kaggle())) == SMALL
    assert [request.status for request in own_world.asked(STORAGE)] == [200, 200]


def test_where_there_is_no_md5_every_file_is_checked_by_its_crc(own_world: World) -> None:
    """Of a file that was put together from parts, the storage tells a CRC-32C alone."""
    write_zip(own_world.kaggle_dir / "1.zip", SMALL)
    own_world.sim.kaggle.hash_form = "crc32c"
    own_world.sim.faults.add(Fault("corrupt", STORAGE))
    assert bodies(everything(own_world.kaggle())) == SMALL
    assert [request.status for request in own_world.asked(STORAGE)] == [200, 200], "the damaged one did not count"
    own_world.sim.faults.add(Fault("corrupt", STORAGE, times=99))
    with pytest.raises(UpstreamCorruptError):
        everything(own_world.kaggle())


def write_one(file: Path, body: bytes) -> None:
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(zipfile.ZipInfo("chest_xray/x.jpeg"), body)


@pytest.mark.parametrize("change", ["longer", "as long", "shorter"])
def test_a_range_of_another_file_does_not_get_into_a_zip(own_world: World, change: str) -> None:
    """The storage overlooks If-Range, and the zip is another one since the first half came."""
    own_world.sim.kaggle.heeds_if_range = False
    own_world.sim.faults.add(Fault("cut", STORAGE))
    with pytest.raises(UpstreamUnavailableError):
        everything(own_world.kaggle(http_attempts=1))
    (part,) = (own_world.scratch / "downloads").glob("*.part")
    file = own_world.kaggle_dir / "1.zip"
    kept, size = part.stat().st_size, file.stat().st_size
    assert CHUNK <= kept < size
    wanted_size = {"longer": 2 * size, "as long": size, "shorter": kept // 2}[change]
    write_one(file, b"")
    body = random.Random(3).randbytes(wanted_size - file.stat().st_size)
    write_one(file, body)
    assert file.stat().st_size == wanted_size
    os.utime(file, (0, 0))  # the simulator knows it is another file by its size or time
    (found,) = everything(own_world.kaggle())
    assert found.body == body
    statuses = [request.status for request in own_world.asked(STORAGE)]
    assert statuses == [200, 416 if change == "shorter" else 206, 200]


def test_a_version_with_a_licence_that_says_nothing(own_world: World) -> None:
    write_zip(own_world.kaggle_dir / "2.zip", ZIPPED)
    (own_world.kaggle_dir / "2.licence").write_text("Other (specified in description)\n")
    revision = own_world.kaggle().resolve()
    assert (revision.id, revision.license) == ("2", "Other (specified in description)")
