/// How large an object of the API can be.
enum ObjectSize {
    /// The most that etcd takes in one request, of the object as protobuf: 1.5 MiB (`DefaultMaxRequestBytes`, etcd's
    /// server/embed/config.go). What the API server takes, 3 MiB of JSON or protobuf, is more (`MaxRequestBodyBytes`,
    /// k8s.io/apiserver/pkg/server/config.go).
    static let stored = 3 << 19
    /// The same as JSON, if each byte becomes an escape of six (`\u003c`): more than that is no object of an API server
    /// whose limits are the usual ones.
    static let written = 6 * stored
    /// The most that the agent passes over before it gives up on a stream.
    static let unreadable = 4 * written
}

extension KubernetesClient {
    /// The size of an object in bytes of JSON up to which it is read.
    package static let objectLimit = ObjectSize.written
}
