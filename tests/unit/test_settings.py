from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cxr_snapshot.errors import SettingsError
from cxr_snapshot.settings import SELECTION, Settings


def load(**overrides: Any) -> Settings:
    return Settings.load({"bucket": "cxr", **overrides}, environ={})


def test_only_the_bucket_is_needed() -> None:
    settings = Settings.load(environ={"CXR_BUCKET": "cxr"})
    assert (settings.bucket, settings.prefix, settings.views, settings.max_per_class) == (
        "cxr",
        "covid-cxr",
        "frontal",
        None,
    )


def test_overrides_win_over_the_environment_and_none_counts_as_not_given() -> None:
    environ = {"CXR_BUCKET": "one", "CXR_VIEWS": "frontal+lateral", "CXR_MAX_PER_CLASS": "7", "CXR_LICENCES": ""}
    settings = Settings.load({"bucket": "two", "views": None}, environ)
    assert (settings.bucket, settings.views, settings.max_per_class) == ("two", "frontal+lateral", 7)
    assert settings.licences == "any"


def test_credentials_come_from_the_variables_of_the_upstreams_own_tools() -> None:
    environ = {"CXR_BUCKET": "cxr", "GITHUB_TOKEN": "secret-1", "KAGGLE_USERNAME": "me", "KAGGLE_KEY": "secret-2"}
    settings = Settings.load(environ=environ)
    assert (settings.github_token, settings.kaggle_username, settings.kaggle_key) == ("secret-1", "me", "secret-2")
    assert "secret" not in repr(settings)


def test_values_get_the_type_of_their_setting() -> None:
    settings = load(max_per_class="5", http_timeout="2.5", scratch_dir="some/where", http_attempts=3.0)
    assert (settings.max_per_class, settings.http_timeout, settings.http_attempts) == (5, 2.5, 3)
    assert settings.scratch_dir == Path("some/where")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("bucket", "No_Bucket"),
        ("bucket", "ab"),
        ("prefix", "/covid"),
        ("prefix", "covid/"),
        ("prefix", "a//b"),
        ("prefix", "_work"),
        ("prefix", "a b"),
        ("github_repo", "no-slash"),
        ("kaggle_dataset", "one/two/three"),
        ("github_api_url", "api.github.com"),
        ("kaggle_api_url", "ftp://example.org"),
        ("kaggle_api_url", "http://[bad"),
        ("github_raw_url", "http://example.org:99999"),
        ("http_timeout", 0),
        ("http_timeout", "nan"),
        ("http_timeout", "soon"),
        ("http_attempts", 0),
        ("http_attempts", 2.5),
        ("http_max_wait", -1),
        ("views", "lateral"),
        ("views", "Frontal"),
        ("licences", "known"),
        ("licences", "no-noderivatives"),
        ("controls", "upstream"),
        ("max_per_class", 0),
        ("max_per_class", "all"),
        ("max_per_class", True),
        ("max_per_class", 3.7),
        ("max_per_class", float("inf")),
        ("max_shrink", 1.01),
        ("max_shrink", "nan"),
    ],
)
def test_bad_value_is_refused_by_name(name: str, value: object) -> None:
    with pytest.raises(SettingsError, match=rf"setting {name} \(CXR_{name.upper()}\) is .* must be"):
        load(**{name: value})


@pytest.mark.parametrize(
    ("name", "hint"),
    [("view", "did you mean views"), ("licenses", "did you mean licences"), ("zzz", "known are ages, .*views")],
)
def test_unknown_name_is_refused_with_the_nearest_known_one(name: str, hint: str) -> None:
    with pytest.raises(SettingsError, match=rf"unknown setting {name}; {hint}"):
        load(**{name: "frontal"})


@pytest.mark.parametrize(
    ("variable", "hint"),
    [("CXR_LICENSES", "CXR_LICENCES"), ("CXR_VIEW", "CXR_VIEWS"), ("CXR_MAXSHRINK", "CXR_MAX_SHRINK")],
)
def test_unknown_variable_is_refused_with_the_nearest_known_one(variable: str, hint: str) -> None:
    with pytest.raises(SettingsError, match=rf"unknown variable {variable}; did you mean {hint}\?"):
        Settings.load(environ={"CXR_BUCKET": "cxr", variable: "x"})


def test_variables_of_the_dag_and_of_others_are_none_of_its_business() -> None:
    environ = {"CXR_BUCKET": "cxr", "CXR_SCHEDULE": "0 3 * * *", "CXR_TIMEZONE": "UTC", "CXRAY": "x", "PATH": "/bin"}
    assert Settings.load(environ=environ).bucket == "cxr"


@pytest.mark.parametrize("name", ["github_token", "kaggle_key", "kaggle_token"])
def test_keys_are_trimmed_and_what_no_header_can_hold_is_refused_unseen(name: str) -> None:
    assert getattr(load(**{name: " s3cret\r\n"}), name) == "s3cret"
    assert getattr(load(**{name: "\n"}), name) is None
    for bad in ("s3cret\nX-Evil: 1", "s3crét", "s3cret two", "s3cret\x00"):
        with pytest.raises(SettingsError, match=f"setting {name} .* holds characters") as caught:
            load(**{name: bad})
        assert "s3cr" not in str(caught.value)


@pytest.mark.parametrize("name", ["github_api_url", "github_raw_url", "github_codeload_url", "kaggle_api_url"])
def test_logins_in_addresses_are_refused_unseen(name: str) -> None:
    for address in ("https://me:s3cret@example.org", "https://s3cret@example.org/api", "ftp://me:s3cret@[x"):
        with pytest.raises(SettingsError, match=f"setting {name} .* holds a user or a password") as caught:
            load(**{name: address})
        assert "s3cret" not in str(caught.value)


def test_missing_bucket_is_refused_with_the_remedy() -> None:
    with pytest.raises(SettingsError, match="CXR_BUCKET"):
        Settings.load(environ={})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("views", "frontal+lateral"),
        ("licences", "no-NoDerivatives"),
        ("licences", "known-only"),
        ("controls", "prefer-upstream"),
        ("max_per_class", 5),
        ("salt", "another"),
        ("ages", "adults"),
    ],
)
def test_what_decides_the_images_is_part_of_the_selection(name: str, value: object) -> None:
    plain, changed = load().selection(), load(**{name: value}).selection()
    assert {key for key in {**plain, **changed} if plain.get(key) != changed.get(key)} == {name}
    assert changed[name] == value


@pytest.mark.parametrize(("name", "default", "other"), [("files", "original", "uniform"), ("picture_size", 224, 512)])
def test_the_form_is_part_of_it_where_it_is_another_than_ever(name: str, default: object, other: object) -> None:
    plain = load().selection()
    assert load(**{name: default}).selection() == plain
    assert load(**{name: other}).selection() == plain | {name: other}
    with pytest.raises(SettingsError, match=f"CXR_{name.upper()}.* must be one of {default}, {other}"):
        load(**{name: 225 if name == "picture_size" else "png"})


def test_selection_holds_nothing_else() -> None:
    assert list(load(github_token="secret", prefix="elsewhere").selection()) == list(SELECTION)
