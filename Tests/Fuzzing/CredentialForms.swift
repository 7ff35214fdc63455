/// Each form of a credential that text on a node may hold, with the part that must not get out.
package enum CredentialForms {
    /// `text` as an upstream, a plugin or a file would write it; `secret` stands in it.
    package struct Form: Sendable, CustomStringConvertible {
        package let description: String
        package let text: String
        package let secret: String
    }

    package static let all: [Form] = [
        Form(description: "JWT", text: "got eyJhbGciOi.eyJzdWIi.c2ln-_x from", secret: "eyJzdWIi.c2ln-_x"),
        Form(description: "JWT behind =", text: "subject_token=eyJhbGciOi.J9.abc&x=1", secret: "J9.abc"),
        Form(description: "escaped JWT", text: "subject_token%3DeyJhbGciOi.J9.abc", secret: "J9.abc"),
        Form(description: "JWT in a path", text: "GET /token/eyJhbGciOi.J9.abc", secret: "J9.abc"),
        Form(description: "Google access token", text: #"{"t":"ya29.c.xyz-DEF_1"}"#, secret: "c.xyz-DEF_1"),
        Form(description: "EKS token", text: "printed k8s-aws-v1.aHR0cHM6Ly9zdHM", secret: "aHR0cHM6Ly9zdHM"),
        Form(description: "OpenShift token", text: "token sha256~Zm9vYmFyYmF6", secret: "Zm9vYmFyYmF6"),
        Form(description: "bearer", text: "Authorization: Bearer s3cr3t.token end", secret: "s3cr3t.token"),
        Form(description: "basic", text: "authorization: basic dXNlcjpwYXNz", secret: "dXNlcjpwYXNz"),
        Form(description: "URL", text: "proxy https://me:pa$$word@host/x refused", secret: "pa$$word"),
        Form(
            description: "key", text: "-----BEGIN EC PRIVATE KEY-----\nMHcCAQEE\n-----END EC PRIVATE KEY-----\nx",
            secret: "MHcCAQEE"),
        Form(
            description: "key on one line",
            text: "-----BEGIN PRIVATE KEY----- MHcCAQEE -----END PRIVATE KEY----- x",
            secret: "MHcCAQEE"),
        Form(
            description: "key cut short", text: "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMHcCAQEE\nAQEEMHcC",
            secret: "AQEEMHcC"),
    ]
}
