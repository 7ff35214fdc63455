"""The list of security holes in an image's packages: real versions of this machine, and the tracker's data in its own form."""
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

import manifests

CVES = manifests.DEPLOY / "image/cves"
# As the Debian security tracker prints it: by source package, then by CVE.
GLIBC = {
    "CVE-2001-0001": {"releases": {"bookworm": {"status": "resolved", "fixed_version": "2.31-1", "urgency": "low"}}},
    "CVE-2001-0002": {"releases": {"bookworm": {"status": "open", "urgency": "medium"}, "sid": {"status": "open"}}},
    "CVE-2001-0003": {"releases": {"bookworm": {"status": "resolved", "fixed_version": "99.1-1", "urgency": "high"}}},
    "CVE-2001-0004": {"releases": {"bookworm": {"status": "open", "urgency": "unimportant"}}},
    "CVE-2001-0005": {"releases": {"sid": {"status": "open", "urgency": "high"}}},
    "CVE-2001-0006": {"releases": {"bookworm": {"status": "resolved", "fixed_version": "0", "urgency": "high"}}},
    "CVE-2001-0007": {"releases": {"bookworm": {"status": "undetermined"}}},
}


class CVETests(unittest.TestCase):
    def setUp(self):
        self.root = pathlib.Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.root)
        self.list = self.root / "usr/share/podidentd/packages"
        self.list.parent.mkdir(parents=True)

    def write(self, package, version=None):
        form = "${Package}\t${Version}\t${source:Package}\n"
        line = subprocess.run(["dpkg-query", "-W", "-f", form, package], capture_output=True, text=True, check=True).stdout
        name, installed, source = line.split("\t")
        self.list.write_text(f"{name}\t{version or installed}\t{source}")

    def run_on(self, *arguments):
        result = subprocess.run([sys.executable, CVES, self.root, *arguments], capture_output=True, text=True)
        return result, json.loads(result.stdout) if result.stdout else None

    def release(self):
        self.write("libc6")
        return self.run_on()[1]["release"]

    def test_the_changelog_of_the_c_library_names_what_is_fixed_in_it(self):
        self.write("libc6")
        _, found = self.run_on()
        (package,) = found["packages"]
        self.assertEqual(package["source"], "glibc")
        self.assertIn("CVE-2023-4911", package["fixed"])
        self.assertNotIn("open", package)

    def test_a_package_that_debian_has_newer_is_named_with_both_versions(self):
        self.write("libc6", version="2.1-1")
        result, found = self.run_on()
        self.assertEqual(result.returncode, 1)
        self.assertIn("libc6: the image has 2.1-1, Debian offers " + found["packages"][0]["offered"], result.stderr)

    def test_of_the_trackers_data_what_is_open_in_this_release_and_this_version_counts(self):
        release = self.release()
        tracker = self.root / "tracker.json"
        tracker.write_text(json.dumps({"glibc": GLIBC}).replace("bookworm", release))
        _, found = self.run_on("--tracker", tracker)
        (package,) = found["packages"]
        self.assertEqual(
            [(entry["id"], entry["urgency"]) for entry in package["open"]],
            [("CVE-2001-0002", "medium"), ("CVE-2001-0003", "high"), ("CVE-2001-0007", "not yet assigned")],
        )

    def test_a_tracker_that_does_not_know_a_package_is_no_clean_bill(self):
        self.write("libc6")
        tracker = self.root / "tracker.json"
        tracker.write_text(json.dumps({"other": {}}))
        result, found = self.run_on("--tracker", tracker)
        self.assertEqual(result.returncode, 1)
        self.assertIsNone(found["packages"][0]["open"])
        self.assertIn("The tracker's data has nothing of glibc.", result.stderr)
