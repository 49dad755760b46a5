"""Models of `s3://bucket/prefix`, kept in the cache."""

import logging
from contextlib import suppress
from pathlib import Path

from fastchat.v1alpha1.source import ModelSource
from fastchat_worker.errors import LoadError
from fastchat_worker.sources.bucket import Bucket, UnreachableError
from fastchat_worker.sources.download import disk_refusal
from fastchat_worker.sources.integrity import Cached, corrupt, discard
from fastchat_worker.sources.layout import LayoutOf, layout_of
from fastchat_worker.sources.lock import Lock
from fastchat_worker.sources.snapshot import Snapshot, snapshot_of, snapshots
from fastchat_worker.telemetry.progress import Report

logger = logging.getLogger(__name__)


def fetch(source: ModelSource, cache: Path, report: Report, layout: LayoutOf = layout_of) -> Cached:
    """The files of a prefix as they are now; where S3 cannot be reached, as they were last downloaded.

    Raises: LoadError, which says what to change.
    """
    home = cache.expanduser() / "s3" / source.root / source.path.strip("/")
    try:
        try:
            snapshot, cached = _current(source, home, report, layout)
        except UnreachableError as unreachable:
            snapshot, cached = _latest(home, unreachable, report)
    except OSError as error:
        raise disk_refusal(error, home, 0, str(source), "--cache-dir") or LoadError(
            f"cannot keep {source} in {home}: {error.strerror or error}; "
            "give --cache-dir a folder that has room and can be written"
        ) from error
    for other in snapshot.others():
        with suppress(OSError, LoadError):  # a volume mounted read-only, or without locks
            other.remove()
    return cached


def _current(source: ModelSource, home: Path, report: Report, layout: LayoutOf) -> tuple[Snapshot, Cached]:
    report(f"looking for {source}")
    bucket = Bucket(source.root)
    items = bucket.objects(source.path.strip("/"))
    if not items:
        raise LoadError(f"{source} holds no files: check the prefix")
    files = layout((item.path for item in items), source).files
    items = [item for item in items if item.path in files]
    snapshot = snapshot_of(items, home)

    def download(lock: Lock) -> None:
        snapshot.download(bucket, items, str(source), lock.publishing(report))

    snapshot.hold(download, report)
    cached = snapshot.cached(items)
    if broken := cached.broken(report):
        discard(broken)
        snapshot.repair(broken, bucket, items, str(source), report)
    if broken := cached.broken(report):
        discard(broken)
        raise LoadError(f"{corrupt(broken)}, freshly downloaded too: check that disk and memory")
    snapshot.confirm()
    return snapshot, cached


def _latest(home: Path, unreachable: UnreachableError, report: Report) -> tuple[Snapshot, Cached]:
    whole = [snapshot for snapshot in snapshots(home) if snapshot.complete and snapshot.items]
    if not whole:
        raise unreachable

    def give_up(_: Lock) -> None:
        raise unreachable

    latest = max(whole, key=lambda snapshot: snapshot.confirmed)
    latest.hold(give_up, report)
    cached = latest.cached(latest.items)
    if broken := cached.broken(report):
        discard(broken)
        raise LoadError(f"{corrupt(broken)} and is fetched again as soon as S3 is back: {unreachable}")
    logger.warning("%s; serving what the cache has", unreachable)
    return latest, cached
