"""The image's archive: its name as those who import it see it, and what the build says where something is missing."""
import hashlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import unittest

import manifests

REPOSITORY = manifests.DEPLOY.parent
IMAGE = manifests.DEPLOY / "image"
README = (manifests.DEPLOY / "README.md").read_text()


def run(*command, **options):
    return subprocess.run(command, capture_output=True, text=True, **options)


def documented_name():
    """The image of the manifests, which the documents name too."""
    (name,) = set(re.findall(r"^ +image: (\S+)$", (manifests.GOLDEN / "kubeadm.yaml").read_text(), re.MULTILINE))
    return name


class Registry:
    """Debian's docker-registry, on a port of the loopback address that the kernel chose."""

    def __init__(self, directory):
        directory.mkdir()
        self.settings = directory / "config.yml"
        self.settings.write_text(json.dumps({
            "version": "0.1", "storage": {"filesystem": {"rootdirectory": str(directory / "store")}},
            "http": {"addr": "127.0.0.1:0"}, "log": {"accesslog": {"disabled": True}},
        }))

    def __enter__(self):
        program = manifests.DEPLOY.parent / ".build/deploy/bin/docker-registry"
        self.process = subprocess.Popen([program, "serve", self.settings], stderr=subprocess.PIPE, text=True)
        self.address = next(match[1] for line in self.process.stderr if (match := re.search(r"listening on ([\d.:]+)", line)))
        # Its log is read to the end, so that it never waits for a reader.
        threading.Thread(target=self.process.stderr.read, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(60)
        self.process.stderr.close()


class ArchiveTests(unittest.TestCase):
    """An image of one program, packed as the agent's is."""

    @classmethod
    def setUpClass(cls):
        cls.directory = pathlib.Path(tempfile.mkdtemp())
        cls.addClassCleanup(shutil.rmtree, cls.directory)
        cls.name = documented_name()
        root = cls.directory / "root"
        root.mkdir()
        shutil.copy("/bin/busybox", root / "busybox")
        cls.archive = cls.directory / "podidentd.oci.tar"
        entrypoint = '["/busybox", "echo"]'
        subprocess.run([IMAGE / "pack", root, cls.archive, cls.name, "--entrypoint", entrypoint], check=True)

    def test_the_name_that_the_build_gives_is_the_one_of_the_manifests(self):
        self.assertEqual(run(IMAGE / "name").stdout.strip(), self.name)

    def test_containerd_lists_the_name_and_a_pod_with_it_runs(self):
        command = [sys.executable, manifests.DEPLOY / "tests/in-containerd", self.archive]
        result = run(*command, self.name, "--", "it", "runs")
        self.assertEqual((result.returncode, result.stdout), (0, "it runs\n"), result.stderr)

    def test_a_node_of_kind_runs_it_under_the_same_name(self):
        """kind imports with options that store further names."""
        command = [sys.executable, manifests.DEPLOY / "tests/in-containerd", "--as-kind", self.archive]
        result = run(*command, self.name, "--", "it", "runs")
        self.assertEqual((result.returncode, result.stdout), (0, "it runs\n"), result.stderr)

    def test_a_registry_gets_what_the_build_measured_and_the_provenance_names(self):
        """By the documented command, into a real registry: compressed layers, and the manifest to the byte."""
        (command,) = re.findall(r"^(skopeo copy \S+) docker://", README, re.MULTILINE)
        with Registry(self.directory / "registry") as registry:
            target = f"docker://{registry.address}/podidentd:0.2.0"
            pushed = run(*command.split(), "--dest-tls-verify=false", target, cwd=self.directory_with_build())
            self.assertEqual(pushed.returncode, 0, pushed.stderr)
            raw = run("skopeo", "inspect", "--tls-verify=false", "--raw", target).stdout
        manifest = json.loads(raw)
        types = {layer["mediaType"] for layer in manifest["layers"]}
        self.assertEqual(types, {"application/vnd.oci.image.layer.v1.tar+gzip"})
        provenance = run(sys.executable, IMAGE / "provenance", self.directory / "root", self.archive, self.name, "0123abcd")
        statement = json.loads(provenance.stdout)
        self.assertEqual(hashlib.sha256(raw.encode()).hexdigest(), statement["subject"][0]["digest"]["sha256"])
        blobs = sum(part["size"] for part in [manifest["config"], *manifest["layers"]]) + len(raw)
        sizes = run(sys.executable, IMAGE / "sizes", self.directory / "sized", self.archive).stdout
        self.assertIn(f"image, compressed: {blobs / 1e6:.1f} MB", sizes)

    def directory_with_build(self):
        """A directory with the archive where `make image` leaves it, and the directory `sized` for its contents."""
        place = self.directory / "clone/.build/image"
        place.mkdir(parents=True)
        shutil.copy(self.archive, place)
        (self.directory / "sized").mkdir()
        (self.directory / "sized/podidentd").touch()
        return self.directory / "clone"

    def test_an_archive_with_a_short_name_is_found_by_nobody(self):
        """A runtime adds a registry to what a pod names, and nothing to what was imported."""
        short = self.directory / "short.tar"
        layout = self.directory / "short"
        run("tar", "-xf", self.archive, f"--one-top-level={layout}")
        subprocess.run([IMAGE / "names", layout, "podidentd:0.2.0"], check=True)
        run("tar", "-C", layout, "-cf", short, ".")
        result = run(sys.executable, manifests.DEPLOY / "tests/in-containerd", short, self.name, "--", "runs")
        self.assertNotEqual(result.returncode, 0)
        self.assertIn(f"not {self.name} alone", result.stderr)

    def test_the_store_that_cri_o_reads_gets_the_name_by_the_documented_command(self):
        (command,) = re.findall(r"^(skopeo copy \S+ containers-storage:\S+)", README, re.MULTILINE)
        settings = self.directory / "storage.conf"
        places = {"driver": "vfs", "graphroot": f"{self.directory}/store", "runroot": f"{self.directory}/run"}
        settings.write_text("[storage]\n" + "".join(f'{key} = "{value}"\n' for key, value in places.items()))
        environment = {**os.environ, "CONTAINERS_STORAGE_CONF": str(settings)}
        copied = run(*command.split(), env=environment, cwd=self.directory)
        self.assertEqual(copied.returncode, 0, copied.stderr)
        listed = run("buildah", "images", "--format", "{{.Name}}:{{.Tag}}", env=environment)
        self.assertEqual(listed.stdout.split(), [self.name], listed.stderr)

    def test_podman_and_buildah_take_the_name_from_the_archive(self):
        options = ["--root", f"{self.directory}/store2", "--runroot", f"{self.directory}/run2", "--storage-driver", "vfs"]
        pulled = run("buildah", *options, "pull", "--quiet", f"oci-archive:{self.archive}")
        self.assertEqual(pulled.returncode, 0, pulled.stderr)
        listed = run("buildah", *options, "images", "--format", "{{.Name}}:{{.Tag}}")
        self.assertEqual(listed.stdout.split(), [self.name], listed.stderr)

    def test_tools_that_know_only_the_docker_archive_find_the_name(self):
        listed = run("skopeo", "list-tags", f"docker-archive:{self.archive}")
        self.assertIn(f'"{self.name}"', listed.stdout, listed.stderr)
        copied = run("skopeo", "copy", f"docker-archive:{self.archive}", f"oci:{self.directory}/copy:latest")
        self.assertEqual(copied.returncode, 0, copied.stderr)

    def test_a_name_without_registry_or_tag_is_refused(self):
        for name in ["podidentd", "podidentd:0.2.0", "team/podidentd:0.2.0", "registry.example.com/podidentd", "a.b/C:1"]:
            with self.subTest(name):
                result = run(IMAGE / "pack", self.directory / "root", self.directory / "refused.tar", name)
                self.assertEqual(result.returncode, 1)
                self.assertIn(f"'{name}' is no full image name", result.stderr)
        self.assertFalse((self.directory / "refused.tar").exists())

    def test_the_image_is_described_in_one_way(self):
        (description,) = re.findall(r"^description: (.+)$", (manifests.DEPLOY / "helm/Chart.yaml").read_text(), re.MULTILINE)
        label = r'org\.opencontainers\.image\.description="(.+)"'
        self.assertEqual(re.findall(label, (IMAGE / "Containerfile").read_text()), [description])
        self.assertIn('image.description=$description"', (IMAGE / "assemble").read_text())
        for word in ("Google Cloud", "AWS", "Azure", "SPIFFE"):
            self.assertIn(word, description)

    def test_every_name_in_the_documents_is_full(self):
        documents = [
            IMAGE / "Containerfile", *manifests.DEPLOY.glob("*.md"), *REPOSITORY.glob("docs/**/*.md"), REPOSITORY / "README.md"
        ]
        for path in documents:
            for line in path.read_text().splitlines():
                for name in re.findall(r"[\w./-]*podidentd:[0-9][\w.-]*", line):
                    with self.subTest(path.name, line=line):
                        self.assertTrue(name.removeprefix("//").startswith("registry."))

    def test_the_same_files_make_the_same_archive(self):
        """Whenever they were made, and in whichever order; other times or contents make another."""
        archives = []
        for number, (moment, content, epoch) in enumerate([(1, "a", 5), (2, "a", 5), (1, "b", 5), (1, "a", 6)]):
            root = self.directory / f"reproduced-{number}"
            root.mkdir()
            for name in ("one", "two") if number % 2 else ("two", "one"):
                (root / name).write_text(content)
                os.utime(root / name, (moment, moment))
            archive = self.directory / f"reproduced-{number}.tar"
            environment = os.environ | {"SOURCE_DATE_EPOCH": str(epoch)}
            packed = run(IMAGE / "pack", root, archive, self.name, "--cmd", "run", env=environment)
            self.assertEqual(packed.returncode, 0, packed.stderr)
            archives.append(archive.read_bytes())
        self.assertEqual(archives[0], archives[1])
        self.assertEqual(len(set(archives)), 3)

    def test_an_image_that_is_too_large_is_refused_with_its_largest_file(self):
        root = self.directory / "large"
        root.mkdir()
        (root / "podidentd").write_bytes(b"small")
        small = run(sys.executable, IMAGE / "sizes", root, self.archive)
        self.assertEqual(small.returncode, 0, small.stderr)
        with (root / "podidentd").open("wb") as file:
            file.truncate(30_000_001)
        large = run(sys.executable, IMAGE / "sizes", root, self.archive)
        self.assertEqual(large.returncode, 1)
        self.assertIn("30.00 MB  /podidentd", large.stdout)
        self.assertIn("larger than it may be", large.stderr)

    def test_the_provenance_names_the_image_by_its_digest(self):
        result = run(sys.executable, IMAGE / "provenance", self.directory / "root", self.archive, self.name, "0123abcd")
        self.assertEqual(result.returncode, 0, result.stderr)
        statement = json.loads(result.stdout)
        (subject,) = statement["subject"]
        inspected = run("skopeo", "inspect", "--format", "{{.Digest}}", f"oci-archive:{self.archive}")
        self.assertEqual("sha256:" + subject["digest"]["sha256"], inspected.stdout.strip(), inspected.stderr)
        self.assertEqual(subject["name"] + ":" + self.name.rsplit(":", 1)[1], self.name)
        materials = statement["predicate"]["buildDefinition"]["resolvedDependencies"]
        self.assertEqual(materials[0]["digest"], {"gitCommit": "0123abcd"})

    def test_the_provenance_names_the_command_and_the_toolchain_of_another_processor(self):
        root = self.directory / "other"
        (root / "usr/share/podidentd").mkdir(parents=True)
        (root / "usr/share/podidentd/packages").write_text("libc6\t2.42-5\tglibc\nswiftlang\t6.2.3-1\tswiftlang\n")
        for builder, described in [([], "make image"), (["make arm64", ".ci/arm64"], "make arm64")]:
            result = run(sys.executable, IMAGE / "provenance", root, self.archive, self.name, "0123abcd", *builder)
            self.assertEqual(result.returncode, 0, result.stderr)
            predicate = json.loads(result.stdout)["predicate"]
            self.assertEqual(predicate["runDetails"]["builder"]["id"], described)
            self.assertEqual(predicate["buildDefinition"]["buildType"], builder[1] if builder else "deploy/image/build")
            found = {entry["uri"] for entry in predicate["buildDefinition"]["resolvedDependencies"] if "swift@" in entry["uri"] or
                     entry["uri"].startswith("pkg:deb/")}
            self.assertEqual(found, {"pkg:deb/debian/libc6@2.42-5", "pkg:deb/debian/swiftlang@6.2.3-1"})

    def test_names_with_a_port_or_localhost_are_full(self):
        for name in ["localhost/podidentd:1", "registry:5000/a/b:v1", "127.0.0.1:5000/podidentd:latest"]:
            with self.subTest(name):
                archive = self.directory / "named.tar"
                result = run(IMAGE / "pack", self.directory / "root", archive, name)
                self.assertEqual(result.returncode, 0, result.stderr)


class OtherProcessorTests(unittest.TestCase):
    """`deploy/image/rootfs` with the files of another Debian: here a folder with what this machine's `sort` loads."""

    def setUp(self):
        self.directory = pathlib.Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.directory)
        self.program = self.directory / "other-program"
        shutil.copy("/usr/bin/sort", self.program)
        self.loaded = sorted(re.findall(r"/\S+", run("ldd", self.program).stdout))
        self.sysroot = self.directory / "sysroot"
        # The package of all that is loaded, and of a library that is inside the program; and a library of no package.
        self.static = self.directory / "static"
        self.static.mkdir()
        owned = [*self.loaded, "/usr/lib/libinside.a"]
        for name in owned:
            path = self.sysroot / name.removeprefix("/")
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(name, path) if name in self.loaded else path.write_text("inside")
        (self.static / "libinside.a").symlink_to(self.sysroot / "usr/lib/libinside.a")
        (self.static / "libstray.a").touch()
        database = self.sysroot / "var/lib/dpkg"
        (database / "info").mkdir(parents=True)
        (database / "status").write_text(
            "Package: everything\nStatus: install ok installed\nVersion: 7-1\nArchitecture: arm64\nMaintainer: a\nDescription: a\n")
        (database / "info/everything.list").write_text("".join(f"{name}\n" for name in ["/.", *owned]))

    def test_the_loader_of_the_other_files_finds_what_this_machines_finds(self):
        self.assertGreater(len(self.loaded), 1)
        found = run(IMAGE / "libraries", self.program, self.sysroot)
        self.assertEqual((found.stdout.split(), found.stderr), (self.loaded, ""))
        (self.sysroot / self.loaded[0].removeprefix("/")).unlink()
        missing = run(IMAGE / "libraries", self.program, self.sysroot)
        self.assertEqual(missing.returncode, 1)
        self.assertIn(f"{pathlib.Path(self.loaded[0]).name}, which {self.program} needs", missing.stderr)

    def test_the_image_holds_the_other_files_and_names_their_packages(self):
        root = self.directory / "rootfs"
        environment = os.environ | {"SYSROOT": str(self.sysroot), "STATIC": str(self.static)}
        made = run("bash", IMAGE / "rootfs", self.program, root, env=environment)
        self.assertEqual((made.returncode, made.stderr), (0, ""))
        for name in self.loaded:
            path = name.removeprefix("/")
            self.assertEqual((root / path).read_bytes(), (self.sysroot / path).read_bytes())
        listed = [line.split("\t") for line in (root / "usr/share/podidentd/packages").read_text().splitlines()]
        self.assertEqual([name for name, *_ in listed], ["ca-certificates", "everything"])
        self.assertEqual(listed[1][1:], ["7-1", "everything"])


class FreshCloneTests(unittest.TestCase):
    """`deploy/image/build` where nothing was built: the files of the repository alone."""

    @classmethod
    def setUpClass(cls):
        cls.clone = pathlib.Path(tempfile.mkdtemp())
        cls.addClassCleanup(shutil.rmtree, cls.clone)
        listed = subprocess.run(
            [REPOSITORY / ".ci/git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], check=True, capture_output=True)
        archive = ["tar", "--null", "--files-from=-", "-cf", cls.clone / "files.tar"]
        subprocess.run(archive, input=listed.stdout, cwd=REPOSITORY, check=True)
        subprocess.run(["tar", "-xf", "files.tar"], cwd=cls.clone, check=True)

    def refused(self, *arguments, **environment):
        result = run("bash", "deploy/image/build", *arguments, cwd=self.clone, env={**os.environ, **environment})
        self.assertEqual((result.returncode, result.stdout), (1, ""), result.stderr)
        self.assertFalse((self.clone / ".build").exists(), "something was made before the refusal")
        (sentence,) = result.stderr.splitlines()
        return sentence

    def test_a_missing_toolchain_is_named(self):
        self.assertEqual(
            self.refused(SWIFT="/nowhere/swift"),
            "The image cannot be built, because this is missing: Swift "
            + (REPOSITORY / ".swift-version").read_text().strip()
            + " (install the toolchain from swift.org and put it into PATH).",
        )

    def test_a_missing_program_and_a_missing_list_of_packages_are_named_together(self):
        sentence = self.refused("/nowhere/podidentd")
        self.assertIn("the program '/nowhere/podidentd'", sentence)
        self.assertIn("Package.resolved", sentence)

    def test_with_a_program_the_list_of_packages_is_named(self):
        sentence = self.refused("/bin/busybox")
        self.assertNotIn("program '", sentence)
        self.assertIn("'swift package resolve' writes it", sentence)

    def test_the_packages_of_a_fresh_clone_are_those_of_the_list_to_the_commit(self):
        resolved = self.clone / "Package.resolved"
        self.addCleanup(resolved.unlink)
        subprocess.run(["deploy/image/pin"], cwd=self.clone, check=True)
        listed = (self.clone / "deploy/image/pins.tsv").read_text().splitlines()
        pins = json.loads(resolved.read_text())["pins"]
        self.assertEqual(len(pins), len(listed))
        # Every package that Package.swift names is among them, in that version.
        exact = re.findall(r'url: "(\S+)", exact: "(\S+)"', (self.clone / "Package.swift").read_text())
        self.assertGreater(len(exact), 5)
        self.assertNotIn("from:", (self.clone / "Package.swift").read_text())
        versions = {pin["location"]: pin["state"]["version"] for pin in pins}
        self.assertLessEqual(dict(exact).items(), versions.items())
        self.assertEqual(run("deploy/image/pin", "--check", cwd=self.clone).returncode, 0)
        pins[0]["state"]["version"] = "0.0.1"
        resolved.write_text(json.dumps({"pins": pins[:-1], "version": 3}))
        checked = run("deploy/image/pin", "--check", cwd=self.clone)
        self.assertEqual(checked.returncode, 1)
        self.assertEqual(len(checked.stderr.splitlines()), 2, checked.stderr)
        self.assertIn("Package.resolved has 0.0.1", checked.stderr)
        # What there is stays.
        subprocess.run(["deploy/image/pin"], cwd=self.clone, check=True)
        self.assertIn("0.0.1", resolved.read_text())

    def test_the_list_of_materials_says_what_it_lacks(self):
        root = self.clone / "root"
        root.mkdir()
        result = run(sys.executable, "deploy/image/sbom", root, cwd=self.clone)
        self.assertEqual(result.returncode, 1)
        self.assertEqual(len(result.stderr.splitlines()), 1, result.stderr)
