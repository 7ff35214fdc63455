import CLabShims

/// The standard output of the lab's program.
package enum LabOutput {
    /// Call it before anything is printed.
    package static func writeLinesAtOnce() { lab_write_lines_at_once() }
}
