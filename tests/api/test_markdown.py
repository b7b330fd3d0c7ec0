"""What answers become on the page: nothing in them acts, loads, or looks like the page's own."""

import pytest

from headwater.web.markdown import html_of


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>",
        "<b onclick=alert(1)>x</b>",
        "<!-- a --> <style>*{}</style>",
        "a <img src=x onerror=alert(1)> b",
    ],
)
def test_html_stays_text(text: str) -> None:
    html = html_of(text)
    assert html.count("<") == html.count("<p>") + html.count("</p>")


@pytest.mark.parametrize(
    "address",
    [
        "javascript:alert(1)",
        "data:text/html,x",
        "data:image/png;base64,xx",
        "vbscript:x",
        "file:///etc",
        "/guest",
        "x.md",
    ],
)
def test_a_link_leads_elsewhere_or_nowhere(address: str) -> None:
    assert "href" not in html_of(f"[a]({address}) <{address}>")


def test_a_link_does_not_hand_the_page_over() -> None:
    html = html_of("[a](https://example.com/?a=1&b=2)")
    assert 'href="https://example.com/?a=1&amp;b=2"' in html
    assert 'rel="noopener noreferrer nofollow"' in html and 'target="_blank"' in html


def test_a_picture_is_told_of_and_not_loaded() -> None:
    assert html_of("![a <cat>](https://example.com/cat.png)") == "<p><em>a &lt;cat&gt;</em></p>\n"
    assert "src" not in html_of("![](https://example.com/cat.png)")


@pytest.mark.parametrize("line_end", ["\n", "\r", "\r\n"])
def test_a_table_that_would_be_mostly_empty_is_text(line_end: str) -> None:
    assert "<table>" in html_of(line_end.join(["a", "", "|a|b|", "|-|-|", "|1|2|", "|3|"]))
    grown = line_end.join(["|a" * 128, "|-" * 128, *"|" * 256] * 64)
    assert len(html_of(grown)) < 2 * len(grown), "and not two million cells"


def test_headings_come_under_the_pages() -> None:
    html = html_of("# one\n## two\n###### six")
    assert html == "<h3>one</h3>\n<h4>two</h4>\n<h6>six</h6>\n"


def test_code_can_be_reached_and_says_its_language() -> None:
    assert html_of('```py"<x\na < b\n```') == (
        '<pre tabindex="0" data-language="py&quot;&lt;x"><code>a &lt; b\n</code></pre>\n'
    )
    assert html_of("    indented") == '<pre tabindex="0"><code>indented\n</code></pre>\n'


def test_tables_align_without_styles() -> None:
    html = html_of("|a|b|c|\n|-|:-:|-:|\n|1|2|3|")
    assert '<th class="center">b</th>' in html and '<td class="right">3</td>' in html
    assert "style" not in html and '<div class="wide" tabindex="0">' in html
