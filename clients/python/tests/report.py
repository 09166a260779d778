"""python -m tests.report [NAME...]: runs tests; a line of JSON for each: {id, outcome, detail}. Exit 1 if one failed."""
from __future__ import annotations

import json
import sys
import unittest
from typing import Any, Dict, List


class LineResult(unittest.TestResult):
    """A test's line is printed when it ends; failed subtests make it fail."""

    _outcome = "passed"
    _details: List[str] = []

    def startTest(self, test: unittest.TestCase) -> None:
        super().startTest(test)
        self._outcome = "passed"
        self._details = []

    def addError(self, test: unittest.TestCase, err: Any) -> None:
        super().addError(test, err)
        self._failed(test, self._exc_info_to_string(err, test))

    def addFailure(self, test: unittest.TestCase, err: Any) -> None:
        super().addFailure(test, err)
        self._failed(test, self._exc_info_to_string(err, test))

    def addSubTest(self, test: unittest.TestCase, subtest: unittest.TestCase, err: Any) -> None:
        super().addSubTest(test, subtest, err)
        if err is not None:
            self._failed(test, f"{subtest}\n{self._exc_info_to_string(err, test)}")

    def addSkip(self, test: unittest.TestCase, reason: str) -> None:
        super().addSkip(test, reason)
        self._outcome, self._details = "skipped", [reason]
        if not self._running(test):
            self._print(test.id())

    def stopTest(self, test: unittest.TestCase) -> None:
        super().stopTest(test)
        self._print(test.id())

    def _failed(self, test: unittest.TestCase, detail: str) -> None:
        self._outcome = "failed"
        self._details = [*(self._details if self._running(test) else []), detail]
        if not self._running(test):
            self._print(test.id())

    @staticmethod
    def _running(test: unittest.TestCase) -> bool:
        """False for a class or module that could not be set up."""
        return hasattr(test, "_testMethodName")

    def _print(self, name: str) -> None:
        line: Dict[str, str] = {"id": name, "outcome": self._outcome, "detail": "\n".join(self._details)}
        print(json.dumps(line), flush=True)


def main(names: List[str]) -> int:
    loader = unittest.defaultTestLoader
    suite = loader.loadTestsFromNames(names) if names else loader.discover("tests", top_level_dir=".")
    result = LineResult()
    suite.run(result)
    return 0 if result.wasSuccessful() else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
