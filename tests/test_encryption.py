"""Credentials at rest: the key's file is made once and kept closed, keys can be replaced, and a wrong one is told."""

import stat
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from contracts.encryption import SecretKey, find_secret_key
from contracts.errors import SecretKeyError
from contracts.settings import Settings

LOCATION = "rtsp://admin:secret@10.0.0.5/live"


@pytest.fixture
def key_path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "secret.key"


def write_keys(path: Path, *keys: bytes, mode: int = 0o600) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"\n".join(keys))
    path.chmod(mode)
    return path


def test_the_key_is_made_at_first_need_for_its_owner_alone_and_kept(key_path: Path) -> None:
    encrypted = SecretKey(key_path, may_create=True).encrypt(LOCATION)
    assert stat.S_IMODE(key_path.stat().st_mode) == 0o600
    made = key_path.read_bytes()
    again = SecretKey(key_path, may_create=True)
    assert again.decrypt(encrypted) == LOCATION and again.encrypt(LOCATION) != encrypted
    assert key_path.read_bytes() == made and list(key_path.parent.iterdir()) == [key_path]


def test_programs_that_need_the_first_key_at_once_get_the_same_one(key_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from contracts.encryption import SecretKey; sys.stdin.readline();"
        "print(SecretKey(Path(sys.argv[1]), may_create=True).encrypt('text'))"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", program, key_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(3)
    ]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    for process in processes:
        encrypted, _ = process.communicate(timeout=60)
        assert SecretKey(key_path).decrypt(encrypted.strip()) == "text"


def test_reading_never_makes_a_key(key_path: Path) -> None:
    with pytest.raises(SecretKeyError, match=r"There is no key file .*Copy it from the host"):
        SecretKey(key_path, may_create=True).decrypt("anything")
    assert not key_path.exists()


def test_a_key_file_that_is_named_is_never_made(tmp_path: Path, key_path: Path) -> None:
    key = find_secret_key(Settings(data_dir=tmp_path, secret_key_file=key_path))
    with pytest.raises(SecretKeyError, match=f"There is no key file {key_path}"):
        key.encrypt(LOCATION)
    assert not key_path.exists()
    assert find_secret_key(Settings(data_dir=tmp_path)).path == tmp_path / "secret.key"


def test_a_replaced_key_still_reads_what_it_wrote_until_it_is_taken_out(key_path: Path) -> None:
    old, new = Fernet.generate_key(), Fernet.generate_key()
    encrypted = SecretKey(write_keys(key_path, old)).encrypt(LOCATION)
    both = SecretKey(write_keys(key_path, new, b"", old))
    assert both.decrypt(encrypted) == LOCATION
    renewed = both.encrypt(LOCATION)
    alone = SecretKey(write_keys(key_path, new))
    assert alone.decrypt(renewed) == LOCATION
    with pytest.raises(SecretKeyError, match=r"is not the one that the stored credentials were encrypted with.*Put"):
        alone.decrypt(encrypted)


@pytest.mark.parametrize("encrypted", ["", "gAAAA", "rtsp://host/", "ü", "\0"])
def test_what_no_key_wrote_is_told_as_a_wrong_key(encrypted: str, key_path: Path) -> None:
    with pytest.raises(SecretKeyError, match="is not the one"):
        SecretKey(write_keys(key_path, Fernet.generate_key())).decrypt(encrypted)


def test_changed_credentials_are_noticed(key_path: Path) -> None:
    key = SecretKey(key_path, may_create=True)
    encrypted = key.encrypt(LOCATION)
    middle = len(encrypted) // 2
    changed = encrypted[:middle] + ("A" if encrypted[middle] != "A" else "B") + encrypted[middle + 1 :]
    with pytest.raises(SecretKeyError, match="is not the one"):
        key.decrypt(changed)


@pytest.mark.parametrize("mode", [0o604, 0o644, 0o666, 0o602, 0o601])
def test_a_key_that_everybody_may_read_or_write_is_refused(mode: int, key_path: Path) -> None:
    key = SecretKey(write_keys(key_path, Fernet.generate_key(), mode=mode))
    with pytest.raises(SecretKeyError, match=rf"open to every user \(mode {mode:04o}\).*chmod o= "):
        key.encrypt(LOCATION)


@pytest.mark.parametrize("mode", [0o400, 0o440, 0o640])
def test_a_key_that_its_group_may_read_is_used(mode: int, key_path: Path) -> None:
    key = SecretKey(write_keys(key_path, Fernet.generate_key(), mode=mode))
    assert key.decrypt(key.encrypt(LOCATION)) == LOCATION


@pytest.mark.parametrize("content", [b"", b"\n", b"hunter2", b"x" * 44, b"\xff" * 44, b"\0" * 1000])
def test_a_malformed_key_is_refused_and_not_shown(content: bytes, key_path: Path) -> None:
    with pytest.raises(SecretKeyError, match=r"holds no usable key\. Expected one key a line") as raised:
        SecretKey(write_keys(key_path, content)).encrypt(LOCATION)
    assert "hunter2" not in str(raised.value)


def test_a_key_file_that_cannot_be_read_or_made_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SecretKeyError, match=r"cannot be read \(Is a directory\)"):
        SecretKey(tmp_path).encrypt(LOCATION)
    with pytest.raises(SecretKeyError, match=r"cannot be (made|read) \(Not a directory\)"):
        SecretKey(tmp_path / "file" / "below" / "secret.key", may_create=True).encrypt(LOCATION)


@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(text=st.text(st.characters(codec="utf-8")))
def test_any_text_comes_back(text: str, key_path: Path) -> None:
    key = SecretKey(key_path, may_create=True)
    encrypted = key.encrypt(text)
    assert key.decrypt(encrypted) == text and (len(text) < 5 or text not in encrypted)
