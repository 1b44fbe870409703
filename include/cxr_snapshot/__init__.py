"""Builds dated, balanced, immutable snapshots of public chest X-ray collections. Imports no Airflow."""

__version__ = "0.2.0"
