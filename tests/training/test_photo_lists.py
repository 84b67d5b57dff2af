"""What a line of a list names, from whatever editor and system, and that none is passed over in silence."""

from __future__ import annotations

import unicodedata

import pytest

from training.photo_lists import read_list, read_names


@pytest.fixture
def folder(tmp_path):
    """A folder of photos, two of the same name."""
    folder = tmp_path / "photos"
    for name in ("a.png", "b.png", "Zürich see.png", "deep/a.png", "deep/c.png"):
        (folder / name).parent.mkdir(exist_ok=True, parents=True)
        (folder / name).touch()
    return folder


@pytest.fixture
def read(folder, tmp_path):
    """Writes a list and says which photos it names, relative to their folder."""

    def read(content, **settings):
        (tmp_path / "list.txt").write_bytes(content if isinstance(content, bytes) else content.encode())
        photos = sorted(folder.rglob("*.png"))
        listed = read_list(tmp_path / "list.txt", photos, [folder], **settings)
        return {photo.relative_to(folder).as_posix() for photo in listed}

    return read


@pytest.mark.parametrize(
    "content",
    [
        "b.png\nZürich see.png\ndeep/c.png\n",
        "\ufeffb.png\r\nZürich see.png\r\ndeep\\c.png",
        "  b.png \r\n\r\n\tZürich see.png\t\r\n./deep/c.png  ",
        '"b.png"\n"Zürich see.png"\n"deep\\c.png"\n',
        "b.png\rZürich see.png\rdeep/c.png",
        "b.png\nZürich see.png\ndeep/c.png\n".encode("utf-16"),
        unicodedata.normalize("NFD", "b.png\nZürich see.png\ndeep/c.png\n"),
        "D:\\elsewhere\\photos\\b.png\nD:\\elsewhere\\photos\\Zürich see.png\nD:\\elsewhere\\photos\\deep\\c.png",
        "/elsewhere/b.png\n/elsewhere/Zürich see.png\n/elsewhere/c.png",
        "b.png\nb.png\nphotos/Zürich see.png\nc.png",
    ],
    ids=["plain", "Windows", "blanks", "quoted", "old Mac", "UTF-16", "macOS", "of Windows", "elsewhere", "mixed"],
)
def test_every_line_is_found(content, read, caplog):
    assert read(content) == {"b.png", "Zürich see.png", "deep/c.png"}
    assert not caplog.text


def test_the_best_fit_counts(read, folder, caplog):
    assert read("a.png\n") == {"a.png"}
    assert read("deep/a.png\n") == {"deep/a.png"}
    assert read(f"{folder}/a.png\n") == {"a.png"}
    assert read("/elsewhere/deep/a.png\n") == {"deep/a.png"}
    assert read("/elsewhere/photos/a.png\n") == {"a.png"}
    assert not caplog.text


def test_a_relative_path_is_found_from_where_it_was_written(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    photos = [photo.relative_to(tmp_path) for photo in sorted(folder.rglob("*.png"))]
    (tmp_path / "list.txt").write_bytes(b"photos/a.png\n")
    assert read_list(tmp_path / "list.txt", photos, [folder.relative_to(tmp_path)]) == [photos[1]]
    (tmp_path / "list.txt").write_bytes(f"{folder}/deep/a.png\n".encode())
    assert [photo.as_posix() for photo in read_list(tmp_path / "list.txt", photos, [])] == ["photos/deep/a.png"]


def test_a_name_of_several_photos_takes_all_and_says_so(read, caplog):
    assert read("/elsewhere/a.png\nb.png\n") == {"a.png", "deep/a.png", "b.png"}
    assert "/elsewhere/a.png names 2 files, and all are taken: " in caplog.text


def test_lines_that_name_nothing_are_refused_by_name(read, caplog):
    with pytest.raises(ValueError, match=r"list\.txt names 2 files that are not in .*: B\.png, y\.png\. Correct"):
        read("a.png\nB.png\ny.png\n")
    with pytest.raises(ValueError, match=r"names 5 files .*: 0\.png, 1\.png, 2\.png, …\. Correct"):
        read("\n".join(f"{number}.png" for number in range(5)))


def test_a_photo_deleted_since_is_a_warning_where_that_may_be(read, folder, caplog):
    assert read("b.png\nformer.png\n", may_be_deleted=True) == {"b.png"}
    assert "names 1 files that are not in the folders of photos: former.png; the others are taken" in caplog.text
    (folder / "a.png").unlink()
    # the other photo of this name has a line of its own
    assert read(f"{folder}/a.png\n{folder}/deep/a.png\n", may_be_deleted=True) == {"deep/a.png"}
    assert f"not in the folders of photos: {folder}/a.png" in caplog.text
    with pytest.raises(ValueError, match="none of the 4 photos is among them; put the photos back, or delete the list"):
        read("former.png\n", may_be_deleted=True)


def test_a_file_that_is_there_but_cannot_be_used_is_a_warning(folder, tmp_path, caplog):
    photos = [folder / "b.png", folder / "deep/a.png"]
    (tmp_path / "list.txt").write_bytes(b"a.png\nb.png\n")
    assert read_list(tmp_path / "list.txt", photos, [folder]) == [folder / "b.png"]
    assert f"names 1 files that cannot be used: {folder / 'a.png'}" in caplog.text


def test_another_encoding_is_an_error_in_any_case(read):
    with pytest.raises(ValueError, match="not in UTF-8; save it in this encoding"):
        read("b.png\nZürich see.png\n".encode("latin-1"), may_be_deleted=True)


@pytest.mark.parametrize("content", [b"", b"\xef\xbb\xbf", b" \r\n\r\n"])
def test_an_empty_list_says_what_to_do(content, read):
    with pytest.raises(ValueError, match=r"list\.txt names no photo; .* or delete the file"):
        read(content)


def test_a_list_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"missing\.txt cannot be read as a list of photos"):
        read_names(tmp_path / "missing.txt")
