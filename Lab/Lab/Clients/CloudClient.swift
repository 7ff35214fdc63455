/// One real client of a cloud besides Google, which reads a bucket from inside a pod.
package struct CloudClient: Sendable, CustomStringConvertible {
    /// The cloud whose storage the client reads.
    package enum Cloud: String, Sendable {
        case aws, azure
    }

    package let name: String
    package let cloud: Cloud
    let program: RealClient.Program
    /// Findings that the client must print, besides its version.
    let finds: Set<Finding.Name>
    /// The counters of the agent that its requests must raise, and no others but these.
    let routes: Set<String>

    package var description: String { name }

    init(
        _ name: String, of cloud: Cloud = .aws, _ program: RealClient.Program,
        finds: Set<Finding.Name> = [.listing, .object], routes: Set<String>
    ) {
        self.name = name
        self.cloud = cloud
        self.program = program
        self.finds = finds
        self.routes = routes
    }

    /// Every client of every cloud.
    package static let all = aws + azure

    /// The clients of AWS.
    package static let aws = [
        CloudClient(
            "boto3", .cloudPython("aws_boto3.py"), finds: [.listing, .object, .credential], routes: instanceMetadata),
        CloudClient("s3fs", .cloudPython("aws_s3fs.py"), routes: instanceMetadata),
        CloudClient(
            "pyarrow (aws-sdk-cpp)", .cloudPython("aws_pyarrow.py"), routes: instanceMetadata.union(["cloud_value.200"])
        ),
        CloudClient("obstore (object_store)", .cloudPython("aws_obstore.py"), routes: instanceMetadata),
        CloudClient("opendal (reqsign)", .cloudPython("aws_opendal.py"), routes: instanceMetadata),
    ]

    /// The clients of Azure. azure-identity first asks without the header whether there is a server.
    package static let azure = [
        CloudClient(
            "azure-identity", of: .azure, .cloudPython("azure_identity.py"),
            routes: ["unknown.400", "cloud_credential.200"]),
        CloudClient("msal", of: .azure, .cloudPython("azure_msal.py"), routes: ["cloud_credential.200"]),
    ]

    private static let instanceMetadata: Set = ["session_token.200", "cloud_listing.200", "cloud_credential.200"]
}
