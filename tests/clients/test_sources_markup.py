"""HTML to text."""

import pytest

from tagging_orchestration.clients.sources.markup import is_markup, plain_text, read_page


@pytest.mark.parametrize(
    "text",
    [
        "<p>Late delivery.</p>",
        "  <div class='x'>hello",
        "<!DOCTYPE html><html><body>x</body></html>",
        "Hello <b>world</b>, <i>again</i>",
        "<br>",
    ],
)
def test_markup_is_recognised(text):
    assert is_markup(text)


@pytest.mark.parametrize(
    "text",
    [
        "1 < 2 and 3 > 2",
        "LAC <LAC> INTERSECTS MORE GOLD",
        "How do I centre a <div> inside a <section>?",
        "if a<b and b>c then",
        "價格 < 500 元",
        "",
    ],
)
def test_plain_text_is_left_alone(text):
    assert not is_markup(text)
    assert plain_text(text) == text


def test_page_is_read_without_scripts_styles_and_comments():
    page = read_page(
        "<html lang='zh-TW'><head><title>退貨  政策</title><meta name='Keywords' content='退貨, 退款'>"
        "<style>p{color:red}</style><script>alert('x')</script></head><body><!-- hidden -->"
        "<h1>退貨</h1><p>七天內&nbsp;可以<b>退</b>貨</p><ul><li>一<li>二</ul><noscript>no</noscript></body></html>"
    )
    assert page.title == "退貨 政策"
    assert page.language == "zh-TW"
    assert page.keywords == "退貨, 退款"
    assert page.text == "退貨\n七天內 可以退貨\n一\n二"


def test_inline_tags_do_not_split_words_and_blocks_do():
    assert plain_text("<p>un<b>believ</b>able\nstory</p>next<br>line") == "unbelievable story\nnext\nline"


def test_entities_of_plain_text_are_resolved():
    assert plain_text("R&amp;D costs &lt; 5 &#8364; &copy; AT&T &nosuch;") == "R&D costs < 5 € © AT&T &nosuch;"


def test_markup_escaped_twice_is_resolved():
    assert plain_text("&lt;p&gt;Fish &amp;amp; chips&lt;/p&gt;") == "Fish & chips"


@pytest.mark.parametrize(
    "soup",
    [
        "<div>" * 5_000 + "end",
        "<p>" + "<a " * 100_000,
        "<p>" + "<" * 100_000,
        "<b><!--" * 10_000,
        "<p><![CDATA[" * 10_000,
    ],
    ids=["deep", "unclosed tags", "brackets", "comments", "cdata"],
)
def test_soup_fails_nobody(soup):
    # A quadratic parser is cut off by the test's time-out.
    assert isinstance(plain_text(soup), str)
