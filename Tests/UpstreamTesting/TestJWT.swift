package import Foundation

/// A token with a JWT's form and no signature worth the name: the clients under test verify claims, never signatures.
package func testJWT(_ claims: String) -> String {
    func encode(_ text: String) -> String {
        Data(text.utf8).base64EncodedString()
            .replacingOccurrences(of: "+", with: "-")
            .replacingOccurrences(of: "/", with: "_")
            .replacingOccurrences(of: "=", with: "")
    }
    return encode(#"{"alg":"RS256","kid":"test"}"#) + "." + encode(claims) + ".c2lnbmF0dXJl"
}

/// An IMF-fixdate (RFC 9110), for `Date` headers.
package func httpDate(_ date: Date) -> String {
    let formatter = DateFormatter()
    formatter.locale = Locale(identifier: "en_US_POSIX")
    formatter.timeZone = TimeZone(identifier: "GMT")
    formatter.dateFormat = "EEE, dd MMM yyyy HH:mm:ss 'GMT'"
    return formatter.string(from: date)
}

/// RFC 3339 in UTC with whole seconds, as Kubernetes and Google write it.
package func rfc3339(_ date: Date) -> String {
    date.formatted(.iso8601)
}

/// Waits until `condition` holds, looking every 5 ms; `false` if it does not within `limit`.
package func eventually(
    within limit: Duration = .seconds(5), _ condition: @Sendable () async throws -> Bool
) async rethrows -> Bool {
    let deadline = ContinuousClock.now + limit
    while try await !condition() {
        guard ContinuousClock.now < deadline else { return false }
        try? await Task.sleep(for: .milliseconds(5))
    }
    return true
}

/// A new folder below the temporary one.
package func temporaryFolder() throws -> String {
    let folder = FileManager.default.temporaryDirectory.appending(path: "podidentd-test-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    return folder.path
}
