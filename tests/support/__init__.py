"""What tests share: servers, upstreams, stores, processes and small made-up data."""
