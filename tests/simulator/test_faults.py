from __future__ import annotations

import time

import pytest
import requests

from support.waiting import PATIENCE
from upstream_simulator.faults import Fault
from upstream_simulator.server import UpstreamSimulator

IMAGE = bytes(range(256)) * 1024


def raw_url(sim: UpstreamSimulator) -> str:
    return f"{sim.files_url}/github-raw/ann/covid/master/images/a.jpg"


def tree_url(sim: UpstreamSimulator) -> str:
    return f"{sim.url}/github-api/repos/ann/covid/git/trees/master?recursive=1"


def archive_url(sim: UpstreamSimulator) -> str:
    return f"{sim.files_url}/github-codeload/ann/covid/tar.gz/master"


def dataset_url(sim: UpstreamSimulator) -> str:
    return f"{sim.url}/kaggle-api/v1/datasets.DatasetApiService/GetDataset"


def storage_url(sim: UpstreamSimulator) -> str:
    return f"{sim.files_url}/kaggle-storage/ann/x-rays/9.zip"


def get(url: str, timeout: float = PATIENCE) -> requests.Response:
    return requests.get(url, timeout=timeout)


@pytest.mark.parametrize(("kind", "status"), [("500", 500), ("401", 401), ("404", 404), ("403", 403), ("429", 429)])
def test_refusal_and_recovery(sim, kind, status):
    sim.faults.add(Fault(kind, path="/github-raw/", times=2))
    statuses = [get(raw_url(sim)).status_code for _ in range(3)]
    assert statuses == [status, status, 200]


def test_429_says_when_to_come_back(sim):
    sim.faults.add(Fault("429", seconds=6.5))
    assert get(raw_url(sim)).headers["retry-after"] == "7"


def test_rate_limit_says_when_it_ends(sim):
    sim.faults.add(Fault("403-rate-limit", seconds=60))
    before = time.time()
    response = get(tree_url(sim))
    assert (response.status_code, response.headers["x-ratelimit-remaining"]) == (403, "0")
    assert before + 60 <= int(response.headers["x-ratelimit-reset"]) <= time.time() + 62
    assert "rate limit" in response.json()["message"]


@pytest.mark.parametrize(
    ("kind", "url", "status", "kind_of_body", "text"),
    [
        ("403-secondary", tree_url, 403, "application/json", "secondary rate limit"),
        ("429-secondary", raw_url, 429, "text/plain", "429: You have exceeded a secondary rate limit"),
        ("404", archive_url, 404, "text/plain", "404: Not Found"),
        ("502-html", tree_url, 502, "text/html", "<title>Unicorn! &middot; GitHub</title>"),
        ("500", dataset_url, 500, "application/json", '{"code": 500, "message"'),
        ("503-nested", dataset_url, 503, "application/json", '{"error": {"code": 503, "message"'),
        ("404-nested", dataset_url, 404, "application/json", '{"error": {"code": 404, "message"'),
        ("400-expired", storage_url, 400, "application/xml", "<Code>ExpiredToken</Code>"),
        ("403", storage_url, 403, "application/xml", "<Code>Forbidden</Code>"),
    ],
)
def test_each_service_refuses_in_its_own_words(sim, kind, url, status, kind_of_body, text):
    sim.faults.add(Fault(kind))
    response = get(url(sim))
    assert response.status_code == status
    assert response.headers["Content-Type"].partition(";")[0] == kind_of_body
    assert text in response.text
    assert "retry-after" not in response.headers


def test_a_fault_waits_for_its_path(sim):
    sim.faults.add(Fault("500", path="/git/trees/"))
    assert [get(url(sim)).status_code for url in (raw_url, tree_url, tree_url)] == [200, 500, 200]


def test_faults_come_in_order_and_can_be_cleared(sim):
    for kind in ("500", "404", "401"):
        sim.faults.add(Fault(kind))
    seen = [get(raw_url(sim)).status_code for _ in range(2)]
    sim.faults.clear()
    assert [*seen, get(raw_url(sim)).status_code] == [500, 404, 200]


def test_cut_ends_in_the_middle_of_the_declared_length(sim):
    sim.faults.add(Fault("cut"))
    with requests.get(raw_url(sim), timeout=PATIENCE, stream=True) as response:
        assert response.headers["Content-Length"] == str(len(IMAGE))
        got = response.raw.read(len(IMAGE) // 2)
        with pytest.raises(requests.exceptions.ChunkedEncodingError, match="IncompleteRead"):
            got += b"".join(response.iter_content(1024))
    assert got == IMAGE[: len(IMAGE) // 2]
    assert (sim.requests[0].status, sim.requests[0].sent_bytes) == (200, len(IMAGE) // 2)


def test_cut_of_a_body_without_known_length(sim):
    sim.faults.add(Fault("cut"))
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        get(archive_url(sim))


def test_corrupt_changes_one_byte_and_no_length(sim):
    sim.faults.add(Fault("corrupt"))
    data = get(raw_url(sim)).content
    assert len(data) == len(IMAGE)
    assert [place for place in range(len(IMAGE)) if data[place] != IMAGE[place]] == [len(IMAGE) // 2]
    assert get(raw_url(sim)).content == IMAGE


def test_corrupt_archive(sim):
    sound = get(archive_url(sim)).content
    sim.faults.add(Fault("corrupt"))
    spoilt = get(archive_url(sim)).content
    assert len(spoilt) == len(sound)
    assert sum(one != other for one, other in zip(sound, spoilt, strict=True)) == 1


@pytest.mark.parametrize("kind", ["cut", "corrupt"])
def test_an_answer_without_body_cannot_be_spoilt(sim, kind):
    sim.faults.add(Fault(kind))
    response = get(f"{sim.files_url}/github-raw/ann/covid/master/empty")
    assert (response.status_code, response.content) == (200, b"")


def test_slow_body_arrives_late_but_whole(sim, monkeypatch):
    pauses = []
    monkeypatch.setattr(sim._stopping, "wait", pauses.append)
    sim.faults.add(Fault("slow", seconds=0.2))
    assert get(raw_url(sim)).content == IMAGE
    assert pauses == [0.2]


def test_slow_body_runs_into_the_timeout_of_the_client(sim):
    sim.faults.add(Fault("slow", seconds=PATIENCE))
    with pytest.raises(requests.exceptions.RequestException, match="Read timed out"):
        get(raw_url(sim), timeout=0.1)
    assert get(raw_url(sim)).content == IMAGE


def test_slow_answer_without_body(sim):
    sim.faults.add(Fault("slow", seconds=PATIENCE))
    with pytest.raises(requests.exceptions.ReadTimeout):
        get(f"{sim.files_url}/github-raw/ann/covid/master/empty", timeout=0.1)


def test_truncated_tree(sim):
    whole = get(tree_url(sim)).json()
    sim.faults.add(Fault("truncated"))
    assert get(raw_url(sim)).content == IMAGE  # no tree: the fault goes on waiting
    part = get(tree_url(sim)).json()
    assert part["truncated"]
    assert part["tree"] == whole["tree"][: len(whole["tree"]) // 2]
    assert get(tree_url(sim)).json() == whole


def test_truncated_leaves_an_unknown_tree_unknown(sim):
    sim.faults.add(Fault("truncated"))
    assert get(f"{sim.url}/github-api/repos/ann/covid/git/trees/nope").status_code == 404


def test_unknown_kind_is_refused():
    with pytest.raises(ValueError, match="unknown fault 'flood'; known are 429"):
        Fault("flood")
