"""The pages of a snapshot's images, of one of them, and of what was left out."""

from __future__ import annotations

import io
from collections import Counter
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, quote, urlsplit

import pandas as pd
import pytest
from PIL import Image

from cxr_snapshot.audit.words import SYNTHETIC
from cxr_snapshot.shown import line
from cxr_snapshot.store.encoding import csv_bytes
from cxr_snapshot.store.objects import Store
from cxr_snapshot.tables import CLASSES, MANIFEST_SCHEMA
from support.hostile import PIECES
from support.requests_made import requests_to
from support.snapshot_pages import NEW, OLD, PREFIX, Elements, copied
from support.stores import read_csv
from support.withdrawers import take_back

if TYPE_CHECKING:
    from fastapi import FastAPI

    from support.pages import Pages

HERE = f"{PREFIX}/snapshots/{NEW}"
HOSTILE = (
    "".join(piece for piece in PIECES if piece.isprintable() and len(piece) < 30)[:500] + "' onclick='x\x1b]52;c\x07"
)


@pytest.fixture
def manifest(published: Store) -> pd.DataFrame:
    return published.get_table(f"{NEW}/manifest.parquet")


@pytest.fixture
def excluded(published: Store) -> pd.DataFrame:
    return read_csv(published, f"{NEW}/excluded.csv")


def few(monkeypatch: pytest.MonkeyPatch, **sizes: int) -> None:
    """Let pages show fewer things."""
    from snapshot_pages_app import gallery, one_image

    for name, size in sizes.items():
        monkeypatch.setattr(gallery if hasattr(gallery, name) else one_image, name, size)


def files_on(page: Elements) -> list[str]:
    """Return the images whose thumbnails are on a page, as files of the snapshot."""
    shown = [str(image["src"]) for image in page.named("img")]
    return [f"images/{src.partition('/thumbnails/')[2].removesuffix('.png')}" for src in shown if "/thumbnails/" in src]


def name_of(file: str) -> str:
    return file.removeprefix("images/")


class TestGallery:
    def test_shows_every_image_with_a_text_of_its_own(self, pages, manifest):
        page = Elements(pages.get(f"/snapshots/{NEW}/images"))
        assert files_on(page) == list(manifest["file"])
        assert f"{len(manifest)} images." in page.text
        texts = [image["alt"] for image in page.named("img")]
        assert len(set(texts)) == len(texts) == len(manifest)
        assert texts[0] == f"X-ray {name_of(manifest['file'][0]).split('/')[1]}"

    @pytest.mark.parametrize("column", ["class", "split", "source", "view"])
    def test_shows_what_is_chosen(self, pages, manifest, column):
        for value, rows in manifest.groupby(column):
            page = Elements(pages.client.get(f"{HERE}/images", params={column: value}).text)
            assert files_on(page) == list(rows["file"])

    def test_choices_add_up_and_stay_in_the_form_and_in_the_links(self, pages, manifest, monkeypatch):
        few(monkeypatch, PER_PAGE=2)
        chosen = {"class": "PNEUMONIA", "source": "pneumonia", "view": "AP"}
        page = Elements(pages.client.get(f"{HERE}/images", params=chosen).text)
        selected = [tag for tag in page.named("option") if "selected" in tag]
        assert len(selected) == len(chosen)
        (following,) = [str(link["href"]) for link in page.named("a") if link.get("rel") == "next"]
        assert parse_qs(urlsplit(following).query) == {
            name: [value] for name, value in (chosen | {"page": "2"}).items()
        }
        fits = manifest["class"].eq("PNEUMONIA")
        assert files_on(page) + files_on(Elements(pages.client.get(following).text)) == list(manifest[fits]["file"])[:4]

    def test_pages_show_each_image_once(self, pages, manifest, monkeypatch):
        few(monkeypatch, PER_PAGE=4)
        seen: list[str] = []
        address = f"{HERE}/images"
        for number in range(1, 5):
            page = Elements(pages.client.get(address).text)
            assert f"Page {number} of 4" in page.text
            assert (
                f"{len(manifest)} images; here are {len(seen) + 1} to {min(len(seen) + 4, len(manifest))}." in page.text
            )
            seen += files_on(page)
            links = [str(link["href"]) for link in page.named("a") if link.get("rel") == "next"]
            address = links[0] if links else ""
        assert not address
        assert seen == list(manifest["file"])

    def test_one_image_is_not_called_images(self, pages, manifest):
        alone = manifest.groupby(["class", "split"]).filter(lambda rows: len(rows) == 1).iloc[0]
        page = Elements(pages.get(f"/snapshots/{NEW}/images?class={alone['class']}&split={alone['split']}"))
        assert "1 image." in page.text
        assert files_on(page) == [alone["file"]]

    @pytest.mark.parametrize("choice", ["class=NONE", "view=%3Cscript%3E", "split=%00", "source=" + "x" * 1024])
    def test_what_nothing_has_is_said_and_leads_back(self, pages, choice):
        page = Elements(pages.get(f"/snapshots/{NEW}/images?{choice}"))
        assert "No image of this snapshot fits." in page.text
        assert {"href": f"{HERE}/images"} in page.named("a")
        assert page.named("script") == [{}]  # ours

    @pytest.mark.parametrize("query", ["page=0", "page=-1", "page=1e9", "page=100001", "view=" + "x" * 1025])
    def test_what_makes_no_sense_is_refused(self, pages, query):
        assert "This address makes no sense" in pages.get(f"/snapshots/{NEW}/images?{query}", 422)

    def test_a_page_after_the_last_leads_back(self, pages, monkeypatch):
        assert "There is only 1 page." in Elements(pages.get(f"/snapshots/{NEW}/images?page=2")).text
        few(monkeypatch, PER_PAGE=2)
        page = Elements(pages.get(f"/snapshots/{NEW}/images?page=100000&class=COVID"))
        assert "There are only 3 pages." in page.text
        assert {"href": f"{HERE}/images?class=COVID"} in page.named("a")

    def test_images_without_a_view_can_be_chosen(self, pages, published, manifest):

        store = copied(published)
        store.put_table(
            f"{NEW}/manifest.parquet", manifest.assign(view=manifest["view"].where(manifest.index > 0)), MANIFEST_SCHEMA
        )
        pages.use(store)
        page = Elements(pages.get(f"/snapshots/{NEW}/images?view=not+stated"))
        assert files_on(page) == [manifest["file"][0]]
        assert "COVID, view not stated" in page.text

    def test_an_older_snapshot_is_shown_too(self, pages, published):
        older = published.get_table(f"{OLD}/manifest.parquet")
        page = Elements(pages.get(f"/snapshots/{OLD}/images"))
        assert len(page.named("img")) == len(older)
        for image in page.named("img"):
            assert pages.client.get(image["src"]).status_code == 200

    def test_latest_stands_for_the_newest(self, pages):
        assert pages.get("/snapshots/latest/images") == pages.get(f"/snapshots/{NEW}/images")

    def test_another_edition_has_its_own(self, pages, published):
        store = copied(published)
        for name in published.list(f"{NEW}/"):
            store.copy(name, f"editions/adults/{name}")
        pages.use(store)
        base = f"{PREFIX}/editions/adults/"
        shown = [f"snapshots/{NEW}/images", f"snapshots/{NEW}/excluded"]
        shown.append(f"snapshots/{NEW}/images/{name_of(published.get_table(f'{NEW}/manifest.parquet')['file'][0])}")
        for path in shown:
            page = Elements(pages.client.get(base + path).text)
            links = [str(tag.get("href", tag.get("src"))) for name in ("a", "img") for tag in page.named(name)]
            ours = [link for link in links if not link.startswith("#") and link not in (f"{PREFIX}/editions",)]
            assert len(ours) >= 4
            assert {link[: len(base)] for link in ours} == {base}
            assert pages.client.get(ours[-1]).status_code in (200, 303)


class TestPictures:
    def test_a_thumbnail_is_the_picture_of_the_shards(self, pages, manifest):
        for file in manifest["file"]:
            answer = pages.client.get(f"{HERE}/thumbnails/{name_of(file)}.png")
            assert answer.headers["content-type"] == "image/png"
            assert Image.open(io.BytesIO(answer.content)).size == (224, 224)

    def test_the_class_may_be_left_out_of_the_name(self, pages, manifest):
        whole, short = name_of(manifest["file"][3]), manifest["file"][3].rpartition("/")[2]
        for kind in ("thumbnails/{}.png", "images/{}", "originals/{}"):
            answers = [pages.client.get(f"{HERE}/{kind.format(name)}") for name in (whole, short)]
            assert answers[0].content == answers[1].content

    def test_an_original_is_the_file_itself(self, pages, published, manifest):
        types = {"JPEG": "image/jpeg", "PNG": "image/png", "WEBP": "image/webp"}
        for file, form in zip(manifest["file"], manifest["format"], strict=True):
            answer = pages.client.get(f"{HERE}/originals/{name_of(file)}")
            assert answer.content == published.get(f"{NEW}/{file}")
            assert answer.headers["content-type"] == types[form]
            assert answer.headers["content-length"] == str(len(answer.content))
            assert answer.headers["content-security-policy"].startswith("default-src 'none'")

    @pytest.mark.parametrize("kind", ["images/{}", "thumbnails/{}.png", "originals/{}"])
    @pytest.mark.parametrize(
        "name",
        [
            *(
                "COVID/none.jpg",
                "none",
                "../../latest.json",
                "..%2f..%2flatest.json",
                "%00",
                "x" * 5000,
                "COVID/",
            ),
            *("manifest.csv", "/COVID", "%3Cscript%3E", "COVID/covid-0000000000000000.svg"),
        ],
    )
    def test_no_other_object_is_handed_out(self, pages, kind, name):
        page = Elements(pages.get(f"/snapshots/{NEW}/{kind.format(name)}", 404))
        assert page.named("script") == [{}]  # ours

    def test_an_object_that_no_row_names_is_not_handed_out(self, pages, published):
        store = copied(published)
        store.put(f"{NEW}/images/COVID/stray.jpg", b"a stray")
        pages.use(store)
        pages.get(f"/snapshots/{NEW}/originals/COVID/stray.jpg", 404)

    @pytest.mark.parametrize("path", ["images", "images/COVID/a.jpg", "excluded", "find?source=a&path=b"])
    @pytest.mark.parametrize("version", ["2026-11-24", "2020-01-01", "_work", "..", "%2e%2e", "2026-11-23%00"])
    def test_what_is_no_complete_snapshot_has_no_images(self, pages, version, path):
        pages.get(f"/snapshots/{version}/{path}", 404)

    def test_a_damaged_table_is_said_to_be_damaged(self, pages, published, manifest):
        store = copied(published)
        shards = list(store.list(f"{NEW}/data/"))
        for name in (f"{NEW}/manifest.parquet", *shards):
            store.put(name, store.get(name)[:-5] + b"xxxxx")
        pages.use(store)
        assert "is damaged" in pages.get(f"/snapshots/{NEW}/images", 502)
        store.put(f"{NEW}/manifest.parquet", published.get(f"{NEW}/manifest.parquet"))
        assert "is damaged" in pages.get(f"/snapshots/{NEW}/thumbnails/{name_of(manifest['file'][0])}.png", 502)
        assert "its shards are damaged" in pages.get(f"/snapshots/{OLD}/images/{self.first_of(store, OLD)}")

    @staticmethod
    def first_of(store: Store, version: str) -> str:
        return name_of(store.get_table(f"{version}/manifest.parquet")["file"][0])


class TestOneImage:
    def test_shows_the_row_with_what_it_means(self, pages, manifest):
        row = manifest.iloc[0]
        page = Elements(pages.get(f"/snapshots/{NEW}/images/{name_of(row['file'])}"))
        assert page.named("img")[0]["src"] == f"{HERE}/originals/{name_of(row['file'])}"
        assert page.named("img")[1]["src"] == f"{HERE}/thumbnails/{name_of(row['file'])}.png"
        for column in manifest.columns[manifest.iloc[0].notna()]:
            value = row[column]
            assert f"{column} {f'{value:g}' if isinstance(value, float) else value} " in page.text
        assert "phash" in page.text and "few different bits mean pictures that look alike; 64 hex digits" in page.text
        assert f"Empty: {manifest.iloc[0].isna().sum()} columns" in page.text

    def test_its_group_is_shown_and_of_whom(self, pages, published, manifest, monkeypatch):
        store, changed = copied(published), manifest.copy()
        changed.loc[:4, "group"] = "one group"
        changed.loc[[0, 3], "patient_id"] = "covid:one patient"
        store.put_table(f"{NEW}/manifest.parquet", changed, MANIFEST_SCHEMA)
        pages.use(store)
        page = Elements(pages.get(f"/snapshots/{NEW}/images/{name_of(manifest['file'][3])}"))
        assert files_on(page)[1:] == list(manifest["file"][[0, 1, 2, 4]])
        assert "4 other images of this snapshot are of the same group" in page.text
        assert page.text.count(" same patient ") == 1
        few(monkeypatch, NEIGHBOURS=2)
        page = Elements(pages.get(f"/snapshots/{NEW}/images/{name_of(manifest['file'][3])}"))
        assert files_on(page)[1:] == list(manifest["file"][:2])
        assert "here are the first 2." in page.text
        alone = Elements(pages.get(f"/snapshots/{NEW}/images/{name_of(manifest['file'][7])}"))
        assert "No other image of this snapshot is of the same patient or looks like this one." in alone.text

    def test_what_was_left_out_as_its_copy_is_named(self, pages, published, manifest, excluded):
        store, row = copied(published), manifest.iloc[0]
        copy = {"source": "covid", "path": "images/a copy.jpg", "rule": "duplicate_image"}
        copy["evidence"] = f"same pixels as {row['source']}:{row['path']} ({row['class']})"
        store.put(f"{NEW}/excluded.csv", csv_bytes(pd.concat([excluded, pd.DataFrame([copy])])))
        pages.use(store)
        page = Elements(pages.get(f"/snapshots/{NEW}/images/{name_of(row['file'])}"))
        assert "covid: images/a copy.jpg ( duplicate_image )" in page.text
        assert copy["evidence"] in page.text
        assert {"href": f"{HERE}/excluded?path=images%2Fa+copy.jpg"} in page.named("a")
        other = Elements(pages.get(f"/snapshots/{NEW}/images/{name_of(manifest['file'][1])}"))
        assert "Nothing was left out as a copy of it." in other.text

    def test_is_found_in_other_snapshots_whatever_its_name_there(self, pages, published, manifest):
        older = published.get_table(f"{OLD}/manifest.parquet")
        both = manifest.merge(older, on="source_sha256", suffixes=("", "_old"))
        assert len(both)
        row = both.iloc[0]
        page = Elements(pages.get(f"/snapshots/{NEW}/images/{name_of(row['file'])}"))
        assert row["file"] != row["file_old"]
        assert f"{PREFIX}/snapshots/{OLD}/images/{name_of(row['file_old'])}" in [
            link["href"] for link in page.named("a")
        ]
        added = manifest[~manifest["source_sha256"].isin(older["source_sha256"])].iloc[0]
        page = Elements(pages.get(f"/snapshots/{NEW}/images/{name_of(added['file'])}"))
        assert f"{OLD} not in it, or erased from it" in page.text

    def test_looks_into_a_bounded_number_of_snapshots(self, pages, published, manifest, monkeypatch):
        few(monkeypatch, VERSIONS=2)
        store = copied(published)
        for day in range(1, 9):
            for name in published.list(f"{NEW}/"):
                if not name.startswith(f"{NEW}/images/"):
                    store.copy(name, name.replace(NEW, f"2026-12-0{day}"))
        pages.use(store)
        page = Elements(pages.get(f"/snapshots/{NEW}/images/{name_of(manifest['file'][0])}"))
        assert "Looked for in the 2 newest other snapshots" in page.text
        assert "2026-12-08 COVID" in page.text and "2026-12-07 COVID" in page.text
        assert "2026-12-06" not in page.text


class TestExcluded:
    def test_shows_what_was_left_out_with_its_evidence(self, pages, excluded, monkeypatch):
        few(monkeypatch, ROWS_PER_PAGE=len(excluded))
        page = Elements(pages.get(f"/snapshots/{NEW}/excluded"))
        assert f"{len(excluded)} records." in page.text
        for row in excluded.to_dict("records"):
            assert row["path"] in page.text
            assert row["evidence"] in page.text

    def test_shows_one_rule_of_one_source(self, pages, excluded):
        for (rule, source), rows in excluded.groupby(["rule", "source"]):
            page = Elements(pages.get(f"/snapshots/{NEW}/excluded?rule={rule}&source={source}"))
            assert f"{len(rows):,} record" in page.text
            assert len(page.named("tr")) - 1 == min(len(rows), 50)

    def test_pages_show_each_record_once(self, pages, excluded, monkeypatch):
        few(monkeypatch, ROWS_PER_PAGE=7)
        rule = excluded["rule"].value_counts().idxmax()
        wanted, seen, address = excluded[excluded["rule"].eq(rule)], 0, f"{HERE}/excluded?rule={rule}"
        while address:
            page = Elements(pages.client.get(address).text)
            seen += len(page.named("tr")) - 1
            links = [str(link["href"]) for link in page.named("a") if link.get("rel") == "next"]
            address = links[0] if links else ""
        assert seen == len(wanted) > 7

    def test_a_record_is_found_by_its_path(self, pages, excluded):
        path = excluded[excluded["path"].ne("")].iloc[0]["path"]
        page = Elements(pages.client.get(f"{HERE}/excluded", params={"path": path}).text)
        assert path in page.text
        assert page.named("input")[0]["value"] == path

    def test_nothing_that_fits_and_a_page_after_the_last_lead_back(self, pages):
        page = Elements(pages.get(f"/snapshots/{NEW}/excluded?rule=none"))
        assert "Nothing that was left out fits." in page.text
        assert {"href": f"{HERE}/excluded"} in page.named("a")
        page = Elements(pages.get(f"/snapshots/{NEW}/excluded?page=100000&source=covid"))
        assert "There " in page.text and {"href": f"{HERE}/excluded?source=covid"} in page.named("a")

    def test_where_nothing_was_left_out_it_says_so(self, pages, published):
        store = copied(published)
        head = store.get(f"{NEW}/excluded.csv").split(b"\n", 1)[0]
        store.put(f"{NEW}/excluded.csv", head + b"\n")
        pages.use(store)
        assert "Nothing was left out." in Elements(pages.get(f"/snapshots/{NEW}/excluded")).text

    def test_a_copy_leads_to_the_image_that_stays(self, pages, excluded):
        page = Elements(pages.get(f"/snapshots/{NEW}/excluded?rule=duplicate_image"))
        links = [str(link["href"]) for link in page.named("a") if "/find?" in str(link["href"])]
        assert len(links) == len(excluded[excluded["rule"].eq("duplicate_image")])
        for link in links:
            answer = pages.client.get(link)
            assert answer.status_code == 303
            assert pages.client.get(answer.headers["location"]).status_code == 200

    def test_find_leads_to_an_image_or_to_why_it_is_not_in(self, pages, manifest, excluded):
        row = manifest.iloc[-1]
        answer = pages.client.get(f"{HERE}/find", params={"source": row["source"], "path": row["path"]})
        assert answer.headers["location"] == f"{HERE}/images/{name_of(row['file'])}".replace(
            "/images/images", "/images"
        )
        out = excluded[excluded["rule"].eq("not_drawn")].iloc[0]
        answer = pages.client.get(f"{HERE}/find", params={"source": out["source"], "path": out["path"]})
        assert "not_drawn" in pages.client.get(answer.headers["location"]).text

    def test_a_damaged_table_is_said_to_be_damaged(self, pages, published):
        store = copied(published)
        store.put(f"{NEW}/excluded.csv", b"a,b\n1,2\n3\n")
        pages.use(store)
        assert "is damaged" in pages.get(f"/snapshots/{NEW}/excluded", 502)


def pictures_of(name: str) -> list[str]:
    """Return the addresses of an image's thumbnail and of its file."""
    return [f"{HERE}/thumbnails/{name}.png", f"{HERE}/originals/{name}"]


@pytest.fixture(scope="module", params=[False, True], ids=["marked", "erased"])
def withdrawn(request: pytest.FixtureRequest, mounted: FastAPI, published: Store) -> tuple[Store, str]:
    """A store of which an image was taken back after its pictures were shown, and its name."""
    from snapshot_pages_app import app
    from support.pages import Pages

    store, pages = copied(published), Pages(mounted, app, PREFIX)
    pages.sign_in("VIEWER")
    pages.use(store)
    row = store.get_table(f"{NEW}/manifest.parquet").iloc[2]
    for address in pictures_of(name_of(row["file"])):
        assert pages.client.get(address).status_code == 200
    take_back(store, "image", row["sha256"], erase=request.param)
    return store, name_of(row["file"])


class TestWithdrawn:
    @pytest.fixture
    def taken(self, pages: Pages, withdrawn: tuple[Store, str]) -> str:
        store, name = withdrawn
        pages.use(store)
        return name

    def test_no_picture_of_it_is_shown(self, pages, taken):
        for address in [*pictures_of(taken), *pictures_of(taken.split("/")[1])]:
            assert pages.client.get(address).status_code == 404
        for path in ("images", f"images/{taken}"):
            shown = [image["src"] for image in Elements(pages.client.get(f"{HERE}/{path}").text).named("img")]
            assert not [src for src in shown if taken in src]

    def test_it_is_marked(self, pages, taken):
        page = Elements(pages.client.get(f"{HERE}/images").text)
        assert "Images were withdrawn. 1 image of this snapshot was withdrawn" in page.text
        assert page.text.count("Withdrawn ") == 1
        page = Elements(pages.client.get(f"{HERE}/images/{taken}").text)
        assert "This image was taken back. Do not use it." in page.text
        assert "The patient asked for it." in page.text

    def test_the_others_are_still_shown(self, pages, taken, manifest):
        for file in manifest["file"]:
            if name_of(file) != taken:
                for address in pictures_of(name_of(file)):
                    assert pages.client.get(address).status_code == 200


class TestHostileContent:
    @pytest.fixture
    def hostile(self, pages: Pages, published: Store, manifest: pd.DataFrame, excluded: pd.DataFrame) -> pd.DataFrame:
        """The manifest of a copy of the snapshots in which every text that is free to choose is hostile."""
        store, changed = copied(published), manifest.copy()
        for column in ("view", "split", "source", "path", "finding", "url", "license", "patient_id", "file", "group"):
            changed[column] = changed[column].fillna("") + HOSTILE
        store.put_table(f"{NEW}/manifest.parquet", changed, MANIFEST_SCHEMA)
        evidence = f"same pixels as {changed['source'][0]}:{changed['path'][0]} (COVID)"
        store.put(f"{NEW}/excluded.csv", csv_bytes((excluded + HOSTILE).assign(evidence=evidence)))
        pages.use(store)
        return changed

    def test_is_shown_and_does_nothing(self, pages, hostile):
        chosen = {"view": hostile["view"][0], "split": HOSTILE, "class": HOSTILE}
        one = quote(name_of(hostile["file"][0]))
        for path, query in (
            ("images", {}),
            ("images", {"view": hostile["view"][0]}),
            ("images", chosen),
            (f"images/{one}", {}),
            ("excluded", {}),
            ("excluded", {"rule": HOSTILE, "path": HOSTILE, "source": HOSTILE}),
            ("find", {"source": HOSTILE, "path": HOSTILE}),
        ):
            answer = pages.client.get(f"{HERE}/{path}", params=query, follow_redirects=True)
            assert answer.status_code == 200, path
            page = Elements(answer.text)
            assert line(HOSTILE) in "".join(page.words) + "".join(str(tag.get("value")) for tag in page.named("input"))
            assert page.named("script") == [{}]  # ours
            for tag, attributes in page.tags:
                assert not [name for name in attributes if name.startswith("on")]
                for name in ("href", "src", "action"):
                    assert str(attributes.get(name, "#")).startswith((f"{PREFIX}/", "#")), tag

    def test_links_lead_to_what_they_name(self, pages, hostile):
        page = Elements(pages.get(f"/snapshots/{NEW}/images"))
        links = [str(link["href"]) for link in page.named("a") if "/images/" in str(link["href"])]
        assert len(links) == len(hostile)
        for link, file in zip(links, hostile["file"], strict=True):
            assert line(file.rpartition("/")[2]) in Elements(pages.client.get(link).text).text
        assert files_on(page) == [quote(file) for file in hostile["file"]]


class TestRequests:
    """What the pages ask of the store; ``tests/unit/catalog/test_images.py`` has a snapshot of real size."""

    def test_a_picture_that_is_known_takes_two_listings(self, pages, published, manifest):
        address = f"{HERE}/thumbnails/{name_of(manifest['file'][0])}.png"
        pages.client.get(address)
        with requests_to(published) as sent:
            pages.client.get(address)
        assert [request.method for request in sent] == ["GET", "GET"]
        assert all("list-type=2" in request.url for request in sent)

    def test_the_client_is_made_once_as_long_as_its_keys_stay(self, migrated, published, monkeypatch):
        from airflow_runtime import store_for_pages

        keys = {"AWS_ENDPOINT_URL_S3": published.client.meta.endpoint_url, "AWS_DEFAULT_REGION": "us-east-1"}
        for name, value in {
            **keys,
            "AWS_ACCESS_KEY_ID": "a",
            "AWS_SECRET_ACCESS_KEY": "b",
            "CXR_BUCKET": "a-bucket",
        }.items():
            monkeypatch.setenv(name, value)
        client = store_for_pages().client
        assert store_for_pages().client is client
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "another")
        assert store_for_pages().client is not client

    def test_a_gallery_takes_few(self, anonymous, published):
        store = copied(published)
        anonymous.sign_in("VIEWER")
        anonymous.use(store)
        with requests_to(store) as sent:
            anonymous.get(f"/snapshots/{NEW}/images")
        assert len(sent) <= 8


def test_generated_data_has_a_banner_on_every_page(pages, published, manifest):
    store = copied(published)
    addresses = ["images", f"images/{name_of(manifest['file'][0])}", "excluded"]
    pages.use(store)
    assert not [path for path in addresses if SYNTHETIC in Elements(pages.client.get(f"{HERE}/{path}").text).text]
    facts: dict[str, Any] = store.get_json(f"{NEW}/snapshot.json") or {}
    store.put_json(f"{NEW}/snapshot.json", facts | {"synthetic": True})
    for path in addresses:
        page = Elements(pages.client.get(f"{HERE}/{path}").text)
        assert SYNTHETIC in page.text, path
        assert not [image for image in page.named("img") if "X-ray" in str(image["alt"])]


def test_the_page_of_the_snapshot_leads_here(pages, published, excluded):
    links = [str(link["href"]) for link in Elements(pages.get(f"/snapshots/{NEW}")).named("a")]
    for name in CLASSES:
        assert f"{HERE}/images?class={name}" in links
    assert f"{HERE}/images" in links
    for rule in Counter(excluded["rule"]):
        assert f"{HERE}/excluded?rule={rule}" in links
