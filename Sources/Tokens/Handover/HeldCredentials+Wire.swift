import Attribution

/// The form in which an agent hands its credentials to its successor: big-endian, every text with its length before it.
///
/// ```text
/// "nidt" version(1)  accounts(4) account*  tokens(4) token*
/// account  namespace name uid googleServiceAccount? principalAsEmail(1) quotaProject? annotations age(8)
/// token    pod podName serviceAccountUID namespace name quotaProject? target kind token age(8) remaining(8) subjectID?
/// ```
///
/// All of it is right, or none of it is used.
extension HeldCredentials {
    /// Another version is another form: nothing after it is then understood.
    static let version: UInt8 = 2
    /// Bytes of all, entries of either sort, and bytes of one text: above what the token table can hold of what a node runs.
    package static let sizeLimit = 32 << 20
    static let countLimit = 65_536
    static let textLimit = 16_384
    private static let magic = Array("nidt".utf8)

    /// The bytes, of as many tokens as there is room for. They hold tokens: the sender wipes them.
    package var bytes: [UInt8] {
        var writer = WireWriter()
        // At once: a buffer that grows leaves copies of tokens behind.
        writer.bytes.reserveCapacity(
            min(Self.sizeLimit, tokens.reduce(4_096 * (accounts.count + 1)) { $0 + $1.size + 4_096 }))
        writer.bytes += Self.magic + [Self.version]
        let accounts = accounts.prefix(Self.countLimit)
        writer.number(UInt32(accounts.count))
        for account in accounts { writer.add(account) }
        var room = Self.sizeLimit - writer.bytes.count - 4
        let fitting = tokens.prefix(Self.countLimit).prefix { token in
            room -= token.size
            return room >= 0
        }
        writer.number(UInt32(fitting.count))
        for token in fitting { writer.add(token) }
        return writer.bytes
    }

    /// Reads the bytes; `nil` where they are of another version, cut, too long, or anything else than what an agent writes.
    package init?(parsing bytes: [UInt8]) {
        guard bytes.count <= Self.sizeLimit, bytes.starts(with: Self.magic), bytes.count > Self.magic.count,
            bytes[Self.magic.count] == Self.version
        else { return nil }
        var reader = WireReader(bytes.dropFirst(Self.magic.count + 1))
        guard let accounts = reader.list({ $0.account() }), let tokens = reader.list({ $0.token() }), reader.isAtEnd
        else { return nil }
        self.init(accounts: accounts, tokens: tokens)
    }
}

extension HeldCredentials.Token {
    /// More than its bytes will be.
    fileprivate var size: Int {
        let scopes =
            if case .accessToken(let scopes) = key.kind { scopes.sorted.reduce(0) { $0 + $1.utf8.count + 4 } } else {
                0
            }
        let audience =
            switch key.kind {
            case .identityToken(let text), .podToken(let text), .cloudCredential(let text): text.utf8.count
            case .accessToken, .federation: 0
            }
        let cloud =
            if case .cloud(let identity) = key.target {
                identity.principal.utf8.count
                    + identity.annotations.reduce(0) { $0 + $1.key.utf8.count + $1.value.utf8.count + 8 }
            } else {
                0
            }
        return token.exposed.utf8.count + scopes + audience + cloud + 2_048
    }
}

private struct WireWriter {
    var bytes: [UInt8] = []

    mutating func number(_ number: some FixedWidthInteger) {
        unsafe withUnsafeBytes(of: number.bigEndian) { unsafe bytes.append(contentsOf: $0) }
    }

    mutating func text(_ text: String) {
        number(UInt32(text.utf8.count))
        bytes += text.utf8
    }

    mutating func optional(_ text: String?) {
        number(UInt8(text == nil ? 0 : 1))
        if let text { self.text(text) }
    }

    mutating func table(_ table: [String: String]) {
        number(UInt32(table.count))
        for (key, value) in table.sorted(by: { $0.key < $1.key }) {
            text(key)
            text(value)
        }
    }

    mutating func milliseconds(_ duration: Duration) { number(Int64(duration / .milliseconds(1))) }

    mutating func add(_ account: HeldCredentials.Account) {
        let record = account.record
        for part in [record.namespace, record.name, record.uid] { text(part) }
        optional(record.googleServiceAccount)
        number(UInt8(record.returnsPrincipalAsEmail ? 1 : 0))
        optional(record.quotaProject)
        table(record.annotations)
        milliseconds(account.age)
    }

    mutating func add(_ token: HeldCredentials.Token) {
        let key = token.key
        let account = token.account
        for part in [key.pod.description, token.podName, key.serviceAccountUID, account.namespace, account.name] {
            text(part)
        }
        optional(key.quotaProject)
        switch key.target {
        case .federated: number(UInt8(0))
        case .googleServiceAccount(let email):
            number(UInt8(1))
            text(email)
        case .serviceAccount: number(UInt8(2))
        case .cloud(let identity):
            number(UInt8(3))
            text(identity.cloud.rawValue)
            text(identity.principal)
            table(identity.annotations)
        }
        switch key.kind {
        case .accessToken(let scopes):
            number(UInt8(0))
            number(UInt32(scopes.sorted.count))
            for scope in scopes.sorted { text(scope) }
        case .identityToken(let audience):
            number(UInt8(1))
            text(audience)
        case .federation: number(UInt8(2))
        case .podToken(let audience):
            number(UInt8(3))
            text(audience)
        case .cloudCredential(let resource):
            number(UInt8(4))
            text(resource)
        }
        text(token.token.exposed)
        milliseconds(token.age)
        milliseconds(token.remaining)
        optional(token.subjectID)
    }
}

private struct WireReader {
    private var rest: ArraySlice<UInt8>

    init(_ bytes: ArraySlice<UInt8>) { rest = bytes }

    var isAtEnd: Bool { rest.isEmpty }

    mutating func number<Number: FixedWidthInteger>(_ type: Number.Type) -> Number? {
        let size = Number.bitWidth / 8
        guard rest.count >= size else { return nil }
        defer { rest.removeFirst(size) }
        return rest.prefix(size).reduce(0) { $0 << 8 | Number(truncatingIfNeeded: $1) }
    }

    mutating func text() -> String? {
        guard let count = number(UInt32.self), count <= HeldCredentials.textLimit, rest.count >= Int(count) else {
            return nil
        }
        defer { rest.removeFirst(Int(count)) }
        return String(validating: rest.prefix(Int(count)), as: UTF8.self)
    }

    mutating func flag() -> Bool? {
        switch number(UInt8.self) {
        case 0?: false
        case 1?: true
        default: nil
        }
    }

    /// `nil` for a text that is not one; `.some(nil)` where there is none.
    mutating func optional() -> String?? {
        switch flag() {
        case false?: .some(nil)
        case true?: text().map { .some($0) }
        case nil: nil
        }
    }

    mutating func list<Element>(_ element: (inout WireReader) -> Element?) -> [Element]? {
        guard let count = number(UInt32.self), count <= HeldCredentials.countLimit else { return nil }
        var elements: [Element] = []
        for _ in 0..<count {
            guard let next = element(&self) else { return nil }
            elements.append(next)
        }
        return elements
    }

    mutating func table() -> [String: String]? {
        let pairs = list { reader in
            reader.text().flatMap { key in reader.text().map { (key, $0) } }
        }
        guard let pairs else { return nil }
        let table = Dictionary(pairs) { first, _ in first }
        return table.count == pairs.count ? table : nil
    }

    /// A distance in time between zero and the longest life.
    mutating func milliseconds() -> Duration? {
        guard let number = number(Int64.self) else { return nil }
        let limit = Int64(HeldCredentials.longestLife / .milliseconds(1))
        return (0...limit).contains(number) ? .milliseconds(number) : nil
    }

    mutating func account() -> HeldCredentials.Account? {
        guard let namespace = text(), let name = text(), let uid = text(), !uid.isEmpty, let email = optional(),
            let returnsPrincipal = flag(), let project = optional(), let annotations = table(), let age = milliseconds()
        else { return nil }
        return HeldCredentials.Account(
            record: ServiceAccountRecord(
                namespace: namespace, name: name, uid: uid, googleServiceAccount: email,
                returnsPrincipalAsEmail: returnsPrincipal, quotaProject: project, annotations: annotations),
            age: age)
    }

    mutating func token() -> HeldCredentials.Token? {
        guard let pod = text().flatMap(PodUID.init), let podName = text(), let accountUID = text(), !accountUID.isEmpty,
            let namespace = text(), let name = text(), let project = optional(), let target = target(),
            let kind = kind(), let token = text(), !token.isEmpty, let age = milliseconds(),
            let remaining = milliseconds(), let subject = optional()
        else { return nil }
        return HeldCredentials.Token(
            key: TokenKey(
                pod: pod, serviceAccountUID: accountUID, target: target, kind: kind, quotaProject: project),
            podName: podName, account: ServiceAccountReference(namespace: namespace, name: name),
            token: SecretToken(token), age: age, remaining: remaining, subjectID: subject)
    }

    private mutating func target() -> TokenKey.Target? {
        switch number(UInt8.self) {
        case 0?: return .federated
        case 1?: return text().map { .googleServiceAccount($0) }
        case 2?: return .serviceAccount
        case 3?:
            guard let cloud = text(), let principal = text(), let annotations = table() else { return nil }
            return .cloud(CloudIdentity(cloud: CloudName(cloud), principal: principal, annotations: annotations))
        default: return nil
        }
    }

    private mutating func kind() -> TokenKey.Kind? {
        switch number(UInt8.self) {
        case 0?: list { $0.text() }.map { .accessToken(ScopeSet($0)) }
        case 1?: text().map { .identityToken(audience: $0) }
        case 2?: .federation
        case 3?: text().map { .podToken(audience: $0) }
        case 4?: text().map { .cloudCredential(resource: $0) }
        default: nil
        }
    }
}
