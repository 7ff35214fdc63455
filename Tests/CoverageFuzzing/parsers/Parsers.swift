// The agent's parsers of bytes that others write, under libFuzzer: see .ci/fuzz-coverage. A rule that does not hold is a trap, as is any
// that the parser itself runs into.

/// The parsers. An input's first byte is the number of one: a new one comes last, so that the kept inputs stay with theirs.
private let parsers = [
    cgroupPath, requestTarget, watch, kubeconfig, yaml, protobuf, jwt, handover, http2Frames, headerBlocks, requestHead,
    query, sessionToken, xml, podPage, upstreamWords, callMessages, otherRequests, signedToken, exchange,
]

/// The function that libFuzzer calls with each input.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzerTestOneInput(_ data: UnsafePointer<UInt8>, _ size: Int) -> CInt {
    let bytes = unsafe [UInt8](UnsafeBufferPointer(start: data, count: size))
    // No parser's number: not to be kept, for it may become a new one's.
    guard let number = bytes.first, Int(number) < parsers.count else { return -1 }
    parsers[Int(number)](Array(bytes.dropFirst()))
    return 0
}

/// The input in two pieces, cut at a place that depends on all of it.
func halves(_ bytes: [UInt8]) -> [[UInt8]] {
    let cut = bytes.reduce(0) { ($0 * 31 + Int($1)) & 0xffff } % (bytes.count + 1)
    return [Array(bytes[..<cut]), Array(bytes[cut...])]
}
