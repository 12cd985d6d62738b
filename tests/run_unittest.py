#!/usr/bin/python3
"""Runs a program of unittest, as `meson test` calls it. The exit status is 77, meson's word for skipped,
where every test case was; the output ends with why some were, and with their number.

usage: tests/run_unittest.py PROGRAM [UNITTEST_ARGUMENT...]"""
import importlib
import pathlib
import sys
import unittest

SKIPPED = 77


class Result(unittest.TextTestResult):
    """Counts test cases: a sub-test, and what is set up for a class or torn down, is part of one."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.passed = set()

    def addSuccess(self, test):
        super().addSuccess(test)
        self.passed.add(test.id())

    def addExpectedFailure(self, test, err):
        super().addExpectedFailure(test, err)
        self.passed.add(test.id())

    def counts(self):
        """How many passed, failed and were skipped."""
        failed = cases(test for test, _ in self.failures + self.errors)
        failed |= cases(self.unexpectedSuccesses)
        skipped = cases(test for test, _ in self.skipped) - failed
        return len(self.passed - failed), len(failed), len(skipped)


class Runner(unittest.TextTestRunner):
    resultclass = Result


def cases(tests):
    return {getattr(test, "test_case", test).id() for test in tests}


def status_of(passed, failed, skipped):
    if failed or not passed + skipped:
        return 1
    return 0 if passed else SKIPPED


def main():
    program, *arguments = sys.argv[1:]
    sys.argv = [program, *arguments]
    sys.path[0] = str(pathlib.Path(program).parent)
    module = importlib.import_module(pathlib.Path(program).stem)
    result = unittest.main(module, argv=sys.argv, testRunner=Runner, exit=False).result
    for reason in sorted({reason for _, reason in result.skipped}):
        print(f"skipped: {reason}")
    passed, failed, skipped = result.counts()
    print(f"test cases: {passed} passed, {failed} failed, {skipped} skipped")
    return status_of(passed, failed, skipped)


if __name__ == "__main__":
    sys.exit(main())
