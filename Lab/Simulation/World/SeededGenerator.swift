/// Random numbers that a seed decides: xoshiro256** (Blackman and Vigna, 2018), its state filled by SplitMix64.
package struct SeededGenerator: RandomNumberGenerator, Sendable {
    private var state: (UInt64, UInt64, UInt64, UInt64)

    package init(seed: UInt64) {
        var seed = seed
        func next() -> UInt64 {
            seed &+= 0x9e37_79b9_7f4a_7c15
            var word = (seed ^ (seed >> 30)) &* 0xbf58_476d_1ce4_e5b9
            word = (word ^ (word >> 27)) &* 0x94d0_49bb_1331_11eb
            return word ^ (word >> 31)
        }
        state = (next(), next(), next(), next())
    }

    package mutating func next() -> UInt64 {
        let product = state.1 &* 5
        let result = ((product << 7) | (product >> 57)) &* 9
        let shifted = state.1 << 17
        state.2 ^= state.0
        state.3 ^= state.1
        state.1 ^= state.2
        state.0 ^= state.3
        state.2 ^= shifted
        state.3 = (state.3 << 45) | (state.3 >> 19)
        return result
    }

    /// A number in `0..<1`.
    package mutating func unit() -> Double { Double(next() >> 11) / 9_007_199_254_740_992 }

    package mutating func chance(_ probability: Double) -> Bool { unit() < probability }

    package mutating func below(_ limit: Int) -> Int { Int(next() % UInt64(max(limit, 1))) }

    package mutating func pick<Element>(_ elements: [Element]) -> Element { elements[below(elements.count)] }

    /// A duration between two, each order of magnitude as likely as any other.
    package mutating func duration(_ shortest: Duration, _ longest: Duration) -> Duration {
        let (low, high) = (shortest / .milliseconds(1), longest / .milliseconds(1))
        let factor = unit()
        // Powers without a mathematics library: halve the interval of exponents twenty times.
        var (lower, upper) = (max(low, 1), max(high, 1))
        var target = factor
        for _ in 0..<12 {
            let middle = (lower * upper).squareRoot()
            if target < 0.5 {
                upper = middle
                target *= 2
            } else {
                lower = middle
                target = (target - 0.5) * 2
            }
        }
        return .milliseconds(Int64((lower + (upper - lower) * target).rounded()))
    }
}
