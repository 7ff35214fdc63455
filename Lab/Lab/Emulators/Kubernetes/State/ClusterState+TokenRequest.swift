import Foundation

/// A token that may be minted: everything but the signature.
struct TokenGrant: Sendable, Equatable {
    var claims: JSON
    /// The answer without `status.token`.
    var request: JSON
    var expirationTimestamp: Date
    var warnings: [String]
}

/// The checks of TokenRequest, in the API server's order, after authentication, authorization and decoding.
extension ClusterState {
    /// Decides about `request` for the ServiceAccount in the URL. `tokenID` becomes the claim `jti`.
    func decide(
        _ request: TokenRequest,
        for serviceAccount: ServiceAccountKey,
        as user: KubernetesUser,
        tokenID: String,
        now: Date
    ) throws(KubernetesStatus) -> TokenGrant {
        if let node = user.nodeName {
            try admit(request, for: serviceAccount, from: node, as: user)
        }
        let account = try check(request, for: serviceAccount)
        let pod = try boundPod(of: request, for: serviceAccount)
        return grant(request, account, pod, tokenID: tokenID, now: now)
    }

    // MARK: - NodeRestriction

    private func admit(
        _ request: TokenRequest, for serviceAccount: ServiceAccountKey, from node: String, as user: KubernetesUser
    ) throws(KubernetesStatus) {
        func forbidden(_ why: String) -> KubernetesStatus {
            .forbidden("serviceaccounts", serviceAccount.name, why)
        }
        guard let reference = request.boundObjectRef, reference.apiVersion == "v1", reference.kind == "Pod",
            !reference.name.isEmpty
        else { throw forbidden("node requested token not bound to a pod") }
        guard !reference.uid.isEmpty else {
            throw forbidden("node requested token with a pod binding without a uid")
        }
        guard let pod = pods[LabPod.Key(serviceAccount.namespace, reference.name)] else {
            // Admission's own error: "pod", not "pods".
            throw .notFound("pod", reference.name)
        }
        guard pod.uid == reference.uid else { throw forbidden(Self.uidMismatch(reference.uid)) }
        guard pod.nodeName == node else {
            throw forbidden("node requested token bound to a pod scheduled on a different node")
        }
        guard options.restrictsNodeAudiences else { return }
        guard request.audiences.count <= 1 else { throw forbidden("node may only request 0 or 1 audiences") }
        let audience = request.audiences.first ?? ""
        guard pod.tokenAudiences.contains(audience) || allows(user, audience: audience, serviceAccount: serviceAccount)
        else {
            throw forbidden(
                "audience \"\(audience)\" not found in pod spec volume, \(user.name) is not authorized to request "
                    + "tokens for this audience"
            )
        }
    }

    /// Whether RBAC grants `user` the verb `request-serviceaccounts-token-audience`.
    func allows(_ user: KubernetesUser, audience: String, serviceAccount: ServiceAccountKey) -> Bool {
        audienceRules.contains { $0.allows(user, audience: audience, serviceAccount: serviceAccount) }
            || grants.contains {
                $0.allows(
                    user, verb: "request-serviceaccounts-token-audience", group: "", resource: audience,
                    name: serviceAccount.name, namespace: serviceAccount.namespace)
            }
    }

    // MARK: - Registry

    private func check(
        _ request: TokenRequest, for key: ServiceAccountKey
    ) throws(KubernetesStatus) -> LabServiceAccount {
        for (field, sent, expected, kind) in [
            ("metadata.name", request.name, key.name, "name"),
            ("metadata.namespace", request.namespace, key.namespace, "namespace"),
        ] where !sent.isEmpty && sent != expected {
            throw .invalidTokenRequest(
                name: key.name,
                field: field,
                value: "\"\(sent)\"",
                "must match the service account \(kind) if specified"
            )
        }
        guard let account = serviceAccounts[key] else { throw .notFound("serviceaccounts", key.name) }
        guard request.uid.isEmpty || request.uid == account.uid else {
            throw .conflict(
                "TokenRequest",
                key.name,
                group: "authentication.k8s.io",
                "the UID in the token request (\(request.uid)) does not match the UID of the service account "
                    + "(\(account.uid))"
            )
        }
        let seconds = request.expirationSeconds
        for (isInvalid, why) in [
            (seconds < 600, "may not specify a duration less than 10 minutes"),
            (seconds > 1 << 32, "may not specify a duration larger than 2^32 seconds"),
        ] where isInvalid {
            throw .invalidTokenRequest(field: "spec.expirationSeconds", value: String(seconds), why)
        }
        return account
    }

    private func boundPod(
        of request: TokenRequest, for key: ServiceAccountKey
    ) throws(KubernetesStatus) -> LabPod? {
        guard let reference = request.boundObjectRef else { return nil }
        guard reference.kind == "Pod", reference.apiVersion == "v1" else {
            throw .badRequest("cannot bind token to object of type \(reference.kind)")
        }
        guard let pod = pods[LabPod.Key(key.namespace, reference.name)] else {
            throw .notFound("pods", reference.name)
        }
        guard pod.serviceAccountName == key.name else {
            throw .badRequest(
                "cannot bind token for serviceaccount \"\(key.name)\" to pod running with different serviceaccount "
                    + "name."
            )
        }
        guard reference.uid.isEmpty || reference.uid == pod.uid else {
            throw .conflict("Pod", reference.name, Self.uidMismatch(reference.uid))
        }
        return pod
    }

    private static func uidMismatch(_ uid: String) -> String {
        "the UID in the bound object reference (\(uid)) does not match the UID in record. "
            + "The object might have been deleted and then recreated"
    }

    // MARK: - Minting

    private func grant(
        _ request: TokenRequest, _ account: LabServiceAccount, _ pod: LabPod?, tokenID: String, now: Date
    ) -> TokenGrant {
        let audiences = request.audiences.isEmpty ? options.apiAudiences : request.audiences
        var seconds = request.expirationSeconds
        var warnings = request.unknownFields.map { "unknown field \\\"\($0)\\\"" }
        // The kubelet's own way to ask for its pods' tokens: legacy clients may never reload them.
        let isExtended =
            options.extendsTokens && pod != nil && seconds == 3607 && audiences == options.apiAudiences
        if let maximum = options.maximumTokenSeconds, seconds > maximum {
            warnings.append("requested expiration of \(seconds) seconds shortened to \(maximum) seconds")
            seconds = maximum
        }
        let issued = Timestamp.unix(now)
        let claims = claims(
            of: account,
            pod,
            audiences: audiences,
            issued: issued,
            expires: issued + (isExtended ? 31_536_000 : seconds),
            warnsAfter: isExtended ? issued + seconds : nil,
            tokenID: tokenID
        )
        let reference: JSON? = request.boundObjectRef.map { reference in
            [
                "kind": .string(reference.kind), "apiVersion": .string(reference.apiVersion),
                "name": .string(reference.name), "uid": reference.uid.isEmpty ? nil : .string(reference.uid),
            ]
        }
        let answer: JSON = [
            "kind": "TokenRequest",
            "apiVersion": "authentication.k8s.io/v1",
            "metadata": [
                "name": .string(account.name), "namespace": .string(account.namespace), "uid": .string(account.uid),
                "creationTimestamp": .string(Timestamp.rfc3339(now)),
            ],
            "spec": [
                "audiences": .strings(audiences), "expirationSeconds": .integer(seconds), "boundObjectRef": reference,
            ],
        ]
        let expiration = Date(timeIntervalSince1970: TimeInterval(issued + seconds))
        return TokenGrant(claims: claims, request: answer, expirationTimestamp: expiration, warnings: warnings)
    }

    private func claims(
        of account: LabServiceAccount,
        _ pod: LabPod?,
        audiences: [String],
        issued: Int64,
        expires: Int64,
        warnsAfter: Int64?,
        tokenID: String
    ) -> JSON {
        func object(_ name: String, _ uid: String) -> JSON { ["name": .string(name), "uid": .string(uid)] }
        let node = pod?.nodeName.flatMap { name in nodes[name].map { object(name, $0.uid) } }
        return [
            "aud": .strings(audiences),
            "exp": .integer(expires),
            "iat": .integer(issued),
            "iss": .string(options.issuer),
            "jti": .string(tokenID),
            "kubernetes.io": [
                "namespace": .string(account.namespace),
                "node": node,
                "pod": pod.map { object($0.name, $0.uid) },
                "serviceaccount": object(account.name, account.uid),
                "warnafter": warnsAfter.map { .integer($0) },
            ],
            "nbf": .integer(issued),
            "padding": options.paddingClaimBytes > 0
                ? .string(String(repeating: "x", count: options.paddingClaimBytes)) : nil,
            "sub": .string("system:serviceaccount:\(account.namespace):\(account.name)"),
        ]
    }
}
