#!/usr/bin/python3
"""How a job of several ranks ends: as one of them is told to stop, fails, or is lost."""
import os
import re
import signal
import subprocess
import unittest

PROGRAM = os.environ["RANKS_PROGRAM"]  # test_train_ranks.c
MPIRUN = os.environ["MPIRUN"].split()  # with options


class Jobs(unittest.TestCase):
    def start(self, end):
        """Two ranks that wait for one another; self.pids are theirs."""
        job = subprocess.Popen(
            [*MPIRUN, "-n", "2", PROGRAM, "2", end],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.addCleanup(job.stdout.close)
        self.addCleanup(job.wait)
        self.addCleanup(job.kill)
        lines = sorted(job.stdout.readline() for _ in range(2))
        self.pids = [int(re.fullmatch(r"rank \d is process (\d+)\n", line)[1]) for line in lines]
        return job

    @staticmethod
    def end_of(job):
        """Exit status and what else it printed."""
        text = job.stdout.read()
        return job.wait(timeout=60), text

    def test_sigterm_to_one_rank_stops_all(self):
        for rank in range(2):
            with self.subTest(rank):
                job = self.start("stop")
                os.kill(self.pids[rank], signal.SIGTERM)
                status, text = self.end_of(job)
                self.assertEqual((0, 2), (status, text.count("stops: as told")), text)
                self.assertNotIn("does not answer", text)

    def test_sigusr1_to_mpirun_stops_all(self):
        job = self.start("stop")
        job.send_signal(signal.SIGUSR1)
        status, text = self.end_of(job)
        self.assertEqual((0, 2), (status, text.count("stops: as told")), text)

    def test_a_lost_rank_ends_the_job_with_a_word_about_it(self):
        for rank in range(2):
            with self.subTest(rank):
                job = self.start("stop")
                os.kill(self.pids[rank], signal.SIGKILL)
                status, text = self.end_of(job)
                self.assertNotEqual(0, status)
                said = f"rank {1 - rank} got the signal to stop, but another rank does not answer"
                self.assertEqual(1, text.count(said), text)
                self.assertIn("start it again with --resume", text)
                self.assertNotIn("stops", text)

    def test_a_rank_that_fails_gives_the_job_its_status(self):
        status, _ = self.end_of(self.start("fail"))
        self.assertEqual(5, status)

    def test_processes_that_mpi_does_not_find_are_no_ranks(self):
        done = subprocess.run(
            [PROGRAM, "2"],
            env=os.environ | {"PMI_SIZE": "2"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        self.assertEqual(1, done.returncode)
        self.assertIn("this is one of 2 processes, but MPI finds 1", done.stderr)


if __name__ == "__main__":
    unittest.main()
