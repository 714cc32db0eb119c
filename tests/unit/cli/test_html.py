from html.parser import HTMLParser

from hypothesis import given
from hypothesis import strategies as st

from exporter.cli.grid import Grid
from exporter.cli.html import Section, page


class Read(HTMLParser):
    """What a browser would make of a page."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.said = [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, tuple(name for name, _ in attrs)))

    def handle_data(self, data):
        self.said.append(data)


def made(text, *, lines=("a line",)):
    return page(
        text, "ok", [Section(title=text, lines=(*lines, text), grid=Grid(columns=(text, "n"), rows=((text, 1),)))]
    )


@given(st.text())
def test_no_text_adds_a_tag_or_an_attribute(text):
    assert Read(made(text)).tags == Read(made("plain")).tags


def test_a_script_is_shown_and_not_run():
    read = Read(made("<script>alert(1)</script>"))
    assert read.said.count("<script>alert(1)</script>") == 5
    assert "script" not in {tag for tag, _ in read.tags}


def test_nothing_is_loaded_from_anywhere():
    text = made("x", lines=["https://example.test/x.js"])
    assert "default-src 'none'" in text.replace("&#x27;", "'")
    assert not {"script", "link", "img", "iframe"} & {tag for tag, _ in Read(text).tags}


def test_bars_are_as_long_as_they_are_told():
    grid = Grid(columns=("month", "rows"), rows=(("2025-01", 10), ("2025-02", 5)))
    text = page("t", "", [Section(title="s", grid=grid, bars=[1.0, 0.5])])
    assert [part.split("rem")[0] for part in text.split('style="width: ')[1:]] == ["20.00", "10.00"]
