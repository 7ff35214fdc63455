extension ConfigurationKey {
    /// The whole reference as YAML, every key at its default and explained: a starting point for a file.
    package static func reference(of keys: [ConfigurationKey]) -> String {
        var lines: [String] = []
        var section = ""
        for key in keys {
            let parts = key.name.split(separator: ".").map(String.init)
            let isNested = parts.count > 1
            if isNested, parts[0] != section {
                section = parts[0]
                lines += ["", "\(section):"]
            }
            let indent = isNested ? "  " : ""
            lines += wrap(key.summary).map { "\(indent)# \($0)" }
            let isRequired = key.isGoogles ? ", required where google is served" : ", required"
            let requirement = key.defaultValue == nil ? (key.isOptional ? ", optional" : isRequired) : ""
            lines.append("\(indent)# \(key.environmentName): \(key.allowed)\(requirement)")
            if key.isReloadable { lines.append("\(indent)# Reloadable: SIGHUP applies a change.") }
            let name = parts.last ?? key.name
            let commented = key.defaultValue == nil ? "#" : ""
            lines.append("\(indent)\(commented)\(name): \(key.defaultValue.map(quoted) ?? "")")
        }
        return lines.map { String($0) }.joined(separator: "\n") + "\n"
    }

    private static func quoted(_ value: String) -> String {
        value.isEmpty || value == "-" || value.contains(":") || value.contains(",") ? "\"\(value)\"" : value
    }

    private static func wrap(_ text: String) -> [String] {
        var lines: [String] = [""]
        for word in text.split(separator: " ") {
            if lines[lines.count - 1].count + word.count > 96 { lines.append("") }
            lines[lines.count - 1] += (lines[lines.count - 1].isEmpty ? "" : " ") + word
        }
        return lines
    }
}
