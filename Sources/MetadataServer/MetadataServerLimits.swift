package import NIOCore

/// Bounds on everything a caller decides.
package struct MetadataServerLimits: Sendable, Hashable {
    /// Bytes of the request target, over it 414. Audiences of 2 KB occur.
    package var requestTarget = 8 * 1024
    /// Bytes of request target, field names and field values together, over it 431.
    package var headers = 32 * 1024
    /// Header fields of one request, over it 431.
    package var headerFields = 100
    /// Bytes of a body, which is read and dropped, over it 413.
    package var body = 64 * 1024
    /// The time from the first byte of a request (or from accept) to its last, over it 408. Also bounds a client that
    /// does not read its answer.
    package var requestTimeout = TimeAmount.seconds(10)
    /// Keep-alive without a request. Longer than the 60 s after which Go and others close, so that they do it
    /// first and no request meets a closing connection.
    package var idleTimeout = TimeAmount.seconds(75)
    /// All that one request may wait for, its pod's record, its account and its token together, over it 503 with
    /// what it waited for. Google's Python client gives up after 3 s: the answer has to arrive before.
    package var waitBudget = Duration.milliseconds(2_900)
    /// A defence behind all other deadlines, over it 503.
    package var answerTimeout = TimeAmount.seconds(30)
    /// The time after a refusal in which the rest of the request is read and dropped before the connection closes. A
    /// close with unread bytes resets the connection, and the client would lose the answer.
    package var lingerTimeout = TimeAmount.seconds(1)
    /// A `wait_for_change` without `timeout_sec`, or with a larger one.
    package var watchTimeout = TimeAmount.hours(1)
    /// How often a held `wait_for_change` looks at its value. Four looks in the two seconds within which a changed
    /// annotation has to show: a look that finds a record older than a second has it read again.
    package var watchInterval = TimeAmount.milliseconds(500)
    /// Complete requests that wait behind the one being answered, over it the connection closes after answering
    /// them. Reading stops meanwhile; this is what one read may bring.
    package var pipelinedRequests = 64
    /// Answers that one connection gets before the event loop serves its other connections. One read may bring
    /// dozens of requests, and thousands of connections may have one each.
    package var answersPerTurn = 4
    /// Connections of all pods beyond those that are reserved for each, over it reset.
    package var connections = 2048
    /// Connections that each pod can have however many others there are: a client and its next try, twice.
    package var reservedConnectionsPerPod = 4
    /// Bytes of requests that are not answered yet, of all connections. Over it the pod that holds most of them
    /// loses its largest connection. Some three times as much memory is behind them.
    package var unfinishedBytes = 4 << 20
    /// Bytes that the kernel keeps of what a connection sent and the server has not read. The kernel doubles the
    /// number for its own overhead.
    package var receiveBuffer: CInt = 4096
    /// Bytes that the kernel keeps of answers that the client has not read; doubled as well. Room for any one
    /// answer.
    package var sendBuffer: CInt = 8192
    /// Connections of one pod. Over it the one that was idle for longest ends; if all are busy, 429.
    package var connectionsPerPod = 256
    /// Connections of one pod beyond that limit that are kept until they get their 429, over it reset.
    package var refusedConnectionsPerPod = 32
    /// Connections that the kernel keeps between handshake and accept.
    package var listenBacklog: CInt = 4096
    /// Seconds for which the kernel keeps a connection that has brought no byte, on sockets that wait for bytes.
    package var firstByteDelay: CInt = 1

    package init() {}
}
