"""What the emulated machine boots: a kernel's package of Debian, an initial RAM disk, and a root file system that holds what
was built here, byte for byte, with what it loads and the commands that it calls."""

import os
import pathlib
import re
import shutil
import subprocess

# The initial RAM disk loads these, as far as they are modules, each after those that it needs: they reach the disk.
DISK_MODULES = ["virtio_pci", "virtio_blk", "ext4", "crc32c_generic"]
MODULE_TREES = ["net", "lib", "crypto", "arch", "drivers/net", "drivers/virtio"]
# Busybox's own shell would call its applets whatever PATH says.
COMMANDS = "sh bash curl ip ss nft bpftool nsenter unshare setpriv mount umount iptables tc sysctl env".split()
PROGRAMS = [
    "podidentdPackageTests.xctest", "podidentd", "podidentd-init", "podidentd-opener", "podidentd-signer", "podidentd-lab",
    "lab-attack",
]
FILES = ["passwd", "group", "hosts", "nsswitch.conf", "protocols", "services", "ssl/certs/ca-certificates.crt"]
# Releases whose archive holds the others as well.
KNOWN = ("bullseye", "bookworm", "trixie", "forky", "sid")
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
LIBRARY = re.compile(r"^\s*(?:.* => )?(/\S+) \(0x[0-9a-f]+\)$", re.MULTILINE)


class Unavailable(Exception):
    """Why no machine can be made, in a sentence for whoever called `make kernels`."""


def output(*command, **options):
    return subprocess.run(command, check=True, capture_output=True, text=True, **options).stdout


def mirror(targets, known):
    """The repository of Debian's own releases in what `apt-get indextargets` prints."""
    for line in targets.splitlines():
        address, _, name = line.partition(" ")
        if name in known:
            return address
    raise Unavailable("apt has no index of Debian's main archive: add one to the sources and run 'apt-get update'.")


def parts(depends):
    """The packages that a kernel's package consists of, in what `apt-cache depends` prints: some releases divide it."""
    return re.findall(r"^ *Depends: (linux-(?:image|binary|modules)-\S+)", depends, re.MULTILINE)


def sources(directory, release):
    """Lists of its own, of one release: the machine's stay as they are. Returns apt's options."""
    apt = directory / "apt"
    for name in ("lists/partial", "cache/archives/partial"):
        (apt / name).mkdir(parents=True, exist_ok=True)
    targets = output("apt-get", "indextargets", "--format", "$(REPO_URI) $(CODENAME)", "Created-By: Packages")
    signed = f" signed-by={KEYRING}" if os.path.exists(KEYRING) else ""
    (apt / "sources.list").write_text(f"deb [arch=amd64{signed}] {mirror(targets, KNOWN)} {release} main\n")
    options = ["-qq"]
    for name, value in {
        "Dir::Etc::sourcelist": apt / "sources.list", "Dir::Etc::sourceparts": "-", "Dir::State::lists": apt / "lists",
        "Dir::Cache": apt / "cache", "APT::Sandbox::User": "root",
    }.items():
        options += ["-o", f"{name}={value}"]
    return options


def kernel(directory, release):
    """The directory of the unpacked kernel that a release's `linux-image-amd64` names, as first fetched."""
    remembered = directory / "package"
    if remembered.exists() and (directory / remembered.read_text().strip()).is_dir():
        return directory / remembered.read_text().strip()
    options = sources(directory, release)
    try:
        subprocess.run(["apt-get", *options, "update"], check=True)
        package, = parts(output("apt-cache", *options, "depends", "linux-image-amd64"))
        packages = [package, *parts(output("apt-cache", *options, "depends", package))]
    except (subprocess.CalledProcessError, ValueError) as error:
        raise Unavailable(f"the archive that apt uses has no kernel of {release}") from error
    print(f"Fetching {', '.join(packages)}", flush=True)
    apt = directory / "apt"
    for old in apt.glob("*.deb"):
        old.unlink()
    subprocess.run(["apt-get", *options, "download", *packages], check=True, cwd=apt)
    new = directory / "new"
    shutil.rmtree(new, ignore_errors=True)
    for archive in apt.glob("*.deb"):
        subprocess.run(["dpkg-deb", "-x", archive, new], check=True)
        archive.unlink()
    # Where the directory of modules stands depends on the release.
    if not (new / "lib/modules").exists():
        (new / "lib").symlink_to("usr/lib")
    new.rename(directory / package)
    remembered.write_text(package + "\n")
    return directory / package


def bootable(package):
    """The kernel's image in its unpacked package, and its version."""
    for image in package.glob("boot/vmlinuz-*"):
        return image, image.name.removeprefix("vmlinuz-")
    for image in package.glob("lib/modules/*/vmlinuz"):
        return image, image.parent.name
    raise Unavailable(f"{package.name} has no image that boots")


def module_paths(text):
    """The files that `modprobe --show-depends` names, each once, in the order of loading."""
    paths = [line.split()[1] for line in text.splitlines() if line.startswith("insmod ")]
    return list(dict.fromkeys(paths))


def initial_disk(directory, package, release, init):
    """Busybox, and the modules that reach the disk."""
    tree = directory / "initramfs"
    shutil.rmtree(tree, ignore_errors=True)
    (tree / "bin").mkdir(parents=True)
    (tree / "modules").mkdir()
    shutil.copy("/bin/busybox", tree / "bin/busybox")
    shutil.copy(init, tree / "init")
    (tree / "init").chmod(0o755)
    subprocess.run(["depmod", "-b", package, release], check=True)
    modules = {path.name.partition(".")[0] for path in (package / "lib/modules" / release).rglob("*.ko*")}
    shown = "".join(
        output("modprobe", "-d", package, "-S", release, "--ignore-install", "--show-depends", module)
        for module in DISK_MODULES if module in modules)
    with (tree / "modules/order").open("w") as order:
        for path in module_paths(shown):
            shutil.copy(path, tree / "modules")
            order.write(os.path.basename(path) + "\n")
    names = "\n".join(str(path.relative_to(tree)) for path in sorted(tree.rglob("*"))) + "\n"
    image = directory / "initramfs.img"
    with image.open("wb") as file:
        subprocess.run(["cpio", "--quiet", "-o", "-H", "newc"], input=names.encode(), stdout=file, cwd=tree, check=True)
    return image


class Root:
    """The root file system, as a tree that becomes an image."""

    def __init__(self, directory):
        self.tree = directory / "root"
        self.image = directory / "root.img"
        shutil.rmtree(self.tree, ignore_errors=True)
        for name in ["usr/bin", "usr/sbin", "usr/lib", "usr/lib64", "etc", "proc", "sys", "dev", "run", "tmp", "root",
                     "var/tmp", "machine/build"]:
            (self.tree / name).mkdir(parents=True)
        for name in ("bin", "sbin", "lib", "lib64"):
            (self.tree / name).symlink_to(f"usr/{name}")

    def put(self, source, place):
        target = self.tree / str(place).lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, target)

    def add_commands(self):
        self.put("/bin/busybox", "bin/busybox")
        for applet in output("/bin/busybox", "--list-full").split():
            if not os.path.lexists(self.tree / applet):
                (self.tree / applet).symlink_to("/bin/busybox")
        for command in COMMANDS:
            path = shutil.which(command)
            if not path:
                continue
            for place in ("usr/bin", "usr/sbin"):
                (self.tree / place / command).unlink(missing_ok=True)
            self.put(path, f"usr/bin/{command}")
        # Debian's: a process of the tests' runs by it.
        python = os.path.realpath("/usr/bin/python3")
        self.put(python, "usr/bin/python3")
        library = f"usr/lib/{os.path.basename(python)}"
        shutil.copytree(
            f"/{library}", self.tree / library, symlinks=True,
            ignore=shutil.ignore_patterns("__pycache__", "test", "idlelib", "lib2to3", "ensurepip", "config-*", "dist-packages"))

    def add_build(self, build):
        for program in PROGRAMS:
            if (build / program).exists():
                self.put(build / program, f"machine/build/{program}")
        for resources in build.glob("*.resources"):
            shutil.copytree(resources, self.tree / "machine/build" / resources.name, symlinks=True)

    def add_libraries(self):
        """What the programs load, at the paths where they look for it."""
        programs = [path for place in ("machine/build", "usr/bin") for path in (self.tree / place).rglob("*")
                    if path.is_file() and not path.is_symlink()]
        # ldd(1) fails for what is no program, and goes on.
        listed = subprocess.run(["ldd", *programs], capture_output=True, text=True).stdout
        for library in sorted(set(LIBRARY.findall(listed))):
            self.put(library, library)

    def add_system(self, package, release):
        for name in FILES:
            if os.path.exists(f"/etc/{name}"):
                self.put(f"/etc/{name}", f"etc/{name}")
        extensions = pathlib.Path("/usr/lib/x86_64-linux-gnu/xtables")
        if extensions.is_dir():
            shutil.copytree(extensions, self.tree / str(extensions).lstrip("/"), dirs_exist_ok=True)
        modules = package / "lib/modules" / release
        target = self.tree / "usr/lib/modules" / release
        target.mkdir(parents=True)
        for file in modules.glob("modules.*"):
            shutil.copy(file, target)
        for name in MODULE_TREES:
            shutil.copytree(modules / "kernel" / name, target / "kernel" / name, dirs_exist_ok=True)

    def write(self):
        """Makes the image, and removes the tree."""
        size = sum(path.lstat().st_size for path in self.tree.rglob("*")) // (1 << 20) * 5 // 4 + 192
        self.image.unlink(missing_ok=True)
        subprocess.run(
            ["mke2fs", "-q", "-t", "ext4", "-O", "^has_journal", "-m", "0", "-d", self.tree, self.image, f"{size}M"],
            check=True)
        shutil.rmtree(self.tree)
        return self.image
