"""What is read of an archive, and what is not."""

from __future__ import annotations

import gzip
import io
import tarfile
from unittest import mock

import pytest
import requests

from cxr_snapshot.sources.tarballs import archive_members


def test_a_false_header_at_the_end_of_an_archive_is_not_followed() -> None:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        giant = tarfile.TarInfo("images/a.jpg")
        giant.size = 2**60
        tar.addfile(giant)  # which does not come
    response = requests.Response()
    response.raw = io.BytesIO(gzip.compress(packed.getvalue()))
    reads = mock.Mock(wraps=response.raw.read)
    response.raw.read = reads
    with pytest.raises((tarfile.TarError, EOFError)):
        list(archive_members(response))
    assert reads.call_count < 100
