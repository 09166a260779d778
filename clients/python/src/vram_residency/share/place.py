"""Where a worker's socket may be, and who may answer there: the peer decides which bytes are computed on."""
from __future__ import annotations

import os
import socket
import stat
import struct
from typing import Optional, Set

from ..errors import InvalidInput

ROOT = 0
OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
CREDENTIALS = struct.Struct("3i")  # pid, uid, gid


def require_safe_place(path: str, trust_owner: Optional[int]) -> None:
    """
    Refuses a directory in which somebody else could put a socket of his own: along the path as it is written, and along
    the one that its links lead to. A path that is not there is for connecting to tell. Errors: InvalidInput.
    """
    directory = os.path.dirname(os.path.abspath(path))
    for start in {directory, os.path.realpath(directory)}:
        _require_safe_path(start, _trusted(trust_owner))


def require_trusted_peer(connection: socket.socket, trust_owner: Optional[int]) -> None:
    """Errors: InvalidInput if a process of another user answers."""
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, CREDENTIALS.size)
    _, uid, _ = CREDENTIALS.unpack(credentials)
    if uid not in _trusted(trust_owner):
        raise InvalidInput(
            f"the socket is answered by another user (uid {uid}): pass trust_owner={uid} if the worker runs as that one"
        )


def _trusted(trust_owner: Optional[int]) -> Set[int]:
    return {ROOT, os.geteuid()} | ({trust_owner} if trust_owner is not None else set())


def _require_safe_path(start: str, trusted: Set[int]) -> None:
    at, above = start, False
    while True:
        try:
            found = os.stat(at)
        except OSError:
            return
        sticky = above and bool(found.st_mode & stat.S_ISVTX)
        if found.st_uid not in trusted:
            owner = f'belongs to another user (uid {found.st_uid}): see trust_owner'
            raise InvalidInput(f'the socket lies in "{at}", which {owner}')
        by_root_group = above and found.st_uid == ROOT and not found.st_mode & stat.S_IWOTH
        if found.st_mode & OTHERS_WRITE and not sticky and not by_root_group:
            raise InvalidInput(f'the socket lies in "{at}", which others can write: choose another place, or chmod go-w')
        if os.path.dirname(at) == at:
            return
        at, above = os.path.dirname(at), True
