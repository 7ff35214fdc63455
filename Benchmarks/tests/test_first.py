"""What the first connection and a namespace's end are read from."""

import unittest

from harness.first import deleted_device, percentile


class FirstTests(unittest.TestCase):
    def test_a_device_goes_once(self):
        lines = [
            ("Deleted 12: veth3@NONE: <BROADCAST,MULTICAST> mtu 1500 qdisc noop state DOWN group default \\    link/ether 1a:3d", 12),
            # The bridge's word, which comes before.
            ("Deleted 12: veth3@NONE: <BROADCAST,MULTICAST> mtu 1500 master br0 state DOWN \\    link/ether 1a:3d", None),
            ("12: veth3@NONE: <BROADCAST,MULTICAST> mtu 1500 qdisc noop state DOWN group default \\    link/ether 1a:3d", None),
            ("", None),
        ]
        self.assertEqual([deleted_device(line) for line, _ in lines], [number for _, number in lines])

    def test_the_99th_of_few_is_the_last(self):
        self.assertEqual(percentile([3, 1, 2], 0.99), 3)
        self.assertEqual(percentile(range(1, 201), 0.99), 199)


if __name__ == "__main__":
    unittest.main()
