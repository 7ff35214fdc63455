/// The tables of `deploy/dns/README.md`: which spelling each option resolves, and which client works with which option.
///
/// The run of the real clients shows that they are true; a test compares the document.
package enum NameTables {
    /// The options' rows, in the order in which a reader chooses.
    private static let options: [(resolution: NameResolution, text: String)] = [
        (.corefile, "`corefile.snippet`, `coredns-custom-*.yaml`"), (.dnsmasq, "`dnsmasq.conf`"),
        (.unbound, "`unbound.conf`"), (.hosts, "`workload/host-aliases`, `components/dns-hosts-policy`"),
        (.none, "none of them"),
    ]

    /// A pod's own look-up with an option: the output of ``ClientLab/look(with:by:)``.
    package static func look(with resolution: NameResolution, by library: CLibrary) -> String {
        let lines = [Spelling.short, .name, .absolute].map { spelling in
            "\(spelling.rawValue) \(address(of: spelling, with: resolution) ?? "-")\n"
        }
        let record = "AAAA \(resolution.isNameServer ? "empty" : "no such name")\n"
        return lines.joined() + (library == .glibc ? record : "")
    }

    /// The address that a client finds. If there is no option, the tenant's Service is all that the search list finds.
    private static func address(of spelling: Spelling, with resolution: NameResolution) -> String? {
        if resolution.resolves(spelling) { return LabNode.metadataAddress }
        return resolution == .none && spelling == .name ? TenantService.address : nil
    }

    /// Option by spelling.
    package static var spellings: String {
        let spellings: [Spelling] = [.short, .name, .absolute]
        let names = spellings.map { "`\($0.rawValue)`" }.joined(separator: " | ")
        let head = "| option | \(names) | IPv6 record | a tenant's claim |"
        let rows = options.map { option in
            let cells = spellings.map { option.resolution.resolves($0) ? "yes" : "**no**" }
            let record = option.resolution.isNameServer ? "empty" : "no such name"
            let claim = option.resolution == .none ? "**answers**" : "is passed over"
            return "| \(([option.text] + cells + [record, claim]).joined(separator: " | ")) |"
        }
        return table(head, columns: 6, rows)
    }

    /// Client by option. What is the same for the three name servers is one column.
    package static var clients: String {
        let head = "| client | writes | name servers | hosts entries | none of them |"
        let rows = RealClient.all.filter { $0.resolutions == NameResolution.allCases }.map { client in
            let names = Spelling.allCases.filter(client.spellings.contains).map { "`\($0.rawValue)`" }
            let cells = [NameResolution.corefile, .hosts, .none].map { resolution in
                let clientCase = ClientCase(client: client, resolution: resolution)
                return !clientCase.works ? "**no**" : clientCase.namesAddress ? "by `GCE_METADATA_HOST`" : "yes"
            }
            return "| \(([client.name, names.joined(separator: ", ")] + cells).joined(separator: " | ")) |"
        }
        return table(head, columns: 5, rows)
    }

    private static func table(_ head: String, columns: Int, _ rows: [String]) -> String {
        ([head, "|" + String(repeating: "---|", count: columns)] + rows).joined(separator: "\n") + "\n"
    }
}
