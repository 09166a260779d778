"""One lease: its tensors, and whether they may still be computed on."""
from __future__ import annotations

from typing import Any, Callable, Dict, Mapping as MappingOf, Optional, Sequence

from ..errors import InvalidInput
from .clock import now_ms
from .errors import InUse, Paused, ProtocolFailure, Refused, Revoked, ShareError, Stale
from .mapping import Mapping
from .tensor import LentTensor
from .wire import Message, Wire

PAUSE_TIMEOUT_MS = 10_000


class LentShard:
    """A shard as it was handed over; `seal` is the worker's signed statement about it."""

    def __init__(self, seal: Dict[str, Any], mapping: Mapping, tensors: Sequence[LentTensor]) -> None:
        self.seal = seal
        self.mapping = mapping
        self.tensors = tensors

    @property
    def shard_id(self) -> str:
        return str(self.seal["shardId"])


class Lease:
    """
    Tensors by name. Call check() before every use: it hears what the worker said meanwhile, and raises unless all of them
    were verified lately. For one thread.
    """

    def __init__(
        self,
        wire: Wire,
        lease_id: str,
        shards: Sequence[LentShard],
        synchronize: Callable[[], None],
        finish: Callable[[], None],
    ) -> None:
        """`synchronize` waits for the device; `finish` is called once, when everything is unmapped."""
        self.lease_id = lease_id
        self.shards: Sequence[LentShard] = shards
        self.tensors: MappingOf[str, LentTensor] = {t.name: t for shard in shards for t in shard.tensors}
        #: Pauses that were answered. Each says that damage was found and healed: results since the check before it are in
        #: doubt.
        self.pauses = 0
        self._shard_ids = frozenset(shard.shard_id for shard in shards)
        self._wire = wire
        self._finish = finish
        self._synchronize = synchronize
        self._ages: Dict[str, float] = {}  # by shard: when its latest verification began at the latest, by now_ms()
        self._ended: Optional[ShareError] = None
        self._pending_pause: Optional[int] = None
        self._heard = now_ms()
        self._closed = False

    def __getitem__(self, name: str) -> LentTensor:
        return self.tensors[name]

    def __enter__(self) -> Lease:
        return self

    def __exit__(self, *error: Any) -> None:
        self.close()

    def check(self, max_age_ms: float, *, pause_timeout_ms: float = PAUSE_TIMEOUT_MS) -> None:
        """
        Returns if every shard was verified at most `max_age_ms` ago. A pause is answered here, once the device has finished
        what this process gave it to do, and its end is waited for. Errors: Revoked, Disconnected, Stale (ages grow while a
        worker says nothing), Paused, InvalidInput.
        """
        if not max_age_ms >= 0:
            raise InvalidInput(f"max_age_ms must be a number of milliseconds, at least 0, got {max_age_ms}")
        self._listen(0)
        if self._pending_pause is not None:
            self._wait_for_resume(pause_timeout_ms)
        for shard in self.shards:
            began = self._ages.get(shard.shard_id)
            age = None if began is None else now_ms() - began
            if age is None or age > max_age_ms:
                raise Stale(shard.shard_id, age, max_age_ms)

    def await_ages(self, seconds: float) -> None:
        """Waits for the age of every shard, up to a time limit. check() reports how a lease ended."""
        until = now_ms() + seconds * 1000
        while len(self._ages) < len(self.shards) and self._ended is None and now_ms() < until:
            try:
                self._listen((until - now_ms()) / 1000)
            except ShareError:
                return

    def close(self) -> None:
        """
        Unmaps and gives the lease back. Errors: InUse while anything that was taken from its tensors is alive; the lease
        goes on then. Harmless when repeated.
        """
        if self._closed:
            return
        exports = sum(shard.mapping.users.count for shard in self.shards)
        if exports > 0:
            raise InUse(exports)
        self._closed = True
        try:
            for shard in self.shards:
                shard.mapping.close()
        finally:
            self._finish()

    def _listen(self, seconds: float) -> None:
        """Reads all messages that have arrived. Errors: how the lease ended."""
        while self._ended is None:
            # What is read now may have been sent at any time since everything was last read: its age counts from there.
            # A process that was stopped must not take old messages for new ones.
            since = self._heard
            try:
                message = self._wire.next(seconds)
            except ShareError as error:
                self._ended = error
                break
            if message is None:
                self._heard = now_ms()
                break
            self._hear(message, since)
            seconds = 0
        if self._ended is not None:
            raise self._ended

    def _hear(self, message: Message, since: float) -> None:
        kind = message["type"]
        if kind == "verified":
            age, shard_id = message.get("ageMs"), message.get("shardId")
            known = isinstance(shard_id, str) and shard_id in self._shard_ids
            if known and type(age) is int and age >= 0:
                self._ages[shard_id] = since - age
        elif kind == "pause" and type(message.get("n")) is int:
            self._pending_pause = message["n"]
        elif kind == "resume":
            if message.get("n") == self._pending_pause:
                self._pending_pause = None
        elif kind == "revoked":
            self._ended = Revoked(str(message.get("reason")))
        elif kind == "error":
            self._ended = Refused(str(message.get("code")), str(message.get("message")))
        else:
            self._ended = ProtocolFailure(f"the worker sent {kind!r}, which is not allowed now")

    def _wait_for_resume(self, timeout_ms: float) -> None:
        self._synchronize()
        self._wire.say({"type": "paused", "n": self._pending_pause})
        self.pauses += 1
        # A verification from before the pause says nothing about bytes healed during it.
        self._ages.clear()
        until = now_ms() + timeout_ms
        while self._pending_pause is not None:
            left = until - now_ms()
            if left <= 0:
                raise Paused("the worker heals the weights, and has not finished: check again")
            self._listen(left / 1000)
