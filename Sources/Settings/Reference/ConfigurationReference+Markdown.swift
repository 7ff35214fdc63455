extension ConfigurationKey {
    /// The whole reference as Markdown: a table for each section.
    package static func markdown(of keys: [ConfigurationKey]) -> String {
        var lines: [String] = []
        var section: String?
        for key in keys {
            let parts = key.name.split(separator: ".")
            let own = parts.count > 1 ? String(parts[0]) : ""
            if own != section {
                section = own
                lines += ["", own.isEmpty ? "## Without a section" : "## \(own)", ""]
                lines += ["| Key | Default | Allowed | Meaning |", "|---|---|---|---|"]
            }
            let remark = key.isReloadable ? " **Reloadable**: SIGHUP applies a change." : ""
            lines.append(
                "| `\(key.name)` | \(key.defaultCell) | \(cell(key.allowed)) | \(cell(key.summary))\(remark) |")
        }
        return lines.dropFirst().joined(separator: "\n") + "\n"
    }

    private var defaultCell: String {
        guard let defaultValue else { return isOptional ? "none" : "**required**" + (isGoogles ? " with google" : "") }
        return defaultValue.isEmpty ? "empty" : "`\(Self.cell(defaultValue))`"
    }

    private static func cell(_ text: String) -> String {
        text.split(separator: "|", omittingEmptySubsequences: false).joined(separator: "\\|")
    }
}
