"""What is the same gets one spelling, what is not does not, and no name is too odd to be listed."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cxr_snapshot.sources.identities import MAX_PATH, is_usable, looks_damaged, patient, spelt_out, visible

E_ACUTE = ("\u00e9", "e\u0301")


@pytest.mark.parametrize(
    "text",
    [
        "5",
        " 5",
        "5.0",
        "5.",
        "5.00",
        "05",
        "005",
        "5,0",
        "'5",
        '="5"',
        "\ufeff5",
        "5\u200b",
        "\u00a05",
        "5\u00ad",
        "\uff15",
    ],
)
def test_a_number_has_one_spelling(text: str) -> None:
    assert patient(text) == "5"


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("311a", "311a"),
        ("311A ", "311a"),
        ("311b", "311b"),
        ("0", "0"),
        ("000", "0"),
        ("5.5", "5.5"),
        ("15", "15"),
        ("1,005", "1005"),
        ("1,234,567.0", "1234567"),
        ("1E+05", "100000"),
        ("1.5E+03", "1500"),
        ("1.2345E+03", "1.2345e+03"),  # digits are lost or it is no whole number
        ("1e5", "1e5"),  # spreadsheets write it with a sign; without, it is a name like any other
        ("00015548_000", "00015548_000"),
        (f"jos{E_ACUTE[0]}", f"jos{E_ACUTE[0]}"),
        (f"jos{E_ACUTE[1]}", f"jos{E_ACUTE[0]}"),
        ("a \u00a0 b", "a b"),
        ("\u200b\ufeff", ""),
        ("9" * 5000, "9" * 5000),
    ],
)
def test_spelling_of_a_patient(text: str, name: str) -> None:
    assert patient(text) == name


@pytest.mark.parametrize(
    "text",
    [
        "#REF!",
        "#NAME?",
        "#N/A",
        "####",
        "1e5",
        "1E+05",
        "1.23E+15",
        "3-1-2020",
        "2020-03-01",
        "3/1/20",
        "3-Jan",
        "Mar-01",
    ],
)
def test_what_programs_make_of_names_looks_damaged(text: str) -> None:
    assert looks_damaged(text)


@pytest.mark.parametrize("text", ["5", "5.0", "311a", "NIH-00015548", "00015548_000", "e5", "3-jane", "a#1", "?"])
def test_names_that_people_give_do_not(text: str) -> None:
    assert not looks_damaged(text)


@given(st.text(max_size=40))
def test_spellings_are_final(text: str) -> None:
    assert visible(visible(text)) == visible(text)
    assert patient(patient(text)) == patient(text)
    assert patient(f" \u200b{text}\ufeff ") == patient(text)
    assert visible(unicodedata.normalize("NFD", text)) == visible(text)


@given(st.integers(0, 10**30))
def test_each_number_has_its_own_spelling(number: int) -> None:
    assert patient(f"{number}.0") == patient(f"00{number}") == patient(f"{number:,}") == str(number)


@pytest.mark.parametrize(
    "path", ["images/a.jpg", "images/caf\u00e9 1.jpg", "a\u200b.jpg", "\u7247/1.png", "a" * MAX_PATH]
)
def test_usable_paths(path: str) -> None:
    assert is_usable(path)


@pytest.mark.parametrize(
    "path",
    [
        "\ud800.jpg",
        "a\udcff",
        "a\nb",
        "a\rb",
        "a\x1b[2J",
        "a\x85",
        "a\u2028",
        "a\\b",
        "a" * (MAX_PATH + 1),
        "\u00e9" * 513,
    ],
)
def test_unusable_paths_are_spelt_out(path: str) -> None:
    assert not is_usable(path)
    assert spelt_out(path).isascii()
    assert spelt_out(path).isprintable()
    assert len(spelt_out(path)) <= MAX_PATH


@given(*[st.text(st.characters(), max_size=6) | st.sampled_from(["\\n", "\n", "\\\\n", "\ud800", "\\ud800"])] * 2)
@example("\n", "\\n")
@example("a" * 2000, "a" * 2001)
def test_no_two_paths_are_listed_as_one(one: str, other: str) -> None:
    listed = [path if is_usable(path) else spelt_out(path) for path in (one, other)]
    assert (listed[0] == listed[1]) == (one == other)
