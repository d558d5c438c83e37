"""The kit that tests connectors: fixtures replay, conformance rules, and the vendors' simulator."""
