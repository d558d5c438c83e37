"""Behaviour: a connector is read against a vendor that misbehaves, and what arrives is compared with an oracle.

``trial`` reads one stream the way extract does; ``stand`` is the vendor as the connector's own simulator.yaml describes
it, written apart from the manifest; the hostile vendor of ``connectors.sdk.testing.simulator`` is shaped by the manifest
and its fixtures.
"""
