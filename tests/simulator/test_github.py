from __future__ import annotations

import hashlib
import io
import tarfile
from pathlib import Path
from urllib.parse import quote

import pytest
import requests

from support.waiting import PATIENCE
from upstream_simulator.github import GitHub
from upstream_simulator.messages import Request
from upstream_simulator.server import UpstreamSimulator

SHA = {"Accept": "application/vnd.github.sha"}
FIRST_FILES = {"metadata.csv", "images/a.jpg", "images/b #1%.jpg ", "images/é.png", "empty"}


def api(sim: UpstreamSimulator, path: str, **options) -> requests.Response:
    return requests.get(f"{sim.settings()['github_api_url']}/repos/ann/covid/{path}", timeout=PATIENCE, **options)


def raw(sim: UpstreamSimulator, ref: str, path: str, **options) -> requests.Response:
    url = f"{sim.settings()['github_raw_url']}/ann/covid/{ref}/{quote(path)}"
    return requests.get(url, timeout=PATIENCE, **options)


def git_sha1(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


@pytest.mark.parametrize(("ref", "number"), [("master", 2), ("HEAD", 2), ("v1", 0), ("refs/heads/master", 2)])
def test_commit_as_text(sim, shas, ref, number):
    response = api(sim, f"commits/{ref}", headers=SHA)
    assert (response.status_code, response.text) == (200, shas[number])
    assert response.headers["ETag"] == f'"{shas[number]}"'
    assert response.headers["Content-Type"] == "application/vnd.github.sha; charset=utf-8"


def test_commit_by_its_sha_or_the_beginning_of_it(sim, shas):
    assert [api(sim, f"commits/{sha}", headers=SHA).text for sha in (shas[1], shas[1][:7])] == [shas[1]] * 2


@pytest.mark.parametrize("form", ['"{}"', 'W/"{}"', '"other", "{}"'])
def test_unchanged_commit_is_a_304_without_body(sim, shas, form):
    response = api(sim, "commits/master", headers={**SHA, "If-None-Match": form.format(shas[2])})
    assert (response.status_code, response.content) == (304, b"")
    assert sim.requests[-1].sent_bytes == 0


def test_changed_commit_is_sent(sim, shas):
    response = api(sim, "commits/master", headers={**SHA, "If-None-Match": f'"{shas[1]}"'})
    assert (response.status_code, response.text) == (200, shas[2])


def test_commit_as_json(sim, shas):
    response = api(sim, "commits/master")
    commit = response.json()
    assert (commit["sha"], [parent["sha"] for parent in commit["parents"]]) == (shas[2], [shas[1]])
    assert commit["url"] == f"{sim.url}/github-api/repos/ann/covid/commits/{shas[2]}"
    assert commit["commit"]["message"] == "commit 3\n\nwith a body"
    assert commit["commit"]["author"] == {"name": "Ann", "email": "ann@example.invalid", "date": "2019-03-15T00:00:00Z"}
    assert commit["commit"]["committer"]["date"] == "2020-03-14T00:00:00Z"
    again = api(sim, "commits/master", headers={"If-None-Match": response.headers["ETag"]})
    assert again.status_code == 304


@pytest.mark.parametrize("ref", ["nope", "0" * 40, "master~1", "master^{tree}", "-x", "a\nb"])
def test_unknown_commit_is_a_422(sim, ref):
    response = api(sim, f"commits/{quote(ref)}", headers=SHA)
    assert response.status_code == 422
    assert response.json()["message"] == f"No commit found for SHA: {ref}"


@pytest.mark.parametrize(
    ("until", "expected"),
    [
        ("2020-03-14T00:00:00Z", [2, 1, 0]),
        ("2020-03-13T23:59:59Z", [1, 0]),
        ("2020-03-14T00:30:00+01:00", [1, 0]),
        ("2020-03-13", [1, 0]),
        ("2020-03-11T23:59:59Z", []),
    ],
)
def test_until_goes_by_committer_date(sim, shas, until, expected):
    commits = api(sim, "commits", params={"sha": "master", "until": until}).json()
    assert [commit["sha"] for commit in commits] == [shas[number] for number in expected]


def test_per_page_limits_and_the_default_branch_is_listed(sim, shas):
    assert [commit["sha"] for commit in api(sim, "commits", params={"per_page": 1}).json()] == [shas[2]]
    assert len(api(sim, "commits").json()) == 3


@pytest.mark.parametrize(
    ("query", "status"),
    [({"sha": "nope"}, 404), ({"until": "yesterday"}, 422), ({"per_page": "many"}, 422)],
)
def test_commits_that_cannot_be_listed(sim, query, status):
    assert api(sim, "commits", params=query).status_code == status


def test_recursive_tree(sim, shas):
    tree = api(sim, f"git/trees/{shas[0]}", params={"recursive": 1}).json()
    blobs = {entry["path"]: entry for entry in tree["tree"] if entry["type"] == "blob"}
    assert (tree["sha"], tree["truncated"], set(blobs)) == (shas[0], False, FIRST_FILES)
    assert [entry["path"] for entry in tree["tree"] if entry["type"] == "tree"] == ["images"]
    image = blobs["images/a.jpg"]
    assert (image["mode"], image["size"]) == ("100644", 256 * 1024)
    assert image["sha"] == git_sha1(bytes(range(256)) * 1024)


def test_flat_tree_and_tree_by_its_own_sha(sim, shas):
    top = api(sim, f"git/trees/{shas[0]}").json()["tree"]
    images = next(entry for entry in top if entry["type"] == "tree")
    assert {entry["path"] for entry in top} == {"metadata.csv", "images", "empty"}
    assert "size" not in images
    below = requests.get(images["url"], timeout=PATIENCE).json()["tree"]
    assert {entry["path"] for entry in below} == {"a.jpg", "b #1%.jpg ", "é.png"}


@pytest.mark.parametrize("ref", ["nope", "0" * 40])
def test_unknown_tree_is_a_404(sim, ref):
    assert api(sim, f"git/trees/{ref}").status_code == 404


def test_unchanged_tree_is_a_304(sim, shas):
    etag = api(sim, f"git/trees/{shas[0]}").headers["ETag"]
    assert api(sim, f"git/trees/{shas[0]}", headers={"If-None-Match": etag}).status_code == 304
    assert api(sim, f"git/trees/{shas[1]}", headers={"If-None-Match": etag}).status_code == 200


def test_every_raw_file_has_the_bytes_that_the_tree_names(sim, shas):
    tree = api(sim, f"git/trees/{shas[2]}", params={"recursive": 1}).json()["tree"]
    blobs = {entry["path"]: entry["sha"] for entry in tree if entry["type"] == "blob"}
    assert {path: git_sha1(raw(sim, shas[2], path).content) for path in blobs} == blobs


def test_raw_file_of_an_earlier_commit_and_of_a_branch(sim, shas):
    assert raw(sim, shas[0], "metadata.csv").content == b"patientid,filename\r\n1,a.jpg\r\n"
    assert raw(sim, "master", "metadata.csv").content == b"patientid,filename\r\n"


def test_unchanged_raw_file_is_a_304(sim, shas):
    etag = raw(sim, shas[0], "images/a.jpg").headers["ETag"]
    response = raw(sim, shas[0], "images/a.jpg", headers={"If-None-Match": etag})
    assert (response.status_code, response.content) == (304, b"")


@pytest.mark.parametrize(
    ("ref", "path"),
    [("master", "nope"), ("nope", "empty"), ("0" * 40, "empty"), ("master", "images"), ("master", "a\nb")],
)
def test_unknown_raw_file_is_a_404(sim, ref, path):
    response = raw(sim, ref, path)
    assert (response.status_code, response.text) == (404, "404: Not Found")


def test_relative_raw_path_is_a_404(upstream):
    request = Request("GET", "/github-raw/ann/covid/master/images/../empty")
    assert GitHub(upstream / "github").raw(request).status == 404


def test_archive_of_a_commit(sim, shas):
    response = requests.get(f"{sim.settings()['github_codeload_url']}/ann/covid/tar.gz/{shas[0]}", timeout=PATIENCE)
    assert response.headers["Transfer-Encoding"] == "chunked"
    with tarfile.open(fileobj=io.BytesIO(response.content)) as archive:
        names = {member.name for member in archive if member.isfile()}
        image = archive.extractfile(f"covid-{shas[0]}/images/a.jpg")
        assert image is not None
        assert image.read() == bytes(range(256)) * 1024
    assert names == {f"covid-{shas[0]}/{path}" for path in FIRST_FILES}


def test_unknown_archive_is_a_404(sim):
    response = requests.get(f"{sim.settings()['github_codeload_url']}/ann/covid/tar.gz/nope", timeout=PATIENCE)
    assert response.status_code == 404


def test_a_moved_branch_shows_at_once(tmp_path, upstream, shas):
    moving = tmp_path / "ann" / "covid.git"
    moving.mkdir(parents=True)
    (moving / "HEAD").write_text("ref: refs/heads/master\n")
    (moving / "refs" / "heads").mkdir(parents=True)
    (moving / "objects" / "info").mkdir(parents=True)
    (moving / "objects" / "info" / "alternates").write_text(f"{upstream / 'github/ann/covid.git/objects'}\n")
    seen = []
    with UpstreamSimulator(tmp_path, upstream / "kaggle") as sim:
        for sha in shas:
            (moving / "refs" / "heads" / "master").write_text(f"{sha}\n")
            seen.append(api(sim, "commits/master", headers=SHA).text)
    assert seen == shas


def everything(sim: UpstreamSimulator, name: str, branch: str) -> list[requests.Response]:
    """Return the answers of all three services for a repository, which are not followed elsewhere."""
    paths = (
        f"{sim.url}/github-api/repos/{name}/commits/{branch}",
        f"{sim.url}/github-api/repos/{name}/git/trees/{branch}?recursive=1",
        f"{sim.files_url}/github-raw/{name}/{branch}/empty",
        f"{sim.files_url}/github-codeload/{name}/tar.gz/{branch}",
    )
    return [requests.get(path, allow_redirects=False, timeout=PATIENCE) for path in paths]


def test_repositories_are_served_beside_each_other(sim):
    assert [answer.status_code for answer in everything(sim, "bob/other", "main")] == [200] * 4
    assert everything(sim, "bob/other", "main")[2].content == b"!"
    assert everything(sim, "ann/covid", "master")[2].content == b""


@pytest.mark.parametrize("name", ["bob/covid", "ann/nope", "ann/..", "../ann"])
def test_an_unknown_repository_is_a_404(sim, name):
    assert [answer.status_code for answer in everything(sim, name, "master")] == [404] * 4


def test_an_empty_repository(sim):
    assert [answer.status_code for answer in everything(sim, "ann/empty", "main")] == [409, 409, 404, 404]


def test_a_renamed_repository_leads_to_its_new_name(sim, shas):
    old, new = everything(sim, "ann/older-name", "master"), everything(sim, "ann/covid", "master")
    assert [answer.status_code for answer in old] == [301] * 4
    assert "/repositories/" in old[0].headers["Location"]
    assert old[0].json()["url"] == old[0].headers["Location"]
    for before, now in zip(old[:3], new[:3], strict=True):
        followed = requests.get(before.url, timeout=PATIENCE)
        assert (followed.status_code, followed.content) == (200, now.content)
    archive = requests.get(old[3].url, timeout=PATIENCE)
    with tarfile.open(fileobj=io.BytesIO(archive.content)) as tar:
        assert "covid-master/empty" in tar.getnames()


def test_an_unknown_number_is_a_404(sim):
    assert requests.get(f"{sim.url}/github-api/repositories/7/commits/master", timeout=PATIENCE).status_code == 404


@pytest.mark.parametrize(
    ("path", "encodings", "packed", "kind"),
    [
        ("metadata.csv", "gzip, deflate", "gzip", "text/plain; charset=utf-8"),
        ("metadata.csv", "identity", None, "text/plain; charset=utf-8"),
        ("images/a.jpg", "gzip, deflate", None, "image/jpeg"),
        ("empty", "gzip, deflate", None, "application/octet-stream"),
    ],
)
def test_text_comes_packed_where_the_client_unpacks(sim, shas, path, encodings, packed, kind):
    response = raw(sim, shas[0], path, headers={"Accept-Encoding": encodings})
    assert response.headers.get("Content-Encoding") == packed
    assert response.headers["Content-Type"] == kind
    assert response.headers["ETag"].startswith("W/") is bool(packed)
    assert response.content == raw(sim, shas[0], path, headers={"Accept-Encoding": "identity"}).content
    again = raw(sim, shas[0], path, headers={"If-None-Match": response.headers["ETag"]})
    assert again.status_code == 304


@pytest.mark.parametrize(("headers", "limit"), [({}, "60"), ({"Authorization": "Bearer t"}, "5000")])
def test_rate_limit_headers(sim, headers, limit):
    for path in ("commits/master", "commits/nope"):
        assert api(sim, path, headers=headers).headers["x-ratelimit-limit"] == limit


def test_api_and_single_files_have_budgets_of_their_own_and_archives_none(upstream):
    clock = [1_000_000.5]
    folders = (upstream / "github", upstream / "kaggle")
    with UpstreamSimulator(*folders, api_per_hour=2, raw_per_hour=1, now=lambda: clock[0]) as sim:
        rounds = [everything(sim, "ann/covid", "master") for _ in range(2)]
        assert [[answer.status_code for answer in answers] for answers in rounds] == [
            [200, 200, 200, 200],
            [403, 403, 429, 200],
        ]
        limited = rounds[1][0]
        names = ("limit", "remaining", "used", "reset")
        assert [limited.headers[f"x-ratelimit-{name}"] for name in names] == ["2", "0", "2", "1003600"]
        assert "API rate limit exceeded" in limited.json()["message"]
        assert rounds[1][2].text == "429: Too Many Requests"
        assert not {"retry-after", "x-ratelimit-reset"} & {name.lower() for name in rounds[1][2].headers}
        assert api(sim, "commits/master", headers={"Authorization": "Bearer t"}).status_code == 200
        clock[0] += 3599
        assert everything(sim, "ann/covid", "master")[2].status_code == 429
        clock[0] += 1
        assert everything(sim, "ann/covid", "master")[2].status_code == 200


@pytest.mark.parametrize("path", ["git/trees", "git/blobs/1", "issues"])
def test_endpoints_that_are_not_there(sim, path):
    assert api(sim, path).status_code == 404


def test_a_missing_folder_is_refused(tmp_path: Path):
    with pytest.raises(FileNotFoundError, match=r"name one that holds <owner>/<repository>\.git"):
        GitHub(tmp_path / "nope")
