import ArgumentParser
import Dispatch
import Enforcement
import Glibc
import Hardening
import Synchronization

/// The beginning of the process: rights go first, while there is one thread to take them from.
@main
enum Main {
    /// The process that enters network namespaces for the agent, or why there is none.
    static let opener = Mutex<Result<Opener, any Error>?>(nil)

    static func main() {
        if let hint = Podidentd.hint(for: CommandLine.arguments.dropFirst()) {
            Screen.warn(hint)
            exit(EX_USAGE)
        }
        // The other commands are short, and their caller's own doing.
        if CommandLine.arguments.dropFirst().first == RunCommand.configuration.commandName {
            do {
                ProcessHeap.limit()
                ProcessRights.raiseDescriptorLimit()
                // The opener keeps rights that this process gives up.
                opener.withLock { $0 = Result { try Opener(executable: Opener.path) } }
                try ProcessRights.reduce()
            } catch {
                Podidentd.exit(withError: error)
            }
        }
        Task {
            await Podidentd.main()
            exit(0)
        }
        dispatchMain()
    }
}
