"""The recipes of the documents, and what they report: loops, vLLM's workers, Prometheus, lines of JSON."""
from __future__ import annotations

import json
import re
from types import SimpleNamespace
from typing import Any, Dict, List

from vram_residency import Guard, InvalidInput, Report
from vram_residency.periodic import Periodic
from vram_residency.prometheus import render
from vram_residency.report import OUTCOMES
from vram_residency.vllm import GuardExtension

from .emulator import MIB, REPOSITORY, EmulatedCase
from .standin import Module, Storage, Tensor, model_of, some_bytes

RULES = REPOSITORY / "clients/python/alerts/vram-guard.rules.yml"


class LoopTest(EmulatedCase):
    def setUp(self) -> None:
        super().setUp()
        self.model = model_of(self.engine)
        self.guard = Guard(self.model)
        self.addCleanup(self.guard.close)
        self.guard.baseline()
        self.now = 0.0
        self.reports: List[Report] = []
        self.periodic = Periodic(self.guard, 60, self.reports.append, lambda: self.now)

    def test_between_steps_it_runs_when_it_is_due_and_not_before(self) -> None:
        for second in range(0, 181, 20):
            self.now = float(second)
            self.periodic.poll()
        self.assertEqual([report.outcome for report in self.reports], ["clean"] * 3)

    def test_damage_is_reported_and_does_not_end_the_loop(self) -> None:
        self.now = 60.0
        self.emulator.flip(self.model["weight"].data_ptr())
        report = self.periodic.poll()
        assert report is not None
        self.assertEqual((report.outcome, report.findings[0].tensor), ("damaged", "weight"))
        self.now = 120.0
        self.assertIsNotNone(self.periodic.poll())

    def test_a_suspended_guard_is_asked_again_at_once(self) -> None:
        self.guard.suspend()
        self.now = 60.0
        self.periodic.poll()
        self.guard.resume()
        self.now = 60.5
        self.periodic.poll()
        self.assertEqual([report.outcome for report in self.reports], ["suspended", "clean"])

    def test_an_interval_that_is_none_is_refused(self) -> None:
        for every_s in (0, -1, float("nan")):
            with self.assertRaisesRegex(InvalidInput, "every_s"):
                Periodic(self.guard, every_s, self.reports.append)

    def test_a_report_is_one_line_of_json(self) -> None:
        self.emulator.flip(self.model["tail"].data_ptr() + 4097)
        line = self.guard.check().line()
        self.assertNotIn("\n", line)
        report = json.loads(line)
        self.assertEqual(list(report), sorted(report))
        self.assertEqual((report["v"], report["type"], report["outcome"]), (1, "guard.report", "damaged"))
        self.assertEqual(report["findings"], [
            {"tensor": "tail", "block": 1, "byte_offset": 4096, "elements": [1024, 1024], "also": []}
        ])  # fmt: skip
        self.assertRegex(report["at"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")
        self.assertNotIn(str(self.model["tail"].data_ptr()), line)

    def test_reports_of_runs_without_a_verdict_say_why(self) -> None:
        self.model["norm"]._version += 1
        report = self.guard.check()
        self.assertEqual((report.outcome, report.changes[0].tensor), ("changed", "norm"))
        self.assertIn("norm was written", report.message or "")


class PrometheusTest(EmulatedCase):
    def test_figures_follow_the_runs(self) -> None:
        tensor = Tensor(self.engine, some_bytes(5000))
        with Guard({"w": tensor}) as guard:
            self.assertEqual(samples(render(guard))["vram_guard_last_clean_timestamp_seconds"], 0)
            guard.baseline()
            guard.verify()
            self.emulator.flip(tensor.data_ptr())
            guard.check()
            text = render(guard, {"model": 'a"b\\c'})
        found = samples(text)
        self.assertEqual(found['vram_guard_runs_total outcome="clean"'], 2)
        self.assertEqual(found['vram_guard_runs_total outcome="damaged"'], 1)
        self.assertEqual(found["vram_guard_damaged_tensors"], 1)
        self.assertGreater(found["vram_guard_last_clean_timestamp_seconds"], 1e9)
        self.assertGreater(found["vram_guard_last_run_seconds"], 0)
        self.assertIn('model="a\\"b\\\\c"', text)
        self.assertEqual(text.count("# TYPE"), 5)
        self.assertEqual(len(found), 4 + len(OUTCOMES))

    def test_alert_rules_name_figures_that_exist(self) -> None:
        with Guard({"w": Tensor(self.engine, some_bytes(50))}) as guard:
            offered = set(re.findall(r"^# TYPE (\S+)", render(guard), re.MULTILINE))
        expressions = re.findall(r"expr: (.*)", RULES.read_text())
        self.assertEqual(len(expressions), 3)
        for expression in expressions:
            named = set(re.findall(r"vram_guard_\w+", expression))
            self.assertTrue(named and named <= offered, expression)


def samples(text: str) -> Dict[str, float]:
    found = {}
    for line in text.splitlines():
        match = re.fullmatch(r'(\w+)\{device=.*?(?:,(outcome="\w+"))?\} (\S+)', line)
        if match:
            found[" ".join(part for part in match.group(1, 2) if part)] = float(match.group(3))
    return found


class Worker:
    """A stub of vLLM's worker: `model_runner.model` is the module. vLLM itself is not here."""

    def __init__(self, model: Any) -> None:
        self.model_runner = SimpleNamespace(model=model)

    def load_model(self) -> None: ...

    def sleep(self) -> None: ...


class ExtendedWorker(Worker, GuardExtension):
    """What vLLM makes: the extension becomes a base of the worker class."""


class VllmTest(EmulatedCase):
    def setUp(self) -> None:
        super().setUp()
        self.mapped = self.engine.map(2 * MIB)
        self.data = some_bytes(self.mapped.byte_length)
        self.engine.write(self.mapped.address, self.data)
        storage = Storage(self.mapped.address, self.mapped.byte_length)
        tensor = Tensor(self.engine, storage=storage, byte_length=self.mapped.byte_length)
        self.module = Module({"layers.0.weight": tensor})
        self.worker = ExtendedWorker(self.module)

    def test_no_name_collides_with_the_workers_own(self) -> None:
        names = {name for name in vars(GuardExtension) if not name.startswith("__")}
        self.assertTrue(names and all(name.startswith("guard_") for name in names))
        self.assertEqual(names & set(dir(Worker(self.module))), set())

    def test_sleep_and_wake_through_the_extension(self) -> None:
        self.assertEqual(self.worker.guard_baseline()["outcome"], "clean")
        for page, outcome in ((None, "clean"), (1, "damaged")):
            self.worker.guard_suspend()
            self.assertEqual(self.worker.guard_verify()["outcome"], "suspended")
            self.mapped.sleep()
            self.mapped.wake()
            self.engine.write(self.mapped.address, self.data)
            if page is not None:
                self.engine.write(self.mapped.address + page * 65536, bytes(65536))
            answer = self.worker.guard_resume()
            self.assertEqual(answer["outcome"], outcome)
        json.dumps(answer)  # travels between processes
        self.assertEqual(answer["findings"][0]["tensor"], "layers.0.weight")
        self.assertIn('outcome="damaged"} 1', self.worker.guard_metrics())

    def test_a_manifest_made_in_one_worker_holds_in_another(self) -> None:
        self.worker.guard_baseline()
        manifest = self.worker.guard_manifest()
        self.emulator.flip(self.mapped.address)
        answer = self.worker.guard_baseline(manifest=manifest)
        self.assertEqual((answer["outcome"], answer["against"]), ("damaged", "manifest"))
        self.emulator.flip(self.mapped.address)
        self.assertEqual(self.worker.guard_baseline()["outcome"], "clean")

    def test_before_a_baseline_it_says_what_to_call(self) -> None:
        with self.assertRaisesRegex(InvalidInput, "guard_baseline first"):
            self.worker.guard_verify()
