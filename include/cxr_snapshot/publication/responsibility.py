"""What programs should know before they use a snapshot: how it came about, its biases, limits and conditions of use.

In the words of Croissant's extension for responsible AI (RAI 1.0), of W3C's PROV and of ODRL.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from cxr_snapshot.audit.words import counted
from cxr_snapshot.publication.advice import known_limits, uses
from cxr_snapshot.sources import about
from cxr_snapshot.sources.base import GENERATED
from cxr_snapshot.sources.words import licence_kind, plain

RAI = "http://mlcommons.org/croissant/RAI/1.0"
PREFIXES = {
    "cc": "http://creativecommons.org/ns#",
    "odrl": "http://www.w3.org/ns/odrl/2/",
    "prov": "http://www.w3.org/ns/prov#",
}

_SENSITIVE = [
    "Health: radiographs, findings and, of some patients, the course of the disease.",
    "Age and sex of some patients; of some images the date and the place, which can help to find out who a patient is. "
    "No names.",
]
_PREPROCESSING = [
    "Files that cannot be decoded, copies, rows that contradict themselves and words that are not known are left out, "
    "each with its reason in excluded.csv.",
    "The classes are cut to equal size by the lowest salted hash of the content.",
    "The pictures in data/ are gray and of one size; snapshot.json says how they were made.",
]


def responsible(snapshot: Mapping[str, Any], warning: str, *, adults: bool) -> dict[str, Any]:
    """Return the fields of the RAI vocabulary, one text or several each.

    Args:
        snapshot: what ``snapshot.json`` says.
        warning: what everybody must know before use.
        adults: whether most images that show no COVID-19 are of adults.
    """
    synthetic = snapshot.get("synthetic", False)
    whence = "; ".join(about(name, synthetic=synthetic).reference for name in snapshot["revisions"])
    good, bad = uses(synthetic=synthetic, adults=adults)
    said = {
        "dataCollection": f"Nothing was collected anew. Every image is from one of: {whence}.",
        "dataCollectionType": ["Secondary Data Analysis", "Web API"],
        "dataCollectionMissingData": "Empty cells stay empty; data_dictionary.csv says what each of them means.",
        "dataImputationProtocol": "Nothing was imputed.",
        "dataPreprocessingProtocol": _PREPROCESSING,
        "dataAnnotationProtocol": [
            "The labels are the upstreams' own, in the column finding; nobody checked them here."
        ],
        "dataBiases": [warning, snapshot["audit"]["headline"]],
        "dataUseCases": [good, bad],
        "dataLimitations": [GENERATED.shows if synthetic else known_limits(snapshot["revisions"])],
        "dataSocialImpact": "A model that learnt where an image is from, and is taken for one that knows a disease, "
        "harms patients. audit.html measures how far that goes.",
        "personalSensitiveInformation": ["None: all of it is made up."] if synthetic else _SENSITIVE,
        "dataReleaseMaintenancePlan": "A version changes only where something in it is taken back. Another one is "
        "published when an upstream has something new; CHANGES.md says what.",
    }
    return {
        f"rai:{name}": _plain(text) if isinstance(text, str) else [_plain(each) for each in text]
        for name, text in said.items()
    }


def _plain(text: str) -> str:
    """Return Markdown as one line of plain text."""
    return " ".join(text.replace("**", "").replace("`", "").split())


def provenance(snapshot: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the snapshot was made of, by which program, and for which time, in the words of PROV."""
    synthetic = snapshot.get("synthetic", False)
    return {
        "prov:wasDerivedFrom": [
            {"@type": "prov:Entity", "prov:label": f"{about(name, synthetic=synthetic).reference}, at {revision}"}
            for name, revision in snapshot["revisions"].items()
        ],
        "prov:generatedAtTime": snapshot["created"],
        "prov:wasGeneratedBy": {
            "@type": "prov:Activity",
            "prov:label": "Selection, balancing and audit, with the revisions and settings in snapshot.json",
            "prov:wasAssociatedWith": {
                "@type": "prov:SoftwareAgent",
                "prov:label": f"cxr_snapshot {snapshot['code_version']}",
            },
        },
    }


def conditions(licences: Mapping[str, int], *, synthetic: bool) -> list[dict[str, Any]]:
    """Return for each licence how many images it is of and what it forbids, in the words of ODRL.

    Args:
        licences: images by the upstream's words; empty words where none is stated.
        synthetic: whether the images, and so the licences, are made up.
    """
    if synthetic:
        return [{"@type": "CreativeWork", "name": GENERATED.licence}]
    return [_condition(text, count) for text, count in licences.items()]


def _condition(text: str, count: int) -> dict[str, Any]:
    kind = licence_kind(text)
    parts = set(re.split(r"[\s_,;/()-]+", plain(text)))
    forbidden = [
        *(["cc:DerivativeWorks"] if kind == "no-derivatives" else []),
        *(["cc:CommercialUse"] if kind and "nc" in parts else []),
    ]
    what = f"{counted(count, 'image')}; the column license says which."
    return {
        "@type": ["CreativeWork", "odrl:Offer"],
        "name": text or "(none stated)",
        "description": what if kind else f"{what} These words name no licence, so nothing is allowed by it.",
        "odrl:prohibition": [{"@type": "odrl:Prohibition", "odrl:action": {"@id": action}} for action in forbidden],
    }
