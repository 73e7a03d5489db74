"""Whose address counts: the peer's, or the one that a trusted proxy names."""

from ipaddress import ip_network

import pytest

from squero.api.addresses import UNKNOWN, origin

PROXIES = tuple(map(ip_network, ("10.0.0.0/8", "fd00::/8", "::1/128")))


def scope(peer, *forwarded, **headers):
    listed = [(b"x-forwarded-for", value.encode("latin-1")) for value in forwarded]
    others = [(name.replace("_", "-").encode(), text.encode()) for name, text in headers.items()]
    client = None if peer is None else (peer, 4711)
    return {"type": "http", "client": client, "headers": [(b"host", b"h"), *listed, *others]}


class TestPeer:
    @pytest.mark.parametrize(
        ("peer", "counts_as"),
        [
            ("192.0.2.7", "192.0.2.7"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
            ("2001:db8:1:2::", "2001:db8:1:2::/64"),
            ("::ffff:192.0.2.7", "192.0.2.7"),
            ("fe80::1%eth0", "fe80::/64"),
            ("testclient", UNKNOWN),
            (None, UNKNOWN),
        ],
    )
    def test_counts_by_itself(self, peer, counts_as):
        assert origin(scope(peer), ()) == counts_as

    @pytest.mark.parametrize("trusted", [(), PROXIES], ids=["nobody", "others"])
    def test_that_is_no_proxy_cannot_name_another(self, trusted):
        spoofed = scope("192.0.2.7", "198.51.100.1", forwarded="for=198.51.100.1")
        assert origin(spoofed, trusted) == "192.0.2.7"

    def test_without_an_address_cannot_name_another(self):
        assert origin(scope(None, "198.51.100.1"), PROXIES) == UNKNOWN


class TestForwarded:
    @pytest.mark.parametrize(
        ("headers", "counts_as"),
        [
            (["198.51.100.1"], "198.51.100.1"),
            # The client wrote the first, the proxy the last.
            (["203.0.113.9, 198.51.100.1"], "198.51.100.1"),
            (["203.0.113.9", "198.51.100.1"], "198.51.100.1"),
            (["203.0.113.9, 198.51.100.1, 10.1.1.1"], "198.51.100.1"),
            (["203.0.113.9, 198.51.100.1", "10.1.1.1,10.2.2.2"], "198.51.100.1"),
            # All of them proxies: whoever is behind the first of them.
            (["10.1.1.1, 10.2.2.2"], "10.1.1.1"),
            # A client inside the proxies' network that names another is believed no further.
            (["10.1.1.1"], "10.1.1.1"),
            ([], "10.0.0.1"),
            ([""], "10.0.0.1"),
            (["unknown"], "10.0.0.1"),
            (["junk, 10.3.3.3"], "10.3.3.3"),
            (["198.51.100.1, junk"], "10.0.0.1"),
            (["198.51.100.1, 10.3.3.3, \xff\xfe"], "10.0.0.1"),
            (["198.51.100.1,"], "10.0.0.1"),
            (["198.51.100.1%" + "z" * 200], "10.0.0.1"),
            (["' OR 1=1 --"], "10.0.0.1"),
            (["198.51.100.1:50000"], "198.51.100.1"),
            (["198.51.100.1.example"], "10.0.0.1"),
            (["0300.51.100.1"], "10.0.0.1"),
            (["[2001:db8:a:b::1]:443"], "2001:db8:a:b::/64"),
            (["[2001:db8:a:b::1]"], "2001:db8:a:b::/64"),
            (["2001:db8:a:b::1%eth0"], "2001:db8:a:b::/64"),
            (["fe80::7%25eth0"], "fe80::/64"),
            (["2001:db8:a:b::1"], "2001:db8:a:b::/64"),
            (["203.0.113.9, ::ffff:198.51.100.1"], "198.51.100.1"),
            (["[2001:db8"], "10.0.0.1"),
            (["  198.51.100.1  "], "198.51.100.1"),
            (["," * 60_000 + "198.51.100.1"], "198.51.100.1"),
        ],
    )
    def test_is_read_from_the_right(self, headers, counts_as):
        assert origin(scope("10.0.0.1", *headers), PROXIES) == counts_as

    def test_by_a_proxy_of_ipv6(self):
        assert origin(scope("fd00::2", "198.51.100.1"), PROXIES) == "198.51.100.1"
        assert origin(scope("::ffff:10.0.0.1", "198.51.100.1"), PROXIES) == "198.51.100.1"

    def test_is_no_other_header(self):
        sent = scope("10.0.0.1", forwarded="for=198.51.100.1", x_real_ip="198.51.100.1")
        assert origin(sent, PROXIES) == "10.0.0.1"
