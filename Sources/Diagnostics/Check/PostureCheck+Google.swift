import Clouds
import GoogleTokenExchange
import Operations
import Tokens

extension PostureCheck {
    func upstreams() async -> [Posture.Item] {
        guard !lacks("google.provider") else { return [notTried("google.configuration", without: "google.provider")] }
        let exchange: GoogleTokenService
        do {
            exchange = try GoogleTokenService(configuration.tokenExchange)
        } catch {
            return [Posture.Item("google.configuration", .degraded, "\(error)")]
        }
        let reached = await exchange.reach()
        await exchange.shutdown()
        return reached.map { upstream, host, failure in
            guard let failure else { return Posture.Item("google.\(upstream.rawValue)", .ok, "\(host) answers") }
            return Posture.Item(
                "google.\(upstream.rawValue)", .degraded, failure.message,
                meaning: "Pods get no new tokens. See the node's DNS, firewall and google.ca-file.")
        }
    }
}
