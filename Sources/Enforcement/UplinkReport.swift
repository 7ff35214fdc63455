package import BPF
package import Logging

/// Has the node's interfaces guarded, and logs which ones are.
package struct UplinkReport: Sendable {
    let logger: Logger

    package init(logger: Logger) {
        self.logger = logger
    }

    /// Guards the interfaces that are there.
    package func start(_ datapath: Datapath) {
        do throws(BPFError) {
            log(try datapath.guardUplinks())
        } catch {
            logger.notice(
                "no guard of the node's interfaces: frames of hostNetwork pods with CAP_NET_RAW are not blocked",
                metadata: ["reason": "\(error)"])
        }
    }

    /// Guards those that are new.
    func refresh(_ datapath: Datapath?, afterLoss: Bool = false, always: Bool = false) {
        guard let datapath else { return }
        do throws(BPFError) {
            log(try datapath.refreshUplinks(afterLoss: afterLoss, always: always))
        } catch {
            logger.warning("cannot look for new network interfaces", metadata: ["reason": "\(error)"])
        }
    }

    private func log(_ changes: [UplinkGuard.Change]) {
        for change in changes {
            switch change {
            case .guarded(let name, let origin):
                logger.info("interface guarded", metadata: ["interface": "\(name)", "origin": "\(origin.rawValue)"])
            case .forgotten(let index):
                logger.info("a guarded interface is gone", metadata: ["index": "\(index)"])
            case .unknownFrames(let name):
                logger.notice(
                    "interface not guarded: its frames have a header of their own", metadata: ["interface": "\(name)"])
            case .failed(let name, let error):
                logger.warning(
                    "interface not guarded", metadata: ["interface": "\(name)", "reason": "\(error)"])
            }
        }
    }
}
