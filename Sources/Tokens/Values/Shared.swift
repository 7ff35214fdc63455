/// A large value that many hold and none changes: copying and moving its holder costs one reference.
final class Shared<Value: Sendable>: Sendable {
    let value: Value

    init(_ value: Value) {
        self.value = value
    }
}
