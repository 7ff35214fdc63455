import Foundation
package import NIOCore

/// Exchanges one after another, each on a connection of its own, with a line for each: a pod's view of a long time.
package struct ProbeStream: Sendable {
    package struct Sample: Sendable, Equatable {
        /// Counts from 0.
        package var number: Int
        package var microseconds: Int
        /// The access token in the answer.
        package var token: String?
        /// The outcome instead of a token.
        package var outcome: String

        package var line: String { "\(number) \(microseconds) \(token ?? "-") \(outcome)" }

        /// Reads a line; `nil` if it is none of a stream's.
        package init?(_ line: String) {
            let parts = line.split(separator: " ", maxSplits: 3)
            guard parts.count == 4, let number = Int(parts[0]), let microseconds = Int(parts[1]) else { return nil }
            self.number = number
            self.microseconds = microseconds
            self.token = parts[2] == "-" ? nil : String(parts[2])
            self.outcome = String(parts[3])
        }

        init(number: Int, duration: Duration, outcome: ProbeOutcome) {
            self.number = number
            self.microseconds = Int(duration / .microseconds(1))
            switch outcome {
            case .answered(let status, _, let body, _):
                self.outcome = "\(status)"
                self.token = status == 200 ? Self.token(in: body) : nil
            case .refused: self.outcome = "refused"
            case .reset: self.outcome = "reset"
            case .failed(let number): self.outcome = "error \(number)"
            }
        }

        private static func token(in body: String) -> String? {
            guard let name = body.firstRange(of: "\"access_token\"") else { return nil }
            return body[name.upperBound...].split(separator: "\"").dropFirst().first.map(String.init)
        }
    }

    package var path: String
    package var address: SocketAddress
    /// The pause between two exchanges: a victim asks often, but is not itself the load.
    package var pause: Duration
    /// A file: as long as it is there, an exchange that begins gives up after a second. `nil`: never so soon.
    package var hurry: String?

    package init(
        path: String, address: SocketAddress, pause: Duration = .milliseconds(3), hurry: String? = nil
    ) {
        self.path = path
        self.address = address
        self.pause = pause
        self.hurry = hurry
    }

    /// Asks without end, blocking the calling thread.
    package func run(report: (Sample) -> Void) -> Never {
        var number = 0
        while true {
            let start = ContinuousClock.now
            let isHurried = hurry.map { unsafe access($0, F_OK) == 0 } ?? false
            let outcome = ProbeConnection.get(
                path, from: address, patience: isHurried ? 1 : ProbeConnection.patience)
            report(Sample(number: number, duration: ContinuousClock.now - start, outcome: outcome))
            number += 1
            usleep(UInt32(pause / .microseconds(1)))
        }
    }
}
