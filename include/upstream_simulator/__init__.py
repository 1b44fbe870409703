"""Loopback stand-ins for GitHub and Kaggle, and a generated sample to serve: for tests and for trying things out."""
