import Attribution

extension ConfigurationKey {
    private static let namespaceLimit = 256

    static let audienceNamespaces = decoded(
        "kubernetes.audience-namespaces", \.audienceNamespaces, default: "",
        allowed: "a list of at most \(namespaceLimit) names of namespaces",
        decode: { text throws(ConfigurationError) in try namespaces(text) },
        """
        The namespaces that the cluster's administrator granted the audience in (the components audience-by-namespace and \
        audience-by-service-account). 'podidentd check' reports a right that is wider, such as a ClusterRole of an \
        earlier installation; nothing else depends on it. Empty: every namespace.
        """
    )

    private static func namespaces(_ text: String) throws(ConfigurationError) -> [String] {
        let names = parts(text)
        guard names.count <= namespaceLimit, names.allSatisfy(\.isDNSLabel) else {
            throw ConfigurationError("'\(text)' is not a list of at most \(namespaceLimit) names of namespaces")
        }
        return names
    }
}
