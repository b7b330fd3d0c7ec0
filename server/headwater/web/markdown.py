"""Finished answers as HTML for the page: Markdown with nothing in it that could act, load or leave by itself."""

from collections.abc import MutableMapping, Sequence
from html import escape
from typing import Any, Final

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from markdown_it.utils import OptionsDict

Environment = MutableMapping[str, Any]

# The page has a heading of its own, and one for each of its parts.
_HEADINGS: Final = {"h1": "h3", "h2": "h4", "h3": "h5", "h4": "h6", "h5": "h6", "h6": "h6"}


class _Renderer(RendererHTML):
    """HTML that holds under a policy without inline styles and without pictures from elsewhere."""

    def link_open(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: Environment) -> str:
        tokens[idx].attrs |= {"rel": "noopener noreferrer nofollow", "target": "_blank"}
        return self.renderToken(tokens, idx, options, env)

    def image(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: Environment) -> str:
        """A picture is told of, never loaded: its address would learn who reads."""
        token = tokens[idx]
        alt = self.renderInlineAsText(token.children or [], options, env)
        return f"<em>{escape(alt or 'a picture')}</em>"

    def fence(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: Environment) -> str:
        language, code = tokens[idx].info.split(" ")[0].strip(), tokens[idx].content
        label = f' data-language="{escape(language)}"' if language else ""
        return f'<pre tabindex="0"{label}><code>{escape(code)}</code></pre>\n'

    def code_block(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: Environment) -> str:
        return f'<pre tabindex="0"><code>{escape(tokens[idx].content)}</code></pre>\n'

    def heading_open(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: Environment) -> str:
        return f"<{_HEADINGS[tokens[idx].tag]}>"

    def heading_close(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: Environment) -> str:
        return f"</{_HEADINGS[tokens[idx].tag]}>\n"

    def table_open(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: Environment) -> str:
        return '<div class="wide" tabindex="0"><table>\n'

    def table_close(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: Environment) -> str:
        return "</table></div>\n"

    def th_open(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: Environment) -> str:
        return f"<th{_alignment(tokens[idx])}>"

    def td_open(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: Environment) -> str:
        return f"<td{_alignment(tokens[idx])}>"


def _alignment(cell: Token) -> str:
    """A class in place of the style that says the same."""
    where = str(cell.attrs.get("style", "")).removeprefix("text-align:")
    return f' class="{where}"' if where in ("center", "right") else ""


def _parser(*more: str) -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"html": False}, renderer_cls=_Renderer).enable(["strikethrough", *more])
    # Elsewhere by name, and nothing else: a relative address would be one of this server's.
    parser.validateLink = lambda url: url.startswith(("https://", "http://", "mailto:"))  # type: ignore[method-assign]
    return parser


_PARSER: Final = _parser("table")
_WITHOUT_TABLES: Final = _parser()


def html_of(markdown: str) -> str:
    """The HTML of it. What looks like HTML in it stays text."""
    parser = _PARSER if _cells_at_most(markdown) <= _CELLS_PER_CHAR * len(markdown) else _WITHOUT_TABLES
    return str(parser.render(markdown))


# Of a table that somebody reads, a cell has a character and a border; one that has neither costs as much to render.
_CELLS_PER_CHAR: Final = 2


def _cells_at_most(markdown: str) -> int:
    """Each row is filled up with cells to the width of its table."""
    lines = markdown.replace("\r", "\n").split("\n")
    return len(lines) * (1 + max(line.count("|") for line in lines))
