"""What a process that holds a device owes its parent: to leave signals to it, and to end with it."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading


def settle() -> None:
    """In a process of its own: Ctrl-C and a closed terminal are the parent's to answer, and its end is ours.

    Both reach the whole process group. The parent may also be killed, and an orphan would hold the device.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    threading.Thread(target=_follow_parent, name="follow-parent", daemon=True).start()


def _follow_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
