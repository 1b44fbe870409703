"""The whole pipeline, stage by stage, over an upstream of any size: ``python -m bench.scale 1000 --out FOLDER``."""
