"""Loads FOLDER with Hugging Face datasets, by the card's front matter and by the call that the card shows."""

import json
import sys

from datasets import load_dataset
from huggingface_hub import DatasetCard

folder = sys.argv[1]
card = DatasetCard.load(f"{folder}/README.md").data.to_dict()
by_card = load_dataset(folder)
files = {split: f"{folder}/data/{split}-*.parquet" for split in by_card}
by_call = load_dataset("parquet", data_files=files)
rows = [
    {
        "loaded_as": split,
        "split": row["split"],
        "file": row["file"],
        "label": dataset.features["label"].int2str(row["label"]),
        "picture": [row["image"].format, row["image"].mode, *row["image"].size],
    }
    for split, dataset in by_card.items()
    for row in dataset
]
print(
    json.dumps(
        {
            "card": {name: card[name] for name in ("license", "task_categories", "size_categories")},
            "names": by_card["train"].features["label"].names,
            "columns": by_card["train"].column_names,
            "rows": rows,
            "by_call": {split: dataset.num_rows for split, dataset in by_call.items()},
            "features_by_call": by_call["train"].features == by_card["train"].features,
        }
    )
)
