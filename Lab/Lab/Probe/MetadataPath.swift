/// Paths of the metadata protocol that the lab's clients ask for.
package enum MetadataPath {
    package static let account = "/computeMetadata/v1/instance/service-accounts/default/"
    package static let token = account + "token"

    /// An identity token for `audience`.
    package static func identity(audience: String) -> String { account + "identity?audience=\(audience)" }
}
