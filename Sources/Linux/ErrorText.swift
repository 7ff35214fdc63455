#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// The C library's text of an error number: `No such file or directory` for ENOENT.
package func errorText(_ number: CInt) -> String { unsafe String(cString: strerror(number)) }
