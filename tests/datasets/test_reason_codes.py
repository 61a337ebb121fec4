"""The table of reason codes: each has its sentence, and none is written as text where it is raised."""

import ast
from pathlib import Path

from musclemap import reason_codes
from musclemap.reason_codes import ReasonCode

ROOT = Path(__file__).parent.parent.parent
FOLDERS = ("api", "cli", "datasets", "imitation", "pipelines", "retarget", "skeletons", "src")


def test_each_code_has_one_sentence() -> None:
    tree = ast.parse(Path(reason_codes.__file__).read_text())
    (table,) = (node for node in tree.body if isinstance(node, ast.ClassDef))
    body = table.body[1:]
    codes, sentences = body[::2], body[1::2]
    assert len(codes) == len(sentences) == len(ReasonCode)
    for code, sentence in zip(codes, sentences, strict=True):
        assert isinstance(code, ast.Assign)
        assert isinstance(sentence, ast.Expr)
        assert isinstance(sentence.value, ast.Constant)
        text = str(sentence.value.value)
        assert text[0].isupper(), text
        assert text[-1] == ".", text


def test_names_and_codes_agree() -> None:
    assert {code.name.lower() for code in ReasonCode} == {str(code) for code in ReasonCode}


def test_every_code_is_used_and_none_is_written_as_text() -> None:
    """Text in place of a member would pass every comparison and escape the table."""
    used: set[str] = set()
    for folder in FOLDERS:
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "ReasonCode":
                    used.add(node.attr)
                if isinstance(node, ast.Call):
                    name = ast.unparse(node.func).rpartition(".")[2]
                    first = node.args[:1] if name in ("SourceError", "SourceWarning") else []
                    given = [*first, *(keyword.value for keyword in node.keywords if keyword.arg == "code")]
                    if name in (
                        "SourceError",
                        "SourceWarning",
                        "FileError",
                        "attempt",
                        "entry_without_clip",
                        "Failure",
                    ):
                        assert not any(isinstance(value, ast.Constant) and value.value for value in given), path
    assert used == {code.name for code in ReasonCode}
