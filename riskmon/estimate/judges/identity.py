"""Names of judges: two judges that may score differently have different ids.

An id is `kind:model@revision:hash`. The revision is the configured one or the commit that was loaded; the hash covers
everything else that changes a score: template, labels, rubric, limits, number format, and for a model folder a mark of
its files. Where a folder lies, how outputs are batched and which device is used are left out.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

_SHOWN = 12
_BLOCK = 1 << 16  # bytes read at the start, the middle and the end of a weights file


def judge_id(kind: str, model: str, revision: str | None = None, **parts: object) -> str:
    """The id of a judge.

    Args:
        kind: its kind in the configuration.
        model: folder, hub id or name; of a folder only the last part is shown.
        revision: commit or tag, None where there is none.
        parts: whatever else changes its scores; must be plain JSON values.
    """
    text = json.dumps(parts, sort_keys=True)
    digest = hashlib.sha256(text.encode()).hexdigest()[:_SHOWN]
    name = Path(model).resolve().name if Path(model).is_dir() else model
    return f"{kind}:{name}{f'@{revision}' if revision else ''}:{digest}"


def folder_mark(model: str) -> str | None:
    """A short hash of a model folder's files; None for a hub id, whose commit says as much.

    Small files count in full. Of a weights file the name, the size and three blocks are read, which tells checkpoints
    apart without reading gigabytes.
    """
    folder = Path(model)
    if not folder.is_dir():
        return None
    digest = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        if path.suffix in (".json", ".jinja", ".model", ".txt"):
            digest.update(path.name.encode() + b"\0" + path.read_bytes())
        elif path.suffix == ".safetensors":
            digest.update(f"{path.name}\0{path.stat().st_size}".encode())
            digest.update(_blocks(path))
    return digest.hexdigest()[:_SHOWN]


def _blocks(path: Path) -> bytes:
    size = path.stat().st_size
    with path.open("rb") as file:
        blocks = []
        for start in (0, size // 2, max(0, size - _BLOCK)):
            file.seek(start)
            blocks.append(file.read(_BLOCK))
    return b"".join(blocks)
