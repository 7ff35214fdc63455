/// One `PodCertificateRequest` of `certificates.k8s.io` (KEP-4317): a node asks a signer for a certificate of one of its pods.
package struct PodCertificateRequest: Codable, Sendable, Hashable {
    package struct Metadata: Codable, Sendable, Hashable {
        package var name: String
        package var namespace: String
        package var uid: String?
        package var resourceVersion: String?

        package init(name: String, namespace: String, uid: String? = nil, resourceVersion: String? = nil) {
            self.name = name
            self.namespace = namespace
            self.uid = uid
            self.resourceVersion = resourceVersion
        }
    }

    /// The request. No field can be changed after the object was created.
    package struct Spec: Codable, Sendable, Hashable {
        package var signerName: String
        package var podName: String
        package var podUID: String
        package var serviceAccountName: String
        package var serviceAccountUID: String
        package var nodeName: String
        package var nodeUID: String
        package var maxExpirationSeconds: Int?
        /// A certificate signing request in DER, base64. Absent in requests of the older form of v1beta1.
        package var stubPKCS10Request: String?
        package var unverifiedUserAnnotations: [String: String]?

        package init(
            signerName: String, podName: String, podUID: String, serviceAccountName: String,
            serviceAccountUID: String, nodeName: String, nodeUID: String, maxExpirationSeconds: Int? = nil,
            stubPKCS10Request: String? = nil, unverifiedUserAnnotations: [String: String]? = nil
        ) {
            self.signerName = signerName
            self.podName = podName
            self.podUID = podUID
            self.serviceAccountName = serviceAccountName
            self.serviceAccountUID = serviceAccountUID
            self.nodeName = nodeName
            self.nodeUID = nodeUID
            self.maxExpirationSeconds = maxExpirationSeconds
            self.stubPKCS10Request = stubPKCS10Request
            self.unverifiedUserAnnotations = unverifiedUserAnnotations
        }
    }

    /// The signer's decision, which is final.
    package struct Status: Codable, Sendable, Hashable {
        package var conditions: [Condition]?
        /// The certificates in PEM, the leaf first.
        package var certificateChain: String?
        /// A time in RFC 3339, as are the two that follow.
        package var notBefore: String?
        package var notAfter: String?
        package var beginRefreshAt: String?

        package init(
            conditions: [Condition]? = nil, certificateChain: String? = nil, notBefore: String? = nil,
            notAfter: String? = nil, beginRefreshAt: String? = nil
        ) {
            self.conditions = conditions
            self.certificateChain = certificateChain
            self.notBefore = notBefore
            self.notAfter = notAfter
            self.beginRefreshAt = beginRefreshAt
        }
    }

    package struct Condition: Codable, Sendable, Hashable {
        package var type: String
        package var status: String
        package var reason: String?
        package var message: String?
        package var lastTransitionTime: String?

        package init(type: String, reason: String, message: String, time: String) {
            self.type = type
            status = "True"
            self.reason = reason
            self.message = message
            lastTransitionTime = time
        }
    }

    /// The three decisions of a signer.
    package enum Outcome: String, Sendable, Hashable {
        case issued = "Issued"
        case denied = "Denied"
        case failed = "Failed"
    }

    package var apiVersion: String?
    package var kind: String?
    package var metadata: Metadata
    package var spec: Spec
    package var status: Status?

    package init(metadata: Metadata, spec: Spec, status: Status? = nil) {
        self.metadata = metadata
        self.spec = spec
        self.status = status
    }

    /// The decision with its condition; `nil` while there is none.
    package var decision: (outcome: Outcome, condition: Condition)? {
        for condition in status?.conditions ?? [] where condition.status == "True" {
            if let outcome = Outcome(rawValue: condition.type) { return (outcome, condition) }
        }
        return nil
    }
}

/// A served version of the API of PodCertificateRequests.
package enum PodCertificateVersion: String, Sendable, Hashable, CaseIterable {
    /// The version that is on by default since Kubernetes 1.37.
    case v1
    /// The version that is off by default in Kubernetes 1.35 and 1.36.
    case v1beta1

    package var groupVersion: String { "certificates.k8s.io/\(rawValue)" }
}

/// Names of signers, and of the rights to ask them.
package enum PodCertificateSignerName {
    package static let spiffe = "podidentd.io/spiffe"
    package static let nodeServing = "podidentd.io/node-serving"

    /// The verb that lets a node ask a signer for a pod without a volume of that signer (Kubernetes 1.37).
    package static let verb = "request-serviceaccounts-podcertificate-signer"
    package static let group = "certificates.k8s.io"

    /// The resource by which RBAC names a signer.
    package static func resource(_ signer: String) -> String {
        signer.split(separator: "/", omittingEmptySubsequences: false).joined(separator: ":")
    }
}
