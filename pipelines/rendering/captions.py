"""Text around pictures: name and time above them, and below them a legend of colours, arrows and pads."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from .colour_map import activation_rgb
from .drawing import CENTRE_RGB, FORCE_RGB, LEFT_RGB, NEUTRAL_RGB, REACHED_RGB, RIGHT_RGB
from .loads import ARROW_SCALE

INK, FAILURE_INK, PAPER = (40, 46, 54), (176, 30, 22), (255, 255, 255)
SMALLEST_FONT = 9
"""Pictures so small that their text would be smaller than this have no captions [pixels]."""

_PER_HEIGHT, _PER_WIDTH = 26, 60  # the text stays legible if the picture is shown 640 pixels wide
_BAR = 5.0  # length of the colour bar in font sizes


@dataclass(frozen=True, kw_only=True)
class Legend:
    """What the legend explains."""

    activation: bool = False
    """Muscles have the colours of activation."""
    unknown: str = ""
    """Why muscles are grey, or ""."""
    forces: bool = False
    pads: str = ""
    """What pads mean, or "" without pads."""
    targets: bool = False
    """Balls at landmark targets and at the positions reached."""


class Captions:
    """Adds a line with name and time above a picture, and a legend below it.

    Attributes:
        font: Size of the text [pixels], or 0 for a picture too small for captions.
        body_height: Height that is left for what is drawn [pixels].
    """

    def __init__(self, *, size: tuple[int, int], name: str, legend: Legend) -> None:
        """Lay out the captions of pictures of one size.

        Args:
            size: Width and height of the finished picture [pixels].
            name: Name of what is shown, at the upper left; shortened if it is too long.
            legend: What the legend explains.
        """
        self._size, self._name = size, name
        font = round(max(size[1] / _PER_HEIGHT, size[0] / _PER_WIDTH))
        self.font = font if SMALLEST_FONT <= font <= size[1] / 8 else 0
        self._header = round(1.6 * self.font)
        self._footer = self._legend(legend) if self.font else np.zeros((0, size[0], 3), np.uint8)
        if self._header + len(self._footer) > size[1] / 2:
            self.font, self._header, self._footer = 0, 0, self._footer[:0]
        self.body_height = size[1] - self._header - len(self._footer)

    def around(self, picture: np.ndarray, *, time: str = "") -> np.ndarray:
        """Put the captions around a picture.

        Args:
            picture: Shape (body_height, width, 3) uint8.
            time: Text for the upper right corner.

        Returns:
            Shape (height, width, 3) uint8.
        """
        if not self.font:
            return picture
        header = Image.new("RGB", (self._size[0], self._header), PAPER)
        pen, font, margin = ImageDraw.Draw(header), _font(self.font), self.font // 2
        middle, room = self._header / 2, self._size[0] - 2.5 * margin - font.getlength(time)
        pen.text((margin, middle), _shortened(self._name, font, room), fill=INK, font=font, anchor="lm")
        pen.text((self._size[0] - margin, middle), time, fill=INK, font=font, anchor="rm")
        return np.concatenate([np.asarray(header), picture, self._footer])

    def _legend(self, legend: Legend) -> np.ndarray:
        """Items from left to right in as many rows as they need, shape (height, width, 3) uint8."""
        items, gap, row = _items(legend, self.font), self.font, round(1.6 * self.font)
        width = self._size[0]
        rows: list[list[Image.Image]] = [[]]
        for item in items:
            if rows[-1] and sum(one.width + gap for one in rows[-1]) + item.width + gap > width:
                rows.append([])
            rows[-1].append(item)
        footer = Image.new("RGB", (width, row * len(rows) if items else 0), PAPER)
        for k, line in enumerate(rows):
            left = gap // 2
            for item in line:
                footer.paste(item, (left, k * row))
                left += item.width + gap
        return np.asarray(footer).reshape(-1, width, 3)


def label(picture: np.ndarray, lines: Sequence[tuple[str, tuple[int, int, int]]], *, font: float) -> np.ndarray:
    """Write lines of text, each with its colour, into the upper left corner of a picture."""
    image = Image.fromarray(picture)
    pen, text = ImageDraw.Draw(image), _font(font)
    for k, (line, ink) in enumerate(lines):
        pen.text((font / 2, (0.3 + 1.2 * k) * font), line, fill=ink, font=text)
    return np.asarray(image)


def _font(size: float) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size=size)


def _shortened(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, room: float) -> str:
    """Leave out the beginning of a text that is too long; names of clips differ at their end."""
    if font.getlength(text) <= room:
        return text
    while text and font.getlength(f"…{text}") > room:
        text = text[1:]
    return f"…{text}"


def _items(legend: Legend, font: int) -> list[Image.Image]:
    items = []
    if legend.activation:
        items.append(_item(font, "activation 0", _colour_bar(font), "1"))
    if legend.unknown:
        items.append(_item(font, _disc(font, NEUTRAL_RGB), legend.unknown))
    if legend.forces:
        items.append(_item(font, _arrow(font), f"ground force, {ARROW_SCALE:g} m = body weight"))
    if legend.pads:
        items.append(_item(font, _disc(font, FORCE_RGB, flat=True), legend.pads))
    if legend.targets:
        discs = [_disc(font, rgb) for rgb in (LEFT_RGB, RIGHT_RGB, CENTRE_RGB, REACHED_RGB)]
        items.append(_item(font, "targets", discs[0], "left", discs[1], "right", discs[2], "middle"))
        items.append(_item(font, discs[3], "reached"))
    return items


def _item(font: int, *parts: "str | Image.Image") -> Image.Image:
    """Texts and symbols in a line."""
    text, gap, height = _font(font), font // 3, round(1.6 * font)
    widths = [part.width if isinstance(part, Image.Image) else round(text.getlength(part)) for part in parts]
    item = Image.new("RGB", (sum(widths) + gap * (len(parts) - 1), height), PAPER)
    pen, left = ImageDraw.Draw(item), 0
    for part, width in zip(parts, widths, strict=True):
        if isinstance(part, Image.Image):
            item.paste(part, (left, (height - part.height) // 2))
        else:
            pen.text((left, height / 2), part, fill=INK, font=text, anchor="lm")
        left += width + gap
    return item


def _colour_bar(font: int) -> Image.Image:
    scale = activation_rgb(np.linspace(0.0, 1.0, round(_BAR * font)))
    return Image.fromarray(np.tile(np.round(255.0 * scale).astype(np.uint8), (round(0.7 * font), 1, 1)))


def _disc(font: int, rgb: Sequence[float], *, flat: bool = False) -> Image.Image:
    size = 0.75 * font
    return _symbol(size, size, [("ellipse", [0, 0.25 * size, size, 0.75 * size] if flat else [0, 0, size, size])], rgb)


def _arrow(font: int) -> Image.Image:
    width, height = 0.5 * font, 1.1 * font
    head = [0, 0.45 * height, width, 0.45 * height, width / 2, 0]
    shaft = [0.33 * width, 0.4 * height, 0.67 * width, height]
    return _symbol(width, height, [("polygon", head), ("rectangle", shaft)], FORCE_RGB)


def _symbol(
    width: float, height: float, shapes: Sequence[tuple[str, list[float]]], rgb: Sequence[float]
) -> Image.Image:
    """Draw shapes at four times the size and reduce them, which smooths their edges."""
    fine = Image.new("RGB", (4 * round(width), 4 * round(height)), PAPER)
    pen = ImageDraw.Draw(fine)
    for kind, places in shapes:
        getattr(pen, kind)([4 * place for place in places], fill=tuple(round(255 * band) for band in rgb))
    return fine.reduce(4)
