"""Web pages about published snapshots, inside Airflow: a list, one snapshot, and a comparison of two."""
