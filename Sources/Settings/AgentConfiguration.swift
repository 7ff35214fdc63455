package import Attribution
package import BPF
package import Logging
package import Operations
package import Tokens

/// Everything that the agent is told. Each key and its meaning: ``ConfigurationKey/all``.
package struct AgentConfiguration: Sendable, Equatable {
    package struct Address: Sendable, Equatable {
        package var text: String
        package var value: IPAddress

        package init(text: String, value: IPAddress) {
            self.text = text
            self.value = value
        }
    }

    package var nodeName = ""
    /// `nil`: the agent runs in no pod.
    package var podUID: PodUID?
    package var policies = PolicyTable.attributeAll

    package var listenPort: UInt16 = 0

    package var redirectEndpoints: [Address] = []
    package var clouds: [Cloud] = []
    /// The operator's, besides the clouds'. All of them are ``protectedEndpoints``.
    package var ownProtectedEndpoints: [ProtectedEndpoint] = []
    /// Whether Google's protocol is served. Without it no key of Google's is needed.
    package var servesGoogle = true
    /// The clouds besides Google whose protocols are served.
    package var servedCloudNames: [CloudName] = []
    /// Values of those clouds' keys, by key.
    package var cloudSettings: [String: String] = [:]

    package var requiresHostGuard = false
    /// `nil`: the first that this kernel has.
    package var hostGuardMechanism: HostGuard.Mechanism?

    package var pinDirectory = ""
    /// `nil`: found in `/proc/self/mounts`.
    package var cgroupMountPoint: String?
    /// `nil`: the default that exists.
    package var kubepods: String?

    package var kubeconfig = ""
    package var hostRoot = ""
    package var tokenLifetimeSeconds = 0
    package var podTokenAudiences: [String] = []
    /// Empty: the audience is granted in every namespace.
    package var audienceNamespaces: [String] = []

    package var providerAudience = ""
    /// `nil`: the provider's own, as the pool expects by default.
    package var tokenAudience: String?
    package var stsURL = ""
    package var iamCredentialsURL = ""
    package var caFile: String?
    /// `nil`: the agent learns its share of STS's quota from refusals.
    package var exchangesPerHour: Int?

    package var projectID = ""
    package var projectNumber: UInt64 = 0
    package var poolName: String?
    package var universeDomain = ""

    // `nil`, each of these six: from the Node object, or a default.
    package var zone: String?
    package var instanceID: UInt64?
    package var hostname: String?
    package var clusterName: String?
    package var clusterLocation: String?
    package var clusterUID: String?

    /// `nil`: none is taken from the node.
    package var startupTaint: String?
    package var startupTaintTokenFile = ""

    /// 0: there is no SPIFFE endpoint on the metadata addresses.
    package var spiffePort: UInt16 = 0
    /// `nil`: there is no Unix socket beside it.
    package var spiffeSocket: String?
    /// 0: metadata is not served through TLS.
    package var spiffeMetadataPort: UInt16 = 0
    package var spiffeTrustDomain: String?
    package var spiffeSigner: String?
    package var spiffeAuthorities: String?
    package var spiffeAudience = ""
    package var spiffeCertificates = CertificateWay.automatic
    package var spiffeBundleSeconds = 0

    package var adminSocket = ""
    package var metricsAddress = Address(text: "", value: .ipv4(0))
    /// 0: no metrics are served.
    package var metricsPort: UInt16 = 0
    /// `-`: standard output; empty: off.
    package var auditPath = ""
    /// Keys of pods' labels that audit lines name.
    package var auditLabels: [String] = []
    package var writesEvents = true
    package var logFormat = LogFormat.text
    package var filtersSystemCalls = true
    package var logLevel = Logger.Level.info
    package var drainSeconds = 0

    /// Keys without a default that are not set. Empty, unless the loader was told that some may be.
    package var missing: [String] = []

    /// Every key as it was given, for the debug dump.
    package var settings: [Setting] = []

    package struct Setting: Codable, Sendable, Equatable {
        package var key: String
        /// `nil`: an optional key that is not set.
        package var value: String?
        /// The file, the variable, `--set` or `default`.
        package var source: String
    }
}

/// Why the agent cannot start as configured, in one sentence.
package struct ConfigurationError: Error, Sendable, Equatable, CustomStringConvertible {
    package let description: String

    package init(_ description: String) {
        self.description = description
    }
}
