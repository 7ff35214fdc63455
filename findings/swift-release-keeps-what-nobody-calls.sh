#!/bin/bash
# Swift's package manager has the linker leave out what is not used, and the compiler forbids it for everything public.
#
# Versions: Swift 6.3.1, Linux x86-64, with its own lld.
# Expected: 'swift build -c release' links by --gc-sections ("dead strip", on by default): a function of a package that the program
#           never calls is not in the program, as with C by -ffunction-sections.
# Seen:     the function is in the program. Its section carries SHF_GNU_RETAIN (as everything public does, by llvm.used), which
#           linkers since 2021 take for a root. With the frontend's option -internalize-at-link it is gone.
# So what:  every package that is linked statically is there whole, with all that it refers to; of a server with some thirty packages
#           that was a seventh. Swift's own static libraries carry the same marks.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
swift --version 2> /dev/null | grep -q 'Swift version 6.3.1 ' || { echo "FAIL: this is about Swift 6.3.1"; exit 1; }
mkdir -p "$folder"/Sources/{Greeting,hello}
cat > "$folder/Package.swift" <<'SWIFT'
// swift-tools-version:6.0
import PackageDescription
let package = Package(name: "hello", targets: [
    .target(name: "Greeting"),
    .executableTarget(name: "hello", dependencies: ["Greeting"], linkerSettings: [.unsafeFlags(["-use-ld=lld"])]),
])
SWIFT
cat > "$folder/Sources/Greeting/Greeting.swift" <<'SWIFT'
@inline(never) public func called() { print("hello") }
@inline(never) public func calledByNobody() { print("nobody") }
SWIFT
echo 'import Greeting; called()' > "$folder/Sources/hello/main.swift"

symbols() {
    swift build -c release --package-path "$folder" --scratch-path "$folder/$1" "${@:2}" > "$folder/log" 2>&1 || { cat "$folder/log"; exit 1; }
    [ "$("$folder/$1/release/hello")" = hello ]
    nm "$folder/$1/release/hello" | grep -oE 'called(ByNobody)?yyF$' | sort -u | xargs
}
plain=$(symbols plain)
options=$(grep -c -- --gc-sections "$folder/plain/release.yaml" || true)
readelf -SW "$folder"/plain/release/Greeting.build/*.o | grep -qE '\.text\.\S*calledByNobody\S* .* AXR ' || { echo "FAIL: the section is not marked"; exit 1; }
internal=$(symbols internal -Xswiftc -Xfrontend -Xswiftc -internalize-at-link -Xswiftc -Xfrontend -Xswiftc -function-sections)
echo "linked by --gc-sections: $([ "$options" -gt 0 ] && echo yes); in the program: $plain; with -internalize-at-link: $internal"
[ "$options" -gt 0 ] && [ "$plain" = "calledByNobodyyyF calledyyF" ] && [ "$internal" = calledyyF ] || { echo "FAIL: that has changed"; exit 1; }
