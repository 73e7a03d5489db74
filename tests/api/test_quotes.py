from starlette.responses import Response

from squero.api.quotes import Quote, Quotes

QUOTE = Quote(Response(), ())


def test_knows_what_it_was_told():
    quotes = Quotes()
    quotes.keep(b"{}", QUOTE)
    assert quotes.find(b"{}") is QUOTE
    assert quotes.find(b"{ }") is None


def test_keeps_no_prompt():
    quotes = Quotes()
    quotes.keep(b'{"prompt": "a lagoon"}', QUOTE)
    assert quotes.find(b'{"prompt": "a lagoon"}') is None


def test_forgets_the_oldest():
    quotes = Quotes()
    for number in range(513):
        quotes.keep(b"%d" % number, QUOTE)
    assert quotes.find(b"0") is None
    assert quotes.find(b"1") is QUOTE
