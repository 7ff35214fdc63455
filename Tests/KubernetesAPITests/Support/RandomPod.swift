import Fuzzing

/// Watch events of pods that are like real ones in the fields that are read, and like nothing else in between.
enum RandomPod {
    static func event(_ random: inout FuzzGenerator) -> String {
        let mirror: [(String, String)] = random.pick([[], [("kubernetes.io/config.mirror", #""h""#)]])
        let metadata = object(
            [
                ("uid", #""11111111-2222-3333-4444-555555555555""#), ("name", #""web""#), ("namespace", #""shop""#),
                ("resourceVersion", #""\#(Int.random(in: 1...999, using: &random))""#),
                ("labels", object([("a/b", random.pick([#""x""#, #""\u003c""#, #""y""#]))], &random, isText: true)),
                ("annotations", object(mirror, &random, isText: true)),
            ], &random)
        let spec = object(
            [
                ("serviceAccountName", random.pick([#""web""#, #""\u0077eb""#, "null"])),
                ("nodeName", #""node-a""#), ("hostNetwork", random.pick(["true", "false"])),
            ], &random)
        let status = object([("phase", random.pick([#""Running""#, #""Failed""#, #""Odd""#]))], &random)
        let pod = object([("metadata", metadata), ("spec", spec), ("status", status)], &random)
        return object([("type", random.pick([#""ADDED""#, #""MODIFIED""#])), ("object", pod)], &random)
    }

    /// An object of these members in any order, and others between them; with `isText` no others but strings.
    private static func object(
        _ members: [(String, String)], _ random: inout FuzzGenerator, isText: Bool = false
    ) -> String {
        var texts = members.map { #""\#($0.0)""# + space(&random) + ":" + space(&random) + $0.1 }
        for index in 0..<Int.random(in: 0...3, using: &random) {
            texts.append(#""other-\#(index)":"# + (isText ? string(&random) : value(4, &random)))
        }
        texts.shuffle(using: &random)
        return "{" + texts.joined(separator: "," + space(&random)) + space(&random) + "}"
    }

    private static func value(_ depth: Int, _ random: inout FuzzGenerator) -> String {
        switch Int.random(in: 0..<(depth > 0 ? 8 : 5), using: &random) {
        case 0: return random.pick(["null", "true", "false"])
        case 1: return random.pick(["0", "-1", "1.5", "2e9", "-0.5E-3", "10"])
        case 2, 3: return string(&random)
        case 4: return random.pick(["{}", "[]", "\"\""])
        case 5, 6:
            let count = Int.random(in: 0...3, using: &random)
            return "[" + (0..<count).map { _ in value(depth - 1, &random) }.joined(separator: ",") + "]"
        default:
            let names = ["metadata", "spec", "uid", "name", "type"].shuffled(using: &random)
            let members = names.prefix(Int.random(in: 0...3, using: &random)).map { name in
                #""\#(name)":"# + value(depth - 1, &random)
            }
            return "{" + members.joined(separator: ",") + "}"
        }
    }

    private static func string(_ random: inout FuzzGenerator) -> String {
        let pieces = [
            #"\u003c"#, #"\""#, #"\\"#, "é", #"\n"#, "}", "]", #"\ud83d\ude00"#, "x", ":", "metadata", "😀",
        ]
        return "\"" + (0..<Int.random(in: 0...6, using: &random)).map { _ in random.pick(pieces) }.joined() + "\""
    }

    private static func space(_ random: inout FuzzGenerator) -> String {
        random.pick(["", "", "", " ", "\n", "\t ", "\r\n"])
    }
}
