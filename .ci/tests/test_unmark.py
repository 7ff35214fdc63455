""".ci/unmark: copies of static libraries in which nothing but what the runtime finds by its section is kept for itself."""

import pathlib
import subprocess
import tempfile
import unittest

import toolchain

UNMARK = pathlib.Path(__file__).resolve().parents[1] / "unmark"
SOURCE = """
#define MARKED(name) __attribute__((used, retain, section(name)))
MARKED(".text.called") int called(void) { return 0; }
MARKED(".text.called_by_nobody") int called_by_nobody(void) { return 1; }
MARKED("swift5_fieldmd") const int fields = 2;
MARKED("swift5_type_metadata") const int type = 3;
"""
PROGRAM = "int called(void); int main(void) { return called(); }"


class UnmarkTests(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp())
        self.addCleanup(subprocess.run, ["rm", "-rf", self.folder])
        self.clang = toolchain.tool("clang")
        (self.folder / "library.c").write_text(SOURCE)
        (self.folder / "program.c").write_text(PROGRAM)
        self.run_tool(self.clang, "-c", "library.c", "-o", "library.o")
        # Two members, of which the first has an odd size.
        (self.folder / "odd").write_bytes(b"odd")
        self.resources = self.folder / "swift_static"
        (self.resources / "linux/x86_64").mkdir(parents=True)
        (self.resources / "shims").mkdir()
        (self.resources / "linux/x86_64/swiftrt.o").write_text("start")
        self.library = self.resources / "linux/libmarked.a"
        self.run_tool(self.clang.parent / "llvm-ar", "qc", self.library, "odd", "library.o")
        # Not there yet, and deeper than what it is a copy of.
        self.copy = self.folder / "build/static/swift"

    def run_tool(self, *command):
        return subprocess.run(command, cwd=self.folder, check=True, capture_output=True, text=True).stdout

    def test_the_linker_leaves_out_what_nothing_refers_to_but_keeps_what_the_runtime_looks_for(self):
        subprocess.run([UNMARK, self.resources, self.copy], check=True)
        everything = {"called", "called_by_nobody", "fields", "type"}
        for place, expected in [(self.library.parent, everything), (self.copy / "linux", {"called", "type"})]:
            self.run_tool(
                self.clang, "-fuse-ld=lld", "-Wl,--gc-sections", "program.c", f"-L{place}", "-lmarked", "-o", "program")
            names = set(self.run_tool(self.clang.parent / "llvm-nm", "program").split())
            self.assertEqual(names & everything, expected)

    def test_the_copy_is_whole_wherever_it_is_mounted_and_the_original_stays(self):
        before = self.library.read_bytes()
        for _ in range(2):
            subprocess.run([UNMARK, self.resources, self.copy], check=True)
        self.assertEqual(self.library.read_bytes(), before)
        moved = self.folder / "moved"
        moved.mkdir()
        for name in ("swift_static", "build"):
            (self.folder / name).rename(moved / name)
        copy = moved / "build/static/swift"
        self.assertEqual({path.name for path in copy.iterdir()}, {"linux", "shims"})
        self.assertTrue((copy / "shims").is_dir())
        self.assertEqual((copy / "linux/x86_64/swiftrt.o").read_text(), "start")
        self.assertFalse((copy / "linux/libmarked.a").is_symlink())

    def test_what_is_no_library_is_refused(self):
        (self.resources / "linux/libodd.a").write_bytes(b"odd")
        result = subprocess.run([UNMARK, self.resources, self.copy], capture_output=True, text=True)
        self.assertEqual((result.returncode, result.stderr), (1, "unmark: a library is no archive\n"))

    def test_a_folder_without_libraries_is_refused(self):
        result = subprocess.run([UNMARK, self.folder, self.copy], capture_output=True, text=True)
        self.assertEqual((result.returncode, result.stderr), (1, f"unmark: {self.folder} has no folder of static libraries\n"))


if __name__ == "__main__":
    unittest.main()
