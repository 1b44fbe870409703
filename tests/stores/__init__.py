"""What `make test-stores` runs, and the table that it prints."""
