#!/usr/bin/env python3
"""
Hardware kit, step guard-torch: the guard over a decoder in PyTorch with random weights. What it costs against .cpu()
with hashlib and against a plain sum on the device, how much serving slows down, and that it finds a bit that PyTorch
did not see change and leaves the capture of a CUDA graph whole.

Usage: guard_torch_step.py [--device N] [--seconds S] [--bytes N]. Prints one JSON object. Exit codes: 0 passed, 1 a
check failed, 2 bad arguments, 3 no PyTorch with CUDA or no usable GPU.
"""
from __future__ import annotations

import hashlib
import sys
import time
from typing import Any, Dict, List, Optional

import step

step.add_package_to_path()

from vram_residency import Busy, Damaged, Guard, GuardError  # noqa: E402
from vram_residency.driver import Driver  # noqa: E402

NAME = "guard-torch"
DEFAULT_BYTES = 16 * 10**9
TOKENS = 32
MOST_READ_BACK = 1 << 30


def decoder(torch: Any, byte_length: int, device: Any, dtype: Any) -> Any:
    """A decoder of the shapes that guard_step.py lays out, its output projection tied to the embedding."""
    shapes = step.decoder_shapes(byte_length, torch.empty((), dtype=dtype).element_size())
    hidden = shapes["norm"][0]
    heads = max(1, hidden // step.HEAD_SIZE)

    class Decoder(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.names = list(shapes)
            for name, shape in shapes.items():
                weight = torch.empty(shape, device=device, dtype=dtype).normal_(0, hidden**-0.5)
                self.register_parameter(name.replace(".", "_"), torch.nn.Parameter(weight, requires_grad=False))

        def weight(self, name: str) -> Any:
            return getattr(self, name.replace(".", "_"))

        def normed(self, name: str, state: Any) -> Any:
            scale = state.float().pow(2).mean(-1, keepdim=True).add(1e-6).rsqrt().to(state.dtype)
            return state * scale * self.weight(name)

        def forward(self, tokens: Any) -> Any:
            state = self.weight("embed")[tokens]
            mask = torch.full((len(tokens), len(tokens)), float("-inf"), device=state.device, dtype=state.dtype).triu(1)
            for number in range(sum(1 for name in self.names if name.endswith("attention.q"))):
                state = self.layer(f"layers.{number}.", state, mask)
            return self.normed("norm", state) @ self.weight("embed").t()

        def layer(self, at: str, state: Any, mask: Any) -> Any:
            entered = self.normed(at + "attention_norm", state)
            parts = (entered @ self.weight(at + f"attention.{part}").t() for part in "qkv")
            q, k, v = (part.view(len(state), heads, -1).transpose(0, 1) for part in parts)
            scores = (q @ k.transpose(1, 2) * q.shape[-1] ** -0.5 + mask).softmax(-1)
            mixed = (scores @ v).transpose(0, 1).reshape(len(state), -1)
            state = state + mixed @ self.weight(at + "attention.o").t()
            wide = self.normed(at + "feed_forward_norm", state) @ self.weight(at + "feed_forward.up").t()
            return state + torch.nn.functional.silu(wide) @ self.weight(at + "feed_forward.down").t()

    return Decoder()


def measure_costs(torch: Any, model: Any, guard: Guard, seconds: float) -> Dict[str, Any]:
    weights = list(model.parameters())
    total = sum(weight.numel() * weight.element_size() for weight in weights)
    started = time.perf_counter()
    guard.baseline()
    figures: Dict[str, Any] = {"bytes": total, "tensors": len(weights), "guardBytes": guard.memory_bytes}
    figures["baselineMs"] = round((time.perf_counter() - started) * 1e3, 4)
    verify_ms = step.median_ms(guard.verify, seconds / 8)
    figures.update(verifyMs=verify_ms, verifyMsPerGB=step.per_gb(verify_ms, total))

    def plain_sum() -> None:
        for weight in weights:
            weight.sum()
        torch.cuda.synchronize()

    figures["sumMsPerGB"] = step.per_gb(step.median_ms(plain_sum, seconds / 8), total)
    started, done = time.perf_counter(), 0
    for weight in weights:
        hashlib.sha256(weight.detach().cpu().view(torch.uint8).numpy()).digest()
        done += weight.numel() * weight.element_size()
        if done >= MOST_READ_BACK:
            break
    figures.update(cpuMsPerGB=step.per_gb((time.perf_counter() - started) * 1e3, done), cpuBytes=done)
    return figures


def serve(torch: Any, model: Any, guard: Optional[Guard], every_s: float, seconds: float) -> float:
    """Forward passes in a second, with a verification every `every_s` seconds between them."""
    tokens = torch.arange(TOKENS, device=next(model.parameters()).device)
    started, due, passes = time.perf_counter(), time.perf_counter() + every_s, 0
    while time.perf_counter() - started < seconds:
        model(tokens)
        torch.cuda.synchronize()
        passes += 1
        if guard is not None and time.perf_counter() >= due:
            guard.verify()
            due = time.perf_counter() + every_s
    return round(passes / (time.perf_counter() - started), 4)


def measure_serving(torch: Any, model: Any, guard: Guard, seconds: float) -> Dict[str, Any]:
    """
    Forward passes a second, without the guard before, between and after: a device that is still warming up would make
    the guard look as if it cost nothing. The windows are long enough for one verification at least.
    """
    serve(torch, model, None, 0, max(3, seconds / 8))
    without = [serve(torch, model, None, 0, max(2, seconds / 10))]
    every_second = serve(torch, model, guard, 1, max(3, seconds / 8))
    without.append(serve(torch, model, None, 0, max(2, seconds / 10)))
    every_ten = serve(torch, model, guard, 10, max(11, seconds / 4))
    without.append(serve(torch, model, None, 0, max(2, seconds / 10)))
    return {
        "passesPerSecond": without,
        "passesPerSecondVerifyEvery1s": every_second,
        "passesPerSecondVerifyEvery10s": every_ten,
    }


def check_flip(torch: Any, model: Any, guard: Guard) -> str:
    """Written by the driver, as a stray kernel would: PyTorch's count of writes does not see it."""
    name, weight = list(model.named_parameters())[-2]
    byte = weight.numel() * weight.element_size() // 2
    driver = Driver()
    saved = weight.detach().flatten()[:1].clone()

    def fill(value: int) -> None:
        driver.call("cuMemsetD8Async", weight.data_ptr() + byte, value, 1, torch.cuda.current_stream().cuda_stream)
        torch.cuda.synchronize()

    before = int(weight.detach().view(torch.uint8).flatten()[byte])
    version = weight._version
    fill(before ^ 0x08)
    try:
        guard.verify()
        raise AssertionError("the damage was not found")
    except Damaged as error:
        [finding] = error.findings
    finally:
        fill(before)
    if (finding.tensor, finding.block, weight._version) != (name, byte // 4096, version):
        raise AssertionError(f"the wrong place was named: {finding.words()}")
    if not guard.verify().ok or not torch.equal(saved, weight.detach().flatten()[:1]):
        raise AssertionError("the repaired tensor does not verify")
    return finding.words()


def check_capture(torch: Any, model: Any, guard: Guard) -> str:
    tokens = torch.arange(TOKENS, device=next(model.parameters()).device)
    side = torch.cuda.Stream()
    with torch.cuda.stream(side):
        expected = model(tokens)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured = model(tokens)
        try:
            guard.verify()
            raise AssertionError("a verification ran on a stream that is captured")
        except Busy:
            pass  # as it should be
    graph.replay()
    torch.cuda.synchronize()
    if not torch.allclose(captured.float(), expected.float(), atol=1e-2, rtol=1e-2):
        raise AssertionError("the captured graph does not compute what the model does")
    if not guard.verify().ok:
        raise AssertionError("the weights do not verify after the capture")
    return "busy during the capture; the graph is whole"


def check_transformers(torch: Any, model: Any, _: Guard) -> str:
    """A model of the library that people load theirs with; random weights, on the same device."""
    try:
        import transformers
    except ImportError:
        return "not run: transformers is not importable"
    sizes = {"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 4, "num_attention_heads": 16}
    config = transformers.LlamaConfig(vocab_size=8192, num_key_value_heads=4, **sizes)
    device = next(model.parameters()).device
    llama = transformers.LlamaForCausalLM(config).to(device, torch.bfloat16).eval()
    with Guard.from_module(llama) as guard:
        guard.baseline()
        llama(torch.arange(TOKENS, device=device).unsqueeze(0))
        report = guard.verify()
        check_flip(torch, llama, guard)
    return f"transformers {transformers.__version__}: {report.tensors} tensors, {report.byte_length} bytes"


def run(torch: Any, device: int, seconds: float, byte_length: int) -> int:
    torch.cuda.set_device(device)
    checks: Dict[str, str] = {}
    failed: List[str] = []
    with torch.no_grad():
        model = decoder(torch, byte_length, torch.device("cuda", device), torch.bfloat16)
        with Guard.from_module(model) as guard:
            figures = measure_costs(torch, model, guard, seconds)
            figures.update(measure_serving(torch, model, guard, seconds))
            tries = {
                "flipThatPyTorchDidNotSee": check_flip,
                "graphCapture": check_capture,
                "transformers": check_transformers,
            }
            for name, check in tries.items():
                try:
                    checks[name] = check(torch, model, guard)
                except Exception as error:  # of PyTorch or a library too: the other checks still run, and this one failed
                    checks[name] = f"FAILED: {type(error).__name__}: {error}"
                    failed.append(name)
            facts = {"device": guard.device, "torch": torch.__version__}
    code = step.FAILED if failed else step.PASSED
    return step.finish(NAME, code, figures=figures, checks=checks, failed=failed, **facts)


def why_unusable(device: int) -> Optional[str]:
    try:
        import torch
    except ImportError:
        return "PyTorch is not importable by this Python"
    if not torch.cuda.is_available():
        return "this PyTorch has no CUDA device"
    if device >= torch.cuda.device_count():
        return f"PyTorch has no device {device}"
    return None


def main() -> int:
    arguments = step.parse("guard_torch_step.py", "The guard over a decoder in PyTorch.", DEFAULT_BYTES)
    reason = why_unusable(arguments.device)
    if reason is not None:
        print(f"guard_torch_step.py: {reason}", file=sys.stderr)
        return step.finish(NAME, step.NO_GPU, error=reason)
    import torch

    try:
        return run(torch, arguments.device, arguments.seconds, arguments.bytes)
    except (GuardError, RuntimeError) as error:  # RuntimeError: what PyTorch raises where memory runs out
        print(f"guard_torch_step.py: {error}", file=sys.stderr)
        return step.finish(NAME, step.FAILED, error=str(error))


if __name__ == "__main__":
    sys.exit(main())
