#!/usr/bin/env python3
"""Runs the hashing kernels on a GPU with nothing but Python and the NVIDIA driver.

Usage: probe.py vram.ptx [--device N] [--max-gib N] [--variants DIR] [--out report.json]

Compiles the PTX, compares its hashes with hashlib's, and measures how fast it hashes memory in place, with copies as a
yardstick. Needs Python 3.6 or newer and libcuda.so.1 (VRAM_RESIDENCY_LIBCUDA names another library). Prints one JSON
document.

Exit codes: 0 every hash is right; 1 a hash is wrong or the kernels do not run; 2 bad arguments; 3 no usable GPU (no driver,
a driver older than CUDA 12.0, compute capability under 7.5, too little free memory). A variant that does not load is
reported and changes no exit code; one with a wrong hash does.
"""
import argparse
import contextlib
import ctypes
import hashlib
import json
import os
import statistics
import sys
import time

BLOCK_BYTES = 4096
HASH_BYTES = 32
HASHES_PER_BLOCK = BLOCK_BYTES // HASH_BYTES
MIB = 1 << 20
GIB = 1 << 30

OLDEST_DRIVER = 12000  # CUDA 12.0: the first that reads PTX 8.0
OLDEST_CAPABILITY = (7, 5)
LEAST_FREE_BYTES = 64 * MIB
SHARE_OF_FREE = 0.85
MAX_PTX_BYTES = 64 * MIB
MAX_GIB = 1024
MAX_READBACK_BYTES = 256 * MIB

OUT_OF_MEMORY = 2  # CUDA_ERROR_OUT_OF_MEMORY
THREADS = 128
SWEEP_THREADS = (64, 128, 256)
SWEEP_FACTOR = 4
REPEATS = 5
KNOWN_BLOCKS = 300  # two full node blocks and a partial one
FILL_WORD = 0x3C5AA5C3

ATTRIBUTES = {"multiprocessors": 16, "clockKHz": 13, "memoryClockKHz": 36, "eccEnabled": 32}
CAPABILITY_MAJOR, CAPABILITY_MINOR = 75, 76

Handle, Address, Size = ctypes.c_void_p, ctypes.c_uint64, ctypes.c_size_t
Int, Unsigned = ctypes.c_int, ctypes.c_uint
Out = ctypes.POINTER

SIGNATURES = {
    "cuInit": [Unsigned],
    "cuDriverGetVersion": [Out(Int)],
    "cuGetErrorName": [Int, Out(ctypes.c_char_p)],
    "cuDeviceGetCount": [Out(Int)],
    "cuDeviceGet": [Out(Int), Int],
    "cuDeviceGetName": [ctypes.c_char_p, Int, Int],
    "cuDeviceGetAttribute": [Out(Int), Int, Int],
    "cuDevicePrimaryCtxRetain": [Out(Handle), Int],
    "cuDevicePrimaryCtxRelease_v2": [Int],
    "cuCtxSetCurrent": [Handle],
    "cuCtxSynchronize": [],
    "cuMemGetInfo_v2": [Out(Size), Out(Size)],
    "cuMemAlloc_v2": [Out(Address), Size],
    "cuMemFree_v2": [Address],
    "cuMemAllocHost_v2": [Out(Handle), Size],
    "cuMemFreeHost": [Handle],
    "cuMemcpyHtoD_v2": [Address, ctypes.c_char_p, Size],
    "cuMemcpyDtoH_v2": [Handle, Address, Size],
    "cuMemcpyDtoDAsync_v2": [Address, Address, Size, Handle],
    "cuMemsetD8Async": [Address, ctypes.c_ubyte, Size, Handle],
    "cuModuleLoadData": [Out(Handle), ctypes.c_char_p],
    "cuModuleUnload": [Handle],
    "cuModuleGetFunction": [Out(Handle), Handle, ctypes.c_char_p],
    "cuLaunchKernel": [Handle] + [Unsigned] * 7 + [Handle, Out(Handle), Handle],
    "cuEventCreate": [Out(Handle), Unsigned],
    "cuEventDestroy_v2": [Handle],
    "cuEventRecord": [Handle, Handle],
    "cuEventSynchronize": [Handle],
    "cuEventElapsedTime": [Out(ctypes.c_float), Handle, Handle],
}


class Unusable(Exception):
    """There is no GPU here that the kernels could run on."""


class DriverError(Exception):
    """A driver call failed; the message holds the call and the driver's name of the error."""

    def __init__(self, call, result, name):
        super().__init__("%s returned %s" % (call, name))
        self.result = result


class Driver:
    """The driver library, every call checked."""

    def __init__(self, path):
        try:
            library = ctypes.CDLL(path)
        except OSError as error:
            raise Unusable("no NVIDIA driver: %s" % error)
        self._functions = {}
        for name, argtypes in SIGNATURES.items():
            try:
                function = getattr(library, name)
            except AttributeError:
                raise Unusable("the driver at %s has no %s: it is too old, or not a CUDA driver" % (path, name))
            function.argtypes, function.restype = argtypes, Int
            self._functions[name] = function

    def call(self, name, *arguments):
        result = self._functions[name](*arguments)
        if result != 0:
            raise DriverError(name, result, self._name_of(result))

    def get(self, kind, name, *arguments):
        """Of a call whose first argument is where the answer goes."""
        answer = kind()
        self.call(name, ctypes.byref(answer), *arguments)
        return answer.value

    def _name_of(self, result):
        text = ctypes.c_char_p()
        known = self._functions["cuGetErrorName"](result, ctypes.byref(text)) == 0 and text.value
        return text.value.decode() if known else "error %d" % result


class Gpu:
    """One GPU and its primary context. What `resources` holds is released in reverse order, on every path."""

    def __init__(self, driver, index, resources):
        self.driver = driver
        self.resources = resources
        self.index = index

    @staticmethod
    def open(driver, index, resources):
        """Errors: Unusable."""
        try:
            driver.call("cuInit", 0)
            version = driver.get(Int, "cuDriverGetVersion")
            count = driver.get(Int, "cuDeviceGetCount")
        except DriverError as error:
            raise Unusable("the driver finds no GPU: %s" % error)
        if version < OLDEST_DRIVER:
            raise Unusable("the driver is for CUDA %s; 12.0 or newer (driver 525) is needed" % words_of(version))
        if index >= count:
            raise Unusable("there is no device %d: %d present" % (index, count))
        gpu = Gpu(driver, driver.get(Int, "cuDeviceGet", index), resources)
        capability = (gpu.attribute(CAPABILITY_MAJOR), gpu.attribute(CAPABILITY_MINOR))
        if capability < OLDEST_CAPABILITY:
            raise Unusable("compute capability %d.%d; 7.5 or newer is needed" % capability)
        try:
            context = driver.get(Handle, "cuDevicePrimaryCtxRetain", gpu.index)
        except DriverError as error:
            raise Unusable("no context on device %d: %s" % (index, error))
        resources.callback(driver.call, "cuDevicePrimaryCtxRelease_v2", gpu.index)
        driver.call("cuCtxSetCurrent", context)
        free = gpu.memory()[0]
        if free < LEAST_FREE_BYTES:
            raise Unusable("%d MiB of GPU memory are free; %d are needed" % (free // MIB, LEAST_FREE_BYTES // MIB))
        return gpu

    def attribute(self, number):
        return self.driver.get(Int, "cuDeviceGetAttribute", number, self.index)

    def memory(self):
        """Free and total bytes."""
        free, total = Size(), Size()
        self.driver.call("cuMemGetInfo_v2", ctypes.byref(free), ctypes.byref(total))
        return free.value, total.value

    def facts(self):
        name = ctypes.create_string_buffer(256)
        self.driver.call("cuDeviceGetName", name, len(name), self.index)
        free, total = self.memory()
        facts = {"index": self.index, "name": name.value.decode("utf-8", "replace"), "freeBytes": free, "totalBytes": total}
        facts["capability"] = "%d.%d" % (self.attribute(CAPABILITY_MAJOR), self.attribute(CAPABILITY_MINOR))
        facts.update((key, self.attribute(number)) for key, number in ATTRIBUTES.items())
        return facts

    def allocate(self, size):
        address = self.driver.get(Address, "cuMemAlloc_v2", size)
        self.resources.callback(self.driver.call, "cuMemFree_v2", address)
        return address

    def write(self, address, data):
        self.driver.call("cuMemcpyHtoD_v2", address, data, len(data))

    def read(self, address, size):
        data = ctypes.create_string_buffer(size)
        self.driver.call("cuMemcpyDtoH_v2", data, address, size)
        return data.raw

    def milliseconds(self, work):
        """GPU time of `work`, the median of several runs after one that does not count."""
        work()
        with contextlib.ExitStack() as events:
            pair = []
            for _ in range(2):
                pair.append(self.driver.get(Handle, "cuEventCreate", 0))
                events.callback(self.driver.call, "cuEventDestroy_v2", pair[-1])
            times = []
            for _ in range(REPEATS):
                self.driver.call("cuEventRecord", pair[0], None)
                work()
                self.driver.call("cuEventRecord", pair[1], None)
                self.driver.call("cuEventSynchronize", pair[1])
                times.append(self.driver.get(ctypes.c_float, "cuEventElapsedTime", *pair))
        return statistics.median(times)


class Kernels:
    """The kernels of one PTX text. A variant (`blocks_per_thread` is given) has the leaf kernel alone."""

    def __init__(self, gpu, text, blocks_per_thread=None):
        self._gpu = gpu
        self._blocks_per_thread = blocks_per_thread or 1
        self.leaves_only = blocks_per_thread is not None
        started = time.perf_counter()
        module = gpu.driver.get(Handle, "cuModuleLoadData", text)  # ctypes ends a bytes object in a null character
        self.load_ms = (time.perf_counter() - started) * 1e3
        gpu.resources.callback(gpu.driver.call, "cuModuleUnload", module)
        self._leaves = gpu.driver.get(Handle, "cuModuleGetFunction", module, b"vr_leaves")
        if not self.leaves_only:
            self._nodes = gpu.driver.get(Handle, "cuModuleGetFunction", module, b"vr_nodes")
            self._fill = gpu.driver.get(Handle, "cuModuleGetFunction", module, b"vr_fill")
        self._canary = gpu.allocate(BLOCK_BYTES)
        self._counter = gpu.allocate(BLOCK_BYTES)
        self.canary_block = os.urandom(BLOCK_BYTES)
        gpu.write(self._canary, self.canary_block)
        self.reset_count()

    def reset_count(self):
        self._gpu.driver.call("cuMemsetD8Async", self._counter, 0, 8, None)

    def count(self):
        """Blocks and nodes hashed since reset_count()."""
        return int.from_bytes(self._gpu.read(self._counter, 8), "little")

    def leaves(self, data, blocks, out, threads=THREADS):
        """Hashes blocks in place; `out` takes one hash more, the canary's."""
        count = -(-(blocks + 1) // self._blocks_per_thread)
        self._launch(self._leaves, count, threads, self._cells(data, blocks, self._canary, out, self._counter))

    def nodes(self, hashes, count, out):
        nodes = -(-count // HASHES_PER_BLOCK)
        self._launch(self._nodes, nodes + 1, THREADS, self._cells(hashes, count, self._canary, out, self._counter))

    def fill(self, data, size, word):
        self._launch(self._fill, size // 16, THREADS, self._cells(data, size) + [ctypes.c_uint32(word)])

    @staticmethod
    def _cells(*values):
        return [ctypes.c_uint64(value) for value in values]

    def _launch(self, function, count, threads, values):
        pointers = (Handle * len(values))(*[ctypes.addressof(value) for value in values])
        groups = -(-count // threads)
        self._gpu.driver.call("cuLaunchKernel", function, groups, 1, 1, threads, 1, 1, 0, None, pointers, None)


def words_of(version):
    """12080 is CUDA 12.8."""
    return "%d.%d" % (version // 1000, version % 1000 // 10)


def known_answers(gpu, kernels):
    """Whether leaves, nodes, a changed bit and the count are as hashlib says."""
    data = bytearray(b"".join(hashlib.sha256(b"%d" % i).digest() * HASHES_PER_BLOCK for i in range(KNOWN_BLOCKS)))
    nodes = -(-KNOWN_BLOCKS // HASHES_PER_BLOCK)
    with contextlib.ExitStack() as mine:
        memory = []
        for size in (len(data), (KNOWN_BLOCKS + 1) * HASH_BYTES, (nodes + 1) * HASH_BYTES):
            memory.append(gpu.driver.get(Address, "cuMemAlloc_v2", size))
            mine.callback(gpu.driver.call, "cuMemFree_v2", memory[-1])
        blocks, leaves, upper = memory

        def hashes():
            gpu.write(blocks, bytes(data))
            kernels.leaves(blocks, KNOWN_BLOCKS, leaves)
            if not kernels.leaves_only:
                kernels.nodes(leaves, KNOWN_BLOCKS, upper)
            gpu.driver.call("cuCtxSynchronize")
            return gpu.read(leaves, (KNOWN_BLOCKS + 1) * HASH_BYTES), gpu.read(upper, (nodes + 1) * HASH_BYTES)

        kernels.reset_count()
        got_leaves, got_nodes = hashes()
        counted = kernels.count()
        data[-1] ^= 1
        changed = hashes()[0]
    data[-1] ^= 1
    canary = hashlib.sha256(kernels.canary_block).digest()
    expected = b"".join(block_hashes(data))
    answers = {
        "leaves": got_leaves == expected + canary,
        "changedBit": changed[: -2 * HASH_BYTES] == got_leaves[: -2 * HASH_BYTES] and changed != got_leaves,
        "count": counted == KNOWN_BLOCKS + (0 if kernels.leaves_only else nodes),
    }
    if not kernels.leaves_only:
        answers["nodes"] = got_nodes == b"".join(block_hashes(expected)) + canary
    return answers


def block_hashes(data):
    """SHA-256 of each 4096 bytes, the last ones zero-padded."""
    return [hashlib.sha256(bytes(data[at : at + BLOCK_BYTES]).ljust(BLOCK_BYTES, b"\0")).digest()
            for at in range(0, len(data), BLOCK_BYTES)]


def sweep_sizes(limit):
    size = MIB
    while size <= limit:
        yield size
        size *= SWEEP_FACTOR


def allocate_largest(gpu, sizes):
    """Memory for the largest size that the driver still gives, and for its hashes. Drops the sizes that it does not."""
    while sizes:
        try:
            return gpu.allocate(sizes[-1]), gpu.allocate((sizes[-1] // BLOCK_BYTES + 1) * HASH_BYTES)
        except DriverError as error:
            if error.result != OUT_OF_MEMORY:
                raise
            sizes.pop()
    return None, None


def speed(size, milliseconds):
    """GB/s, 10^9 bytes; None where the clock saw no time pass."""
    return round(size / milliseconds / 1e6, 2) if milliseconds > 0 else None


def sweep(gpu, kernels, data, out, sizes):
    """Hashing in place. Also whether each launch hashed all of its blocks, and the first of them rightly."""
    rows = []
    expected = hashlib.sha256(FILL_WORD.to_bytes(4, "little") * (BLOCK_BYTES // 4)).digest()
    right = True
    for size in sizes:
        for threads in SWEEP_THREADS:
            blocks = size // BLOCK_BYTES
            kernels.reset_count()
            ms = gpu.milliseconds(lambda: kernels.leaves(data, blocks, out, threads))
            right = right and kernels.count() == blocks * (REPEATS + 1) and gpu.read(out, HASH_BYTES) == expected
            rows.append({"bytes": size, "threads": threads, "ms": round(ms, 4), "GBps": speed(size, ms)})
    return rows, right


def copies(gpu, data, sizes):
    """Device-to-device copies: bytes read plus bytes written in a second."""
    rows = []
    for size in sizes:
        half = size // 2
        ms = gpu.milliseconds(lambda: gpu.driver.call("cuMemcpyDtoDAsync_v2", data, data + half, half, None))
        rows.append({"bytes": half, "ms": round(ms, 4), "GBpsReadAndWritten": speed(2 * half, ms)})
    return rows


def readback(gpu, data, size):
    """The way without kernels: a copy to pinned memory, and hashlib."""
    with contextlib.ExitStack() as mine:
        host = gpu.driver.get(Handle, "cuMemAllocHost_v2", size)
        mine.callback(gpu.driver.call, "cuMemFreeHost", host)
        started = time.perf_counter()
        gpu.driver.call("cuMemcpyDtoH_v2", host, data, size)
        copied = time.perf_counter()
        hashlib.sha256((ctypes.c_ubyte * size).from_address(host)).digest()
        hashed = time.perf_counter()
    return {"bytes": size, "copyMs": round((copied - started) * 1e3, 2), "sha256Ms": round((hashed - copied) * 1e3, 2)}


def load(gpu, name, text, blocks_per_thread=None):
    """A row of the report, and the kernels if they run at all."""
    row = {"name": name, "sha256": hashlib.sha256(text).hexdigest()}
    try:
        kernels = Kernels(gpu, text, blocks_per_thread)
        row["loadMs"] = round(kernels.load_ms, 1)
        row["knownAnswers"] = known_answers(gpu, kernels)
        return row, kernels
    except DriverError as error:
        row["error"] = str(error)
        return row, None


def probe(arguments, report):
    """Fills the report. Returns the exit code. Errors: Unusable, DriverError."""
    with contextlib.ExitStack() as resources:
        driver = Driver(os.environ.get("VRAM_RESIDENCY_LIBCUDA", "libcuda.so.1"))
        gpu = Gpu.open(driver, arguments.device, resources)
        report["driver"] = words_of(driver.get(Int, "cuDriverGetVersion"))
        report["device"] = gpu.facts()
        loaded = [load(gpu, *kernels) for kernels in arguments.kernels]
        report["kernels"] = [row for row, _ in loaded]
        sound = [(row, kernels) for row, kernels in loaded if kernels is not None and all(row["knownAnswers"].values())]
        if not loaded[0][1] or loaded[0] not in sound:
            report["error"] = loaded[0][0].get("error", "the kernels give wrong hashes: do not use this GPU, driver or PTX")
            return 1
        sizes = list(sweep_sizes(min(arguments.max_gib * GIB, gpu.memory()[0] * SHARE_OF_FREE)))
        right = len(sound) == sum(1 for row, _ in loaded if "error" not in row)
        data, out = allocate_largest(gpu, sizes)
        if sizes:
            loaded[0][1].fill(data, sizes[-1], FILL_WORD)
            for row, kernels in sound:
                row["sweep"], sweep_right = sweep(gpu, kernels, data, out, sizes)
                right = right and sweep_right
            report["copies"] = copies(gpu, data, sizes)
            report["readback"] = readback(gpu, data, min(sizes[-1], MAX_READBACK_BYTES))
        if not right:
            report["error"] = "a hash or a count is wrong: see kernels"
        report["ok"] = right
        return 0 if right else 1


class Arguments(argparse.ArgumentParser):
    def error(self, message):
        self.exit(2, "probe.py: %s\n" % message)


def device_index(text):
    index = int(text)
    if not 0 <= index < 64:
        raise ValueError
    return index


def gibibytes(text):
    value = float(text)
    if not 0 < value <= MAX_GIB:
        raise ValueError
    return value


def ptx_text(parser, path):
    try:
        with open(path, "rb") as file:
            text = file.read(MAX_PTX_BYTES + 1)
    except OSError as error:
        parser.error("cannot read %s: %s" % (path, error.strerror))
    if len(text) > MAX_PTX_BYTES or b"\0" in text:
        parser.error("%s is not a PTX text of at most %d MiB" % (path, MAX_PTX_BYTES // MIB))
    return text


def variants(parser, folder):
    """(name, PTX, blocks a thread) of each variant that the folder's manifest names."""
    path = os.path.join(folder, "variants.json")
    try:
        with open(path, encoding="utf-8") as file:
            manifest = json.load(file)
        return [
            (
                str(one["name"]),
                ptx_text(parser, os.path.join(folder, os.path.basename(one["file"]))),
                int(one["blocksPerThread"]),
            )
            for one in manifest
        ]
    except OSError as error:
        parser.error("--variants: cannot read %s: %s" % (path, error.strerror))
    except (ValueError, KeyError, TypeError):
        parser.error("--variants: %s is not a list of variants" % path)


def parse(argv):
    parser = Arguments(prog="probe.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("ptx", help="the PTX that ships: vram.ptx")
    parser.add_argument("--device", type=device_index, default=0, help="CUDA ordinal, 0 to 63 (default 0)")
    parser.add_argument("--max-gib", type=gibibytes, default=32.0, help="largest sweep size, over 0 to 1024 (default 32)")
    parser.add_argument("--variants", help="folder with variants.json and the forms of the leaf kernel that it names")
    parser.add_argument("--out", help="write the report to this file too")
    arguments = parser.parse_args(argv)
    arguments.kernels = [("shipped", ptx_text(parser, arguments.ptx))]
    if arguments.variants:
        arguments.kernels += variants(parser, arguments.variants)
    if arguments.out:
        try:
            open(arguments.out, "a").close()
        except OSError as error:
            parser.error("--out %s: %s" % (arguments.out, error.strerror))
    return arguments


def main(argv):
    arguments = parse(argv)
    report = {"v": 1, "ok": False}
    try:
        code = probe(arguments, report)
    except Unusable as error:
        code, report["error"] = 3, str(error)
    except DriverError as error:
        code, report["ok"], report["error"] = 1, False, str(error)
    text = json.dumps(report, indent=2)
    print(text)
    if arguments.out:
        with open(arguments.out, "w") as file:
            file.write(text + "\n")
    if "error" in report:
        print("probe.py: %s" % report["error"], file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
