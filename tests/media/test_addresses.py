"""Which addresses a customer's URL may lead to."""

import socket
from ipaddress import ip_address, ip_network

import pytest

from squero.media.addresses import Rules, is_internal, is_public, own_addresses

SPECIAL = """
0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 192.0.0.0/24
192.0.2.0/24 192.31.196.0/24 192.52.193.0/24 192.88.99.0/24 192.168.0.0/16 192.175.48.0/24
198.18.0.0/15 198.51.100.0/24 203.0.113.0/24 224.0.0.0/4 240.0.0.0/4 168.63.129.16/32
100.100.100.200/32 192.0.0.192/32 169.254.169.254/32 169.254.170.2/32 ::/128 ::1/128 ::/96
::ffff:0:0/96 ::ffff:0:0:0/96 64:ff9b::/96 64:ff9b:1::/48 100::/64 100:0:0:1::/64 2001::/23
2001::/32 2001:2::/48 2001:10::/28 2001:20::/28 2001:db8::/32 2002::/16 2620:4f:8000::/48
3fff::/20 4000::/3 5f00::/16 8000::/1 fc00::/7 fe80::/10 fec0::/10 ff00::/8 fd00:ec2::254/128
fd20:ce::254/128
"""

NEIGHBOURS = """
1.0.0.0 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 126.255.255.255 128.0.0.0
168.63.129.15 168.63.129.17 169.253.255.255 169.255.0.0 172.15.255.255 172.32.0.0
191.255.255.255 192.0.1.0 192.0.1.255 192.0.3.0 192.31.195.255 192.31.197.0 192.52.192.255
192.52.194.0 192.88.98.255 192.88.100.0 192.167.255.255 192.169.0.0 192.175.47.255 192.175.49.0
198.17.255.255 198.20.0.0 198.51.99.255 198.51.101.0 203.0.112.255 203.0.114.0 223.255.255.255
2000:ffff:ffff:ffff:ffff:ffff:ffff:ffff 2001:200:: 2001:db7:ffff::1 2001:db9:: 2001:ffff::
2003:: 2620:4f:7fff::1 2620:4f:8001:: 3ffe:: 3fff:1000:: 2606:2800:21f:cb07:6820:80da:af6b:8b2c
"""


@pytest.mark.parametrize("network", SPECIAL.split())
def test_no_special_address_is_public(network: str) -> None:
    special = ip_network(network)
    first, last = int(special[0]), int(special[-1])
    kind = type(special[0])
    for number in {first, last, (first + last) // 2, min(first + 1, last)}:
        assert not is_public(kind(number))


@pytest.mark.parametrize("text", NEIGHBOURS.split())
def test_their_neighbours_are(text: str) -> None:
    assert is_public(ip_address(text))


@pytest.mark.parametrize("carried", ["808:808", "7f00:1"])
def test_what_carries_an_address_is_not_public_whatever_it_carries(carried: str) -> None:
    forms = ["::{}", "::ffff:{}", "64:ff9b::{}", "2002:{}::1", "2001:0:{}::f7f7:f7f7"]
    for form in forms:
        assert not is_public(ip_address(form.format(carried)))


def test_an_address_with_a_zone_is_not_public() -> None:
    assert not is_public(ip_address("2606:4700::1%eth0"))


def test_internal_addresses_leave_out_metadata() -> None:
    inside = ["10.1.2.3", "172.31.0.1", "192.168.0.9", "100.64.1.1", "127.0.0.1", "::1", "fd12::1"]
    outside = ["8.8.8.8", "169.254.169.254", "100.100.100.200", "fd00:ec2::254", "224.0.0.1"]
    assert [is_internal(ip_address(text)) for text in inside] == [True] * len(inside)
    assert [is_internal(ip_address(text)) for text in outside] == [False] * len(outside)


def test_own_addresses_are_those_that_can_be_bound() -> None:
    own = own_addresses()
    assert ip_address("127.0.0.1") in own
    for address in own:
        if address.version == 4:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
                probe.bind((str(address), 0))


class TestRules:
    def test_own_addresses_are_refused_though_public(self) -> None:
        public = ip_address("8.8.8.8")
        assert Rules().permit("example.com", public, frozenset())
        assert not Rules().permit("example.com", public, {public})

    def test_an_allowed_host_may_be_inside_but_never_metadata(self) -> None:
        rules = Rules(frozenset({"minio.lan"}))
        inside, metadata = ip_address("10.0.0.9"), ip_address("169.254.169.254")
        assert rules.permit("minio.lan", inside, {inside})
        assert not rules.permit("minio.lan", metadata, frozenset())
        assert not rules.permit("other.lan", inside, frozenset())
        assert not rules.permit_port("minio.lan", 9000)

    def test_dev_allows_localhost_on_loopback_only(self) -> None:
        rules, loopback = Rules(dev=True), ip_address("127.0.0.1")
        assert rules.permit("localhost", loopback, {loopback})
        assert rules.permit_port("localhost", 8000)
        assert not rules.permit("localhost", ip_address("10.0.0.1"), frozenset())
        assert not rules.permit("localhost.example.com", loopback, frozenset())
        assert not rules.permit_port("example.com", 8000)
        assert not Rules().permit("localhost", loopback, frozenset())
        assert not Rules().permit_port("localhost", 8000)

    @pytest.mark.parametrize("host", ["http://minio", "Minio", "minio:9000", "10.1", "minio.", ""])
    def test_a_rule_that_could_never_match_is_refused(self, host: str) -> None:
        with pytest.raises(ValueError, match="not the name of a host"):
            Rules(frozenset({host}))
