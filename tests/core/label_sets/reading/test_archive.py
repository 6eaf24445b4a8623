"""Archives made to harm: each is refused, with the entry named, and nothing is written outside the folder."""

import contextlib
import gzip
import stat
import struct
import tarfile
import zipfile

import pytest

from contracts.text import name as shown
from core.callbacks import Stopped
from core.errors import LabelSetError
from core.label_sets.label_set import MAX_IMAGES
from core.label_sets.reading.archive import ArchiveLimits, extract_archive
from tests.core.datasets.archives import write_tar, write_zip

FILES = {"a/one.txt": b"one" * 1000, "a/two.bin": bytes(range(256)) * 40, "three": b""}


def refused(archive, tmp_path, limits=None):
    with pytest.raises(LabelSetError) as caught:
        extract_archive(archive, tmp_path / "into", limits)
    assert {path.name for path in tmp_path.iterdir()} <= {"into", archive.name}
    assert all(path.name.isdigit() for path in (tmp_path / "into").glob("*"))
    return {problem.pointer: problem.detail for problem in caught.value.problems}


def contents(archive, tmp_path, limits=None):
    extracted = extract_archive(archive, tmp_path / "into", limits)
    return {name: path.read_bytes() for name, path in extracted.files.items()}


@pytest.mark.parametrize("mode", ["w", "w:gz"])
@pytest.mark.parametrize("format", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT])
def test_tar_round_trip(tmp_path, mode, format):
    long = (
        {("d" * 90 + "/") * 2 + "ü.txt": b"long"}
        if format != tarfile.USTAR_FORMAT
        else {"d" * 90 + "/" + "e" * 80: b"l"}
    )
    archive = write_tar(tmp_path / "a.tar", FILES | long, mode, format)
    assert contents(archive, tmp_path) == FILES | long


def test_zip_round_trip_with_folders_and_droppings(tmp_path):
    archive = tmp_path / "a.zip"
    with zipfile.ZipFile(archive, "w") as out:
        out.mkdir("a")
        for name, content in {**FILES, "__MACOSX/a/._one.txt": b"x", "a/.DS_Store": b"x", "Thumbs.db": b"x"}.items():
            out.writestr(name, content)
    extracted = extract_archive(archive, tmp_path / "into")
    assert extracted.format == "zip"
    assert set(extracted.files) == set(FILES)
    assert extracted.ignored == ("__MACOSX/a/._one.txt", "a/.DS_Store", "Thumbs.db")


BAD_NAMES = {
    "../up.txt": "leaves the archive",
    "a/../../up.txt": "leaves the archive",
    "/etc/passwd": "absolute",
    "C:/windows": "drive letter",
    "C:autoexec": "drive letter",
    "..\\up": "leaves the archive",
    "\\\\host\\share": "absolute",
    "D:\\data": "drive letter",
    "a//b": "empty",
    "a/./b": "empty or .",
    "bell\x07": "control",
    "override\u202e": "control",
    "x" * 256: "too long",
    "/".join(["y" * 200] * 6): "too long",
}


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_every_bad_name_is_named(tmp_path, kind):
    archive = tmp_path / "bad"
    (write_zip if kind == "zip" else write_tar)(archive, {**FILES, **dict.fromkeys(BAD_NAMES, b"x")})
    problems = refused(archive, tmp_path)
    for name, words in BAD_NAMES.items():
        assert words in problems.pop(shown(name.replace("\\", "/")))
    assert not problems


def test_nul_in_a_zip_name(tmp_path):
    archive = write_zip(tmp_path / "a.zip", {"good": b"", "evil.png0.exe": b"x"})
    archive.write_bytes(archive.read_bytes().replace(b"evil.png0.exe", b"evil.png\0.exe"))
    assert "NUL" in refused(archive, tmp_path)["evil.png\\x00.exe"]


def test_nul_in_a_tar_name(tmp_path):
    archive = tmp_path / "a.tar"
    header = bytearray(tarfile.TarInfo("images/a+.png").tobuf(tarfile.USTAR_FORMAT))
    header[8] = 0
    header[148:156] = b"%06o\0 " % (sum(header[:148]) + sum(header[156:]) + 8 * 32)
    archive.write_bytes(bytes(header) + bytes(1024))
    assert "NUL" in refused(archive, tmp_path)["images/a\\x00.png"]


@pytest.mark.parametrize("names", [["images\\a.png", "masks\\a.png"], ["set/images\\a.png", "set/masks\\a.png"]])
def test_backslashes_of_windows_tools_separate_folders(tmp_path, names):
    archive = tmp_path / "a.zip"
    with zipfile.ZipFile(archive, "w") as out:
        out.writestr(names[0].rpartition("\\")[0] + "\\", b"")
        for name in names:
            out.writestr(name, b"x")
    assert contents(archive, tmp_path) == dict.fromkeys((name.replace("\\", "/") for name in names), b"x")


@pytest.mark.parametrize(
    ("raw", "name"),
    [
        ("t\u00e4sse \u6f22.png".encode(), "t\u00e4sse \u6f22.png"),  # macOS and many others: UTF-8, no flag
        ("ta\u0308sse.png".encode(), "t\u00e4sse.png"),  # decomposed, as macOS has it
        ("t\u00e4sse.png".encode("cp437"), "t\u00e4sse.png"),
    ],
)
def test_zip_names_without_the_utf8_flag(tmp_path, raw, name):
    archive = write_zip(tmp_path / "a.zip", {"x" * len(raw): b"x"})
    archive.write_bytes(archive.read_bytes().replace(b"x" * len(raw), raw))
    assert contents(archive, tmp_path) == {name: b"x"}


def zip64_ends(content, count):
    """The archive with the end record of writers that always use zip64: all ones there, the numbers before it."""
    end = content.rindex(b"PK\x05\x06")
    size, start = struct.unpack("<LL", content[end + 12 : end + 20])
    wide = struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, count, count, size, start)
    locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, end, 1)
    return (
        content[:end]
        + wide
        + locator
        + struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, *[0xFFFF] * 2, *[2**32 - 1] * 2, 0)
    )


def test_zip64_end_records_are_counted(tmp_path):
    archive = write_zip(tmp_path / "a.zip", FILES)
    content = archive.read_bytes()
    archive.write_bytes(zip64_ends(content, len(FILES)))
    assert contents(archive, tmp_path) == FILES
    archive.write_bytes(zip64_ends(content, 1 << 40))
    assert "entries" in refused(archive, tmp_path)["a.zip"]


def test_entries_of_as_many_people_as_images_are_allowed():
    """An image and 18 masks of parts, and the copy that macOS puts beside each file."""
    assert ArchiveLimits().max_entries >= MAX_IMAGES * 2 * 19


def test_name_that_is_not_utf8_in_a_tar(tmp_path):
    archive = tmp_path / "a.tar"
    with tarfile.open(archive, "w", format=tarfile.USTAR_FORMAT, encoding="latin-1") as out:
        out.addfile(tarfile.TarInfo("ü"))
    assert "not UTF-8" in refused(archive, tmp_path)["\\udcfc"]


@pytest.mark.parametrize("kind", ["zip", "tar"])
@pytest.mark.parametrize(
    ("names", "blamed", "words"),
    [
        (["a/x", "a/x"], "a/x", "twice"),
        (["a/x", "./a/x"], "a/x", "twice"),
        (["a/x", "a/X"], "a/X", "only by case"),
        (["A/x", "a/y"], "a/y", "only by case"),
        (["caf\u00e9", "cafe\u0301"], "caf\u00e9", "twice"),
        (["a", "a/x"], "a/x", "both a file and a folder"),
        (["a/x", "a"], "a", "both a file and a folder"),
    ],
)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_colliding_names(tmp_path, kind, names, blamed, words):
    archive = tmp_path / "a"
    if kind == "zip":
        with zipfile.ZipFile(archive, "w") as out:
            for name in names:
                out.writestr(name, b"x")
    else:
        with tarfile.open(archive, "w") as out:
            for name in names:
                out.addfile(tarfile.TarInfo(name))
    assert words in refused(archive, tmp_path)[blamed]


def test_links_and_devices_in_a_tar(tmp_path):
    archive = tmp_path / "a.tar"
    with tarfile.open(archive, "w") as out:
        for name, kind in {
            "soft": tarfile.SYMTYPE,
            "hard": tarfile.LNKTYPE,
            "char": tarfile.CHRTYPE,
            "block": tarfile.BLKTYPE,
            "fifo": tarfile.FIFOTYPE,
            "sparse": tarfile.GNUTYPE_SPARSE,
            "odd": b"Z",
        }.items():
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "/etc/passwd"
            out.addfile(info)
    problems = refused(archive, tmp_path)
    assert {name: detail.split(":")[0].split(" ")[1] for name, detail in problems.items()} == {
        "soft": "link", "hard": "link", "char": "device", "block": "device", "fifo": "device",
        "sparse": "a", "odd": "a",
    }  # fmt: skip


def test_links_and_devices_in_a_zip(tmp_path):
    archive = tmp_path / "a.zip"
    with zipfile.ZipFile(archive, "w") as out:
        for name, mode in {"soft": stat.S_IFLNK, "char": stat.S_IFCHR, "plain": stat.S_IFREG}.items():
            info = zipfile.ZipInfo(name)
            info.external_attr = (mode | 0o644) << 16
            out.writestr(info, b"/etc/passwd")
    problems = refused(archive, tmp_path)
    assert problems.keys() == {"soft", "char"}


@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz"])
@pytest.mark.parametrize("kept", [0.05, 0.5, 0.9, 0.999])
def test_truncated(tmp_path, kind, kept):
    files = {f"{number}": bytes([number]) * 100 for number in range(40)}
    archive = tmp_path / "a"
    write_zip(archive, files) if kind == "zip" else write_tar(archive, files, "w:gz" if kind == "tar.gz" else "w")
    content = archive.read_bytes()
    end = len(content)
    if kind == "tar":  # beyond the end mark there are only zeros, which nobody needs
        end = len(content.rstrip(b"\0")) + 400
    archive.write_bytes(content[: int(end * kept)])
    assert "truncated" in refused(archive, tmp_path)["a"]


def test_tar_cut_between_two_entries(tmp_path):
    archive = write_tar(tmp_path / "a.tar", {"one": b"x" * 512, "two": b"y" * 512})
    archive.write_bytes(archive.read_bytes()[:1024])
    assert "truncated" in refused(archive, tmp_path)["a.tar"]


def test_damaged_tar_header_is_not_taken_for_the_end(tmp_path):
    archive = write_tar(tmp_path / "a.tar", {"one": b"x" * 512, "two": b"y" * 512})
    content = bytearray(archive.read_bytes())
    content[1024] ^= 1
    archive.write_bytes(content)
    assert "after 'one' is damaged" in refused(archive, tmp_path)["a.tar"]


def test_bytes_around_the_archive(tmp_path):
    for place, words in (("after", "after its end"), ("before", "neither")):
        for write in (write_zip, write_tar):
            archive = write(tmp_path / "a", FILES)
            content = archive.read_bytes()
            archive.write_bytes(content + b"<script>" if place == "after" else b"<script>" + content)
            assert words in refused(archive, tmp_path)["a"]


def test_archive_hidden_behind_another(tmp_path):
    archive = write_zip(tmp_path / "a", {"hidden": b"x"})
    first = archive.read_bytes()
    archive.write_bytes(first + write_zip(archive, FILES).read_bytes())
    assert "before its first entry" in refused(archive, tmp_path)["a"]


def test_bad_crc(tmp_path):
    archive = tmp_path / "a.zip"
    with zipfile.ZipFile(archive, "w") as out:
        out.writestr("good", b"good content")
        out.writestr("spoilt", b"spoilt content")
    archive.write_bytes(archive.read_bytes().replace(b"spoilt content", b"spoiled words!"))
    problems = refused(archive, tmp_path)
    assert problems.keys() == {"spoilt"}
    assert "Bad CRC-32" in problems["spoilt"]


def test_damaged_deflate_stream(tmp_path):
    archive = write_zip(tmp_path / "a.zip", {"x": bytes(range(256)) * 100})
    content = bytearray(archive.read_bytes())
    content[31:60] = b"\xff" * 29
    archive.write_bytes(content)
    assert "damaged" in refused(archive, tmp_path)["x"]


def test_bad_gzip_checksum(tmp_path):
    archive = write_tar(tmp_path / "a.tar.gz", FILES, "w:gz")
    content = bytearray(archive.read_bytes())
    content[-8] ^= 1
    archive.write_bytes(content)
    assert "CRC" in refused(archive, tmp_path)["a.tar.gz"]


def test_encrypted(tmp_path):
    archive = write_zip(tmp_path / "a.zip", {"secret": b"x" * 50})
    content = bytearray(archive.read_bytes())
    content[6] |= 1
    content[content.index(b"PK\x01\x02") + 8] |= 1
    archive.write_bytes(content)
    assert refused(archive, tmp_path) == {"secret": "is encrypted"}


def test_other_compression(tmp_path):
    archive = tmp_path / "a.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_LZMA) as out:
        out.writestr("x", b"x" * 50)
    assert "compression method 14" in refused(archive, tmp_path)["x"]


def test_nested(tmp_path):
    inner_zip = write_zip(tmp_path / "inner", {"x": b"x"}).read_bytes()
    inner_tar = write_tar(tmp_path / "inner", {"x": b"x"}).read_bytes()
    (tmp_path / "inner").unlink()
    files = {"z.png": inner_zip, "t.png": inner_tar, "g.png": gzip.compress(b"x"), "plain.zip": b"no archive at all"}
    problems = refused(write_zip(tmp_path / "a.zip", files | FILES), tmp_path)
    assert problems.keys() == files.keys()


@pytest.mark.parametrize(
    "content", [b"", b"hello", b"\x89PNG\r\n\x1a\n" + bytes(600), b"Rar!\x1a\x07\x00", b"PK\x05\x06" + bytes(18)]
)
def test_no_archive(tmp_path, content):
    archive = tmp_path / "a.zip"
    archive.write_bytes(content)
    assert ".zip, .tar or .tar.gz" in refused(archive, tmp_path)["a.zip"]


@pytest.mark.parametrize("kind", ["zip", "tar.gz"])
def test_ratio_bomb(tmp_path, kind):
    archive = tmp_path / "a"
    files = {"x": bytes(4 << 20)}
    write_zip(archive, files) if kind == "zip" else write_tar(archive, files, "w:gz")
    problems = refused(archive, tmp_path, ArchiveLimits(ratio_floor_bytes=1 << 20, max_ratio=100))
    assert "unpacks to more than 1,048,576 bytes" in problems["a"]
    assert sum(path.stat().st_size for path in (tmp_path / "into").iterdir()) <= 1 << 20


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_too_many_and_too_large(tmp_path, kind):
    archive = tmp_path / "a"
    write = write_zip if kind == "zip" else write_tar
    write(archive, {str(number): b"" for number in range(9)})
    assert "more than 8 entries" in refused(archive, tmp_path, ArchiveLimits(max_entries=8))["a"]
    write(archive, {"big": bytes(101), "fits": bytes(100)})
    assert refused(archive, tmp_path, ArchiveLimits(max_entry_bytes=100)).keys() == {"big"}
    assert refused(archive, tmp_path, ArchiveLimits(max_total_bytes=150)).keys() == {"a"}
    assert "at most 10" in refused(archive, tmp_path, ArchiveLimits(max_archive_bytes=10))["a"]


@pytest.mark.parametrize("declared", [10, 5000])
def test_lying_sizes_in_a_zip(tmp_path, declared):
    archive = write_zip(tmp_path / "a.zip", {"x": b"x" * 1000})
    content = bytearray(archive.read_bytes())
    directory = content.index(b"PK\x01\x02")
    content[22:26] = content[directory + 24 : directory + 28] = struct.pack("<L", declared)
    archive.write_bytes(content)
    assert refused(archive, tmp_path).keys() == {"x"}


def test_lying_size_in_a_tar(tmp_path):
    info = tarfile.TarInfo("x")
    info.size = 1 << 60
    archive = tmp_path / "a.tar"
    archive.write_bytes(info.tobuf(tarfile.GNU_FORMAT) + bytes(2048))
    problems = refused(archive, tmp_path)
    assert "declares" in problems["x"]
    assert "truncated" in problems["a.tar"]


@pytest.mark.parametrize("flag", [b"L", b"x", b"g"])
def test_huge_extended_header(tmp_path, flag):
    info = tarfile.TarInfo("x")
    info.type, info.size = flag, 1 << 40
    archive = tmp_path / "a.tar"
    archive.write_bytes(info.tobuf(tarfile.GNU_FORMAT) + bytes(2048))
    assert "extended header" in refused(archive, tmp_path)["a.tar"]


def test_endless_extended_headers(tmp_path):
    info = tarfile.TarInfo("x")
    info.type = b"x"
    archive = tmp_path / "a.tar"
    archive.write_bytes(info.tobuf(tarfile.USTAR_FORMAT) * 10_000 + bytes(1024))
    assert "in a row" in refused(archive, tmp_path)["a.tar"]


@pytest.mark.parametrize(
    "record",
    [
        b"99 path=x\n",
        b"nonsense",
        b"11 size=-12\n",
        b"-1 a=b\n",
        b"12 size=1e99\n",
        b"00 size=1\n",
        b"9999999999999 a=b\n",
    ],
)
def test_damaged_pax_records(tmp_path, record):
    info = tarfile.TarInfo("x")
    info.type, info.size = b"x", len(record)
    body = record + bytes(-len(record) % 512)
    archive = tmp_path / "a.tar"
    archive.write_bytes(info.tobuf(tarfile.USTAR_FORMAT) + body + tarfile.TarInfo("y").tobuf() + bytes(1024))
    assert "extended header" in refused(archive, tmp_path)["a.tar"]


def test_problems_end_somewhere(tmp_path):
    archive = write_zip(tmp_path / "a", {f"../{number}": b"" for number in range(20)})
    with pytest.raises(LabelSetError) as caught:
        extract_archive(archive, tmp_path / "into", ArchiveLimits(max_problems=5))
    assert len(caught.value.problems) == 6
    assert "more problems" in caught.value.problems[-1].detail


def test_stop(tmp_path):
    with pytest.raises(Stopped):
        extract_archive(write_zip(tmp_path / "a", FILES), tmp_path / "into", should_stop=lambda: True)


@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz"])
def test_any_flipped_byte_is_refused_or_harmless(tmp_path, kind):
    """A flipped byte ends in our own error or in an archive that reads, and in nothing else."""
    archive = tmp_path / "a"
    files = {"one": b"first content", "two": b"second"}
    write_zip(archive, files) if kind == "zip" else write_tar(archive, files, "w:gz" if kind == "tar.gz" else "w")
    good = archive.read_bytes()
    for position in range(0, min(len(good), 2600), 29 if kind == "tar" else 3):
        spoilt = bytearray(good)
        spoilt[position] ^= 0x41
        archive.write_bytes(spoilt)
        with contextlib.suppress(LabelSetError):
            extract_archive(archive, tmp_path / "into")
