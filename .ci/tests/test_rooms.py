"""The table of rooms in docs/ARCHITECTURE.md is about this repository."""

import os
import pathlib
import subprocess
import sys
import unittest
import unittest.mock

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

import room_sizes  # noqa: E402


class RoomTests(unittest.TestCase):
    def test_every_room_has_a_row_and_its_size_is_about_right(self):
        now, page = room_sizes.measure(room_sizes.files_now()), room_sizes.rows(room_sizes.PAGE.read_text())
        self.assertEqual(sorted(page), sorted(now), "make rooms writes the table anew")
        for name, size in now.items():
            with self.subTest(name):
                # Not to the line: each change would have to write the table.
                self.assertLess(abs(page[name][0] - size.lines), max(100, size.lines / 4), "make rooms")

    def test_a_clone_of_another_user_is_measured(self):
        # The machine's own configuration may call every clone safe.
        with unittest.mock.patch.dict(os.environ, {
                "GIT_TEST_ASSUME_DIFFERENT_OWNER": "1", "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1"}):
            self.assertNotEqual(subprocess.run(["git", "status"], cwd=room_sizes.ROOT, capture_output=True).returncode, 0)
            self.assertIn("bpf", room_sizes.measure(room_sizes.files_now()))

    def test_a_file_belongs_to_the_folder_below_its_parent(self):
        self.assertEqual(room_sizes.room("Sources/BPF/Maps/BPFMap.swift"), "Sources/BPF")
        self.assertEqual(room_sizes.room("bpf/lib/maps.h"), "bpf")
        for path in ("Package.swift", "Sources/CBPFPrograms/include/redirect.skel.h", "Tests/A/B.swift", "docs/a.md"):
            self.assertIsNone(room_sizes.room(path))

    def test_the_longest_function_is_measured_from_its_first_line_to_its_brace(self):
        swift = ["struct S {", "    func a(", "        _ x: Int", "    ) {", "        x", "    }", "    func b() { 1 }", "}"]
        self.assertEqual(room_sizes.longest_function("S.swift", swift), 5)
        self.assertEqual(room_sizes.longest_function("s.c", ["static int f(int a)", "{", "\treturn a;", "}"]), 4)

    def test_a_table_is_replaced_whole(self):
        page = f"# A\n\n{room_sizes.HEAD}\n|---|\n| `x` | 1 |\n\nAfter.\n"
        self.assertEqual(room_sizes.replace(page, "new"), "# A\n\nnew\n\nAfter.\n")


if __name__ == "__main__":
    unittest.main()
