#!/usr/bin/python3
"""Writes pillow.golden.gz: what Pillow makes of pictures that the test makes too.

    apt-get install python3-pil python3-numpy && ./pillow.py

One record a case: a line "kind w h size filter warp", then 3*size*size bytes, planar.
"""
import gzip, os
import numpy as np
from PIL import Image

FILTERS = {"triangle": Image.BILINEAR, "box": Image.BOX, "bicubic": Image.BICUBIC}
SHAPES = [  # w, h, size
    (50, 37, 32), (37, 50, 32), (64, 64, 32), (33, 200, 36), (300, 41, 33), (20, 30, 40), (47, 47, 47), (500, 375, 40),
    (96, 64, 48), (31, 29, 17), (90, 150, 60),
]


def noise(w, h):
    """Bytes of a multiplicative generator, the same as in the test."""
    n, x = 3 * w * h, 12345 + 1000 * w + h
    out = bytearray(n)
    for i in range(n):
        x = x * 6364136223846793005 + 1442695040888963407 & (1 << 64) - 1
        out[i] = x >> 56
    return np.frombuffer(bytes(out), np.uint8).reshape(h, w, 3)


def blocks(w, h):
    """0 and 255 in blocks of odd sizes."""
    y, x, c = np.mgrid[0:h, 0:w, 0:3]
    return (((x // 3 + y // 5 + c) % 2 == 0) * 255).astype(np.uint8)


def square(m, size, how, warp):
    w, h = m.size
    if warp:
        return m.resize((size, size), how)
    ow, oh = (size, size * h // w) if w <= h else (size * w // h, size)
    m = m.resize((ow, oh), how)
    x, y = round((ow - size) / 2), round((oh - size) / 2)
    return m.crop((x, y, x + size, y + size))


with gzip.GzipFile(os.path.join(os.path.dirname(os.path.abspath(__file__)), "pillow.golden.gz"), "wb", 9, mtime=0) as f:
    for kind, make in (("noise", noise), ("blocks", blocks)):
        for i, (w, h, size) in enumerate(SHAPES):
            picture = Image.fromarray(make(w, h))
            for name, how in FILTERS.items():
                warp = (i + len(name)) % 4 == 0
                out = np.asarray(square(picture, size, how, warp))
                f.write(b"%s %d %d %d %s %d\n" % (kind.encode(), w, h, size, name.encode(), warp))
                f.write(out.transpose(2, 0, 1).tobytes())
