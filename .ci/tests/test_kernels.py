"""What `make kernels` decides before and after its machines run."""

import os
import pathlib
import select
import signal
import subprocess
import sys
import tempfile
import unittest
import unittest.mock

CI = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(CI))

import kernels_image  # noqa: E402
import kernels_page  # noqa: E402
from tests import load  # noqa: E402

kernels = load("kernels")

CONSOLE = """machine: kernel 5.10.0-36-amd64, 2 CPU, 1965 MiB
machine: begin offers
[    9.1] a word of the kernel
{"sections": [{"title": "Kernel", "items": [
{"id": "kernel.btf", "state": "ok", "found": "BTF", "meaning": ""},
{"id": "kernel.set-retval", "state": "degraded", "found": "no bpf_set_retval", "meaning": "Pods see EPERM."}]},
{"title": "Hooks", "items": [{"id": "hooks.bind4", "state": "unknown", "found": "no hook", "meaning": ""}]}]}
machine: end offers 0 3
machine: begin kernel
✔ Test "a" passed after 0.1 seconds.
✘ Test "b" recorded an issue at X.swift:1:1: Expectation failed
\x1b[91m✘\x1b[0m Test "b" with 2 test cases failed after 0.1 seconds with 1 issue.
➜ Test "c" skipped: "came with Linux 6.4"
\x1b[90m➜\x1b[0m Test "d" skipped: "came with Linux 6.4"
✘ Test run with 4 tests in 1 suite failed after 1.5 seconds with 1 issue.
machine: end kernel 1 201
machine: begin demo
machine: end demo 0 14
""".splitlines()


def record(lines):
    made = kernels_page.Record("bullseye", "11")
    made.version = "5.10.0-36-amd64"
    for line in lines:
        made.read(line)
    return made


class KernelsTests(unittest.TestCase):
    def test_the_default_steps_leave_the_attacks_out(self):
        self.assertEqual([line.split()[0] for line in kernels.plan({})], kernels.DEFAULT_STEPS)
        self.assertNotIn("attack", kernels.DEFAULT_STEPS)

    def test_steps_kernels_and_a_command_can_be_chosen(self):
        self.assertEqual(len(kernels.plan({"STEPS": "demo attack"})), 2)
        self.assertEqual(kernels.plan({"COMMAND": "uname -a"}), ["command 300 uname -a"])
        self.assertEqual(kernels.releases({"KERNELS": "trixie"}), ["trixie"])
        self.assertEqual(kernels.releases({}), list(kernels.RELEASES))

    def test_an_unknown_step_or_release_is_named(self):
        with self.assertRaisesRegex(kernels_image.Unavailable, "'nonsense'"):
            kernels.plan({"STEPS": "nonsense"})
        with self.assertRaisesRegex(kernels_image.Unavailable, "'nonsense'"):
            kernels.releases({"KERNELS": "nonsense"})

    def machine(self, **variables):
        """The words of the command that runs a machine, with these variables in the environment."""
        with unittest.mock.patch.dict(os.environ, variables):
            machine = kernels.Machine("sid", kernels.Options.of_environment())
        machine.disk = "disk"
        return machine.options, machine.command("image", "initial")

    def test_a_machine_has_what_was_checked_and_an_empty_value_is_the_default(self):
        empty = dict.fromkeys(("CPUS", "LIMIT", "PATIENCE", "ACCELERATOR"), "")
        for variables, values, words in (
                (empty, (2, 3600, 5, "tcg"), ("tcg", "2")),
                ({"CPUS": "04", "LIMIT": "60", "PATIENCE": "7", "ACCELERATOR": " kvm"}, (4, 60, 7, "kvm"), ("kvm", "4"))):
            with self.subTest(variables):
                options, command = self.machine(**variables)
                self.assertEqual(options, kernels.Options(*values))
                self.assertEqual((command[command.index("-accel") + 1], command[command.index("-smp") + 1]), words)

    def test_a_machine_ends_with_the_script_that_is_ended(self):
        script = (
            "import pathlib, sys; sys.path.insert(0, sys.argv[1]); from tests.test_kernels import kernels\n"
            "machine = kernels.Machine('sid', kernels.Options.of_environment())\n"
            "machine.log = pathlib.Path('/dev/null')\n"
            "machine.boot([*kernels.LEASH, 'sh', '-c', 'echo machine: $$; exec sleep 600'])\n")
        self.assertEqual(self.machine()[1][:len(kernels.LEASH)], kernels.LEASH)
        with subprocess.Popen([sys.executable, "-c", script, CI], stdout=subprocess.PIPE, text=True) as runner:
            machine = int(runner.stdout.readline().split()[-1])
            descriptor = os.pidfd_open(machine)
            self.addCleanup(os.close, descriptor)
            runner.kill()
            has_ended = bool(select.select([descriptor], [], [], 60)[0])
            if not has_ended:
                signal.pidfd_send_signal(descriptor, signal.SIGKILL)
            self.assertTrue(has_ended)

    def test_a_wrong_option_is_named_on_every_machine_and_then_the_machine(self):
        for variables, sentence in (
                ({"CPUS": "two"}, "CPUS is a whole number"), ({"STEPS": "x"}, "There is no step 'x'"),
                ({"ACCELERATOR": "kvm tcg"}, "ACCELERATOR is one of tcg, kvm, and not 'kvm tcg'"),
                ({}, "'make kernels' needs one as well")):
            with self.subTest(variables), unittest.mock.patch.dict(os.environ, variables), \
                    unittest.mock.patch.object(kernels.platform, "machine", return_value="aarch64"), \
                    unittest.mock.patch.object(kernels.subprocess, "run", side_effect=AssertionError("a program is run")), \
                    self.assertRaisesRegex(SystemExit, sentence):
                kernels.main()

    def test_failed_tests_and_an_early_end_are_seen(self):
        early = record(CONSOLE)
        self.assertEqual(early.fault(), "the machine ended before its steps did")
        ended = record([*CONSOLE, "machine: finished"])
        self.assertEqual(ended.fault(), "these steps failed: kernel")
        self.assertEqual(ended.steps["kernel"], {"status": 1, "seconds": 201, "tests": 4, "failed": ["b"],
                                                 "skipped": ["came with Linux 6.4"] * 2})
        self.assertIsNone(record(["machine: begin demo", "machine: end demo 0 14", "machine: finished"]).fault())

    def test_the_page_has_what_was_seen_and_says_what_was_not_run(self):
        missing = kernels_page.Record("sid", "unstable")
        missing.unavailable = "the archive has no kernel"
        with tempfile.TemporaryDirectory() as directory:
            page = pathlib.Path(directory) / "kernels.md"
            page.write_text(f"before\n{kernels_page.BEGIN}old\n{kernels_page.END}after\n")
            kernels_page.write(page, [missing.values(), record(CONSOLE).values()])
            self.assertEqual(page.read_text(), f"""before
{kernels_page.BEGIN}
| kernel | of | kernel ring | rights | identities | demo |
|---|---|---|---|---|---|
| - | Debian unstable (sid) | not run: the archive has no kernel | | | |
| 5.10.0-36-amd64 | Debian 11 | 1 of 2 in 201 s | - | - | passed |

- **5.10.0-36-amd64**
  - no bpf_set_retval. Pods see EPERM.
  - did not pass (kernel): b
  - left out (kernel), 2 of the tests: came with Linux 6.4.

{kernels_page.END}after
""")

    def test_the_mirror_is_the_machines_own(self):
        targets = "http://a.example/debian-security bookworm-security\nhttp://b.example/debian bookworm\n"
        self.assertEqual(kernels_image.mirror(targets, kernels_image.KNOWN), "http://b.example/debian")
        with self.assertRaisesRegex(kernels_image.Unavailable, "main archive"):
            kernels_image.mirror("http://a.example/other nodistro\n", kernels_image.KNOWN)

    def test_a_kernel_in_several_packages_is_fetched_whole(self):
        depends = "linux-image-6.17-amd64\n  Depends: kmod\n  Depends: linux-binary-6.17-amd64\n  Depends: linux-base\n"
        self.assertEqual(kernels_image.parts(depends), ["linux-binary-6.17-amd64"])

    def test_an_image_is_found_where_old_and_new_packages_have_it(self):
        for place, version in (("boot/vmlinuz-5.10.0", "5.10.0"), ("lib/modules/7.2.13/vmlinuz", "7.2.13")):
            with tempfile.TemporaryDirectory() as directory:
                image = pathlib.Path(directory) / place
                image.parent.mkdir(parents=True)
                image.touch()
                self.assertEqual(kernels_image.bootable(pathlib.Path(directory)), (image, version))
        with tempfile.TemporaryDirectory() as directory, self.assertRaises(kernels_image.Unavailable):
            kernels_image.bootable(pathlib.Path(directory))

    def test_modules_are_loaded_once_and_in_order(self):
        shown = "insmod /m/virtio.ko \ninsmod /m/virtio_blk.ko \nbuiltin ext4\ninsmod /m/virtio.ko \n"
        self.assertEqual(kernels_image.module_paths(shown), ["/m/virtio.ko", "/m/virtio_blk.ko"])


if __name__ == "__main__":
    unittest.main()
