"""Requests weights from a worker."""
from __future__ import annotations

import os
from contextlib import ExitStack
from typing import Any, Callable, Dict, List, Optional, Sequence

from ..context import Context
from ..driver import Driver
from ..errors import InvalidInput
from .device import find_device
from .errors import Disconnected, ManifestMismatch, ProtocolFailure, Refused, Revoked
from .lease import Lease, LentShard
from .mapping import Mapping
from .packed import parse_packed, read_sealed
from .place import require_safe_place
from .tensor import LentTensor
from .wire import Message, Wire

VERSION = 1
MAX_CLIENT_BYTES = 128
# A worker verifies before it lends, which takes long for a large model on a busy GPU.
LEND_SECONDS = 120.0
# The first ages arrive right after the lease, and a check directly after it needs them.
FIRST_AGE_SECONDS = 1.0
MAX_MAPPED_BYTES = 1 << 46  # beyond every GPU
MAX_SHARDS = 1024  # of one model, as workers have it
MAX_UID = (1 << 32) - 2


def connect(
    socket: str, *, client: str = "python", timeout: float = 10.0, trust_owner: Optional[int] = None
) -> Client:
    """
    `socket`: path of the worker's Unix socket. `client`: what this process calls itself in the worker's log, at most 128
    bytes. `timeout`: seconds for connecting and for each answer. `trust_owner`: the user id of the worker where that is
    not this process's, nor root's. Errors: InvalidInput, also for a socket where somebody else could answer;
    Disconnected, Refused, ProtocolFailure.
    """
    if not isinstance(client, str) or not 1 <= len(client.encode("utf-8", "replace")) <= MAX_CLIENT_BYTES:
        raise InvalidInput(f"client must be a text of 1 to {MAX_CLIENT_BYTES} bytes")
    if trust_owner is not None and (type(trust_owner) is not int or not 0 <= trust_owner <= MAX_UID):
        raise InvalidInput("trust_owner must be a user id")
    path = os.fspath(socket)
    require_safe_place(path, trust_owner)
    wire = Wire(path, timeout, trust_owner)
    try:
        wire.say({"type": "hello", "versions": [VERSION], "client": client})
        return Client(wire, _expect(wire.next(), "welcome"))
    except BaseException:
        wire.close()
        raise


class Client:
    """A connection to a worker. It takes one lease; connect again for another."""

    def __init__(self, wire: Wire, welcome: Message) -> None:
        """Errors: ProtocolFailure."""
        device, models = welcome.get("device"), welcome.get("models")
        if welcome.get("version") != VERSION or not isinstance(device, dict) or not isinstance(models, list):
            raise ProtocolFailure("the worker's welcome is not of version 1")
        self.models: Sequence[str] = tuple(str(model) for model in models)
        self.worker_id = str(welcome.get("workerId"))
        #: Random for each start of the worker.
        self.instance = str(welcome.get("instance"))
        self._uuid: Optional[str] = device.get("uuid")
        self._wire = wire

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *error: Any) -> None:
        self.close()

    def lend(self, model: str, *, max_age_ms: Optional[int] = None, timeout: float = LEND_SECONDS) -> Lease:
        """
        The worker verifies the model, or takes a verification that is at most `max_age_ms` old, and hands it over. The
        connection is the lease's from then on. Errors: Refused (ask again if you like), Revoked, DeviceNotVisible,
        MpsRefused, AccessRefused, ManifestMismatch, Disconnected, ProtocolFailure, Unavailable.
        """
        self._wire.say({"type": "lend", "model": model, **({} if max_age_ms is None else {"maxAgeMs": max_age_ms})})
        taken = ExitStack()
        try:
            return self._lend(taken, timeout)
        except Refused:
            taken.close()
            raise
        except BaseException:
            # Unmap before telling the worker that nothing is mapped any more.
            taken.close()
            self.close()
            raise

    def close(self) -> None:
        """Also ends a lease that is still live. Does nothing when repeated."""
        self._wire.close()

    def _lend(self, taken: ExitStack, timeout: float) -> Lease:
        context: Optional[Context] = None
        shards: List[LentShard] = []
        while True:
            message = _expect(self._wire.next(timeout), "shard", "lent")
            if message["type"] == "lent":
                break
            if len(shards) == MAX_SHARDS:
                raise ProtocolFailure(f"the worker lent more than {MAX_SHARDS} shards")
            memory, manifest = self._wire.take_descriptors()
            try:
                if context is None:
                    context = self._context(taken)
                shard = _take_shard(context, message, memory, manifest, taken)
            finally:
                os.close(memory)
                os.close(manifest)
            shards.append(shard)
            self._wire.say({"type": "received", "shardId": shard.shard_id})
        if context is None:
            raise ProtocolFailure("the worker lent a model without a shard")
        _require_unique_names(shards)
        finish = _finisher(self._wire, taken.pop_all())
        lease = Lease(self._wire, str(message.get("leaseId")), shards, _synchronizer(context), finish)
        lease.await_ages(FIRST_AGE_SECONDS)
        return lease

    def _context(self, taken: ExitStack) -> Context:
        driver = Driver()
        facts = find_device(driver, self._uuid)
        context = Context(driver, facts["index"])
        taken.callback(context.release)
        return context


def _finisher(wire: Wire, taken: ExitStack) -> Callable[[], None]:
    def finish() -> None:
        try:
            taken.close()
            wire.say({"type": "end"})
        except Disconnected:
            pass  # the worker is gone: there is no receiver
        finally:
            wire.close()

    return finish


def _synchronizer(context: Context) -> Callable[[], None]:
    def synchronize() -> None:
        with context.entered():
            context.driver.call("cuCtxSynchronize")

    return synchronize


def _take_shard(context: Context, message: Message, memory: int, manifest: int, taken: ExitStack) -> LentShard:
    seal, mapped = message.get("seal"), message.get("mappedBytes")
    if not isinstance(seal, dict) or seal.get("shardId") != message.get("shardId"):
        raise ProtocolFailure("the worker sent a shard without its seal")
    length = seal.get("byteLength")
    if not _is_length(length) or not _is_length(mapped) or not length <= mapped:
        raise ManifestMismatch("the shard is longer than the memory that was handed over")
    packed = parse_packed(read_sealed(manifest), _digest(seal), length)
    mapping = Mapping(context, memory, mapped)
    taken.callback(mapping.close)
    return LentShard(seal, mapping, [LentTensor(tensor, mapping, context.device) for tensor in packed])


def _digest(seal: Dict[str, Any]) -> Optional[str]:
    if seal.get("layout") == "bytes":
        return None
    digest = seal.get("tensors")
    if seal.get("layout") != "tensors" or not isinstance(digest, str):
        raise ManifestMismatch("the seal does not say which manifest belongs to it")
    return digest


def _require_unique_names(shards: Sequence[LentShard]) -> None:
    seen = set()
    for shard in shards:
        for tensor in shard.tensors:
            if tensor.name in seen:
                raise ManifestMismatch(f'the model has the tensor "{tensor.name}" in two shards')
            seen.add(tensor.name)


def _is_length(value: Any) -> bool:
    return type(value) is int and 1 <= value <= MAX_MAPPED_BYTES


def _expect(message: Optional[Message], *types: str) -> Message:
    if message is None:
        raise ProtocolFailure("the worker did not answer in time")
    if message["type"] == "error":
        raise Refused(str(message.get("code")), str(message.get("message")))
    if message["type"] == "revoked":
        raise Revoked(str(message.get("reason")))
    if message["type"] not in types:
        raise ProtocolFailure(f"the worker sent {message['type']!r} where {' or '.join(types)} belongs")
    return message
