"""Pictures of every kind decode to the right pixels or are refused; none decodes wrongly."""

import io
import zlib

import numpy as np
import pytest
from PIL import Image

from core.label_sets.reading.images import PictureError, PictureLimits, decode_image, decode_mask
from tests.core.datasets.archives import mask, photograph, picture, png_chunk, raw_png, write_zip

PIXELS = photograph(1, 6, 8)


def refusal(decode, content, **limits):
    with pytest.raises(PictureError) as caught:
        decode(content, PictureLimits(**limits))
    return str(caught.value)


@pytest.mark.parametrize("format", ["PNG", "BMP", "WEBP"])
def test_lossless_formats(format):
    decoded = decode_image(picture(PIXELS, format, lossless=True))
    assert np.array_equal(decoded.pixels, PIXELS)
    assert decoded.pixels.flags.writeable
    assert decoded.notes == ()


def test_jpeg():
    smooth = np.linspace(0, 255, 64 * 64 * 3).reshape(64, 64, 3).astype(np.uint8)
    decoded = decode_image(picture(smooth, "JPEG", quality=95)).pixels.astype(int)
    assert np.abs(decoded - smooth).mean() < 3


def test_grey_palette_and_bilevel():
    grey = PIXELS[:, :, 0]
    decoded = decode_image(picture(grey))
    assert np.array_equal(decoded.pixels, np.repeat(grey[:, :, None], 3, 2))
    assert "grey" in decoded.notes[0]
    palette = Image.fromarray(PIXELS).quantize(16)
    assert np.array_equal(decode_image(picture(palette)).pixels, np.array(palette.convert("RGB")))
    bilevel = Image.fromarray(grey > 127)
    assert set(np.unique(decode_image(picture(bilevel)).pixels)) == {0, 255}


def test_sixteen_bit_grey_is_scaled_not_clipped():
    wide = np.array([[0, 128, 129, 257, 32768, 65535]], np.uint16)
    decoded = decode_image(picture(Image.fromarray(wide)))
    assert decoded.pixels[0, :, 0].tolist() == [0, 0, 1, 1, 128, 255]
    assert decoded.notes[0].startswith("16-bit grey")


def test_sixteen_bit_colour():
    samples = np.array([[[0, 32768, 65535], [256, 257, 511]]], ">u2")
    decoded = decode_image(raw_png(2, 1, 16, 2, b"\0" + samples.tobytes()))
    assert np.abs(decoded.pixels[0].astype(int) - [[0, 128, 255], [1, 1, 2]]).max() <= 1
    assert decoded.notes == ("16-bit colour brought to 8 bits",)


def test_transparency_is_laid_on_white():
    rgba = np.zeros((1, 3, 4), np.uint8)
    rgba[0, :, 3] = [0, 128, 255]
    decoded = decode_image(picture(Image.fromarray(rgba)))
    assert decoded.pixels[0, :, 0].tolist() == [255, 127, 0]
    assert decoded.notes == ("transparency laid on white",)
    palette = Image.fromarray(np.array([[0, 1]], np.uint8), "P")
    palette.putpalette([10, 20, 30, 40, 50, 60])
    decoded = decode_image(picture(palette, transparency=0))
    assert decoded.pixels[0].tolist() == [[255, 255, 255], [40, 50, 60]]


def test_an_opaque_alpha_channel_is_no_news():
    rgba = np.dstack([PIXELS, np.full(PIXELS.shape[:2], 255, np.uint8)])
    decoded = decode_image(picture(rgba))
    assert np.array_equal(decoded.pixels, PIXELS)
    assert decoded.notes == ()


def test_cmyk():
    flat = Image.new("CMYK", (8, 8), (255, 0, 0, 0))
    decoded = decode_image(picture(flat, "JPEG", quality=95))
    assert np.abs(decoded.pixels.astype(int) - [0, 255, 255]).max() < 8
    assert "CMYK" in decoded.notes[0]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = PIXELS
    undo = {
        1: lambda a: a, 2: np.fliplr, 3: lambda a: np.rot90(a, 2), 4: np.flipud,
        5: lambda a: a.transpose(1, 0, 2), 6: lambda a: np.rot90(a, -1),
        7: lambda a: np.rot90(a, 2).transpose(1, 0, 2), 8: lambda a: np.rot90(a, 1),
    }  # fmt: skip
    decoded = decode_image(picture(stored, exif=exif))
    assert np.array_equal(decoded.pixels, undo[orientation](stored))
    assert decoded.stored_size == stored.shape[:2]
    assert bool(decoded.notes) == (orientation != 1)


def test_phone_pictures_with_a_second_picture_inside():
    stream = io.BytesIO()
    Image.fromarray(PIXELS).save(stream, "MPO", save_all=True, append_images=[Image.new("RGB", (4, 4))], quality=100)
    assert decode_image(stream.getvalue()).pixels.shape == PIXELS.shape


@pytest.mark.parametrize("format", ["PNG", "WEBP"])
def test_animation(format):
    frames = [Image.fromarray(photograph(seed)) for seed in range(3)]
    content = picture(frames[0], format, save_all=True, append_images=frames[1:])
    assert "animation" in refusal(decode_image, content)
    if format == "PNG":
        grey = [frame.convert("L") for frame in frames]
        assert "animation" in refusal(decode_mask, picture(grey[0], save_all=True, append_images=grey[1:]))


@pytest.mark.parametrize(
    "content", [b"", b"GIF89a", b"<svg/>", b"<?php", b"%PDF-1.4", b"P6 1 1 255 \0\0\0", b"II*\0" + bytes(90)]
)
def test_other_formats(content):
    assert "not a readable picture" in refusal(decode_image, content)
    assert "must be a PNG" in refusal(decode_mask, content)


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "BMP"])
@pytest.mark.parametrize("kept", [0.1, 0.5, 0.9])
def test_truncated(format, kept):
    content = picture(photograph(0, 64, 64), format)
    refusal(decode_image, content[: int(len(content) * kept)])


def test_every_spoilt_byte_of_a_mask_is_noticed():
    content = picture(mask())
    for position in range(8, len(content)):
        spoilt = bytearray(content)
        spoilt[position] ^= 0x10
        refusal(decode_mask, bytes(spoilt))


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "BMP"])
def test_spoilt_bytes_end_in_pixels_or_our_own_error(format):
    content = picture(photograph(0, 16, 16), format)
    generator = np.random.default_rng(0)
    for _ in range(150):
        spoilt = bytearray(content)
        for position in generator.integers(0, len(content), 3):
            spoilt[position] = generator.integers(256)
        try:
            decoded = decode_image(bytes(spoilt), PictureLimits(max_pixels=10_000))
        except PictureError:
            continue
        assert decoded.pixels.dtype == np.uint8
        assert decoded.pixels.shape[2] == 3


def test_pixel_bombs_are_refused_before_they_are_decoded():
    assert "pixels" in refusal(decode_image, raw_png(60_000, 60_000, 8, 2, b""))
    assert "pixels" in refusal(decode_mask, raw_png(60_000, 60_000, 1, 0, b""))
    bomb = bytearray(picture(PIXELS, "BMP"))
    bomb[18:26] = (60_000).to_bytes(4, "little") * 2
    assert "pixels" in refusal(decode_image, bytes(bomb))
    assert "side" in refusal(decode_image, picture(np.zeros((1, 200, 3), np.uint8)), max_side=100)
    assert "10 pixels" in refusal(decode_image, picture(PIXELS), max_pixels=10)


def test_text_bomb_in_a_png():
    chunk = png_chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(20 << 20)))
    content = picture(PIXELS)
    assert refusal(decode_image, content[:33] + chunk + content[33:])


def test_polyglots(tmp_path):
    hidden = write_zip(tmp_path / "a", {"x": b"x"}).read_bytes()
    assert "more than a PNG" in refusal(decode_image, picture(PIXELS) + hidden)
    assert "more than a PNG" in refusal(decode_mask, picture(mask()) + hidden)
    plain = picture(PIXELS, "JPEG")
    # Phones append films to a JPEG. Only pixels go on from here, so what follows them does no harm.
    assert np.array_equal(decode_image(plain + hidden).pixels, decode_image(plain).pixels)


@pytest.mark.parametrize("depth", [1, 2, 4, 8])
@pytest.mark.parametrize("colour", [0, 3])
def test_masks_of_every_depth_keep_their_ids(depth, colour):
    ids = np.array([[0, 1, 1, 0], [1, 0, 0, 1]], np.uint8) * min(2**depth - 1, 7)
    bits = np.unpackbits(ids[:, :, None], axis=2)[:, :, 8 - depth :].reshape(2, -1)
    rows = b"".join(b"\0" + np.packbits(row).tobytes() for row in bits)
    palette = png_chunk(b"PLTE", bytes(range(3 * min(2**depth, 64)))) if colour == 3 else b""
    assert np.array_equal(decode_mask(raw_png(4, 2, depth, colour, rows, palette)).pixels, ids)


def test_sixteen_bit_masks():
    ids = mask().astype(np.uint16)
    decoded = decode_mask(picture(Image.fromarray(ids)))
    assert np.array_equal(decoded.pixels, ids)
    assert decoded.notes == ("16-bit mask brought to 8 bits",)
    ids[0, 0] = 256
    assert "value 256" in refusal(decode_mask, picture(Image.fromarray(ids)))


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_colours_are_no_ids(mode):
    told = refusal(decode_mask, picture(Image.fromarray(PIXELS).convert(mode)))
    assert mode in told
    assert "ids[(rgb == (R, G, B)).all(-1)] = ID" in told, "how to convert it"


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA"])
def test_a_colour_mask_of_equal_channels_is_read_as_grey(mode):
    decoded = decode_mask(picture(Image.fromarray(mask()).convert(mode)))
    assert np.array_equal(decoded.pixels, mask())
    assert decoded.notes == (f"{mode} with equal channels read as grey",)


def test_a_mask_with_transparent_pixels_is_refused():
    image = Image.fromarray(mask()).convert("LA")
    image.putalpha(Image.fromarray(mask()))
    assert "alpha" in refusal(decode_mask, picture(image))


@pytest.mark.parametrize("format", ["JPEG", "WEBP"])
def test_lossy_masks(format):
    told = refusal(decode_mask, picture(mask(), format))
    assert "must be a PNG" in told
    assert "from the tool that drew them" in told
