import CLibYAML

/// The events of a text, one after the other, as libyaml's parser finds them.
///
/// The text must stay where it is until ``close()``.
@safe
struct YAMLEvents: ~Copyable {
    enum Kind: Equatable {
        case streamStart, streamEnd, documentStart, documentEnd, sequenceStart, sequenceEnd, mappingStart, mappingEnd
        case scalar(String, isPlain: Bool)
        case alias(of: String)
    }

    struct Event {
        var kind: Kind
        /// The name under which an alias may repeat the value that begins here.
        var anchor: String?
        var hasTag = false
        var line: Int
    }

    /// `nil`: there was no memory for a parser, or ``close()`` was called.
    private var parser: UnsafeMutablePointer<yaml_parser_t>?

    init(_ text: UnsafeBufferPointer<UInt8>) {
        let memory = UnsafeMutablePointer<yaml_parser_t>.allocate(capacity: 1)
        guard unsafe yaml_parser_initialize(memory) == 1 else {
            unsafe memory.deallocate()
            unsafe parser = nil
            return
        }
        // Swift's strings are UTF-8: nothing else is to be guessed from the first bytes.
        unsafe yaml_parser_set_encoding(memory, YAML_UTF8_ENCODING)
        unsafe yaml_parser_set_input_string(memory, text.baseAddress, text.count)
        unsafe parser = memory
    }

    mutating func close() {
        guard let memory = unsafe parser else { return }
        unsafe yaml_parser_delete(memory)
        unsafe memory.deallocate()
        unsafe parser = nil
    }

    deinit {
        guard let memory = unsafe parser else { return }
        unsafe yaml_parser_delete(memory)
        unsafe memory.deallocate()
    }

    /// Parses the next event.
    mutating func next() throws(YAMLError) -> Event {
        guard let memory = unsafe parser else { throw YAMLError(line: 1, problem: "no memory is left to read it") }
        var event = unsafe yaml_event_t()
        guard unsafe yaml_parser_parse(memory, &event) == 1 else { throw unsafe Self.error(memory) }
        defer { unsafe yaml_event_delete(&event) }
        return unsafe Self.event(event)
    }

    /// libyaml says this of a tab at a line's beginning, which is what most people meet it by.
    private static let tabProblem = "found character that cannot start any token"

    /// The parser's own words, which are constants of libyaml and quote nothing.
    private static func error(_ parser: UnsafeMutablePointer<yaml_parser_t>) -> YAMLError {
        let problem = unsafe parser.pointee.problem.map { unsafe String(cString: $0) } ?? "no memory is left to read it"
        // A reader's error has no mark of its own: the parser is not far before it.
        let isReaders = unsafe parser.pointee.error == YAML_READER_ERROR
        let mark = unsafe isReaders ? parser.pointee.mark : parser.pointee.problem_mark
        let hint = problem == tabProblem ? " (lines are indented by spaces, never by tabs)" : ""
        return YAMLError(line: Int(clamping: mark.line) + 1, problem: problem + hint)
    }

    private static func event(_ event: yaml_event_t) -> Event {
        let line = unsafe Int(clamping: event.start_mark.line) + 1
        switch unsafe event.type {
        case YAML_STREAM_START_EVENT: return Event(kind: .streamStart, line: line)
        case YAML_DOCUMENT_START_EVENT: return Event(kind: .documentStart, line: line)
        case YAML_DOCUMENT_END_EVENT: return Event(kind: .documentEnd, line: line)
        case YAML_SEQUENCE_END_EVENT: return Event(kind: .sequenceEnd, line: line)
        case YAML_MAPPING_END_EVENT: return Event(kind: .mappingEnd, line: line)
        case YAML_ALIAS_EVENT:
            return unsafe Event(kind: .alias(of: text(event.data.alias.anchor) ?? ""), line: line)
        case YAML_SEQUENCE_START_EVENT:
            let start = unsafe event.data.sequence_start
            return unsafe Event(
                kind: .sequenceStart, anchor: text(start.anchor), hasTag: start.tag != nil, line: line)
        case YAML_MAPPING_START_EVENT:
            let start = unsafe event.data.mapping_start
            return unsafe Event(kind: .mappingStart, anchor: text(start.anchor), hasTag: start.tag != nil, line: line)
        case YAML_SCALAR_EVENT:
            let scalar = unsafe event.data.scalar
            let bytes = unsafe UnsafeBufferPointer(start: scalar.value, count: scalar.length)
            let kind = unsafe Kind.scalar(
                String(decoding: bytes, as: UTF8.self), isPlain: scalar.style == YAML_PLAIN_SCALAR_STYLE)
            return unsafe Event(kind: kind, anchor: text(scalar.anchor), hasTag: scalar.tag != nil, line: line)
        default:
            // The stream's end, and any event that libyaml may add: nothing is read after it.
            return Event(kind: .streamEnd, line: line)
        }
    }

    private static func text(_ pointer: UnsafeMutablePointer<yaml_char_t>?) -> String? {
        unsafe pointer.map { unsafe String(cString: $0) }
    }
}
