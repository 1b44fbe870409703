from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests
from kagglesdk import KaggleClient, KaggleEnv, kaggle_env
from kagglesdk.datasets.types.dataset_api_service import ApiDownloadDatasetRequest, ApiGetDatasetRequest

from support.waiting import PATIENCE
from upstream_simulator.kaggle import LICENSE_NAME, Kaggle, crc32c
from upstream_simulator.server import UpstreamSimulator


@pytest.fixture
def client(sim, monkeypatch) -> Iterator:
    """Kaggle's own client, whose production address is the simulator's."""
    monkeypatch.setitem(kaggle_env._env_to_endpoint, KaggleEnv.PROD, sim.settings()["kaggle_api_url"])
    with KaggleClient(env=KaggleEnv.PROD, api_token="any") as kaggle:
        yield kaggle.datasets.dataset_api_client


@pytest.fixture
def zip_bytes(upstream: Path) -> bytes:
    return (upstream / "kaggle" / "ann" / "x-rays" / "10.zip").read_bytes()


@pytest.fixture
def signed_url(sim) -> str:
    return ask_for_url(sim)


def ask_for_url(sim: UpstreamSimulator, **options) -> str:
    response = call(sim, "DownloadDataset", ownerSlug="ann", datasetSlug="x-rays", **options)
    assert response.status_code == 302
    return response.headers["Location"]


def call(sim: UpstreamSimulator, method: str, **options) -> requests.Response:
    url = f"{sim.settings()['kaggle_api_url']}/v1/datasets.DatasetApiService/{method}"
    return requests.post(url, json=options, allow_redirects=False, timeout=PATIENCE)


def get(url: str, **headers: str) -> requests.Response:
    return requests.get(url, headers=headers, timeout=PATIENCE)


def named(request, owner: str = "ann", slug: str = "x-rays", version: int | None = None):
    request.owner_slug, request.dataset_slug = owner, slug
    if version is not None:
        request.dataset_version_number = version
    return request


def test_the_real_client_reads_the_dataset(client, zip_bytes):
    dataset = client.get_dataset(named(ApiGetDatasetRequest()))
    assert (dataset.ref, dataset.current_version_number, dataset.total_bytes) == ("ann/x-rays", 10, len(zip_bytes))
    assert dataset.license_name == "Attribution 4.0 International (CC BY 4.0)"
    assert [version.version_number for version in dataset.versions] == [9, 10]
    assert dataset.last_updated.year >= 2020


@pytest.mark.parametrize(("asked", "sent"), [(9, 9), (10, 10), (None, 10)])
def test_the_real_client_downloads_a_version(client, upstream, asked, sent):
    response = client.download_dataset(named(ApiDownloadDatasetRequest(), version=asked))
    assert response.content == (upstream / "kaggle" / "ann" / "x-rays" / f"{sent}.zip").read_bytes()
    assert response.headers["Content-Length"] == str(len(response.content))


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (named(ApiDownloadDatasetRequest(), version=3), "Version 3 of ann/x-rays was not found"),
        (named(ApiDownloadDatasetRequest(), slug="nope"), "Permission 'datasets.get' was denied"),
    ],
)
def test_the_real_client_hears_why_there_is_no_download(client, request_, message):
    with pytest.raises(requests.HTTPError, match=message):
        client.download_dataset(request_)


def test_the_real_client_hears_of_an_unknown_dataset(client):
    with pytest.raises(requests.HTTPError, match=r"Permission 'datasets\.get' was denied"):
        client.get_dataset(named(ApiGetDatasetRequest(), owner=".."))


@pytest.mark.parametrize(
    ("method", "options", "status"),
    [
        ("Nope", {"ownerSlug": "ann", "datasetSlug": "x-rays"}, 404),
        ("GetDataset", {"ownerSlug": "ann"}, 400),
        ("DownloadDataset", {"ownerSlug": "ann", "datasetSlug": "x-rays", "fileName": "a"}, 400),
    ],
)
def test_calls_that_are_refused(sim, method, options, status):
    response = call(sim, method, **options)
    assert (response.status_code, response.json()["code"]) == (status, status)


def test_whole_file_with_its_checksum(signed_url, zip_bytes):
    response = get(signed_url)
    digest = hashlib.md5(zip_bytes).digest()
    assert (response.status_code, response.content) == (200, zip_bytes)
    assert response.headers["X-Goog-Hash"] == f"md5={base64.b64encode(digest).decode()}"
    assert response.headers["ETag"] == f'"{digest.hex()}"'
    assert response.headers["Accept-Ranges"] == "bytes"


@pytest.mark.parametrize(
    ("header", "part"),
    [
        ("bytes=0-0", slice(0, 1)),
        ("bytes=100-", slice(100, None)),
        ("bytes=100-199", slice(100, 200)),
        ("bytes=-100", slice(-100, None)),
        ("bytes=100-9999999", slice(100, None)),
        ("bytes=-9999999", slice(0, None)),
    ],
)
def test_range(signed_url, zip_bytes, header, part):
    response = get(signed_url, Range=header)
    start, stop, _ = part.indices(len(zip_bytes))
    assert (response.status_code, response.content) == (206, zip_bytes[part])
    assert response.headers["Content-Range"] == f"bytes {start}-{stop - 1}/{len(zip_bytes)}"


@pytest.mark.parametrize("header", ["bytes=0-1,5-6", "bytes=-", "bytes=9-3", "lines=1-2"])
def test_ranges_that_are_overlooked(signed_url, zip_bytes, header):
    response = get(signed_url, Range=header)
    assert (response.status_code, response.content) == (200, zip_bytes)


@pytest.mark.parametrize("start", ["{size}-", "{size}-{size}", "-0"])
def test_range_beyond_the_end_is_a_416(signed_url, zip_bytes, start):
    response = get(signed_url, Range=f"bytes={start.format(size=len(zip_bytes))}")
    assert response.status_code == 416
    assert response.headers["Content-Range"] == f"bytes */{len(zip_bytes)}"


def test_if_range_resumes_the_same_bytes_under_a_fresh_address(sim, signed_url, zip_bytes):
    etag = get(signed_url).headers["ETag"]
    response = get(ask_for_url(sim), Range="bytes=100-", **{"If-Range": etag})
    assert (response.status_code, response.content) == (206, zip_bytes[100:])


def test_if_range_of_other_bytes_gets_the_whole_file(sim, signed_url, zip_bytes):
    etag = get(ask_for_url(sim, datasetVersionNumber=9)).headers["ETag"]
    response = get(signed_url, Range="bytes=100-", **{"If-Range": etag})
    assert (response.status_code, response.content) == (200, zip_bytes)


def test_a_storage_that_overlooks_if_range_sends_the_range_of_other_bytes(sim, signed_url, zip_bytes, monkeypatch):
    monkeypatch.setattr(sim.kaggle, "heeds_if_range", False)
    response = get(signed_url, Range="bytes=100-", **{"If-Range": '"other"'})
    assert (response.status_code, response.content) == (206, zip_bytes[100:])


@pytest.mark.parametrize(
    ("form", "names"),
    [
        ("crc32c and md5", [["crc32c", "md5"]]),
        ("crc32c, md5 in two headers", [["crc32c"], ["md5"]]),
        ("crc32c", [["crc32c"]]),
    ],
)
def test_forms_of_the_hash(sim, signed_url, monkeypatch, form, names):
    monkeypatch.setattr(sim.kaggle, "hash_form", form)
    headers = requests.get(signed_url, timeout=PATIENCE).raw.headers.getlist("x-goog-hash")
    assert [[item.partition("=")[0] for item in header.split(",")] for header in headers] == names


def test_crc32c():
    """The check value of the catalogue at https://reveng.sourceforge.io/crc-catalogue/all.htm."""
    assert crc32c(b"123456789") == 0xE3069283


def test_a_version_may_have_a_licence_of_its_own(tmp_path, upstream):
    folder = tmp_path / "ann" / "x-rays"
    folder.mkdir(parents=True)
    (folder / "1.zip").touch()
    with UpstreamSimulator(upstream / "github", tmp_path) as sim:
        asked = {"ownerSlug": "ann", "datasetSlug": "x-rays"}
        assert call(sim, "GetDataset", **asked).json()["licenseName"] == LICENSE_NAME
        (folder / "2.zip").touch()
        (folder / "2.licence").write_text("Other (specified in description)\n")
        answer = call(sim, "GetDataset", **asked).json()
    assert (answer["currentVersionNumber"], answer["licenseName"]) == (2, "Other (specified in description)")


def test_a_replaced_file_changes_its_etag(tmp_path, upstream):
    file = tmp_path / "ann" / "x-rays" / "1.zip"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"first")
    with UpstreamSimulator(upstream / "github", tmp_path) as sim:
        url = ask_for_url(sim)
        etag = get(url).headers["ETag"]
        file.write_bytes(b"second, other")
        response = get(url, Range="bytes=2-", **{"If-Range": etag})
    assert (response.status_code, response.content) == (200, b"second, other")


@pytest.mark.parametrize(
    "tamper",
    [
        lambda url: url[:-1] + ("0" if url[-1] != "0" else "1"),
        lambda url: url.replace("10.zip", "9.zip"),
        lambda url: url.replace("Expires=", "Expires=9"),
        lambda url: url.partition("?")[0],
    ],
)
def test_a_wrong_signature_is_a_403(signed_url, tamper):
    response = get(tamper(signed_url))
    assert response.status_code == 403
    assert "SignatureDoesNotMatch" in response.text


def test_an_expired_address_is_a_400(upstream):
    folders = {"github_dir": upstream / "github", "kaggle_dir": upstream / "kaggle"}
    with UpstreamSimulator(**folders, signed_url_seconds=0) as sim:
        response = get(ask_for_url(sim))
    assert response.status_code == 400
    assert "<Code>ExpiredToken</Code>" in response.text


def test_a_file_that_went_away_is_a_404(tmp_path, upstream):
    file = tmp_path / "ann" / "x-rays" / "1.zip"
    file.parent.mkdir(parents=True)
    file.touch()
    with UpstreamSimulator(upstream / "github", tmp_path) as sim:
        url = ask_for_url(sim)
        file.unlink()
        assert get(url).status_code == 404


def test_the_storage_is_another_host_than_the_api(sim, zip_bytes):
    url = ask_for_url(sim)
    assert (urlsplit(sim.url).hostname, urlsplit(url).hostname) == ("127.0.0.1", "localhost")
    assert urlsplit(sim.url).port != urlsplit(url).port
    assert get(url).content == zip_bytes
    assert get(url.replace(sim.files_url, sim.url)).status_code == 404


def test_a_client_that_knows_the_api_by_a_name_finds_the_storage_by_it(sim):
    url = f"{sim.settings()['kaggle_api_url']}/v1/datasets.DatasetApiService/DownloadDataset"
    asked = {"ownerSlug": "ann", "datasetSlug": "x-rays"}
    response = requests.post(
        url, json=asked, headers={"Host": "upstream:8000"}, allow_redirects=False, timeout=PATIENCE
    )
    assert urlsplit(response.headers["Location"]).hostname == "upstream"
    assert urlsplit(response.headers["Location"]).port == urlsplit(sim.files_url).port


def test_links_are_followed(tmp_path, upstream, zip_bytes):
    folder = tmp_path / "ann" / "x-rays"
    folder.mkdir(parents=True)
    (folder / "1.zip").symlink_to(upstream / "kaggle" / "ann" / "x-rays" / "10.zip")
    with UpstreamSimulator(upstream / "github", tmp_path) as sim:
        assert get(ask_for_url(sim)).content == zip_bytes


def test_a_missing_folder_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"name one that holds <owner>/<slug>/<version>\.zip"):
        Kaggle(tmp_path / "nope", str)
