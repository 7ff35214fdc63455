"""The load generator gets the same command in the foreground and in the background."""

import os
import sys
import unittest
import unittest.mock

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from harness import load  # noqa: E402

POD = {"procs": "/cgroup.procs", "network": "/network"}


class LoadTests(unittest.TestCase):
    def commands(self, *arguments):
        """The command in the foreground and in the background, without running it."""
        with unittest.mock.patch.object(load, "program", side_effect=lambda name: name), \
                unittest.mock.patch.object(load, "run", return_value="{}") as run, \
                unittest.mock.patch.object(load.subprocess, "Popen") as popen:
            load.open_load(*arguments)
            load.start_load(*arguments)
        return list(run.call_args[0]), popen.call_args[0][0]

    def test_both_are_one_command(self):
        for keep_alive in (True, False):
            open_, start = self.commands(POD, "/token", 500, 4, keep_alive, 32)
            self.assertEqual(open_, start)
            self.assertEqual("--keep-alive" in start, keep_alive)
            self.assertEqual(start[start.index("--connections") + 1], "32")
            self.assertEqual(start[start.index("--rate") + 1], "500")

    def test_a_load_in_the_background_has_a_connection_for_each_request_unless_asked(self):
        with unittest.mock.patch.object(load, "program", side_effect=lambda name: name), \
                unittest.mock.patch.object(load.subprocess, "Popen") as popen:
            load.start_load(POD, "/token", 1000.4, 4)
        self.assertEqual(popen.call_args[0][0], [
            "load", "--rate", "1000", "--seconds", "4", "--path", "/token", "--connections", "256", "--cgroup", "/cgroup.procs",
            "--network", "/network"])


if __name__ == "__main__":
    unittest.main()
