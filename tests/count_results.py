#!/usr/bin/python3
"""Adds up what `meson test` wrote to LOG (testlog.json). Prints six numbers: test programs that passed,
failed and were skipped, then test cases that did. Standard error names what was skipped, and why.

usage: tests/count_results.py LOG"""
import json
import re
import sys

RESULTS = {"OK": "passed", "EXPECTEDFAIL": "passed", "SKIP": "skipped"}  # else failed
KINDS = ("passed", "failed", "skipped")
REASON = re.compile(r"^skipped: (.+)$", re.MULTILINE | re.IGNORECASE)
OF_UNITTEST = re.compile(r"^test cases: (\d+) passed, (\d+) failed, (\d+) skipped$", re.MULTILINE)
OF_NODE = re.compile(r"^\u2139 (pass|fail|cancelled|skipped|todo) (\d+)$", re.MULTILINE)


def cases_of_unittest(text):
    """As tests/run_unittest.py says."""
    return map(int, OF_UNITTEST.search(text).groups())


def cases_of_node(text):
    n = dict.fromkeys(("pass", "fail", "cancelled", "skipped", "todo"), 0)
    n |= {kind: int(number) for kind, number in OF_NODE.findall(text)}
    return n["pass"], n["fail"] + n["cancelled"], n["skipped"] + n["todo"]


def cases_of_cmocka(text):
    """A test that began, and neither passed nor was skipped, failed. (Standard error has it again.)"""
    begun, passed, skipped = map(text.count, ("[ RUN      ] ", "[       OK ] ", "[  SKIPPED ] "))
    return passed, begun - passed - skipped, skipped


def cases_of(text, result):
    """{kind: number} of a program, by its standard output. One that names no case is a case itself, and one that
    failed has at least one that did."""
    count = cases_of_cmocka
    if OF_UNITTEST.search(text):
        count = cases_of_unittest
    elif OF_NODE.search(text):
        count = cases_of_node
    cases = dict(zip(KINDS, count(text)))
    if result == "failed" or not any(cases.values()):
        cases[result] = max(1, cases[result])
    return cases


def main():
    programs, cases = dict.fromkeys(KINDS, 0), dict.fromkeys(KINDS, 0)
    with open(sys.argv[1], encoding="utf-8") as log:
        for entry in map(json.loads, log):
            output, errors = entry.get("stdout", ""), entry.get("stderr", "")
            result = RESULTS.get(entry["result"], "failed")
            programs[result] += 1
            for kind, number in cases_of(output, result).items():
                cases[kind] += number
            name = entry["name"].split(" / ")[-1]
            for reason in sorted(set(REASON.findall(f"{output}\n{errors}"))):
                print(f"skipped: {name}: {reason}", file=sys.stderr)
    print(*programs.values(), *cases.values())


if __name__ == "__main__":
    main()
