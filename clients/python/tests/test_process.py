"""Never harm, part three: forks, the interpreter's exit, and several devices."""
from __future__ import annotations

import os
import subprocess
import sys

from vram_residency import Forked, Guard, InvalidInput

from .emulator import LIBRARY, EmulatedCase, Engine
from .harm_case import HarmCase
from .standin import Tensor, some_bytes


class ProcessTest(HarmCase):
    def test_a_forked_child_is_told_and_touches_nothing(self) -> None:
        guard = self.guarded()
        before = self.emulator.state()["calls"]
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            said = "nothing"
            try:
                guard.verify()
            except Forked:
                guard.close()
                said = "forked" if self.emulator.state()["calls"] == before else "called the driver"
            finally:
                os.write(write, said.encode())
                os._exit(0)
        os.close(write)
        self.assertEqual(os.read(read, 100), b"forked")
        os.close(read)
        os.waitpid(child, 0)
        self.assertTrue(guard.verify().ok)

    def test_interpreter_exit_with_a_live_guard_calls_the_driver_no_more(self) -> None:
        program = (
            "import atexit, sys\n"
            "from tests.emulator import Emulator, Engine\n"
            "from tests.standin import Tensor, some_bytes\n"
            "from vram_residency import Guard\n"
            "emulator = Emulator(); engine = Engine()\n"
            "import weakref  # its exit hook runs after those registered later\n"
            "def count(): sys.stdout.write(str(sum(emulator.state()['calls'].values())) + '\\n')\n"
            "atexit.register(count)\n"
            "guard = Guard({'w': Tensor(engine, some_bytes(9000))}); guard.baseline(); guard.verify()\n"
            "count()\n"
            "sys.modules['kept'] = guard\n"
        )
        environment = {**os.environ, "VRAM_RESIDENCY_LIBCUDA": LIBRARY, "PYTHONPATH": os.pathsep.join(sys.path)}
        ended = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=60)
        self.assertEqual((ended.returncode, ended.stderr), (0, ""))
        at_the_end, at_exit = ended.stdout.split()
        self.assertEqual(at_the_end, at_exit)


class DevicesTest(EmulatedCase):
    settings = "devices=2"

    def test_each_device_has_a_guard_of_its_own_and_the_current_context_stays(self) -> None:
        other = Engine(1)
        tensor = Tensor(other, some_bytes(9000), device=1)
        self.engine.call("cuCtxSetCurrent", self.engine.context)
        with Guard({"weight": tensor}) as guard, Guard({"weight": Tensor(self.engine, some_bytes(50))}) as here:
            self.assertEqual((guard.device["index"], here.device["index"]), (1, 0))
            for one in (guard, here):
                one.baseline()
                self.assertTrue(one.verify().ok)
                self.assertEqual(self.engine.current_context(), self.engine.context)
            self.emulator.flip(tensor.data_ptr())
            self.assertEqual((guard.check().outcome, here.check().outcome), ("damaged", "clean"))
        self.assert_only_the_engines()

    def test_tensors_on_two_devices_are_refused_by_name(self) -> None:
        other = Engine(1)
        here, there = Tensor(self.engine, some_bytes(50)), Tensor(other, some_bytes(50), device=1)
        with self.assertRaisesRegex(InvalidInput, 'tensor "b" is on cuda:1, "a" on cuda:0'):
            Guard({"a": here, "b": there})
