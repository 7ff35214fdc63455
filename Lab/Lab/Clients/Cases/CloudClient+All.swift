extension CloudClient {
    private static let withCredential: Set<Finding.Name> = [.listing, .object, .credential]

    /// The requests of an AWS SDK: session tokens, listings of roles, credentials, and anything else by name.
    private static func imds(
        _ tokens: ClosedRange<UInt64> = 1...1, _ listings: ClosedRange<UInt64> = 1...1,
        _ credentials: ClosedRange<UInt64> = 1...1, _ others: RealClient.Requests = [:]
    ) -> RealClient.Requests {
        ["session_token.200": tokens, "cloud_listing.200": listings, "cloud_credential.200": credentials]
            .merging(others) { $1 }
    }

    /// The clients of AWS. The one that knows only version 1 comes last: the agent is started again for it.
    package static let aws = [
        CloudClient(
            "boto3", 56, .environment(.clouds, "aws_boto3.py"), finds: withCredential, requests: imds()),
        CloudClient(
            "boto3 of 2024", 56, .environment(.boto3in2024, "aws_boto3.py"), finds: withCredential, requests: imds()),
        CloudClient(
            "boto3 of 2021", 56, .environment(.boto3in2021, "aws_boto3.py"), finds: withCredential, requests: imds()),
        // A process for each command, with credentials of its own.
        CloudClient("aws-cli 1", 57, .tool("aws-cli.sh", .aiobotocore, "aws"), requests: imds(2...2, 2...2, 2...2)),
        CloudClient("aws-cli 2", 57, .shell("aws-cli.sh", ["/usr/bin/aws"]), requests: imds(2...2, 2...2, 2...2)),
        CloudClient("s3fs (aiobotocore)", 58, .environment(.aiobotocore, "aws_s3fs.py"), requests: imds()),
        CloudClient("aws-sdk-go", 59, .go("aws-v1"), finds: withCredential, requests: imds()),
        CloudClient("aws-sdk-go-v2", 59, .go("aws-v2"), finds: withCredential, requests: imds()),
        CloudClient(
            "rclone 1.60 (aws-sdk-go)", 59, .shell("rclone-s3.sh", ["/usr/bin/rclone"]),
            requests: imds(2...2, 2...2, 2...2)),
        CloudClient(
            "rclone (aws-sdk-go-v2)", 59, .tool("rclone-s3.sh", .clouds, "rclone"), requests: imds(2...2, 2...2, 2...2)),
        CloudClient("s5cmd (aws-sdk-go)", 59, .tool("s5cmd.sh", .clouds, "s5cmd"), requests: imds(2...2, 2...2, 2...2)),
        CloudClient("restic (minio-go)", 59, .shell("restic.sh"), requests: imds(4...4, 4...4, 4...4)),
        CloudClient("s3cmd", 59, .shell("s3cmd.sh"), requests: imds(2...2, 2...2, 2...2)),
        CloudClient(
            "pyarrow (aws-sdk-cpp)", 60, .environment(.clouds, "aws_pyarrow.py"),
            requests: imds(2...2, 2...2, 2...2, ["cloud_value.200": 1...1])),
        CloudClient(
            "obstore (object_store)", 61, .environment(.clouds, "aws_obstore.py"), requests: imds()),
        CloudClient("opendal (reqsign)", 61, .environment(.clouds, "aws_opendal.py"), requests: imds()),
        CloudClient(
            "polars (object_store)", 61, .environment(.more, "aws_polars.py"), requests: imds(1...3, 1...3, 1...3)),
        CloudClient(
            "daft (aws-sdk-rust)", 62, .environment(.more, "aws_daft.py"), requests: imds(1...4, 1...4, 1...4)),
        CloudClient(
            "awscrt (aws-c-auth)", 63, .environment(.clouds, "aws_awscrt.py"), finds: withCredential, requests: imds()),
        CloudClient("aws-sdk-ruby", 64, .ruby("aws.rb"), finds: withCredential, requests: imds(1...1, 1...4, 1...4)),
        CloudClient("aws-sdk-java", 64, .awsJava("AWS"), finds: withCredential, requests: imds(2...4, 1...2, 1...2)),
        version1(
            CloudClient(
                "async-aws (PHP)", 65, .php("async_aws.php"), finds: withCredential,
                requests: ["cloud_listing.200": 1...1, "cloud_credential.200": 1...1])),
    ]

    private static func version1(_ client: CloudClient) -> CloudClient {
        var client = client
        client.needsVersion1 = true
        return client
    }

    /// The clients of Azure. Some first ask without the header whether there is a server.
    package static let azure = [
        CloudClient(
            "azure-identity", 66, of: .azure, .environment(.clouds, "azure_identity.py"),
            requests: ["unknown.400": 1...1, "cloud_credential.200": 2...2]),
        CloudClient("msal", 66, of: .azure, .environment(.clouds, "azure_msal.py"), requests: once),
        CloudClient(
            "adlfs", 66, of: .azure, .environment(.more, "azure_adlfs.py"),
            requests: ["unknown.400": 0...1, "cloud_credential.200": 1...2]),
        login(
            CloudClient(
                "azure-cli", 66, of: .azure, .tool("azure-cli.sh", .azureCLI, "az"),
                requests: ["cloud_credential.200": 1...4])),
        CloudClient(
            "pyarrow (azsdk-cpp)", 60, of: .azure, .environment(.clouds, "azure_pyarrow.py"),
            requests: ["cloud_credential.200": 1...2]),
        CloudClient(
            "obstore (object_store)", 61, of: .azure, .environment(.clouds, "azure_obstore.py"), requests: once),
        CloudClient("opendal (reqsign)", 61, of: .azure, .environment(.clouds, "azure_opendal.py"), requests: once),
        CloudClient(
            "rclone (azidentity)", 59, of: .azure, .tool("rclone-azure.sh", .clouds, "rclone", ["env-auth", "url"]),
            requests: ["unknown.400": 2...2, "cloud_credential.200": 2...2]),
        CloudClient(
            "rclone 1.60", 59, of: .azure, .shell("rclone-azure.sh", ["/usr/bin/rclone", "use-msi", "domain"]),
            requests: ["cloud_credential.200": 4...4]),
        CloudClient("adal (Go)", 59, of: .azure, .go("adal"), requests: once),
    ]

    private static let once: RealClient.Requests = ["cloud_credential.200": 1...1]

    /// Expects the second token of a login: one for the management of Azure.
    private static func login(_ client: CloudClient) -> CloudClient {
        var client = client
        client.exchanges = 2
        return client
    }
}
