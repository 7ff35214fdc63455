/// The few characters that the path grammar knows. Paths are bytes: nothing here decodes them.
extension UInt8 {
    static let slash = UInt8(ascii: "/")

    /// The value of an ASCII digit `0`-`9`, `a`-`f`; the kubelet and the runtimes write no upper case.
    var lowercaseHexadecimalValue: UInt8? {
        switch self {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): self - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): self - UInt8(ascii: "a") + 10
        default: nil
        }
    }

    /// The ASCII digit of the low four bits of `value`.
    init(lowercaseHexadecimal value: UInt8) {
        let digit = value & 0xf
        self = digit < 10 ? UInt8(ascii: "0") + digit : UInt8(ascii: "a") + digit - 10
    }
}
