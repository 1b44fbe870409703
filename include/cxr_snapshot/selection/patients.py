"""What other records say of a record's patient: another disease, or an age."""

from __future__ import annotations

import pandas as pd

from cxr_snapshot.sources import about

ADULT = 18  # years

# A patient who has one of these by any record is in no class of a higher number.
_DISEASES = {"covid": 0, "viral": 1, "bacterial": 1, "pneumonia": 1, "other": 2}
_RANKS = {"COVID": 0, "PNEUMONIA": 1, "NORMAL": 3}


def diseases_of(facts: pd.DataFrame) -> pd.Series:
    """Name what a record's patient has by another record that bars this one from its class; null for most.

    COVID-19 goes before pneumonia, and each disease, also one that makes no class, before none. What is said counts
    wherever it is said: also of a CT, of a file that is not there, of a picture that is out.
    """
    said = facts[["patient_id", "finding", "metadata_line"]].assign(rank=facts["finding_kind"].map(_DISEASES))
    worst = said.dropna(subset=["patient_id", "rank"]).sort_values(["rank", "metadata_line"])
    worst = worst.drop_duplicates("patient_id").set_index("patient_id")
    told = worst["finding"] + (" in line " + worst["metadata_line"].astype("string")).fillna("")
    barred = facts["patient_id"].map(worst["rank"]).lt(facts["class"].map(_RANKS))
    return facts["patient_id"].map(told).where(barred)


def children_in(facts: pd.DataFrame) -> pd.Series:
    """Say by what a record's patient is known to be no adult; null for all others.

    Where a record states no age, the lowest one counts that any other record states of the patient.
    """
    minors = facts.loc[facts["age"].lt(ADULT), ["patient_id", "age", "metadata_line"]]
    youngest = minors.dropna(subset=["patient_id"]).sort_values(["age", "metadata_line"]).drop_duplicates("patient_id")
    told = _years(youngest["age"]) + (" in line " + youngest["metadata_line"].astype("string")).fillna("")
    elsewhere = facts["patient_id"].map(dict(zip(youngest["patient_id"], told, strict=True))).astype("string")
    known = _years(facts["age"]).where(facts["age"].lt(ADULT)).mask(facts["age"].isna(), elsewhere)
    of_children = {name: f"as all of {name}" for name in facts["source"].unique() if about(name).of_children}
    return known.fillna(facts["source"].map(of_children))


def _years(ages: pd.Series) -> pd.Series:
    return ages.map("{:g} years".format, na_action="ignore").astype("string")
