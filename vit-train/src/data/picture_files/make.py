"""Writes the picture files of this folder, which the tests of `picture.rs` read.

Next to each picture, a file with the extension `.rgb` has the levels that Pillow reads from it: red, green and blue of
each pixel, row by row, over white. The kind of each picture is in its name. Run this script in this folder with Python
and Pillow 13: `python make.py`.
"""

import struct
import zlib
from io import BytesIO
from pathlib import Path

from PIL import Image, ImageOps

WIDTH, HEIGHT = 21, 13


def scene():
    """Returns a picture in colour, smooth enough for JPEG, with an upper left corner that differs from the others."""
    image = Image.new("RGB", (WIDTH, HEIGHT))
    for y in range(HEIGHT):
        for x in range(WIDTH):
            image.putpixel((x, y), (10 * x + 20, 18 * y + 10, (6 * x + 9 * y + 40) % 256))
    return image


def transparent(image):
    """Returns the picture with an alpha channel that rises from the left to the right."""
    image = image.convert("RGBA")
    image.putalpha(Image.linear_gradient("L").rotate(90).resize(image.size))
    return image


def levels(image):
    """Returns the levels of a picture over white, turned upright."""
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I;16"):
        image = image.point(lambda level: level / 257).convert("L")
    if "transparency" in image.info or image.mode in ("LA", "PA", "RGBA"):
        image = image.convert("RGBA")
        over = Image.new("RGB", image.size)
        for y in range(image.height):
            for x in range(image.width):
                *colour, alpha = image.getpixel((x, y))
                blend = (level * alpha + 255 * (255 - alpha) for level in colour)
                over.putpixel((x, y), tuple((level + 127) // 255 for level in blend))
        image = over
    return image.convert("RGB").tobytes()


def write(name, content, expected=None):
    """Writes a file and the levels that Pillow reads from it, unless others are `expected`."""
    Path(name).write_bytes(content)
    if expected is None:
        expected = levels(Image.open(BytesIO(content)))
    Path(name + ".rgb").write_bytes(expected)


def save(name, image, **options):
    content = BytesIO()
    image.save(content, **options)
    write(name, content.getvalue())


def png(depth, colours, rows, *chunks):
    """Returns a PNG of a kind that Pillow does not write. `colours` is the type in its header."""
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    header = struct.pack(">IIBBBBB", WIDTH, HEIGHT, depth, colours, 0, 0, 0)
    data = zlib.compress(b"".join(b"\0" + row for row in rows))
    parts = [chunk(b"IHDR", header), *(chunk(*each) for each in chunks), chunk(b"IDAT", data), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def packed(values, depth):
    """Returns a row of `values` of `depth` bits, filled up to whole bytes."""
    bits = "".join(format(value, f"0{depth}b") for value in values)
    bits += "0" * (-len(bits) % 8)
    return bytes(int(bits[at:at + 8], 2) for at in range(0, len(bits), 8))


def pngs(colour):
    grey = colour.convert("L")
    save("grey-8.png", grey, format="PNG")
    save("colour-8.png", colour, format="PNG")
    save("black-and-white.png", colour.convert("1"), format="PNG")
    save("transparent.png", transparent(colour), format="PNG")
    save("grey-transparent.png", transparent(colour).convert("LA"), format="PNG")
    for bits in (1, 2, 4, 8):
        save(f"palette-{bits}.png", colour.quantize(2**bits), format="PNG", bits=bits)
    save("palette-transparent.png", colour.quantize(4), format="PNG", bits=2, transparency=bytes([0, 100, 200, 255]))
    save("one-colour-transparent.png", colour, format="PNG", transparency=colour.getpixel((3, 3)))
    for depth in (2, 4):
        values = [[(x + y) % 2**depth for x in range(WIDTH)] for y in range(HEIGHT)]
        expected = bytes(v * 255 // (2**depth - 1) for row in values for v in row for _ in range(3))
        write(f"grey-{depth}.png", png(depth, 0, [packed(row, depth) for row in values]), expected)
    for kind, colours, channels in (("grey", 0, 1), ("colour", 2, 3)):
        values = [[[(3000 * x + 777 * y + 5000 * c) % 65536 for c in range(channels)] for x in range(WIDTH)]
                  for y in range(HEIGHT)]
        rows = [b"".join(struct.pack(">H", v) for pixel in row for v in pixel) for row in values]
        expected = bytes(round(v / 257) for row in values for pixel in row for v in (pixel * 3)[:3])
        write(f"{kind}-16.png", png(16, colours, rows), expected)


def exif(orientation):
    data = Image.Exif()
    data[0x0112] = orientation
    return data


def oriented(colour):
    for orientation in range(1, 9):
        save(f"turned-{orientation}.png", colour, format="PNG", exif=exif(orientation))
        save(f"turned-{orientation}.webp", colour, format="WEBP", lossless=True, exif=exif(orientation))
        save(f"turned-{orientation}.jpg", colour, format="JPEG", quality=95, subsampling=0, exif=exif(orientation))


def jpegs(colour):
    save("grey.jpg", colour.convert("L"), format="JPEG", quality=90)
    save("rgb.jpg", colour, format="JPEG", quality=95, keep_rgb=True)
    for name, subsampling in (("444", 0), ("422", 1), ("420", 2)):
        for progressive in (False, True):
            kind = f"{name}-progressive" if progressive else name
            options = {"format": "JPEG", "quality": 95, "subsampling": subsampling, "progressive": progressive}
            save(f"colour-{kind}.jpg", colour, **options)
            cmyk = colour.convert("CMYK")
            cmyk.putdata([(c // 2, m // 2, y // 2, (c + m + y) // 6) for c, m, y, _ in cmyk.getdata()])
            save(f"cmyk-{kind}.jpg", cmyk, **options)
            # Without the marker of Adobe, which is 16 bytes long.
            content = Path(f"cmyk-{kind}.jpg").read_bytes()
            at = content.index(b"\xff\xee\x00\x0eAdobe")
            write(f"cmyk-{kind}-no-marker.jpg", content[:at] + content[at + 16:])
            # YCCK: what Adobe's programs write is inverted CMYK, of which the first three are converted like red, green
            # and blue. Pillow inverts what it writes, too.
            ink = Image.merge("RGB", cmyk.split()[:3])
            luma, *chroma = (band.point(lambda level: 255 - level)
                             for band in ink.point(lambda level: 255 - level).convert("YCbCr").split())
            content = BytesIO()
            Image.merge("CMYK", (luma, *chroma, cmyk.getchannel("K"))).save(content, **options)
            content = content.getvalue()
            at = content.index(b"\xff\xee\x00\x0eAdobe") + 15
            write(f"ycck-{kind}.jpg", content[:at] + b"\x02" + content[at + 1:])


def webps(colour):
    save("lossless.webp", colour, format="WEBP", lossless=True)
    save("lossless-transparent.webp", transparent(colour), format="WEBP", lossless=True, exact=True)
    save("lossless-palette.webp", colour.quantize(6), format="WEBP", lossless=True)
    save("lossy.webp", colour, format="WEBP", quality=80)
    save("lossy-transparent.webp", transparent(colour), format="WEBP", quality=80)
    save("animated.webp", colour, format="WEBP", lossless=True, save_all=True, append_images=[ImageOps.invert(colour)])


def bmps(colour):
    save("black-and-white.bmp", colour.convert("1"), format="BMP")
    save("grey.bmp", colour.convert("L"), format="BMP")
    save("palette.bmp", colour.quantize(200), format="BMP")
    save("colour.bmp", colour, format="BMP")
    save("32-bits.bmp", colour.convert("RGBA"), format="BMP")
    palette = b"".join(bytes([37 * i % 256, 91 * i % 256, 15 * i, 0]) for i in range(16))
    def bmp(bits, compression, data, palette=b""):
        offset = 14 + 40 + len(palette)
        header = struct.pack("<IiiHHIIiiII", 40, WIDTH, HEIGHT, 1, bits, compression, len(data), 0, 0,
                             len(palette) // 4, 0)
        return b"BM" + struct.pack("<IHHI", offset + len(data), 0, 0, offset) + header + palette + data
    index = [[(x // 3 + y) % 16 for x in range(WIDTH)] for y in range(HEIGHT)]
    rows = [packed(row, 4) for row in reversed(index)]
    write("4-bits.bmp", bmp(4, 0, b"".join(row + bytes(-len(row) % 4) for row in rows), palette))
    runs = b"".join(b"".join(bytes([1, i]) for i in row) + b"\0\0" for row in reversed(index)) + b"\0\1"
    write("runs-8.bmp", bmp(8, 1, runs, palette + bytes(240 * 4)))
    runs = b"".join(b"".join(bytes([3, 17 * i]) for i in row[::3]) + b"\0\0" for row in reversed(index)) + b"\0\1"
    write("runs-4.bmp", bmp(4, 2, runs, palette))
    values = [[(x + 1) | (y * 2) << 5 | (31 - x) << 10 for x in range(WIDTH)] for y in range(HEIGHT)]
    data = b"".join(b"".join(struct.pack("<H", v) for v in row) + b"\0\0" for row in reversed(values))
    expected = bytes(round((v >> shift & 31) * 255 / 31) for row in values for v in row for shift in (10, 5, 0))
    write("16-bits.bmp", bmp(16, 0, data), expected)


def gifs(colour):
    save("colour.gif", colour.quantize(200), format="GIF")
    save("interlaced.gif", colour.quantize(16), format="GIF", interlace=1)
    save("black-and-white.gif", colour.convert("1"), format="GIF")
    save("transparent.gif", colour.quantize(16), format="GIF", transparency=3)
    save("animated.gif", colour.quantize(64), format="GIF", save_all=True,
         append_images=[ImageOps.invert(colour).quantize(64)])


for old in Path(".").iterdir():
    if old.suffix != ".py":
        old.unlink()
picture = scene()
pngs(picture)
oriented(picture)
jpegs(picture)
webps(picture)
bmps(picture)
gifs(picture)
