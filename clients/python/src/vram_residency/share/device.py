"""The worker's GPU among those that this process sees."""
from __future__ import annotations

import os
from typing import Any, Dict, Optional

from ..driver import SUCCESS, Driver, Int, device_facts
from ..errors import Unavailable
from .errors import DeviceNotVisible, MpsRefused

DEVICE_ATTRIBUTE_MPS_ENABLED = 133
DEFAULT_MPS_PIPES = "/tmp/nvidia-mps"


def find_device(driver: Driver, uuid: Optional[str]) -> Dict[str, Any]:
    """
    Facts of the GPU with this UUID, its ordinal here among them: ordinals differ from process to process. Errors:
    DeviceNotVisible, MpsRefused, DriverFailure.
    """
    if not isinstance(uuid, str):
        raise DeviceNotVisible("the worker's device has no UUID: it is not a CUDA device")
    for ordinal in range(driver.get(Int, "cuDeviceGetCount")):
        try:
            facts = device_facts(driver, ordinal)
        except Unavailable:
            continue  # too old for this library, so not the worker's
        if facts["uuid"] == uuid:
            _require_no_mps(driver, ordinal)
            return facts
    raise DeviceNotVisible(
        f"the worker's GPU {uuid} is not among those that this process sees: see CUDA_VISIBLE_DEVICES, or the devices of "
        "its container"
    )


def _require_no_mps(driver: Driver, ordinal: int) -> None:
    enabled = Int(0)
    known = driver.result("cuDeviceGetAttribute", enabled, DEVICE_ATTRIBUTE_MPS_ENABLED, ordinal) == SUCCESS
    pipes = os.environ.get("CUDA_MPS_PIPE_DIRECTORY", DEFAULT_MPS_PIPES)
    # Drivers before 12.4 do not answer; a running control daemon takes every client that finds its pipes.
    if (known and enabled.value == 1) or (not known and os.path.exists(os.path.join(pipes, "control"))):
        raise MpsRefused("this process would run under CUDA MPS: stop the MPS daemon, or lend without it")
