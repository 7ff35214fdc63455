extension KubepodsRoot {
    /// The cgroups below the root that hold pods and are none themselves: the QoS classes, wherever they can be.
    package var qosClassPaths: [[UInt8]] {
        podParents.map { Array($0.directory.dropLast()) }.filter { $0 != path }
    }
}
