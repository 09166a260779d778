"""A tensor as the guard sees it: an address, a length, and the signs of a change. PyTorch is never imported."""
from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Callable, Iterable, List, Mapping, Optional, Tuple, Union
from weakref import ref

from .errors import InvalidInput

MAX_TENSORS = 65_536
MAX_NAME_BYTES = 1024
MAX_BYTES = 1 << 46  # a bound on arithmetic, beyond every GPU
WHOLE_STORAGE = " (whole storage)"

# Names of the safetensors format. Types without a name there keep PyTorch's, without "torch.".
SAFETENSORS = {
    "bool": "BOOL", "uint8": "U8", "int8": "I8", "uint16": "U16", "int16": "I16", "uint32": "U32", "int32": "I32",
    "uint64": "U64", "int64": "I64", "float16": "F16", "bfloat16": "BF16", "float32": "F32", "float64": "F64",
    "complex64": "C64", "float8_e4m3fn": "F8_E4M3", "float8_e5m2": "F8_E5M2", "float8_e8m0fnu": "F8_E8M0",
    "float4_e2m1fn_x2": "F4",
}  # fmt: skip

NamedTensors = Union[Mapping[str, Any], Iterable[Tuple[str, Any]]]
Source = Callable[[], List[Tuple[str, Any]]]


@dataclass(frozen=True)
class TensorState:
    """A tensor at this moment. `version` is None if PyTorch counts no writes (tensors made in inference mode)."""

    name: str
    address: int
    byte_length: int
    dtype: str
    shape: Tuple[int, ...]
    device: int
    version: Optional[int]
    item_bytes: Optional[int]  # None where bytes cannot be determined as elements: sub-byte types, whole storages

    @property
    def end(self) -> int:
        return self.address + self.byte_length


def describe(name: str, tensor: Any) -> TensorState:
    """
    Of a contiguous tensor its own bytes; else the bytes of its whole storage, under a name that says so. Errors:
    InvalidInput for what is not a CUDA tensor, or one whose memory cannot be determined (some subclasses).
    """
    try:
        if not tensor.is_cuda:
            raise InvalidInput(f'tensor "{name}" is on {tensor.device}, not CUDA: use Guard(named_tensors) without it')
        return _describe(name, tensor)
    except InvalidInput:
        raise
    except Exception as error:  # subclasses answer as they like; the name is what the caller needs
        raise InvalidInput(f'the memory of tensor "{name}" cannot be determined: {type(error).__name__}: {error}') from error


def _describe(name: str, tensor: Any) -> TensorState:
    item_bytes = int(tensor.element_size())
    shape = tuple(int(size) for size in tensor.shape)
    dtype = str(tensor.dtype).rpartition(".")[2]
    dtype = SAFETENSORS.get(dtype, dtype)
    address, byte_length = int(tensor.data_ptr()), int(tensor.numel()) * item_bytes
    device, version = int(tensor.device.index or 0), _version_of(tensor)
    if byte_length == 0:
        return TensorState(name, 0, 0, dtype, shape, device, version, item_bytes)
    storage = tensor.untyped_storage() if hasattr(tensor, "untyped_storage") else tensor.storage()
    begin, storage_bytes = int(storage.data_ptr()), int(storage.nbytes())
    within = begin <= address and address + byte_length <= begin + storage_bytes
    if not tensor.is_contiguous() or not within:
        # Strides, or elements narrower than a byte: its bytes are not one contiguous range, so the whole storage counts.
        name, dtype, shape = name + WHOLE_STORAGE, "U8", (storage_bytes,)
        return TensorState(name, begin, _bounded(storage_bytes), dtype, shape, device, version, None)
    return TensorState(name, address, _bounded(byte_length), dtype, shape, device, version, item_bytes)


def _bounded(byte_length: int) -> int:
    if not 0 <= byte_length <= MAX_BYTES:
        raise InvalidInput(f"a byte length of {byte_length} is out of range")
    return byte_length


def _version_of(tensor: Any) -> Optional[int]:
    try:
        return int(tensor._version)
    except RuntimeError:  # "Inference tensors do not track version counter."
        return None


def describe_all(named: Iterable[Tuple[str, Any]]) -> List[TensorState]:
    """Errors: InvalidInput for repeated or non-string names, too many or no tensors, tensors on several devices."""
    states: List[TensorState] = []
    seen = set()
    for name, tensor in named:
        if not isinstance(name, str) or len(name.encode("utf-8", "replace")) > MAX_NAME_BYTES:
            raise InvalidInput(f"names must be texts of at most {MAX_NAME_BYTES} bytes")
        if name in seen:
            raise InvalidInput(f'the name "{name}" is there twice')
        seen.add(name)
        states.append(describe(name, tensor))
        if len(states) > MAX_TENSORS:
            raise InvalidInput(f"there are more than {MAX_TENSORS} tensors: use a guard for each part")
    if not states:
        raise InvalidInput("there is no CUDA tensor to guard; a module that is no longer alive has none")
    for state in states:
        if state.device != states[0].device:
            raise InvalidInput(
                f'tensor "{state.name}" is on cuda:{state.device}, "{states[0].name}" on cuda:{states[0].device}: '
                "use a guard for each device"
            )
    return states


def source_of(named_tensors: NamedTensors) -> Source:
    """Keeps the tensors alive."""
    pairs = list(named_tensors.items() if isinstance(named_tensors, Mapping) else named_tensors)
    for pair in pairs:
        if not isinstance(pair, tuple) or len(pair) != 2:
            raise InvalidInput("named_tensors must be a mapping or pairs of a name and a tensor")
    return lambda: pairs


def source_of_module(module: Any) -> Source:
    """Parameters and buffers at the time of the call; the module is not kept alive."""
    module_ref = ref(module)

    def collect() -> List[Tuple[str, Any]]:
        alive = module_ref()
        if alive is None:
            return []
        return [*_with_duplicates(alive.named_parameters), *_with_duplicates(alive.named_buffers)]

    return collect


def _with_duplicates(members: Callable[..., Iterable[Tuple[str, Any]]]) -> List[Tuple[str, Any]]:
    """Tied weights under all of their names, if this PyTorch supports it (2.0 and newer)."""
    try:
        return list(members(remove_duplicate=False))
    except TypeError:
        return list(members())
