"""The page shows any text from a file as plain characters."""

import html
import random
import unicodedata

import pytest
from markdown_it import MarkdownIt

from musclemap.pipelines.viewer.text import LONGEST, labels, markdown, plain

from ..support.hostile.hostile_texts import PAGE_TEXTS

JOINER = "\u2060"


def rendered(text: str) -> str:
    """HTML of CommonMark with GitHub's tables and strikethrough; embedded HTML stays."""
    return MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).render(text)


@pytest.mark.parametrize("text", PAGE_TEXTS)
@pytest.mark.parametrize("around", ["{}", "**{}**, 3 frames", "a  \n{}  \nb", "{}, {}"])
def test_markdown_renders_as_the_plain_text(text: str, around: str) -> None:
    shown = html.unescape(rendered(around.replace("{}", markdown(text))).replace("<br />", ""))
    expected = html.unescape(rendered(around.replace("{}", "WORD")).replace("<br />", ""))
    if plain(text):
        assert shown.replace(JOINER, "") == expected.replace("WORD", plain(text))
    assert "<script" not in rendered(around.replace("{}", markdown(text)))


def test_random_texts_render_as_themselves() -> None:
    rng = random.Random(5)
    chars = "<>&{}[]()`*_~#|\\-=+!:;.,'\"/@ \n\tawsht0129éпи漢\u200b\ud800"
    for _ in range(500):
        text = "".join(rng.choices(chars, k=rng.randrange(1, 40)))
        if plain(text):
            shown = rendered(markdown(text)).removeprefix("<p>").removesuffix("</p>\n")
            assert html.unescape(shown).replace(JOINER, "") == plain(text)


@pytest.mark.parametrize("text", PAGE_TEXTS)
def test_plain_text_is_one_short_encodable_line(text: str) -> None:
    shown = plain(text)
    shown.encode()
    assert len(shown) <= LONGEST
    assert shown == shown.strip()
    assert not {unicodedata.category(char) for char in shown} & {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
    assert plain(shown) == shown


def test_text_never_becomes_a_link() -> None:
    """GitHub Flavored Markdown turns these into links anywhere in text; the word joiner prevents it."""
    for text, expected in (
        ("http://a.b", f"http:{JOINER}//a.b"), ("WWW.a.b", f"WWW{JOINER}.a.b"), ("me@a.b", f"me{JOINER}@a.b"),
    ):  # fmt: skip
        assert html.unescape(markdown(text)) == expected


def test_ordinary_names_stay_unchanged() -> None:
    for name in ("walk_1.2_poses.h5", "KIT/3/kick high left02_poses.h5", "Gehen – 歩く"):
        assert plain(name) == name
        assert labels([name]) == {name: name}


def test_labels_are_unique() -> None:
    names = ["a", "a\u200b", "a\x00", "a (2)", "b" * 300, "b" * 301, "\udcff", "\udcfe", " ", ""]
    labelled = labels(names)
    assert list(labelled) == names
    assert len(set(labelled.values())) == len(names)
    assert labelled["a"] == "a"
    many = [f"a{chr(8203) * k}" for k in range(3000)]
    assert len(set(labels(many).values())) == 3000
