/// Makes values of events, and counts what it makes.
struct YAMLComposer {
    private typealias Event = YAMLEvents.Event

    /// A complete value under its anchor, with its size.
    private struct Anchored {
        var node: YAMLNode
        var values: Int
        var bytes: Int
        /// How many levels are below it.
        var height: Int
    }

    private var anchors: [String: Anchored] = [:]
    private var values = 0
    private var bytes = 0
    /// The deepest level of the value that is being made.
    private var deepest = 0

    /// The one document of a text; `nil`: there is none.
    static func document(of events: inout YAMLEvents) throws(YAMLError) -> YAMLNode? {
        var event = try events.next()
        if event.kind == .streamStart { event = try events.next() }
        if event.kind == .streamEnd { return nil }
        guard event.kind == .documentStart else {
            throw YAMLError(line: event.line, problem: "no document begins here")
        }
        var composer = YAMLComposer()
        let node = try composer.node(try events.next(), &events, depth: 0)
        event = try events.next()
        if event.kind == .documentEnd { event = try events.next() }
        guard event.kind == .streamEnd else {
            throw YAMLError(line: event.line, problem: "a second document begins here")
        }
        return node
    }

    private mutating func node(
        _ event: Event, _ events: inout YAMLEvents, depth: Int
    ) throws(YAMLError) -> YAMLNode {
        guard depth < YAML.depthMax else { throw Self.tooDeep(event) }
        if event.hasTag {
            throw YAMLError(
                line: event.line, problem: "a tag such as !!str stands here: remove it, and put text into quotes")
        }
        let (valuesBefore, bytesBefore, deepestBefore) = (values, bytes, deepest)
        deepest = depth
        defer { deepest = max(deepest, deepestBefore) }
        try count(values: 1, bytes: 0, event)
        let node: YAMLNode
        switch event.kind {
        case .scalar(let text, let isPlain):
            try count(values: 0, bytes: text.utf8.count, event)
            node = .scalar(YAMLNode.Scalar(text, isPlain: isPlain))
        case .sequenceStart: node = try sequence(&events, depth: depth)
        case .mappingStart: node = try mapping(&events, depth: depth)
        case .alias(let name):
            // An anchor counts from its value's end on: no value holds itself.
            guard let anchored = anchors[name] else {
                throw YAMLError(line: event.line, problem: "an alias has no anchor before it")
            }
            guard depth + anchored.height < YAML.depthMax else { throw Self.tooDeep(event) }
            deepest = depth + anchored.height
            try count(values: anchored.values - 1, bytes: anchored.bytes, event)
            return anchored.node
        default: throw YAMLError(line: event.line, problem: "a value is missing")
        }
        if let name = event.anchor {
            anchors[name] = Anchored(
                node: node, values: values - valuesBefore, bytes: bytes - bytesBefore, height: deepest - depth)
        }
        return node
    }

    private static func tooDeep(_ event: Event) -> YAMLError {
        YAMLError(line: event.line, problem: "the nesting is deeper than \(YAML.depthMax)")
    }

    private mutating func count(values more: Int, bytes moreBytes: Int, _ event: Event) throws(YAMLError) {
        values += more
        bytes += moreBytes
        guard bytes <= YAML.bytesMax else {
            throw YAMLError(line: event.line, problem: "its values have more than \(YAML.bytesMax) bytes")
        }
        guard values <= YAML.valuesMax else {
            throw YAMLError(line: event.line, problem: "it has more than \(YAML.valuesMax) values")
        }
    }

    private mutating func sequence(_ events: inout YAMLEvents, depth: Int) throws(YAMLError) -> YAMLNode {
        var items: [YAMLNode] = []
        while true {
            let event = try events.next()
            if event.kind == .sequenceEnd { return .sequence(items) }
            items.append(try node(event, &events, depth: depth + 1))
        }
    }

    private mutating func mapping(_ events: inout YAMLEvents, depth: Int) throws(YAMLError) -> YAMLNode {
        var mapping = YAMLNode.Mapping()
        while true {
            let event = try events.next()
            if event.kind == .mappingEnd { return .mapping(mapping) }
            guard let key = try node(event, &events, depth: depth + 1).scalar else {
                throw YAMLError(line: event.line, problem: "a key must be a plain name")
            }
            let value = try node(try events.next(), &events, depth: depth + 1)
            guard mapping.append(key.string, value) else {
                throw YAMLError(line: event.line, problem: "the mapping has this key twice")
            }
        }
    }
}
