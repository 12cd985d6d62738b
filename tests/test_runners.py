#!/usr/bin/python3
"""run_unittest.py and count_results.py: what counts as passed, failed and skipped."""
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

TESTS = pathlib.Path(os.environ["ELMOD_SOURCE_ROOT"], "tests")
PASSES = "def test_passes(self): pass"
FAILS = "def test_fails(self): self.fail()"
SKIPS = "@unittest.skip('no luck')\n def test_is_skipped(self): pass"
SUBTESTS = (
    "def test_subtests(self):\n"
    "  for k in range(3):\n"
    "   with self.subTest(k): self.assertEqual(1, k)"
)
CMOCKA = """[==========] Running 5 test(s).
[ RUN      ] passes
[       OK ] passes
[ RUN      ] is_skipped
SKIPPED: no promtool
[  SKIPPED ] is_skipped
[ RUN      ] fails
[ RUN      ] passes_too
3 lines without an end [       OK ] passes_too
[ RUN      ] crashes
"""
CMOCKA_ERRORS = """[  FAILED  ] fails
[==========] 5 test(s) run.
[  PASSED  ] 2 test(s).
[  SKIPPED ] 1 test(s), listed below:
[  SKIPPED ] is_skipped
"""
NODE = """\u2714 a test (1.5ms)
\u2139 tests 9
\u2139 suites 2
\u2139 pass 4
\u2139 fail 1
\u2139 cancelled 1
\u2139 skipped 2
\u2139 todo 1
\u2139 duration_ms 6410.7
"""


def program_of(*cases):
    return "\n".join(["import unittest", "class Tests(unittest.TestCase):"] + [" " + c for c in cases])


class RunUnittest(unittest.TestCase):
    def run_program(self, text, *arguments):
        """(exit status, the last line, all)"""
        with tempfile.TemporaryDirectory() as folder:
            program = pathlib.Path(folder, "test_of_tests.py")
            program.write_text(text, encoding="utf-8")
            command = [sys.executable, "-B", TESTS / "run_unittest.py", program, *arguments]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout.rpartition("\n")[0].rpartition("\n")[2], done.stdout

    def check(self, status, passed, failed, skipped, text):
        found = self.run_program(text)
        last = f"test cases: {passed} passed, {failed} failed, {skipped} skipped"
        self.assertEqual((status, last), found[:2])

    def test_cases_are_counted(self):
        self.check(0, 1, 0, 0, program_of(PASSES))
        self.check(0, 1, 0, 1, program_of(PASSES, SKIPS))
        self.check(1, 1, 1, 1, program_of(PASSES, FAILS, SKIPS))
        self.check(1, 0, 1, 0, program_of(SUBTESTS))

    def test_where_every_case_is_skipped_the_program_is(self):
        skip = "raise unittest.SkipTest('no luck')"
        self.check(77, 0, 0, 1, program_of(SKIPS))
        self.check(77, 0, 0, 1, program_of("def test_a(self): self.skipTest('no luck')"))
        self.check(77, 0, 0, 1, program_of(f"def setUp(self): {skip}", PASSES))
        self.check(77, 0, 0, 1, program_of(f"@classmethod\n def setUpClass(cls): {skip}", PASSES))
        self.check(1, 0, 1, 1, program_of(FAILS, SKIPS))

    def test_what_is_set_up_or_torn_down_may_fail(self):
        for when in ("setUpClass", "tearDownClass"):
            program = program_of(f"@classmethod\n def {when}(cls): raise OSError", PASSES, SKIPS)
            self.assertEqual(1, self.run_program(program)[0], when)

    def test_a_program_without_cases_fails(self):
        self.check(1, 0, 0, 0, program_of("pass"))

    def test_it_says_why_a_case_was_skipped(self):
        self.assertIn("\nskipped: no luck\n", "\n" + self.run_program(program_of(SKIPS, PASSES))[2])

    def test_a_program_may_end_itself(self):
        self.assertEqual(77, self.run_program("import sys; sys.exit(77)")[0])
        self.assertEqual(1, self.run_program("no python")[0])

    def test_cases_may_be_chosen(self):
        program = program_of(PASSES, FAILS)
        self.assertEqual(0, self.run_program(program, "Tests.test_passes")[0])


class CountResults(unittest.TestCase):
    def count(self, *entries):
        """(the six numbers, what was skipped) of a log with these: result, standard output and error."""
        with tempfile.NamedTemporaryFile("w", encoding="utf-8") as log:
            for result, stdout, stderr in entries:
                entry = {"name": "elmod:model / it", "result": result, "stdout": stdout}
                log.write(json.dumps(entry | {"stderr": stderr}) + "\n")
            log.flush()
            command = [sys.executable, "-B", TESTS / "count_results.py", log.name]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
        return tuple(map(int, done.stdout.split())), done.stderr

    def test_programs(self):
        results = ["OK", "EXPECTEDFAIL", "SKIP", "FAIL", "ERROR", "TIMEOUT", "UNEXPECTEDPASS"]
        found, _ = self.count(*((result, "", "") for result in results))
        self.assertEqual((2, 4, 1, 2, 4, 1), found)  # each is one case where it names none

    def test_cases(self):
        of_unittest = "test cases: 5 passed, 0 failed, 2 skipped\n"
        for wanted, entry in (
            ((1, 0, 0, 5, 0, 2), ("OK", of_unittest, ".....ss\n")),
            ((0, 1, 0, 2, 2, 1), ("FAIL", CMOCKA, CMOCKA_ERRORS)),
            ((0, 1, 0, 4, 2, 3), ("FAIL", NODE, "")),
            ((0, 1, 0, 5, 1, 2), ("FAIL", of_unittest, "")),  # not its cases, but something did
        ):
            self.assertEqual(wanted, self.count(entry)[0])
        self.assertEqual((1, 0, 1, 1, 0, 1), self.count(("OK", "", ""), ("SKIP", "", ""))[0])

    def test_why_something_was_skipped(self):
        _, said = self.count(("OK", CMOCKA, "skipped: no luck\nskipped: no luck\n"))
        self.assertEqual("skipped: it: no luck\nskipped: it: no promtool\n", said)


if __name__ == "__main__":
    unittest.main()
