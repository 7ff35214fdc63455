/// An error of a Google API, in its JSON form.
struct GoogleError: Error, Equatable {
    var code: Int
    var message: String
    var status: String
    var details: JSON?

    var json: JSON {
        [
            "error": [
                "code": .integer(Int64(code)), "message": .string(message), "status": .string(status),
                "details": details,
            ]
        ]
    }

    static let unauthenticated = GoogleError(
        code: 401,
        message: "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or other "
            + "valid authentication credential.",
        status: "UNAUTHENTICATED"
    )

    static let internalError = GoogleError(code: 500, message: "Internal error encountered.", status: "INTERNAL")

    static let insufficientScopes = GoogleError(
        code: 403,
        message: "Request had insufficient authentication scopes.",
        status: "PERMISSION_DENIED",
        details: errorInfo("ACCESS_TOKEN_SCOPE_INSUFFICIENT", domain: "googleapis.com", metadata: [:])
    )

    static let serviceDisabled = GoogleError(
        code: 403,
        message: "IAM Service Account Credentials API has not been used in project 1 before or it is disabled.",
        status: "PERMISSION_DENIED",
        details: errorInfo(
            "SERVICE_DISABLED",
            domain: "googleapis.com",
            metadata: ["service": "iamcredentials.googleapis.com"]
        )
    )

    static func permissionDenied(_ permission: String) -> GoogleError {
        GoogleError(
            code: 403,
            message: "Permission '\(permission)' denied on resource (or it may not exist).",
            status: "PERMISSION_DENIED",
            details: errorInfo(
                "IAM_PERMISSION_DENIED",
                domain: "iam.googleapis.com",
                metadata: ["permission": .string(permission)]
            )
        )
    }

    static func notFound(_ message: String) -> GoogleError {
        GoogleError(code: 404, message: message, status: "NOT_FOUND")
    }

    static func invalidArgument(_ message: String) -> GoogleError {
        GoogleError(code: 400, message: message, status: "INVALID_ARGUMENT")
    }

    private static func errorInfo(_ reason: String, domain: String, metadata: JSON) -> JSON {
        [
            [
                "@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": .string(reason),
                "domain": .string(domain), "metadata": metadata,
            ]
        ]
    }
}
