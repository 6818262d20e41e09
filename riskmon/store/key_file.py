"""The file of keys: one key a line in base64, the first seals and all open.

It is made with mode 0600 and never lies in the database: whoever takes the database alone, or a backup of it, has no
text. As ssh does with its keys, a file that others may change is refused, and so is one of our own that others may
read; where another user owns it, as with secrets mounted into a container, that is warned of, since we cannot mend it.
"""

from __future__ import annotations

import logging
import os
import stat
import tempfile
from collections.abc import Iterable
from pathlib import Path

from riskmon.errors import StoreLocked
from riskmon.store.keyring import encode_keys, parse_keys

_OTHERS_READ = stat.S_IRGRP | stat.S_IROTH
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH

log = logging.getLogger(__name__)


def read_keys(path: Path) -> list[bytes] | None:
    """The keys of a file; None where there is no such file.

    Raises:
        StoreLocked: it cannot be read, is open to others, or holds something else than keys.
    """
    try:
        with path.open("rb") as file:
            facts = os.fstat(file.fileno())
            content = file.read()
    except FileNotFoundError:
        return None
    except OSError as exc:
        raise StoreLocked(f"the key file {path} cannot be read: {exc.strerror}") from exc
    _check_mode(path, facts)
    return parse_keys(content.decode("ascii", errors="replace"), f"the key file {path}")


def make_key_file(path: Path, key: bytes) -> list[bytes]:
    """A new file with this key, in a folder of mode 0700 if that is missing; where one appeared meanwhile, its keys.

    Raises:
        StoreLocked: it cannot be made.
    """
    try:
        path.parent.mkdir(mode=0o700, exist_ok=True)
        _write(path, [key], replace=False)
    except OSError as exc:
        if isinstance(exc, FileExistsError) and (found := read_keys(path)) is not None:
            return found
        raise StoreLocked(
            f"cannot make the key file {path}: {exc.strerror}; name another in store.key_file, or give keys in "
            "RISKMON_STORE__KEY"
        ) from exc
    return [key]


def replace_keys(path: Path, keys: Iterable[bytes]) -> None:
    """Puts other keys in the place of those of a file: as a whole or not at all.

    Raises:
        StoreLocked: it cannot be written.
    """
    try:
        _write(path, keys, replace=True)
    except OSError as exc:
        raise StoreLocked(
            f"cannot write the key file {path}: {exc.strerror}; nothing was changed, put the new key before the "
            "others by hand"
        ) from exc


def _write(path: Path, keys: Iterable[bytes], *, replace: bool) -> None:
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # mode 0600 from the start
    try:
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(encode_keys(keys))
            file.flush()
            os.fsync(file.fileno())
        if replace:
            os.replace(name, path)
        else:
            # Unlike a rename, a link never takes the place of a file that is there.
            os.link(name, path)
    finally:
        Path(name).unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _check_mode(path: Path, facts: os.stat_result) -> None:
    ours = facts.st_uid == os.geteuid()
    if facts.st_mode & _OTHERS_WRITE or (ours and facts.st_mode & _OTHERS_READ):
        verb = "changed" if facts.st_mode & _OTHERS_WRITE else "read"
        raise StoreLocked(
            f"the key file {path} can be {verb} by other users (mode {stat.S_IMODE(facts.st_mode):04o}); "
            f"run: chmod 600 {path}"
        )
    if facts.st_mode & _OTHERS_READ:
        log.warning("the key file %s can be read by other users; give it mode 0400 where it is mounted", path)
