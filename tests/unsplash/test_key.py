"""Where the key comes from, and that nobody sees it."""

from pathlib import Path

import pytest

from pipeline import unsplash
from pipeline.errors import BadSettings, InvalidKey
from tests.conftest import KEY


@pytest.mark.parametrize("text", [f" {KEY}\n", f'"{KEY}"', f"'{KEY}' ", f"\t{KEY}\r\n"])
def test_blanks_and_quotes_around_the_key_are_dropped(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key copied with what was around it is the key."""
    monkeypatch.setenv("UNSPLASH_API_KEY", text)
    assert unsplash.api_key() == KEY


@pytest.mark.parametrize("text", [f"{KEY} {KEY}", f"{KEY}\n{KEY}", f"{KEY}é", f"Client-ID {KEY}"])
def test_an_impossible_key_is_refused_unseen(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot be a key is refused without being shown."""
    monkeypatch.setenv("UNSPLASH_API_KEY", text)
    with pytest.raises(InvalidKey) as raised:
        unsplash.api_key()
    assert KEY not in str(raised.value)


def test_the_key_from_dotenv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`.env` of the working directory holds the key, unless the environment does; no folder above is looked at."""
    (tmp_path / ".env").write_text(f"\ufeffUNSPLASH_API_KEY={KEY}\n", "utf-8")
    (tmp_path / "below").mkdir()
    monkeypatch.delenv("UNSPLASH_API_KEY", raising=False)
    monkeypatch.chdir(tmp_path)
    assert unsplash.api_key() == KEY
    monkeypatch.setenv("UNSPLASH_API_KEY", "another")
    assert unsplash.api_key() == "another"
    monkeypatch.delenv("UNSPLASH_API_KEY")
    monkeypatch.chdir(tmp_path / "below")
    with pytest.raises(InvalidKey, match="DEMO_KEY"):
        unsplash.api_key()


def test_a_dotenv_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A `.env` that is no text is named, and nothing of it is shown."""
    (tmp_path / ".env").write_bytes(f"UNSPLASH_API_KEY={KEY}\xff".encode("latin-1"))
    monkeypatch.delenv("UNSPLASH_API_KEY", raising=False)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadSettings, match=r"^\.env cannot be read: UnicodeDecodeError$"):
        unsplash.api_key()
    assert not unsplash.is_demo()


def test_the_key_of_the_sandbox(monkeypatch: pytest.MonkeyPatch) -> None:
    """DEMO_KEY, and no other, is that of the built-in sandbox."""
    for key, is_demo in (("DEMO_KEY", True), (' "DEMO_KEY"\n', True), (KEY, False), ("demo_key", False), ("no key", False)):
        monkeypatch.setenv("UNSPLASH_API_KEY", key)
        assert unsplash.is_demo() is is_demo
