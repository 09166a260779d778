"""Errors of weights that another process lends."""
from __future__ import annotations

from typing import ClassVar, Optional

from ..errors import GuardError


class ShareError(GuardError):
    """Base of all errors of lending. After Revoked, Stale and Disconnected nothing may be computed on the tensors."""

    code: ClassVar[str] = "SHARE_ERROR"


class Refused(ShareError):
    """The worker refused: `reason` is its code, such as NOT_FOUND, INTEGRITY_VIOLATION or FORBIDDEN."""

    code = "REFUSED"

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(f"the worker refused with {reason}: {message}")
        self.reason = reason


class ProtocolFailure(ShareError):
    """The other side does not speak vram-residency/share/1, or sent an invalid message."""

    code = "PROTOCOL_FAILURE"


class Disconnected(ShareError):
    """The worker is gone, or closed the connection. The mapping still exists, but is no longer verified."""

    code = "DISCONNECTED"


class DeviceNotVisible(ShareError):
    """The worker's GPU is not among those that this process sees. In a container: it needs the same GPU."""

    code = "DEVICE_NOT_VISIBLE"


class MpsRefused(ShareError):
    """A CUDA MPS server would run this process's work. This library cannot tell what its clients may read there."""

    code = "MPS_REFUSED"


class AccessRefused(ShareError):
    """The driver did not map the memory, or answered that the mapping is not read-only."""

    code = "ACCESS_REFUSED"


class ManifestMismatch(ShareError):
    """The manifest is not the one that was sealed, or one of its tensors is outside the mapping. Nothing was used."""

    code = "MANIFEST_MISMATCH"


class Revoked(ShareError):
    """
    The lease has ended: `reason` is damaged, released, replaced, stopped or device-lost. Results since the last good check
    are in doubt if it is `damaged`. Drop the tensors and close the lease.
    """

    code = "REVOKED"

    def __init__(self, reason: str) -> None:
        super().__init__(f"the lease was revoked: {reason}; drop its tensors and close it")
        self.reason = reason


class Paused(ShareError):
    """The worker is healing the weights and did not finish in time. Compute nothing; check again."""

    code = "PAUSED"


class Stale(ShareError):
    """No verification is as recent as requested: `age_ms` of the oldest shard, None if nothing is known of one."""

    code = "STALE"

    def __init__(self, shard_id: str, age_ms: Optional[float], max_age_ms: float) -> None:
        known = "nothing is known of its age" if age_ms is None else f"its last verification may be {age_ms:.0f} ms old"
        super().__init__(f'shard "{shard_id}": {known}, and {max_age_ms:.0f} ms were allowed')
        self.shard_id = shard_id
        self.age_ms = age_ms


class InUse(ShareError):
    """Tensors of the lease are still in use by others; `exports` of them."""

    code = "IN_USE"

    def __init__(self, exports: int) -> None:
        super().__init__(f"{exports} tensors taken from the lease are still alive: drop them first, then close it")
        self.exports = exports
