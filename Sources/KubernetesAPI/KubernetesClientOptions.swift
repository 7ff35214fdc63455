/// How the agent asks the API server.
package struct KubernetesClientOptions: Sendable {
    /// The one audience of subject tokens: what the token exchange expects in `aud`. `nil`: none is ever requested.
    package let audience: String?
    /// The other audiences that tokens may be requested for, on behalf of pods that ask for one by name.
    package let podTokenAudiences: Set<String>
    /// The audiences of the token services of other clouds. No pod gets a token for one.
    package let cloudAudiences: Set<String>
    /// The annotations of ServiceAccounts that other clouds read.
    package var cloudAnnotations: [String] = []
    /// `spec.expirationSeconds` of a TokenRequest.
    package let tokenSeconds: Int
    package var userAgent: String
    /// One TokenRequest or read, from start to end.
    package var callTimeout = Duration.milliseconds(2500)
    /// One page of the pod list, which may be megabytes long.
    package var listTimeout = Duration.seconds(10)
    /// How long a 403 "no relationship found" is retried: a restarted API server gives that answer until its
    /// authorizer knows the pods again (0.17 s measured).
    package var relationshipPatience = Duration.seconds(1)
    /// How long an open watch may bring no byte. Bookmarks come every 60 s.
    package var watchSilence = Duration.seconds(90)

    /// Refuses what the API server would misunderstand.
    ///
    /// An empty `audience`: it would mint a token for audience `""`, which no party accepts. `audience` among
    /// `podTokenAudiences`, or one of `cloudAudiences`: the holder of such a token can exchange it without the agent.
    /// `tokenSeconds` below 600, its minimum; 3607, which with its own audience yields a token that is valid for a
    /// year; and more than a day, because a subject token is used once. An hour is the default because Google gives a
    /// federated token no longer life than its subject token has left.
    package init(
        audience: String?, podTokenAudiences: Set<String> = [], cloudAudiences: Set<String> = [],
        tokenSeconds: Int = 3600,
        userAgent: String = "podidentd"
    ) throws(KubernetesAPIError) {
        guard audience != "" else {
            throw KubernetesAPIError("token audience", "is empty; set it to what the identity provider accepts")
        }
        let own = Set([audience].compactMap { $0 })
        guard cloudAudiences.isDisjoint(with: own), !cloudAudiences.contains("") else {
            throw KubernetesAPIError(
                "audiences of clouds", "contain each other, or an empty one; each cloud needs an audience of its own")
        }
        guard podTokenAudiences.isDisjoint(with: cloudAudiences.union(own)), !podTokenAudiences.contains("") else {
            throw KubernetesAPIError(
                "pod token audiences",
                "contain the audience of the token exchange, or an empty one; a pod gets tokens for others only"
            )
        }
        guard (600...86_400).contains(tokenSeconds), tokenSeconds != 3607 else {
            throw KubernetesAPIError(
                "token lifetime",
                "is \(tokenSeconds) s; it must be 600 to 86400 s and not 3607 s, a value with a "
                    + "special meaning for the API server"
            )
        }
        self.audience = audience
        self.podTokenAudiences = podTokenAudiences
        self.cloudAudiences = cloudAudiences
        self.tokenSeconds = tokenSeconds
        self.userAgent = userAgent
    }
}
