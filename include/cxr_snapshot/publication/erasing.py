"""Takes the bytes of withdrawn images out of a published snapshot, so that what remains can still be verified.

First the mark says what is going to change, then it is changed, then the mark says that it is done. Until then both
states of each file are right: a call that is killed leaves a snapshot that verifies, and one that does not claim to be
without the images before it is. The next call ends the work.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from cxr_snapshot.audit import PAGE, REPORT
from cxr_snapshot.errors import VerificationError
from cxr_snapshot.inspection.contact_sheets import PICTURES
from cxr_snapshot.publication.archive import archive_name
from cxr_snapshot.publication.checksums import REPAIR, read_sums, read_table
from cxr_snapshot.publication.dictionary import PREVIEW
from cxr_snapshot.publication.marks import ERASED, ERASING, Mark, read_mark, write_mark
from cxr_snapshot.publication.preview import draw_preview
from cxr_snapshot.publication.shards import pictures_in, shard_without
from cxr_snapshot.publication.versions import read_snapshot
from cxr_snapshot.selection.manifest import upstream_files
from cxr_snapshot.store.encoding import json_bytes, parse_json
from cxr_snapshot.store.objects import Store
from cxr_snapshot.tables import CLASSES

_CROISSANT = "croissant.json"
_SHEET = re.compile(rb'<img src="data:image/jpeg;base64,[^>]*>')
_INSTEAD = b"<p>This contact sheet was removed, since an image that was withdrawn was in it.</p>"


def mark_snapshot(
    store: Store, version: str, images: Mapping[str, Mapping[str, Any]], gone: Collection[str] = frozenset()
) -> Mark:
    """Let a snapshot say what was withdrawn of it, and be without what is to be erased.

    Args:
        store: where it is; the edition's place.
        version: its name.
        images: what its mark is to say of each image, from :func:`cxr_snapshot.publication.marks.images_of`.
        gone: SHA-256 of all upstreams' files that are to be erased; of those too that only the audit shows.

    Returns:
        The mark; without images where there is nothing to say.

    Raises:
        PublishConflictError: somebody else marks it at the same time.
        VerificationError: a file that is to be made anew is damaged.
    """
    mark, etag = read_mark(store, version)
    wanted = replace(mark, images=images)
    if gone:
        return _Snapshot(store, version, gone).erase(wanted, mark, etag)
    if wanted != mark:
        write_mark(store, version, wanted, etag)
    return wanted


class _Snapshot:
    """A snapshot that is to be without some images.

    Args:
        store: where it is.
        version: its name.
        gone: SHA-256 of the upstreams' files of these images, and of others that it need not have.
    """

    def __init__(self, store: Store, version: str, gone: Collection[str]) -> None:
        self.store, self.version, self.gone = store, version, gone
        self.sums = read_sums(store, version)
        manifest = read_table(store, version, "manifest.parquet", self.sums)
        manifest = manifest.assign(source=upstream_files(manifest))
        is_gone = manifest["source"].isin(list(gone))
        self.images, self.left = set(manifest.loc[is_gone, "file"]), manifest[~is_gone]
        self.shards = [name for name in sorted(self.sums) if name.startswith("data/")]

    def erase(self, wanted: Mark, mark: Mark, etag: str | None) -> Mark:
        """Change what is still to be changed, between two marks, and return the last one.

        Args:
            wanted: what the mark is to say of images.
            mark: what it says.
            etag: its ETag.
        """
        made = self._made_anew(mark)
        removed = {name: self.sums[name] for name in self._removed(mark, made) - mark.removed.keys()}
        if not made and not removed and mark.state != ERASING:
            if wanted != mark:
                write_mark(self.store, self.version, wanted, etag)
            return wanted
        before = {name: self.store.sha256(f"{self.version}/{name}") for name in made} | removed
        going = replace(
            wanted,
            state=ERASING,
            removed={**mark.removed, **removed},
            sums={**mark.sums, **made},
            before={**mark.before, **before},
        )
        etag = write_mark(self.store, self.version, going, etag)
        for name in made:
            body = self._anew(name, going.sums)
            self.store.put(f"{self.version}/{name}", body)
        self.store.delete(f"{self.version}/{name}" for name in sorted(going.removed))
        done = replace(going, state=ERASED, before={})
        write_mark(self.store, self.version, done, etag)
        return done

    def _removed(self, mark: Mark, made: Mapping[str, str]) -> set[str]:
        """Return the files that cannot be made anew: the images, and the archive of everything."""
        changed = self.images or made or mark.sums
        return self.images | ({archive_name(self.version)} & self.sums.keys() if changed else set())

    def _made_anew(self, mark: Mark) -> dict[str, str]:
        """Return the new SHA-256 of the files that are still to be made anew, by name, ``croissant.json`` last."""
        done = mark.state == ERASED and self.images <= mark.removed.keys()
        names = [PAGE] if done or not self.images else [*self.shards, PAGE, PREVIEW]
        made = {}
        for name in names:
            if name in self.sums and (sha256 := self._other(name, mark)):
                made[name] = sha256
        sums = {**mark.sums, **made}
        described = _CROISSANT in self.sums and (made or mark.state == ERASING)
        if described and (sha256 := self._other(_CROISSANT, mark, sums)):
            made[_CROISSANT] = sha256
        return made

    def _other(self, name: str, mark: Mark, sums: Mapping[str, str] = MappingProxyType({})) -> str | None:
        """Return the SHA-256 of a file without the images, ``None`` where that is what it is now."""
        if (now := hashlib.sha256(self._get(name)).hexdigest()) not in mark.allowed(name, self.sums[name]):
            raise VerificationError(f"{self.store.uri(self.version)}/{name} is damaged. {REPAIR}")
        sha256 = hashlib.sha256(self._anew(name, sums)).hexdigest()
        return None if sha256 == now else sha256

    def _anew(self, name: str, sums: Mapping[str, str]) -> bytes:
        """Return a file as it is without the images. Where it is that already, it stays, byte for byte."""
        if name == PREVIEW:
            return self._preview()
        body = self._get(name)
        if name == PAGE:
            return _SHEET.sub(_INSTEAD, body) if self._in_audit() else body
        return self._croissant(body, sums) if name == _CROISSANT else shard_without(body, self.gone) or body

    def _in_audit(self) -> bool:
        """Say whether the audit names one of the images as an example; its page shows these."""
        if REPORT not in self.sums:
            return True
        report = self._get(REPORT)
        return any(sha256.encode() in report for sha256 in self.gone)

    def _preview(self) -> bytes:
        """Draw the contact sheet from the pictures that the shards hold of what is left."""
        facts = read_snapshot(self.store, self.version)
        of_class = {name: self.left.loc[self.left["class"].eq(name), "source"].sort_values() for name in CLASSES}
        chosen = {name: list(sources.head(PICTURES)) for name, sources in of_class.items()}
        wanted = {source for sources in chosen.values() for source in sources}
        pictures: dict[str, bytes] = {}
        for name in self.shards:
            table = pictures_in(self._get(name))
            found = table.filter(pc.is_in(table["sha256"], value_set=pa.array(sorted(wanted), type=pa.string())))
            pictures |= dict(zip(found["sha256"].to_pylist(), found["picture"].to_pylist(), strict=True))
        drawn = {name: [pictures[source] for source in sources] for name, sources in chosen.items()}
        return draw_preview(drawn, {**facts, "counts": {name: len(sources) for name, sources in of_class.items()}})

    def _croissant(self, body: bytes, sums: Mapping[str, str]) -> bytes:
        """Return the description of the files with the SHA-256 and size that those have which are made anew."""
        described = parse_json(body, self.store.uri(f"{self.version}/{_CROISSANT}"))
        for file in described["distribution"]:
            if (name := file.get("contentUrl")) in sums:
                size = len(self._anew(name, {}))
                file |= {"sha256": sums[name], "contentSize": f"{size} B"}
        return json_bytes(described)

    def _get(self, name: str) -> bytes:
        return self.store.get(f"{self.version}/{name}")
