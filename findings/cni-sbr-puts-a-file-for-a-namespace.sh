#!/bin/bash
# CNI's sbr plugin makes an ordinary file of a network namespace that is gone, and two plugins never give its address back.
#
# Versions: containernetworking-plugins 1.1.1+ds1-3+b5 (Debian 12).
# Expected: DEL for a pod whose namespace is gone (the node was restarted, the runtime tidied up) succeeds and releases what there is:
#           "Plugins should generally complete a DEL action without error even if some resources are missing", the address of an IPAM
#           plugin first of all (CNI specification 1.0.0, DEL). bridge, ptp, macvlan, ipvlan and vlan do that.
# Seen:     1. sbr, which is chained behind such a plugin and so is first to be deleted, locks the namespace by opening its path with
#              O_CREATE: where there was nothing, there now is an empty file that is executable. Then it fails, again and again, for
#              the file is no namespace, so that the runtime never comes to the plugin in front of it, and its address stays taken.
#              From now on vlan, which had no difficulty before, fails at that path too.
#           2. host-device fails where the path is missing, and where CNI_NETNS is empty, which is how the specification has a runtime
#              say so, it succeeds without a word, and keeps the address.
# So what:  a pool of host-local addresses shrinks by a node's restart; a reader of /run/netns cannot take a name there for a
#           namespace before it has looked at the file system's type.
# Needs root: makes network and mount namespaces.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
apt-get -qq -o APT::Sandbox::User=root download containernetworking-plugins=1.1.1+ds1-3+b5
for package in *.deb; do dpkg-deb -x "$package" packages; done
cat > try.sh <<'END'
set -uo pipefail
mount -t tmpfs none /run
mkdir /run/netns
export CNI_PATH=$PWD/packages/usr/lib/cni CNI_CONTAINERID=pod CNI_IFNAME=eth0
# $1: the command, $2: the plugin, $3: the namespace's path.
call() {
    CNI_COMMAND=$1 CNI_NETNS=$3 "$CNI_PATH/$2" 2> log <<< '{
        "cniVersion": "1.0.0", "name": "net", "type": "'"$2"'", "device": "lo", "master": "lo", "vlanId": 5,
        "ipam": {"type": "host-local", "subnet": "192.0.2.0/24", "dataDir": "/run/addresses"}}'
}
# Give the pod an address, delete it with a plugin, and say what is left.
delete() {
    rm -rf /run/addresses
    call ADD host-local /run/netns/gone > /dev/null
    call DEL "$1" "$2" > answer
    printf '%s %s: status %s, addresses %s, files %s\n' "$1" "${2:-(empty)}" $? "$(find /run/addresses/net -name '192.*' | wc -l)" \
        "$(find /run/netns -type f -name gone -perm /111 | wc -l)"
}
for plugin in bridge ptp macvlan ipvlan vlan host-device; do delete $plugin /run/netns/gone; delete $plugin ""; done
delete sbr /run/netns/gone
delete sbr /run/netns/gone
delete vlan /run/netns/gone
END
seen=$(unshare --net --mount --propagation private bash try.sh)
echo "$seen"
expected=$(for plugin in bridge ptp macvlan ipvlan vlan; do
    echo "$plugin /run/netns/gone: status 0, addresses 0, files 0"
    echo "$plugin (empty): status 0, addresses 0, files 0"
done
cat <<'END'
host-device /run/netns/gone: status 1, addresses 1, files 0
host-device (empty): status 0, addresses 1, files 0
sbr /run/netns/gone: status 1, addresses 1, files 1
sbr /run/netns/gone: status 1, addresses 1, files 1
vlan /run/netns/gone: status 1, addresses 0, files 1
END
)
[ "$seen" = "$expected" ]
