import ArgumentParser
import Dispatch
import Glibc
import Hardening

/// Where the process begins: rights go first, while there is one thread to take them from.
@main
enum Main {
    static func main() {
        // The other commands are short, and their caller's own doing.
        if CommandLine.arguments.dropFirst().first == RunCommand.configuration.commandName {
            do {
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
