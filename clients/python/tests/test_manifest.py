"""Manifests: round trip, digests of others, and what is refused."""
from __future__ import annotations

import json
from typing import Any

from vram_residency import Damaged, Guard, InvalidInput, Transient, hasher, tree
from vram_residency.manifest import parse_manifest

from .emulator import EmulatedCase
from .standin import Module, Tensor, model_of, some_bytes


class ManifestTest(EmulatedCase):
    def setUp(self) -> None:
        super().setUp()
        self.model = model_of(self.engine)
        with Guard(self.model) as guard:
            guard.baseline()
            self.manifest = guard.manifest()

    def changed(self, **fields: Any) -> str:
        document = json.loads(self.manifest)
        document["tensors"][1].update(fields)
        return json.dumps(document)

    def test_round_trip(self) -> None:
        with Guard.from_manifest(self.manifest, self.model) as guard:
            report = guard.verify()
            self.assertEqual((report.outcome, report.against), ("clean", "manifest"))
            self.assertTrue(guard.verify().ok)
            self.assertEqual(guard.manifest(), self.manifest)
        module = Module(self.model)
        with Guard.from_manifest(self.manifest.encode(), module) as guard:
            self.assertTrue(guard.baseline().ok)

    def test_it_has_exactly_the_documented_fields(self) -> None:
        document = json.loads(self.manifest)
        self.assertEqual((document["v"], document["files"], document["packed"]), (1, [], None))
        self.assertEqual(
            document["tensors"][1],
            {
                "name": "bias", "dtype": "F32", "shape": [250], "byteLength": 1000,
                "fsverity": tree.digest_of(self.model["bias"].data),
            },
        )  # fmt: skip

    def test_bytes_unlike_the_manifest_are_damaged_and_no_baseline(self) -> None:
        self.emulator.flip(self.model["weight"].data_ptr())
        with Guard.from_manifest(self.manifest, self.model) as guard:
            for ask in (guard.baseline, guard.verify):
                with self.assertRaises(Damaged) as caught:
                    ask()
                [finding] = caught.exception.findings
                self.assertEqual((finding.tensor, finding.block), ("weight", None))
            self.emulator.flip(self.model["weight"].data_ptr())
            self.assertTrue(guard.verify().ok)
            self.emulator.flip(self.model["weight"].data_ptr())
            [finding] = guard.check().findings  # after the first clean run there are blocks
            self.assertEqual((finding.tensor, finding.block), ("weight", 0))

    def test_a_difference_from_the_manifest_that_does_not_repeat_is_transient(self) -> None:
        true = hasher.Hasher.run
        self.emulator.flip(self.model["bias"].data_ptr())

        def run(this: hasher.Hasher, *arguments: Any) -> bytes:
            combined = true(this, *arguments)
            if runs:
                self.emulator.flip(self.model["bias"].data_ptr())
            runs.clear()
            return combined

        with Guard.from_manifest(self.manifest, self.model) as guard:
            runs = [1]
            hasher.Hasher.run = run
            try:
                with self.assertRaises(Transient):
                    guard.baseline()
            finally:
                hasher.Hasher.run = true
            self.assertTrue(guard.baseline().ok)

    def test_a_manifest_of_another_model_is_refused_with_the_first_difference(self) -> None:
        for manifest, said in (
            (self.changed(name="other"), '"other" is not among the tensors'),
            (self.changed(dtype="BF16"), 'type of "bias" is F32, not BF16'),
            (self.changed(shape=[25, 10]), r'shape of "bias" is \(250,\), not \(25, 10\)'),
            (self.changed(byteLength=1004), 'length of "bias" is 1000, not 1004'),
        ):
            with self.subTest(said), self.assertRaisesRegex(InvalidInput, f"another model: .*{said}"):
                Guard.from_manifest(manifest, self.model)
        more = {**self.model, "lora": Tensor(self.engine, some_bytes(16))}
        with self.assertRaisesRegex(InvalidInput, 'it has no "lora"'):
            Guard.from_manifest(self.manifest, more)

    def test_what_is_no_manifest_is_refused(self) -> None:
        document = json.loads(self.manifest)
        for text, said in (
            ("", "not JSON"),
            ("[" * 100_000, "not JSON"),
            ("[]", "must be an object with v 1"),
            (json.dumps({**document, "v": 2}), "must be an object with v 1"),
            ('{"v": 1, "v": 1, "tensors": []}', "a key is there twice"),
            (json.dumps({**document, "tensors": document["tensors"] * 2}), '"scale" twice'),
            (json.dumps({**document, "tensors": [{}]}), "must have exactly"),
            (self.changed(extra=1), "must have exactly"),
            (self.changed(name=3), "must be texts"),
            (self.changed(dtype="x" * 2000), "at most 1024 bytes"),
            (self.changed(shape=[True]), "list of sizes"),
            (self.changed(shape=[-1]), "list of sizes"),
            (self.changed(byteLength=1.5), "byteLength must be"),
            (self.changed(fsverity="fsverity-sha256-12:" + "A" * 64), "64 hex digits"),
            (self.changed(fsverity="fsverity-sha256-12:" + "0" * 64 + "\n"), "64 hex digits"),
        ):
            with self.subTest(text=text[:60]), self.assertRaisesRegex(InvalidInput, said):
                parse_manifest(text)
        with self.assertRaisesRegex(InvalidInput, "must be JSON text"):
            parse_manifest(document)  # type: ignore[arg-type]
