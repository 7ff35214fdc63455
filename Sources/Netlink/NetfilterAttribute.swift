/// Attribute types of nf_tables by the kernel's names: `table.name` is `NFTA_TABLE_NAME` (linux/netfilter/nf_tables.h).
enum NFTA {
    enum Table {
        static let name: UInt16 = 1
    }

    enum Chain {
        static let table: UInt16 = 1
        static let name: UInt16 = 3
        static let hook: UInt16 = 4
        static let policy: UInt16 = 5
        static let type: UInt16 = 7
    }

    enum Hook {
        static let number: UInt16 = 1
        static let priority: UInt16 = 2
    }

    enum Rule {
        static let table: UInt16 = 1
        static let chain: UInt16 = 2
        static let expressions: UInt16 = 4
    }

    /// `NFTA_LIST_ELEM`.
    enum List {
        static let element: UInt16 = 1
    }

    enum Expression {
        static let name: UInt16 = 1
        static let data: UInt16 = 2
    }

    enum Data {
        static let value: UInt16 = 1
        static let verdict: UInt16 = 2
    }

    enum Verdict {
        static let code: UInt16 = 1
        static let chain: UInt16 = 2
    }

    enum Meta {
        static let destinationRegister: UInt16 = 1
        static let key: UInt16 = 2
    }

    enum Compare {
        static let sourceRegister: UInt16 = 1
        static let operation: UInt16 = 2
        static let data: UInt16 = 3
    }

    enum Payload {
        static let destinationRegister: UInt16 = 1
        static let base: UInt16 = 2
        static let offset: UInt16 = 3
        static let length: UInt16 = 4
    }

    enum Bitwise {
        static let sourceRegister: UInt16 = 1
        static let destinationRegister: UInt16 = 2
        static let length: UInt16 = 3
        static let mask: UInt16 = 4
        static let xor: UInt16 = 5
    }

    /// `NFTA_EXTHDR_…`.
    enum ExtensionHeader {
        static let destinationRegister: UInt16 = 1
        static let type: UInt16 = 2
        static let offset: UInt16 = 3
        static let length: UInt16 = 4
        static let flags: UInt16 = 5
        static let operation: UInt16 = 6
    }

    enum Immediate {
        static let destinationRegister: UInt16 = 1
        static let data: UInt16 = 2
    }

    /// `NFTA_OBJREF_IMM_…`.
    enum ObjectReference {
        static let type: UInt16 = 1
        static let name: UInt16 = 2
    }

    /// `NFTA_OBJ_…`.
    enum Object {
        static let table: UInt16 = 1
        static let name: UInt16 = 2
        static let type: UInt16 = 3
        static let data: UInt16 = 4
    }

    enum Counter {
        static let packets: UInt16 = 2
    }
}

/// Values of nf_tables by the kernel's names.
enum NFT {
    /// `NFT_OBJECT_COUNTER`.
    static let objectCounter: UInt32 = 1
    /// `NFT_REG_1`.
    static let register1: UInt32 = 1
    /// `NFT_REG_VERDICT`.
    static let registerVerdict: UInt32 = 0
    /// `NFT_CMP_EQ` and `NFT_CMP_NEQ`.
    static let (equal, different): (UInt32, UInt32) = (0, 1)
    /// `NFT_META_IIFTYPE` and `NFT_META_NFPROTO`.
    static let (metaInterfaceType, metaProtocol): (UInt32, UInt32) = (8, 15)
    /// `NF_DROP`, `NF_ACCEPT` and `NFT_GOTO`.
    static let (drop, accept, goTo): (UInt32, UInt32, UInt32) = (0, 1, UInt32(bitPattern: -4))
    /// `NFT_EXTHDR_OP_IPV4` (Linux 5.3) and `NFT_EXTHDR_F_PRESENT`.
    static let (ipv4Options, isPresent): (UInt32, UInt32) = (2, 1)
}
