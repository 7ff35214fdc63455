import Attribution
import MetadataProtocol
import Tokens

extension GoogleMetadataRoom {
    /// The purpose of a request, once the caller's account is known. Pure: nothing is looked up or fetched here.
    enum Content {
        /// An answer that never changes, or that no caller may wait for.
        case fixed(Response)
        /// A value, which the request may wait for to change.
        case value(Response)
        case accessToken(ScopeSet)
        case identityToken(audience: String)
        case podToken(audience: String)
    }

    var root: Response { Response(.ok, .text, .text(MetadataTree.root.plainText)) }

    func dependsOnAccount(_ request: GoogleRequest) -> Bool {
        switch request.route {
        case .root, .redirect, .leaf, .podUID: false
        case .serviceAccount, .podToken: true
        case .directory(let directory):
            MetadataTree.dependsOnAccount(directory, recursively: request.query.isRecursive)
        }
    }

    /// `pod` is the caller's. `record` is given wherever ``dependsOnAccount(_:)`` says so.
    func content(
        of request: GoogleRequest, for pod: PodRecord, _ record: ServiceAccountRecord?
    ) throws(RequestRefusal) -> Content {
        switch request.route {
        case .root:
            return .fixed(root)
        case .redirect(let directory):
            return .fixed(.redirect(to: directory.path + (request.rawQuery.map { "?\($0)" } ?? "")))
        case .leaf(let leaf):
            return Self.leaf(tree.value(of: leaf), request.query)
        case .directory(let directory):
            return Self.directory(tree.value(of: directory, account: try view(of: record)), request.query)
        case .podUID:
            return .fixed(Response(.ok, .text, .text(pod.uid.description)))
        case .podToken:
            guard let audience = request.query.audience else { throw .missingAudience }
            return .podToken(audience: audience)
        case .serviceAccount(let path):
            guard let account = try view(of: record),
                let resource = path.defaultResource ?? path.resource(of: account.pathName)
            else { throw .notFound }
            return try content(of: resource, at: path, account, request)
        }
    }

    private func view(of record: ServiceAccountRecord?) throws(RequestRefusal) -> ServiceAccountView? {
        guard let record else { return nil }
        return try ServiceAccountView(record, configuration: configuration)
    }

    private func content(
        of resource: ServiceAccountPath.Resource,
        at path: ServiceAccountPath,
        _ account: ServiceAccountView,
        _ request: GoogleRequest
    ) throws(RequestRefusal) -> Content {
        switch resource {
        case .redirect:
            let location = "\(Directory.serviceAccounts.path)\(path.rest)/"
            return .fixed(.redirect(to: location + (request.rawQuery.map { "?\($0)" } ?? "")))
        case .directory:
            return Self.directory(MetadataTree.directory(of: account), request.query)
        case .entry(.token):
            return .accessToken(request.query.scopes ?? .default)
        case .entry(.identity):
            guard let audience = request.query.audience else { throw .missingAudience }
            return .identityToken(audience: audience)
        case .entry(let entry):
            guard let value = MetadataTree.value(of: entry, account: account) else { throw .notFound }
            return Self.leaf(value, request.query)
        }
    }

    private static func leaf(_ value: MetadataValue, _ query: RequestQuery) -> Content {
        switch query.alternative {
        case .json: .value(.value(value.json, .json))
        case .text, nil: .value(.value(value.plainText, .text))
        }
    }

    /// A listing is text whatever `alt` says, and no value.
    private static func directory(_ value: MetadataValue, _ query: RequestQuery) -> Content {
        guard query.isRecursive else { return .fixed(Response(.ok, .text, .text(value.plainText))) }
        return switch query.alternative {
        case .text: .value(.value(value.recursiveText, .text))
        case .json, nil: .value(.value(value.json, .json))
        }
    }

    /// Applies `wait_for_change` to content that is cached.
    func finish(_ content: Content, _ request: GoogleRequest) throws(RequestRefusal) -> RoomDecision {
        switch content {
        case .value(let response):
            guard request.query.waitsForChange, !request.isHead else { return .answer(response) }
            if let known = request.query.lastETag, known != response.etag { return .answer(response) }
            return .hold(
                current: response, known: request.query.lastETag ?? response.etag, seconds: request.query.timeout)
        case .fixed(let response):
            guard !request.query.waitsForChange || response.status != .ok || request.route == .root else {
                throw .cannotWait
            }
            return .answer(response)
        case .accessToken, .identityToken, .podToken:
            return .wait
        }
    }

    /// The head of a credential's answer, whose body would have to be minted.
    func unknownBody(of request: GoogleRequest) -> Response {
        let contentType: Response.ContentType =
            switch request.routeClass {
            case .identityToken: .text
            case .podToken where request.query.alternative != .json: .jwt
            case .accessToken, .podToken, .podUID, .root, .directory, .value, .account, .sessionToken, .cloudListing,
                .cloudCredential, .cloudValue, .unknown, .unrouted:
                .json
            }
        return Response(.ok, contentType, .unknown)
    }
}
