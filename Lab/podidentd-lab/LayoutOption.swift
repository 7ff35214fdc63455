import ArgumentParser
import Lab

/// The node's cgroup layout, as an option.
struct LayoutOption: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "The node's cgroups: \(CgroupLayout.allCases.map(\.description).joined(separator: ", ")).",
            discussion: "Nested nodes live in a cgroup namespace of their own, one or three levels deep, as kind's do.")
    )
    var layout = CgroupLayout.standard
}

extension CgroupLayout: ExpressibleByArgument {
    /// The layout with this name.
    public init?(argument: String) {
        guard let layout = Self.allCases.first(where: { $0.description == argument }) else { return nil }
        self = layout
    }

    /// The name, as help shows it.
    public var defaultValueDescription: String { description }
}
