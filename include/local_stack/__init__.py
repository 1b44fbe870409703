"""Everything on one machine: a local S3 store, a generated upstream and Airflow. The Makefile calls it."""
