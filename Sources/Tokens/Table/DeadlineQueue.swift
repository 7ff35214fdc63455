/// Moments in the order in which they were added, which is the order in which they come: all distances are equal.
struct DeadlineQueue<Element: Sendable>: Sendable {
    private var items: [(deadline: ContinuousClock.Instant, element: Element)] = []
    /// Items before this index are gone. They are removed in bulk, so that taking one costs nothing.
    private var head = 0

    var count: Int { items.count - head }
    var isEmpty: Bool { count == 0 }
    var first: ContinuousClock.Instant? { isEmpty ? nil : items[head].deadline }

    mutating func append(_ element: Element, deadline: ContinuousClock.Instant) {
        items.append((deadline, element))
    }

    /// Takes the first element if its moment has come.
    mutating func popFirst(dueAt now: ContinuousClock.Instant) -> Element? {
        guard !isEmpty, items[head].deadline <= now else { return nil }
        defer {
            head += 1
            if head * 2 >= items.count { dropGone() }
        }
        return items[head].element
    }

    /// Drops what `isAlive` does not want any more. Linear; the owner calls it when half of the queue is dead.
    mutating func compact(keeping isAlive: (Element) -> Bool) {
        dropGone()
        items.removeAll { !isAlive($0.element) }
    }

    private mutating func dropGone() {
        items.removeFirst(head)
        head = 0
    }
}
