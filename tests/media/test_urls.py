"""Reading a customer's URL."""

import pytest

from squero.media.urls import LIMIT_CHARACTERS, BadUrl, parse_url


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("http://example.com", ("http", "example.com", 80, "/")),
        ("HTTPS://Example.COM/A.png", ("https", "example.com", 443, "/A.png")),
        ("http://example.com:443/a", ("http", "example.com", 443, "/a")),
        ("http://example.com?a=b#c", ("http", "example.com", 80, "/?a=b")),
        (
            "https://my_bucket.s3.example.com/a%20b",
            ("https", "my_bucket.s3.example.com", 443, "/a%20b"),
        ),
        ("https://xn--mnchen-3ya.de/ä", ("https", "xn--mnchen-3ya.de", 443, "/%C3%A4")),
        ("http://8.8.8.8/", ("http", "8.8.8.8", 80, "/")),
        ("http://[2606:4700::1]/", ("http", "2606:4700::1", 80, "/")),
        ("http://example.com/a@b:c//d?x=[1]", ("http", "example.com", 80, "/a@b:c//d?x=[1]")),
    ],
)
def test_parts(text: str, parts: tuple[str, str, int, str]) -> None:
    url = parse_url(text)
    assert (url.scheme, url.host, url.port, url.target) == parts


@pytest.mark.parametrize(
    "text",
    [
        "",
        "example.com",
        "ftp://example.com/",
        "file:///etc/passwd",
        "http:/example.com",
        "http://",
        "http:///a",
        "http://user@example.com/",
        "http://user:pass@example.com/",
        "http://@example.com/",
        "http://example.com:/",
        "http://example.com:080/",
        "http://example.com:65536/",
        "http://example.com:80:80/",
        "http://example.com./",
        "http://exa mple.com/",
        "http://example.com/a b",
        "http://example.com/\n",
        "http://exam\tple.com/",
        "http://example.com\\@evil.com/",
        "http://example.com/\\",
        "http://exämple.com/",
        "http://\u212aelvin.com/",
        "http\u017f://example.com/",
        "http://example\u3002com/",
        "http://127.0.0.1%2f@example.com/",
        "http://%31%32%37.0.0.1/",
        "http://127.1/",
        "http://2130706433/",
        "http://0x7f.1/",
        "http://0x7f000001/",
        "http://0177.0.0.1/",
        "http://127.0.0.01/",
        "http://example.0x/",
        "http://1.2.3.4.5/",
        "http://-a.com/",
        "http://a..com/",
        "http://" + "a" * 64 + ".com/",
        "http://" + "a." * 127 + "com/",
        "http://[::1%25eth0]/",
        "http://[::ffff:127.0.0.1]/",
        "http://[0:0:0:0:0:0:0:1]/",
        "http://[::1/",
        "http://::1/",
        "http://[127.0.0.1]/",
        "http://[v1.a]/",
        "http://example.com/\ud800",
    ],
)
def test_what_is_no_url(text: str) -> None:
    with pytest.raises(BadUrl) as caught:
        parse_url(text)
    assert len(text) < 8 or text not in str(caught.value)


def test_length() -> None:
    base = "http://example.com/"
    parse_url(base + "a" * (LIMIT_CHARACTERS - len(base)))
    with pytest.raises(BadUrl, match="2048"):
        parse_url(base + "a" * (LIMIT_CHARACTERS + 1 - len(base)))


@pytest.mark.parametrize(
    ("reference", "whole"),
    [
        ("/c", "https://example.com/c"),
        ("c?d", "https://example.com/a/c?d"),
        ("//other.com/", "https://other.com/"),
        ("http://other.com:80/x", "http://other.com/x"),
        ("", "https://example.com/a/b?q"),
    ],
)
def test_where_a_redirect_leads(reference: str, whole: str) -> None:
    url = parse_url("https://example.com/a/b?q").joined(reference)
    assert f"{url.scheme}://{url.authority}{url.target}" == whole


@pytest.mark.parametrize(
    "reference",
    ["//a@b.com/", "https:\\\\b.com", "/a\tb", "//[::1%25lo]/", "//[", "ftp://b.com/", "a" * 2048],
)
def test_where_none_leads(reference: str) -> None:
    with pytest.raises(BadUrl):
        parse_url("https://example.com/a/b").joined(reference)


def test_a_url_keeps_itself_out_of_a_repr() -> None:
    url = parse_url("https://example.com/?token=secret")
    assert "secret" not in repr(url)
    assert "example" not in f"{url}"
