/// The name of an IAM role: `arn:PARTITION:iam::ACCOUNT:role/[PATH/]NAME`.
///
/// The text comes from an annotation, that is, from anybody who may edit a ServiceAccount: all of it is checked.
package struct AWSRoleARN: Sendable, Hashable {
    package let text: String
    /// `aws`, `aws-cn`, `aws-us-gov` and so on: which of Amazon's separate clouds the account is in.
    package let partition: String
    /// Twelve digits.
    package let accountID: String
    /// The last part of the path, by which clients know the role.
    package let roleName: String

    /// AWS Security Token Service, AssumeRoleWithWebIdentity: `RoleArn`.
    private static let lengths = 20...2048
    /// IAM: names of roles.
    private static let nameLengths = 1...64

    /// The partitions that exist, with the domain of their services' names.
    private static let domains = [
        "aws": "amazonaws.com", "aws-us-gov": "amazonaws.com", "aws-cn": "amazonaws.com.cn", "aws-eusc": "amazonaws.eu",
        "aws-iso": "c2s.ic.gov", "aws-iso-b": "sc2s.sgov.gov", "aws-iso-e": "cloud.adc-e.uk",
        "aws-iso-f": "csp.hci.ic.gov",
    ]

    package init?(_ text: String) {
        guard Self.lengths.contains(text.utf8.count), text.utf8.allSatisfy(Self.isAllowed) else { return nil }
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        guard parts.count == 6, parts[0] == "arn", Self.domains[String(parts[1])] != nil, parts[2] == "iam",
            parts[3].isEmpty, parts[4].utf8.count == 12, parts[4].utf8.allSatisfy(Self.isDigit)
        else { return nil }
        let path = parts[5].split(separator: "/", omittingEmptySubsequences: false)
        guard path.count >= 2, path[0] == "role", path.allSatisfy({ !$0.isEmpty }),
            let name = path.last, Self.nameLengths.contains(name.utf8.count), name != ".", name != ".."
        else { return nil }
        self.text = text
        self.partition = String(parts[1])
        self.accountID = String(parts[4])
        self.roleName = String(name)
    }

    /// The domain of the partition's services: `sts.REGION.DOMAIN`.
    package var serviceDomain: String { Self.domains[partition] ?? "" }

    /// IAM's own alphabet for names and paths, less what has a meaning in a URL's path, and the ARN's separators.
    private static func isAllowed(_ byte: UInt8) -> Bool {
        isDigit(byte) || (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte | 0x20)
            || "_+=,.@-:/".utf8.contains(byte)
    }

    private static func isDigit(_ byte: UInt8) -> Bool {
        (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte)
    }
}
