"""A tar archive over HTTP, continued where it broke off."""

from __future__ import annotations

import bz2
import gzip
import lzma
import shutil
import tarfile
import time
import urllib.error
import urllib.request
import zlib
from collections.abc import Mapping
from http.client import HTTPException
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from snibench.base.errors import DataError
from snibench.base.hashing import file_digest
from snibench.data.fetching.order import Order, Progress, Receipt, belongs, wanted_tasks

if TYPE_CHECKING:
    from http.client import HTTPResponse

_ENDINGS = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
_ATTEMPTS = 4  # connections in one call; each goes on where the last broke off
_PATIENCE = 60.0  # seconds without a byte
_BLOCK = 1 << 18
_COMPRESSED: Mapping[bytes, Any] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ\x00": lzma.open,
}


def is_archive(source: str) -> bool:
    """Whether ``source`` is the URL of a tar archive."""
    parts = urlsplit(source)
    return parts.scheme in ("http", "https") and parts.path.lower().endswith(_ENDINGS)


def fetch(order: Order, working: Path, tree: Path, progress: Progress) -> Receipt:
    """Download the archive into ``working`` and unpack what belongs into ``tree``.

    Raises:
        DataError: If the server does not give it, its digest is another, or it is no archive of the data set.
    """
    packed = working / "archive"
    if not (working / "complete").exists():
        _download(order.source, packed, progress)
        found = file_digest(packed)
        if order.sha256 and found != order.sha256.lower():
            packed.unlink()
            raise DataError(
                f"{order.source} has the SHA-256 {found}, not {order.sha256}. It was changed or damaged, and was not "
                "unpacked."
            )
        (working / "complete").write_text(found)
    shutil.rmtree(tree, ignore_errors=True)  # half unpacked
    try:
        _check_whole(order.source, packed)
        _unpack(order, packed, tree, progress)
    except DataError:
        # What the server sends may be mended: the same command asks for all of it again.
        for name in ("complete", "archive", "validator"):
            (working / name).unlink(missing_ok=True)
        raise
    return Receipt(order.source, f"sha256:{(working / 'complete').read_text()}", order.track, {})


def _check_whole(source: str, packed: Path) -> None:
    """Raises DataError if the archive's compressed stream is cut off or damaged: tar alone does not read to its end."""
    with packed.open("rb") as file:
        start = file.read(6)
    opened = next((reader for mark, reader in _COMPRESSED.items() if start.startswith(mark)), None)
    if opened is None:
        return
    try:
        with opened(packed, "rb") as stream:
            while stream.read(_BLOCK):
                pass
    except (EOFError, zlib.error, lzma.LZMAError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # the disk; a checksum has no number
        raise DataError(
            f"{source} is cut off or damaged ({error}). It was dropped: the same command fetches it anew."
        ) from error


def _download(url: str, path: Path, progress: Progress) -> None:
    """All of ``url`` at ``path``; what is there is kept and only the rest is asked for."""
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            _receive(url, path, progress)
            return
        except urllib.error.HTTPError as error:
            if error.code not in (408, 429, 500, 502, 503, 504) or attempt == _ATTEMPTS:
                raise DataError(f"{url} answers {error.code} {error.reason}. Check the address.") from error
        except (OSError, HTTPException) as error:  # refused, reset, timed out, or shorter than announced
            if isinstance(error, OSError) and error.filename is not None:
                raise  # the disk, not the network
            if attempt == _ATTEMPTS:
                here = path.stat().st_size if path.exists() else 0
                cause = getattr(error, "reason", None) or error or type(error).__name__
                raise DataError(
                    f"{url} broke off after {here:,} bytes ({cause}). They are kept: the same command goes on from "
                    "there."
                ) from error
        time.sleep(0.5 * attempt)


def _receive(url: str, path: Path, progress: Progress) -> None:
    """One connection's worth of ``url``, appended to ``path``.

    Raises:
        HTTPException: If the connection ends before the announced length.
    """
    mark = path.with_name("validator")
    here = path.stat().st_size if path.exists() else 0
    headers = {"User-Agent": "snibench", "Accept-Encoding": "identity"}
    if here and mark.exists():
        # The server sends the whole again if the file is not the one we have a part of.
        headers |= {"Range": f"bytes={here}-", "If-Range": mark.read_text()}
    request = urllib.request.Request(url, headers=headers)
    try:
        answer: HTTPResponse = urllib.request.urlopen(request, timeout=_PATIENCE)
    except urllib.error.HTTPError as error:
        if error.code == 416 and error.headers.get("Content-Range", "") == f"bytes */{here}":
            return  # all of it is here
        raise
    with answer:
        goes_on = answer.status == 206
        here = here if goes_on else 0
        if validator := answer.headers.get("ETag") or answer.headers.get("Last-Modified"):
            mark.write_text(validator)
        else:
            mark.unlink(missing_ok=True)
        length = answer.headers.get("Content-Length")
        total = here + int(length) if length and length.isdigit() else 0
        with path.open("ab" if goes_on else "wb") as file:
            while block := answer.read(_BLOCK):
                file.write(block)
                here += len(block)
                progress("bytes", here, total)
        if total and here < total:
            raise HTTPException(f"{total - here:,} bytes are missing")


def _unpack(order: Order, packed: Path, tree: Path, progress: Progress) -> None:
    try:
        with tarfile.open(packed) as archive:
            lists = {
                _inside(member): archive.extractfile(member).read().decode("utf-8-sig")  # type: ignore[union-attr]  # a file
                for member in archive
                if member.isfile() and _inside(member).startswith("splits/") and member.name.endswith(".txt")
            }
        tasks = wanted_tasks(order.track, lists.get)
        done = 0
        with tarfile.open(packed) as archive:
            for member in archive:
                path = _inside(member)
                if not member.isfile() or not belongs(path, tasks):
                    continue
                member.name = path
                # Refuses absolute names, "..", links and devices.
                archive.extract(member, tree, filter="data")
                done += 1
                progress("files", done, 0)
    except (tarfile.TarError, EOFError, UnicodeDecodeError, ValueError) as error:
        raise DataError(
            f"{order.source} is not an archive of the data set: {error}. It was dropped: the same command fetches it "
            "anew."
        ) from error


def _inside(member: tarfile.TarInfo) -> str:
    """A member's path without the one folder that archives of repositories have around everything."""
    parts = [part for part in member.name.split("/") if part not in ("", ".")]
    roots = ("tasks", "splits", "LICENSE")
    return "/".join(parts if parts and parts[0] in roots else parts[1:])
