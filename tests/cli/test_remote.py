"""Where the commands find their server."""

from pathlib import Path

import pytest

from headwater.cli.remote import HOME, _server


def test_a_strangers_folder_does_not_say_where_the_key_is_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env").write_text("HEADWATER_URL=http://stranger.example\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HEADWATER_URL", raising=False)
    monkeypatch.setenv("HEADWATER_KEY", "secret")
    assert (_server(None, None, 1.0).url, _server(None, None, 1.0).key) == (HOME, "secret")
    monkeypatch.setenv("HEADWATER_URL", "http://127.0.0.1:9/")
    assert _server(None, None, 1.0).url == "http://127.0.0.1:9"
    assert _server("http://127.0.0.1:8/", None, 1.0).url == "http://127.0.0.1:8"
