"""Write a self-contained HTML page: text, tables, images and films are embedded in one file."""

import base64
import html
import io
from dataclasses import dataclass, field
from pathlib import Path

import cv2
from jaxtyping import UInt8
from matplotlib.figure import Figure

from frs_core.arrays import Array
from frs_core.errors import ConfigError
from frs_core.runtime.foreign import read_bytes

FILM = 256 << 20
"""Largest film, bytes; that of an episode has about 2 MB."""


@dataclass(frozen=True, slots=True)
class Media:
    """An image or film with its caption."""

    data: bytes
    mime: str
    caption: str


@dataclass(frozen=True, slots=True)
class Section:
    """A heading and its content, shown in this order: text, table, media."""

    heading: str
    text: tuple[str, ...] = ()
    """Paragraphs."""
    table: tuple[tuple[str, ...], ...] = ()
    """Rows; the first is the head. Empty = no table."""
    media: tuple[Media, ...] = field(default=())
    command: str = ""
    """Command that reproduces the figures; shown in a box."""


def still(image: UInt8[Array, "H W 3"], caption: str) -> Media:
    """Return an RGB image as JPEG."""
    is_ok, data = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 88])
    if not is_ok:
        raise ConfigError(f"An image of shape {image.shape} cannot be compressed. It needs uint8 [H, W, 3].")
    return Media(data.tobytes(), "image/jpeg", caption)


def plot(figure: Figure, caption: str) -> Media:
    """Return a figure as SVG."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg")
    return Media(buffer.getvalue(), "image/svg+xml", caption)


def film(path: Path, caption: str) -> Media:
    """Return an MP4 file."""
    return Media(read_bytes(path, limit=FILM, may_link=True), "video/mp4", caption)


def markdown_rows(table: str) -> tuple[tuple[str, ...], ...]:
    """Return the rows of a Markdown table, without the separator."""
    rows = [line.strip().strip("|").split("|") for line in table.splitlines() if line.startswith("|")]
    return tuple(tuple(cell.strip() for cell in row) for row in rows if not set("".join(row)) <= set("-: "))


def write_report(path: Path, title: str, lead: str, sections: tuple[Section, ...]) -> Path:
    """Write the report and return its path.

    Args:
        path: the .html.
        title: heading of the page.
        lead: first paragraph: the result in words.
        sections: in order.
    """
    body = "\n".join(_section(section) for section in sections)
    page = _PAGE.format(title=html.escape(title), lead=html.escape(lead), body=body, style=_STYLE)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page, encoding="utf-8")
    return path


def _section(section: Section) -> str:
    parts = [f"<section><h2>{html.escape(section.heading)}</h2>"]
    parts += [f"<p>{html.escape(paragraph)}</p>" for paragraph in section.text]
    if section.table:
        head, *rows = section.table
        parts.append("<div class=wide><table><thead><tr>")
        parts += [f"<th>{html.escape(cell)}</th>" for cell in head]
        parts.append("</tr></thead><tbody>")
        for row in rows:
            parts.append("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>")
        parts.append("</tbody></table></div>")
    if section.media:
        parts.append("<div class=media>" + "".join(_media(item) for item in section.media) + "</div>")
    if section.command:
        parts.append(f"<pre>{html.escape(section.command)}</pre>")
    return "".join(parts) + "</section>"


def _media(item: Media) -> str:
    source = f"data:{item.mime};base64,{base64.b64encode(item.data).decode()}"
    caption = html.escape(item.caption)
    if item.mime.startswith("video"):
        shown = f'<video src="{source}" controls muted loop preload="auto" aria-label="{caption}"></video>'
    else:
        shown = f'<img src="{source}" alt="{caption}">'
    return f"<figure>{shown}<figcaption>{caption}</figcaption></figure>"


_STYLE = """
:root { color-scheme: light dark; --ink: #1c2024; --paper: #fcfcfa; --line: #d9d9d2; --soft: #f1f1ec; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e6e1; --paper: #17191b; --line: #3a3d40; --soft: #212427; } }
body { font: 16px/1.55 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 68rem;
  margin: 2.5rem auto; padding: 0 1.25rem; }
h1 { font-size: 1.8rem; line-height: 1.2; margin-bottom: .4rem; }
h2 { font-size: 1.2rem; margin-top: 2.4rem; border-bottom: 1px solid var(--line); padding-bottom: .3rem; }
p, .lead { max-width: 46rem; } .lead { font-size: 1.1rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .92rem; }
th, td { text-align: left; padding: .35rem .9rem .35rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
.wide { overflow-x: auto; } .media { display: flex; flex-wrap: wrap; gap: 1.2rem; }
figure { margin: 1rem 0; max-width: 100%; } figcaption { font-size: .88rem; opacity: .8; max-width: 40rem; }
img, video { max-width: 100%; border-radius: 4px; } img[src^="data:image/svg"] { background: white; padding: .5rem; }
pre { background: var(--soft); padding: .7rem .9rem; overflow-x: auto; border-radius: 4px; font-size: .86rem; }
"""
_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title><style>{style}</style></head>
<body><h1>{title}</h1><p class="lead">{lead}</p>
{body}
</body></html>
"""
