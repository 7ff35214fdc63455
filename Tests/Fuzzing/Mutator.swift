/// Makes new inputs from good ones: cuts, repeats, swaps, flips, and puts in what the format finds interesting.
package struct Mutator: Sendable {
    private let seeds: [[UInt8]]
    private let words: [[UInt8]]
    /// Inputs grow no longer than this.
    private let limit: Int

    /// Starts from `seeds`, and puts in `words`.
    package init(seeds: [[UInt8]], words: [String], limit: Int = 64 * 1024) {
        self.seeds = seeds
        self.words = words.map { Array($0.utf8) }
        self.limit = limit
    }

    /// One seed with one to eight changes.
    package func input(_ random: inout FuzzGenerator) -> [UInt8] {
        var bytes = random.pick(seeds)
        for _ in 0..<Int.random(in: 1...8, using: &random) { change(&bytes, &random) }
        return Array(bytes.prefix(limit))
    }

    private func change(_ bytes: inout [UInt8], _ random: inout FuzzGenerator) {
        let place = Int.random(in: 0...bytes.count, using: &random)
        let end = min(bytes.count, place + Int.random(in: 1...16, using: &random))
        switch Int.random(in: 0..<9, using: &random) {
        case 0: bytes.insert(contentsOf: random.pick(words), at: place)
        case 1: bytes.replaceSubrange(place..<end, with: random.pick(words))
        case 2: bytes.removeSubrange(place..<end)
        case 3: bytes.insert(contentsOf: bytes[place..<end], at: place)
        case 4: bytes.insert(UInt8.random(in: 0...255, using: &random), at: place)
        case 5 where !bytes.isEmpty:
            bytes[min(place, bytes.count - 1)] ^= 1 << UInt8.random(in: 0...7, using: &random)
        case 6:
            // The head of one input and the tail of another.
            let other = random.pick(seeds)
            bytes.replaceSubrange(place..., with: other[Int.random(in: 0...other.count, using: &random)...])
        case 7:
            let repetitions = random.pick([2, 16, 300])
            let piece = Array(bytes[place..<end])
            guard bytes.count + piece.count * repetitions <= limit else { return }
            for _ in 0..<repetitions { bytes.insert(contentsOf: piece, at: place) }
        default: bytes.removeSubrange(place...)
        }
    }
}
