#!/bin/bash
# crun's hooks inside a container read that its process is number 0, and those of the creation that it is created already.
#
# Versions: crun 1.8.1-1+deb12u1, beside runc 1.1.5+ds1-1+deb12u1, libseccomp2 2.5.4-1+deb12u1, libyajl2 2.1.0-3+deb12u2 (Debian 12).
#           crun 1.21 (Debian 13) and 1.28 did the same when they were tried.
# Expected: the state that a hook reads has a pid, "REQUIRED when status is created or running on Linux", and "for hooks executed in the
#           container namespace, it is the pid as seen by the container": 1, where that has a process namespace of its own. `created`
#           means that the runtime "has finished the create operation", of which createRuntime and createContainer hooks are a part,
#           and that the program was not executed yet; before it is `creating` (OCI runtime specification 1.1: State, Hooks).
# Seen:     crun gives createContainer and startContainer hooks "pid":0, and poststop hooks too. createRuntime and createContainer get the
#           status `created`, startContainer gets `starting`. runc has pid 1 twice and none for poststop, and `creating` and `created`.
# So what:  a hook inside takes its own /proc/self/ns, not /proc/PID/ns; one that needs the host's pid is a createRuntime hook. By the
#           status a hook cannot tell whether its container is finished, unless it knows the runtime.
# Needs root: runs containers.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
apt-get -qq -o APT::Sandbox::User=root download runc=1.1.5+ds1-1+deb12u1 crun=1.8.1-1+deb12u1 libseccomp2=2.5.4-1+deb12u1 \
    libyajl2=2.1.0-3+deb12u2
for package in *.deb; do dpkg-deb -x "$package" packages; done
export LD_LIBRARY_PATH=$folder/packages/usr/lib/$(uname -m)-linux-gnu
mkdir -p root/dev root/proc
# hook FILE: keeps the state. The container's own program is the same one without an argument, and does nothing.
cat > hook.c <<'C'
#include <fcntl.h>
#include <unistd.h>

int main(int count, char **arguments)
{
	char state[4096];
	ssize_t length;
	int file;

	if (count < 2)
		return 0;
	file = open(arguments[1], O_WRONLY | O_CREAT | O_TRUNC, 0644);
	while ((length = read(0, state, sizeof(state))) > 0)
		if (write(file, state, length) != length)
			return 1;
	return length != 0 || file < 0;
}
C
cc -static -o hook hook.c
cp hook root/hook
python3 - "$folder" <<'PY'
import json, sys

folder = sys.argv[1]
hooks = {name: [{"path": f"{folder}/hook", "args": ["hook", f"{folder}/root/{name}"]}]
         for name in ("createRuntime", "createContainer", "poststop")}
# This one is looked up, and runs, below the container's root.
hooks["startContainer"] = [{"path": "/hook", "args": ["hook", "/startContainer"]}]
json.dump({
    "ociVersion": "1.0.2", "root": {"path": "root"}, "hooks": hooks,
    "process": {"args": ["/hook"], "cwd": "/", "noNewPrivileges": True, "user": {"uid": 0, "gid": 0}},
    "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"}],
    "linux": {"namespaces": [{"type": "mount"}, {"type": "pid"}]},
}, open("config.json", "w"))
PY
run() {
    # crun 1.8.1 wants cgroup v2 alone: shows it that hierarchy where the machine has both.
    unshare --mount --propagation slave bash -c '
        if [ -d /sys/fs/cgroup/unified ]; then mount --bind /sys/fs/cgroup/unified /sys/fs/cgroup; fi
        exec "$@"' _ "$@"
}
states() {
    python3 - <<'PY'
import json

for name in ("createRuntime", "createContainer", "startContainer", "poststop"):
    state = json.load(open(f"root/{name}"))
    pid = state.get("pid", "none")
    print(f"{name}: {state['status']}, pid {pid if pid in (0, 1, 'none') else 'of the host'}")
PY
    rm root/{createRuntime,createContainer,startContainer,poststop}
}
run packages/usr/bin/crun --cgroup-manager=disabled --root state run --bundle . "by-crun-$$"
crun=$(states)
packages/usr/sbin/runc --root state run --bundle . "by-runc-$$"
runc=$(states)
printf '%s\n' "== crun" "$crun" "== runc" "$runc"
[ "$crun" = "createRuntime: created, pid of the host
createContainer: created, pid 0
startContainer: starting, pid 0
poststop: stopped, pid 0" ]
[ "$runc" = "createRuntime: creating, pid of the host
createContainer: creating, pid 1
startContainer: created, pid 1
poststop: stopped, pid none" ]
