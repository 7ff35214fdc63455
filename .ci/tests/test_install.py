"""What `.ci/install` installs starts no service, now or at the next boot, and those that were there stay as they are."""

import os
import pathlib
import re
import subprocess
import tempfile
import unittest

CI = pathlib.Path(__file__).resolve().parent.parent
# As a package's scripts do: they ask the policy, and then act or do not.
APT = """
[ "$1" = install ] || exit 0
ask() {
    if [ ! -x "$PODIDENTD_INSTALL_TEST_ROOT/usr/sbin/policy-rc.d" ]; then echo "$1 $2: nobody is asked"; return; fi
    "$PODIDENTD_INSTALL_TEST_ROOT/usr/sbin/policy-rc.d" $3 "$1" "$2" && echo "$1 $2: allowed" || echo "$1 $2: $?"
}
mkdir -p "$PODIDENTD_INSTALL_TEST_ROOT/lib/systemd/system" "$PODIDENTD_INSTALL_TEST_ROOT/etc/init.d"
touch "$PODIDENTD_INSTALL_TEST_ROOT/lib/systemd/system/unbound.service" "$PODIDENTD_INSTALL_TEST_ROOT/etc/init.d/unbound"
{ ask unbound.service start; ask unbound start --quiet; ask ssh.service restart; ask cron restart; } > "$PODIDENTD_INSTALL_TEST_ROOT/asked"
"""


class InstallTests(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = pathlib.Path(folder.name, "root")
        self.programs = pathlib.Path(folder.name, "programs")
        for place in ("usr/sbin", "lib/systemd/system", "etc/init.d"):
            (self.root / place).mkdir(parents=True)
        self.programs.mkdir()
        (self.root / "lib/systemd/system/ssh.service").touch()
        (self.root / "etc/init.d/cron").touch()
        self.policy = self.root / "usr/sbin/policy-rc.d"
        self.script("dpkg-query", "echo -n not-installed")
        self.script("id", "echo 0")
        self.script("apt-get", APT)
        for name in ("systemctl", "update-rc.d"):
            self.script(name, f'echo "{name} $*" >> "$PODIDENTD_INSTALL_TEST_ROOT/done"')

    def script(self, name, text):
        path = self.programs / name
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)

    def install(self):
        variables = {
            "PATH": f"{self.programs}:{os.environ['PATH']}", "PODIDENTD_INSTALL_TEST_ROOT": str(self.root),
            "TMPDIR": str(self.root.parent)}
        return subprocess.run(
            ["bash", CI / "install", "unbound"], capture_output=True, text=True, timeout=60, env=variables)

    def read(self, name):
        return (self.root / name).read_text().splitlines()

    def test_a_new_service_is_neither_started_nor_enabled_and_one_that_was_there_is(self):
        result = self.install()
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        self.assertEqual(
            self.read("asked"),
            ["unbound.service start: 101", "unbound start: 101", "ssh.service restart: allowed", "cron restart: allowed"])
        self.assertEqual(self.read("done"), ["update-rc.d unbound disable", "systemctl --quiet disable unbound.service"])
        self.assertEqual(
            result.stdout, "Installing unbound\nNeither started nor enabled of what was installed: unbound unbound.service\n")
        self.assertFalse(self.policy.exists())
        self.assertEqual(sorted(path.name for path in self.root.parent.iterdir()), ["programs", "root"])

    def test_a_policy_of_the_machine_decides_by_itself(self):
        self.policy.write_text("#!/bin/sh\nexit 0\n")
        self.policy.chmod(0o755)
        self.assertEqual(self.install().returncode, 0)
        self.assertEqual(self.read("asked")[0], "unbound.service start: allowed")
        self.assertEqual(self.policy.read_text(), "#!/bin/sh\nexit 0\n")

    def test_what_another_policy_decides_is_not_said_to_be_prevented(self):
        self.policy.write_text("#!/bin/sh\nexit 0\n")
        self.policy.chmod(0o755)
        self.assertEqual(
            self.install().stdout,
            f"Installing unbound\nNot enabled of what was installed, and started only if {self.policy} allows it, which was there "
            "before: unbound unbound.service\n")

    def test_a_failed_installation_leaves_no_policy(self):
        self.script("apt-get", "echo no such package; exit 100")
        result = self.install()
        self.assertEqual(result.returncode, 1)
        self.assertIn("These packages could not be installed: unbound", result.stderr)
        self.assertFalse(self.policy.exists())

    def test_another_installation_is_waited_for(self):
        self.script("apt-get", 'echo "$*" >> "$PODIDENTD_INSTALL_TEST_ROOT/calls"')
        self.assertEqual(self.install().returncode, 0)
        self.assertRegex(self.read("calls")[-1], "^install .* -o DPkg::Lock::Timeout=[1-9][0-9]* unbound$")

    def kill_an_installation(self):
        """Leaves a policy behind, and returns its text."""
        self.script("apt-get", '[ "$1" = install ] || exit 0\nkill -9 $PPID')
        self.assertEqual(self.install().returncode, -9)
        self.script("apt-get", APT)
        return self.policy.read_text()

    def test_a_policy_that_a_kill_leaves_behind_allows_everything(self):
        self.kill_an_installation()
        self.assertEqual(subprocess.run([self.policy, "unbound.service", "start"]).returncode, 0)

    def test_a_policy_that_a_kill_left_behind_is_replaced_and_removed(self):
        self.kill_an_installation()
        result = self.install()
        self.assertEqual(self.read("asked")[0], "unbound.service start: 101")
        self.assertIn("Neither started nor enabled", result.stdout)
        self.assertFalse(self.policy.exists())

    def test_a_policy_whose_process_is_another_program_by_now_is_replaced(self):
        text = self.kill_an_installation()
        self.policy.write_text(re.sub(r"/proc/\d+", f"/proc/{os.getpid()}", text))
        self.install()
        self.assertFalse(self.policy.exists())

    def test_a_policy_of_another_run_that_goes_on_stays(self):
        text = self.kill_an_installation()
        # A process with the name of one; it ends when its input does.
        other = subprocess.Popen(["bash", "-c", "read -r _ || exit 0", ".ci/install"], stdin=subprocess.PIPE)
        try:
            self.policy.write_text(re.sub(r"/proc/\d+", f"/proc/{other.pid}", text))
            self.assertIn("which was there before", self.install().stdout)
            self.assertTrue(self.policy.exists())
        finally:
            other.communicate()


if __name__ == "__main__":
    unittest.main()
