"""What an HTML page is made of, by the standard library's parser."""

from __future__ import annotations

from html.parser import HTMLParser

_EMPTY = {"meta", "img", "br", "path"}  # path: within SVG, written as <path …/> or closed


class Outline(HTMLParser):
    """open: tags that were not closed, or closed out of order. links, sources: every href and src. tables: a class of each
    table, or of the element around it. ids; text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.stack: list[tuple[str, str]] = []
        self.wrong: list[str] = []
        self.links: list[str] = []
        self.sources: list[str] = []
        self.tables: list[str] = []
        self.ids: list[str] = []
        self.tags: list[str] = []
        self.words: list[str] = []
        self.alts: list[str] = []
        self.feed(page)
        self.close()
        self.wrong += [tag for tag, _ in self.stack]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        known = {name: value or "" for name, value in attrs}
        self.tags.append(tag)
        self.links += [known["href"]] if "href" in known else []
        self.sources += [known["src"]] if "src" in known else []
        self.ids += [known["id"]] if "id" in known else []
        if tag == "img":
            self.alts.append(known.get("alt", ""))
        if tag == "table":
            self.tables.append(known.get("class", "") + " in " + (self.stack[-1][1] if self.stack else ""))
        if tag not in _EMPTY or (tag == "path" and not self.get_starttag_text().endswith("/>")):  # type: ignore[union-attr]
            self.stack.append((tag, known.get("class", "")))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if not self.stack or self.stack[-1][0] != tag:
            self.wrong.append(f"</{tag}>")
        else:
            self.stack.pop()

    def handle_data(self, data: str) -> None:
        if self.stack and self.stack[-1][0] not in ("style", "script"):
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())
