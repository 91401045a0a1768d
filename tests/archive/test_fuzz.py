"""Whatever the files hold, only the named errors come out."""

import contextlib
import json
from datetime import timedelta
from pathlib import Path

from hypothesis import strategies as st

from pipeline import page
from pipeline.archive import Archive
from pipeline.errors import RootUnusable
from tests.archive.samples import MIDDAY, TOPICS
from tests.fuzzing import ANY, PHOTOS, examples, fuzz, photo


@examples
def test_files_on_the_disk(examples: int, tmp_path: Path) -> None:
    """Whatever the project's own files hold, they are read as something or as nothing, and never with an error."""
    archive = Archive(tmp_path)
    folder = tmp_path / "2026-11-23"
    folder.mkdir()

    def test(metadata: bytes, address: bytes, other: bytes) -> None:
        (folder / "1205.json").write_bytes(metadata)
        (folder / "1205.txt").write_bytes(address)
        for name in ("2026-11-23/given", "2026-11-23/1205.error", "2026-11-23/12.js", "quota", "pruned-before"):
            (tmp_path / name).write_bytes(other)
        assert archive.metadata_target(MIDDAY, TOPICS).exists() == (
            archive.photo(MIDDAY).get("pipeline", {}).get("topic") in TOPICS
        )
        assert archive.address_target(MIDDAY).exists() == bool(archive.address(MIDDAY))
        archive.failures(MIDDAY, MIDDAY)
        archive.give(["a"], [MIDDAY], 1)
        archive.quota()
        page.note_failure(archive, MIDDAY, "a reason")
        with contextlib.suppress(RootUnusable):
            archive.missing(MIDDAY, MIDDAY + timedelta(hours=1))

    known = photo() | {"pipeline": {"topic": "art", "credit": {"text": "x"}}}
    kept = PHOTOS.map(lambda each: json.dumps(known | each if isinstance(each, dict) else each).encode())
    fuzz(
        min(examples, 3000),
        test,
        st.binary() | kept,
        st.binary() | st.just(f"{known['urls']['regular']}\n".encode()),
        st.binary() | ANY.map(json.dumps).map(str.encode),
    )


@examples
def test_pictures_whose_metadata_is_anything(examples: int, tmp_path: Path) -> None:
    """A stored picture is shown whatever its metadata holds by now, and the data of its hour can be read again."""
    archive = Archive(tmp_path)
    folder = tmp_path / "2026-11-23"
    folder.mkdir()
    (folder / "1205.jpg").write_bytes(b"a picture")

    def test(metadata: bytes) -> None:
        (folder / "1205.json").write_bytes(metadata)
        page.rebuild(archive, [MIDDAY.date()])
        script = (folder / "12.js").read_text()
        data = json.loads(script[script.index(", ") + 2 : script.rindex(", ")])
        assert data["05"]["bytes"] == len(b"a picture")
        assert "<script" not in (tmp_path / "index.html").read_text().partition("<figure")[2].partition("</figure")[0]

    known = photo() | {"pipeline": {"topic": "art", "credit": {"text": "x"}}}
    kept = PHOTOS.map(lambda each: json.dumps(known | each if isinstance(each, dict) else each).encode())
    fuzz(min(examples, 1000), test, st.binary() | kept)
