"""How to load a snapshot: the pieces of code that its card and its page show. Tests run each of them as it stands."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from string import Template
from typing import Any

from cxr_snapshot.audit.words import counted

_WIDTH = 120  # characters in a line

_BESIDE = """\
For a store other than Amazon's, first set `AWS_ENDPOINT_URL_S3` to its address, and the variables for its keys. In a
checkout of the project, `make ui` prints them for the local store; what `make download` copied is checked already, and
you only `cd` into the folder that it names. All blocks that follow run in that folder, each by itself."""
_SPLITS = """\
torchvision, Keras and `imagefolder` read `images/` whole. Divide it by the column `split` of the manifest, as the block
for torchvision does, not by a random number, or images of one patient end up on both sides."""


@dataclass(frozen=True)
class Snippet:
    """A piece of code that runs as it stands in the folder of a snapshot, once the first has made that.

    Attributes:
        title: what it loads with, or what it does.
        packages: what it needs, by their names on PyPI.
        language: ``sh`` or ``python``.
        code: without a line feed at its end.
    """

    title: str
    packages: str
    language: str
    code: str


_COPY = """\
aws s3 sync $uri covid-cxr-$name
cd covid-cxr-$name
sha256sum -c --quiet SHA256SUMS"""

_PANDAS = """\
import pandas as pd

manifest = pd.read_parquet("manifest.parquet")  # column `file` is the path within the folder
train = manifest[manifest["split"] == "train"]
print(train["class"].value_counts())"""

_DUCKDB = """\
import duckdb

counts = duckdb.sql("SELECT split, class, count(*) FROM 'manifest.parquet' GROUP BY ALL ORDER BY ALL")
counts.show()"""

_DATASETS = """\
from pathlib import Path

from datasets import load_dataset

dataset = load_dataset(str(Path.cwd()))  # small pictures with label and all columns, in the recommended splits
files = load_dataset("imagefolder", data_dir="images", split="train")  # the files themselves, of all splits
print(dataset, files)"""

_TORCHVISION = """\
import pandas as pd
from torch.utils.data import Subset
from torchvision.datasets import ImageFolder

images = ImageFolder("images")
split = pd.read_csv("manifest.csv", index_col="file")["split"]
train = Subset(images, [i for i, (file, _) in enumerate(images.samples) if split[file] == "train"])
print(images.classes, len(images), len(train))"""

_KERAS = """\
import os

os.environ.setdefault("KERAS_BACKEND", "jax")  # with tensorflow, leave out `format`: that decodes faster
import keras

images = keras.utils.image_dataset_from_directory(
    "images", color_mode="grayscale", image_size=(224, 224), format="grain"
)
print(images.class_names)"""

_CROISSANT = """\
import mlcroissant

dataset = mlcroissant.Dataset(jsonld="croissant.json")
rows = dataset.records(record_set="examples")
examples = [(row["examples/file"].decode(), row["examples/label"], row["examples/image"]) for row in rows]
print(len(examples), *examples[0])"""

_REMOTE = """\
import duckdb
import fsspec
import pandas as pd
from datasets import load_dataset

snapshot = "$address"
manifest = pd.read_parquet(f"{snapshot}/manifest.parquet")
duckdb.register_filesystem(fsspec.filesystem("s3"))
counts = duckdb.sql(f"SELECT split, class, count(*) FROM '{snapshot}/data/*.parquet' GROUP BY ALL ORDER BY ALL")
dataset = load_dataset("parquet", data_files={$shards
})
print(len(manifest), counts, dataset)"""


def name_of(facts: Mapping[str, Any]) -> str:
    """Return a snapshot's edition, unless that is the default one, and its version, joined by a hyphen."""
    return "-".join(filter(None, (facts.get("edition"), facts["version"])))


def snippets(uri: str, name: str, splits: Iterable[str]) -> list[Snippet]:
    """Return the ways to load a snapshot.

    Args:
        uri: its address, with a slash at its end.
        name: from :func:`name_of`.
        splits: those that have images.
    """
    shards = "".join(f'\n    "{split}": f"{{snapshot}}/data/{split}-*.parquet",' for split in splits)
    copy = Template(_COPY).substitute(uri=uri, name=name)
    remote = Template(_REMOTE).substitute(address=uri.rstrip("/"), shards=shards)
    return [
        Snippet("Copy it and check every byte", "awscli", "sh", copy),
        Snippet("pandas", "pandas pyarrow", "python", _PANDAS),
        Snippet("DuckDB", "duckdb", "python", _DUCKDB),
        Snippet("Hugging Face datasets", "datasets pillow", "python", _DATASETS),
        Snippet("torchvision", "torchvision pandas", "python", _TORCHVISION),
        Snippet("Keras", "keras jax grain pillow", "python", _KERAS),
        Snippet("Croissant", "mlcroissant pandas pillow pyarrow", "python", _CROISSANT),
        Snippet("Straight from the store, without a copy", "datasets duckdb pandas s3fs", "python", remote),
    ]


def how_to_load(uri: str, name: str, splits: Iterable[str], webp: int) -> str:
    """Return what the card's section says.

    Args:
        uri: address of the snapshot, with a slash at its end.
        name: from :func:`name_of`.
        splits: those that have images.
        webp: number of files in WebP, which Keras does not know.
    """
    copy, *others = map(_shown, snippets(uri, name, splits))
    note = f" Keras passes over {counted(webp, 'original file')} in WebP without a word." if webp else ""
    return "\n\n".join([copy, _BESIDE, *others, textwrap.fill(_SPLITS + note, _WIDTH)])


def _shown(snippet: Snippet) -> str:
    return f"**{snippet.title}** (`pip install {snippet.packages}`)\n\n```{snippet.language}\n{snippet.code}\n```"
