"""Every error that the pipeline raises on purpose.

One tree, so that a caller catches as much or as little as it wants. The text of an error names the file, row, URL or
setting at fault and what to do about it. ``transient`` says whether the same call may succeed later: the DAG lets
Airflow retry transient errors and fails at once on all others.
"""

from __future__ import annotations

from cxr_snapshot import shown


class SnapshotError(Exception):
    """Base of all errors of this project. Its text is one line, whatever it quotes."""

    transient = False

    def __str__(self) -> str:
        return shown.line(super().__str__())


class SettingsError(SnapshotError, ValueError):
    """A setting is missing or has a value that cannot be used."""


class SourceError(SnapshotError):
    """An upstream could not be used. The text names the source, the URL and a remedy."""

    def __init__(self, source: str, url: str, problem: str, remedy: str) -> None:
        self.source, self.url = source, url
        super().__init__(f"{source}: {problem} ({url}). {remedy}")


class UpstreamUnavailableError(SourceError, ConnectionError):
    """The upstream did not answer, or answered that it is overloaded, after every retry."""

    transient = True


class RateLimitedError(UpstreamUnavailableError):
    """The upstream's rate limit lasts longer than a task should sleep.

    Attributes:
        seconds: for how long the upstream asks to stay away, as far as it says so.
    """

    seconds: float | None = None


class UpstreamRefusedError(SourceError):
    """The upstream understood and said no: wrong credentials, unknown repository, unknown revision.

    Attributes:
        status: the HTTP status by which it said so, if it did.
    """

    status: int | None = None


class UpstreamCorruptError(SourceError, ValueError):
    """Bytes that do not match their checksum, a zip that is no zip, a listing that is cut off."""


class MetadataError(SnapshotError, ValueError):
    """``metadata.csv`` cannot be read without guessing."""


class StorageError(SnapshotError):
    """Object storage answered something that the pipeline cannot work with."""


class StorageUnavailableError(StorageError, ConnectionError):
    """Object storage did not answer after every retry."""

    transient = True


class MissingObjectError(StorageError, FileNotFoundError):
    """An object that must exist does not."""


class LostBlobError(MissingObjectError):
    """Upstream files in the store are missing or damaged. They can be fetched again."""


class DamagedObjectError(StorageError):
    """An object is not what was written: its bytes do not fit the hash that was recorded with them."""


class PublishConflictError(StorageError):
    """Another run published, or is publishing, at the same time."""

    transient = True


class VerificationError(StorageError):
    """A published object is not what the manifest says."""


class DownloadError(SnapshotError, OSError):
    """A snapshot cannot be copied into a local folder."""


class GuardError(SnapshotError):
    """A safety check refused to publish. The previous snapshot stays the latest."""


class SpillError(SnapshotError, OSError):
    """The disk of the machine that a task runs on has no room for what the task puts aside."""

    transient = True
