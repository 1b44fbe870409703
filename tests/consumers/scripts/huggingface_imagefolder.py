"""Loads FOLDER/images with Hugging Face's imagefolder and decodes every image."""

import json
import os
import sys

from datasets import load_dataset

dataset = load_dataset("imagefolder", data_dir=f"{sys.argv[1]}/images", split="train")
names = dataset.features["label"].names
labels = [(os.path.relpath(row["image"].filename, sys.argv[1]), names[row["label"]]) for row in dataset]
print(json.dumps({"names": names, "labels": dict(labels), "rows": len(labels)}))
