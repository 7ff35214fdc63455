package import Attribution

/// The members of a Kubernetes ServiceAccount that the token service needs.
package struct ServiceAccountRecord: Sendable, Hashable {
    package var namespace: String
    package var name: String
    package var uid: String
    /// `iam.gke.io/gcp-service-account`: the Google service account to impersonate. `nil`: direct federation.
    package var googleServiceAccount: String?
    /// `iam.gke.io/return-principal-id-as-email: "true"`.
    package var returnsPrincipalAsEmail: Bool
    /// `iam.gke.io/credential-quota-project`.
    package var quotaProject: String?
    /// The annotations that clouds besides Google read, as they are.
    package var annotations: [String: String]

    package init(
        namespace: String,
        name: String,
        uid: String,
        googleServiceAccount: String? = nil,
        returnsPrincipalAsEmail: Bool = false,
        quotaProject: String? = nil,
        annotations: [String: String] = [:]
    ) {
        self.namespace = namespace
        self.name = name
        self.uid = uid
        self.googleServiceAccount = googleServiceAccount
        self.returnsPrincipalAsEmail = returnsPrincipalAsEmail
        self.quotaProject = quotaProject
        self.annotations = annotations
    }

    package var reference: ServiceAccountReference {
        ServiceAccountReference(namespace: namespace, name: name)
    }
}

/// A ServiceAccount by name.
package struct ServiceAccountReference: Sendable, Hashable, CustomStringConvertible {
    package var namespace: String
    package var name: String

    package init(namespace: String, name: String) {
        self.namespace = namespace
        self.name = name
    }

    package init(of pod: PodRecord) {
        self.init(namespace: pod.namespace, name: pod.serviceAccountName)
    }

    package var description: String { "\(namespace)/\(name)" }
}
