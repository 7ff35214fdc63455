#!/bin/bash
# LLVM for arm64 without optimization passes the upper half of a 128-bit integer in another register than the called function reads.
#
# Versions: llvm-14 1:14.0.6-12 (Debian 12). The same was seen with the clang of Swift 6.3.1 (LLVM 21), and with Swift 6.2.3.
# Expected: a tail call of the conventions tailcc and swifttailcc hands an i128 over as any call does: in two registers that follow each
#           other, x0 and x1 here. llc -O0 -global-isel=0, and every optimized build, does.
# Seen:     llc -O0 puts the halves into x0 and x2. The called function, compiled by the same command, reads x1, which nothing has set.
# So what:  Swift's asynchronous functions are called so: in debug builds for arm64 each that takes or returns an Int128 or UInt128 (alone
#           or in a structure) gets the lower half and 64 bits of something else: identifiers do not match, waiters are not found,
#           and tests hang. Release builds are right. Two UInt64 in its place are right everywhere. Known as swiftlang/swift#89842
#           and llvm/llvm-project#213811.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
apt-get -qq -o APT::Sandbox::User=root download llvm-14=1:14.0.6-12 libllvm14=1:14.0.6-12 libffi8 libedit2 libz3-4 libxml2 libicu72 libbsd0 \
    liblzma5 libmd0 libtinfo6 zlib1g
for package in *.deb; do dpkg-deb -x "$package" packages; done
export LD_LIBRARY_PATH=$folder/packages/usr/lib/$(uname -m)-linux-gnu:$folder/packages/lib/$(uname -m)-linux-gnu
cat > halves.ll <<'IR'
target triple = "aarch64-unknown-linux-gnu"
define tailcc i64 @upper(i128 %value) {
  %shifted = lshr i128 %value, 64
  %half = trunc i128 %shifted to i64
  ret i64 %half
}
; Of (7 << 64) + 5.
define tailcc i64 @caller(i128 %unused) {
  %half = musttail call tailcc i64 @upper(i128 129127208515966861317)
  ret i64 %half
}
IR
# The instructions of a function, one a line.
listing() { packages/usr/lib/llvm-14/bin/llc "${@:2}" halves.ll -o - | sed -n "/^$1:/,/^.Lfunc_end/p" | grep -E $'^\t[a-z]' | tr -s '\t ' ' '; }
# The registers that a caller sets, by their numbers, but for the one that it counts with.
registers() { listing caller "$@" | sed -nE 's/^ mov [wx]([0-7]), .*/\1/p' | sort -u | xargs; }
packages/usr/lib/llvm-14/bin/llc --version | grep -o 'LLVM version .*'
echo "the called function, -O0:$(listing upper -O0 | tr '\n' ';')"
for options in "-O0" "-O0 -global-isel=0" "-O2"; do
    # shellcheck disable=SC2086
    echo "its caller, $options:$(listing caller $options | tr '\n' ';')"
done
listing upper -O0 | grep -q ' mov x0, x1' || { echo "FAIL: the called function reads another register now"; exit 1; }
[ "$(registers -O0)" = "0 2" ] && [ "$(registers -O0 -global-isel=0)" = "0 1" ] && [ "$(registers -O2)" = "0 1" ] \
    || { echo "FAIL: that has changed"; exit 1; }
