"""Loads FOLDER/images with torchvision and decodes every image."""

import json
import os
import sys

from torchvision.datasets import ImageFolder

dataset = ImageFolder(f"{sys.argv[1]}/images")
labels = {os.path.relpath(path, sys.argv[1]): dataset.classes[label] for path, label in dataset.samples}
modes = sorted({image.mode for image, _ in dataset})
print(json.dumps({"classes": dataset.classes, "labels": labels, "modes": modes}))
