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
        self.library = self.folder / "libmarked.a"
        self.run_tool(self.clang.parent / "llvm-ar", "qc", self.library, "odd", "library.o")
        self.copies = self.folder / "copies"
        self.copies.mkdir()

    def run_tool(self, *command):
        return subprocess.run(command, cwd=self.folder, check=True, capture_output=True, text=True).stdout

    def test_the_linker_leaves_out_what_nothing_refers_to_but_keeps_what_the_runtime_looks_for(self):
        subprocess.run([UNMARK, self.copies, self.library], check=True)
        everything = {"called", "called_by_nobody", "fields", "type"}
        for place, expected in [(self.folder, everything), (self.copies, {"called", "type"})]:
            self.run_tool(
                self.clang, "-fuse-ld=lld", "-Wl,--gc-sections", "program.c", f"-L{place}", "-lmarked", "-o", "program")
            names = set(self.run_tool(self.clang.parent / "llvm-nm", "program").split())
            self.assertEqual(names & everything, expected)

    def test_the_original_stays_where_a_link_to_it_is_replaced(self):
        before = self.library.read_bytes()
        (self.copies / self.library.name).symlink_to(self.library)
        subprocess.run([UNMARK, self.copies, self.library], check=True)
        self.assertEqual(self.library.read_bytes(), before)
        self.assertFalse((self.copies / self.library.name).is_symlink())

    def test_what_is_no_library_is_refused(self):
        result = subprocess.run([UNMARK, self.copies, self.folder / "odd"], capture_output=True, text=True)
        self.assertEqual((result.returncode, result.stderr), (1, "unmark: a library is no archive\n"))


if __name__ == "__main__":
    unittest.main()
