import CBPFPrograms
import CLibbpf
import Glibc

/// A loaded kernel object (`bpf/NAME.bpf.c`), as bpftool describes it in C. Its programs and maps live as long as this
/// value.
@safe
struct Skeleton<Layout>: ~Copyable {
    /// The functions that bpftool makes for each object.
    @safe
    struct Functions {
        let open: (UnsafePointer<bpf_object_open_opts>?) -> UnsafeMutablePointer<Layout>?
        let load: (UnsafeMutablePointer<Layout>?) -> CInt
        let destroy: @Sendable (UnsafeMutablePointer<Layout>?) -> Void
    }

    private let layout: UnsafeMutablePointer<Layout>
    private let destroy: @Sendable (UnsafeMutablePointer<Layout>?) -> Void

    /// Opens the object, has `prepare` set what must be set before it is loaded, and loads it.
    ///
    /// - Parameters:
    ///   - name: The object's name, for errors.
    ///   - functions: bpftool's functions for it.
    ///   - pins: Where its maps are pinned, each by its name, or adopted if they are there; `nil`: no map is pinned.
    ///   - prepare: Sets constants and shares maps.
    /// - Throws: Why the kernel refused it, in the verifier's words.
    init(
        _ name: String, _ functions: Functions, pins: PinDirectory? = nil,
        prepare: (UnsafeMutablePointer<Layout>) throws(BPFError) -> Void = { _ in }
    ) throws(BPFError) {
        LibbpfLog.capture()
        guard let layout = unsafe Self.open(functions, pins) else {
            throw BPFError("open the \(name) programs", errorNumber: errno)
        }
        do throws(BPFError) {
            try unsafe prepare(layout)
            try checkLoad(unsafe functions.load(layout), name)
        } catch {
            unsafe functions.destroy(layout)
            throw error
        }
        unsafe self.layout = layout
        unsafe destroy = functions.destroy
    }

    deinit {
        unsafe destroy(layout)
    }

    /// Lends the object's programs, maps, links and variables.
    func withLayout<Value>(
        _ body: (UnsafeMutablePointer<Layout>) throws(BPFError) -> Value
    ) throws(BPFError) -> Value {
        try unsafe body(layout)
    }

    private static func open(_ functions: Functions, _ pins: PinDirectory?) -> UnsafeMutablePointer<Layout>? {
        var options = unsafe bpf_object_open_opts()
        unsafe options.sz = MemoryLayout<bpf_object_open_opts>.size
        guard let pins else { return unsafe functions.open(&options) }
        return unsafe pins.maps.withCString { maps in
            unsafe options.pin_root_path = maps
            return unsafe functions.open(&options)
        }
    }
}

/// Returns the constants of an object that has some.
@unsafe
func constants<Constants>(
    _ constants: UnsafeMutablePointer<Constants>?, of name: String
) throws(BPFError) -> UnsafeMutablePointer<Constants> {
    guard let constants = unsafe constants else { throw BPFError("find the constants of the \(name) programs") }
    return unsafe constants
}

/// Loading fails for reasons that only the verifier's words explain.
private func checkLoad(_ result: CInt, _ object: String) throws(BPFError) {
    let words = LibbpfLog.take().split(separator: "\n").suffix(3).joined(separator: "; ")
    if result < 0 {
        throw BPFError(
            "load the \(object) programs", errorNumber: -result,
            hint: result == -EPERM || words.isEmpty ? "" : words
        )
    }
}
