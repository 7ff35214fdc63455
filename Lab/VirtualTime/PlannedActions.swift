/// Actions of the future, by their moments; those of one moment in the order in which they were planned.
struct PlannedActions {
    /// An entry of the heap holds no reference, so that to move it costs no reference count.
    private struct Entry {
        var moment: Int64
        var order: Int
        var place: Int

        func precedes(_ other: Entry) -> Bool {
            moment == other.moment ? order < other.order : moment < other.moment
        }
    }

    private var heap: [Entry] = []
    private var actions: [(() -> Void)?] = []
    private var freePlaces: [Int] = []
    private var lastOrder = 0

    /// The moment of the first.
    var first: Int64? { heap.first?.moment }

    mutating func add(_ action: @escaping () -> Void, at moment: Int64) {
        lastOrder += 1
        let place: Int
        if let free = freePlaces.popLast() {
            place = free
            actions[place] = action
        } else {
            place = actions.count
            actions.append(action)
        }
        let entry = Entry(moment: moment, order: lastOrder, place: place)
        heap.append(entry)
        var child = heap.count - 1
        while child > 0 {
            let parent = (child - 1) / 2
            guard entry.precedes(heap[parent]) else { break }
            heap[child] = heap[parent]
            child = parent
        }
        heap[child] = entry
    }

    /// Takes the first. There must be one.
    mutating func removeFirst() -> () -> Void {
        let (first, last) = (heap[0], heap.removeLast())
        if !heap.isEmpty { sink(last) }
        freePlaces.append(first.place)
        let action = actions[first.place]
        actions[first.place] = nil
        guard let action else { preconditionFailure("a planned action is missing") }
        return action
    }

    private mutating func sink(_ entry: Entry) {
        var parent = 0
        while 2 * parent + 1 < heap.count {
            var child = 2 * parent + 1
            if child + 1 < heap.count, heap[child + 1].precedes(heap[child]) { child += 1 }
            guard heap[child].precedes(entry) else { break }
            heap[parent] = heap[child]
            parent = child
        }
        heap[parent] = entry
    }
}
