"""The suite itself keeps the promise that nothing leaves this machine."""

from __future__ import annotations

import socket

import pytest

from tests._network import OutsideWorldError


def test_a_test_cannot_look_up_a_foreign_host():
    with pytest.raises(OutsideWorldError, match="example.org"):
        socket.getaddrinfo("example.org", 443)


def test_a_test_cannot_connect_to_a_foreign_address():
    with socket.socket() as outside, pytest.raises(OutsideWorldError, match=r"192\.0\.2\.1"):
        outside.connect(("192.0.2.1", 80))
