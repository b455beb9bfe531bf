package decode

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"
)

// addPictures adds a picture of each kind to the corpus, whole and in part.
func addPictures(f *testing.F) {
	photo := encodeJPEG(f, drawn(16, 12))
	f.Add(photo)
	f.Add(photo[:len(photo)/2])
	f.Add(inserted(photo, exifSegment(exifData(binary.LittleEndian, 6))...))
	f.Add(inserted(photo, 1, 2, 3))
	f.Add(fromPlanes(f, adobe(0), planesOf(3, 9, 9)...))
	f.Add(fromPlanes(f, adobe(2), planesOf(4, 9, 9)...))
	f.Add(bytes.Replace(photo, []byte{0xff, 0xc0}, []byte{0xff, 0xc2}, 1))
	f.Add(bytes.Replace(photo, []byte{0xff, 0xc0}, []byte{0xff, 0xc9}, 1))
	f.Add([]byte("\xff\xd8\xff\xdb"))
}

var fuzzLimits = Limits{MaxSide: 2000, MaxPixels: 1 << 14}

// checkFuzzed finds out that a result is one that may be.
func checkFuzzed(t *testing.T, d *Decoder, m *Image, err error) {
	t.Helper()
	var e *Error
	switch {
	case err != nil && (!errors.As(err, &e) || m != nil):
		t.Fatalf("image %v, error of type %T: %v", m, err, err)
	case err == nil:
		check(t, m)
		if m.W*m.H > fuzzLimits.MaxPixels || m.Damage != nil && !d.KeepTruncated {
			t.Fatalf("%dx%d pixels, damage %v", m.W, m.H, m.Damage)
		}
	}
}

func FuzzDecode(f *testing.F) {
	addPictures(f)
	f.Add(encodePNG(f, drawn(5, 4)))
	f.Add([]byte("GIF89a"))
	f.Fuzz(func(t *testing.T, data []byte) {
		d := Decoder{Library: Standard(), Limits: fuzzLimits, ExifRotate: true, KeepTruncated: true}
		m, err := d.Decode(data)
		checkFuzzed(t, &d, m, err)
	})
}

// FuzzDecodeTurbo has libjpeg-turbo decode into a buffer whose end is watched,
// and then a good picture with the same handle.
func FuzzDecodeTurbo(f *testing.F) {
	l := turboOrSkip(f)
	addPictures(f)
	good := encodeJPEG(f, drawn(16, 12))
	want, err := (&Decoder{Library: l}).Decode(good)
	if err != nil {
		f.Fatal(err)
	}
	const guard = 4096
	room := bytes.Repeat([]byte{0xa5}, 4*fuzzLimits.MaxPixels+guard)
	d := Decoder{Library: l, Limits: fuzzLimits}
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, keep := range []bool{false, true} {
			d.KeepTruncated = keep
			d.img.Pix = room
			m, err := d.Decode(data)
			checkFuzzed(t, &d, m, err)
			// Whatever was written lies in the pixels, which may be there though an
			// error hides them.
			n := min(len(d.img.Pix), len(room)-guard)
			if head := readJPEGHeader(data); err == nil && head.components == 4 {
				n = n / 3 * 4 // the inks took more
			}
			if cap(d.img.Pix) == cap(room) && len(d.img.Pix) < len(room) && bytes.Count(room[n:n+guard], []byte{0xa5}) != guard {
				t.Fatalf("written beyond %d bytes of pixels", n)
			}
			for i := range room[:n] {
				room[i] = 0xa5
			}
			if m, err = d.Decode(good); err != nil || !bytes.Equal(m.Pix, want.Pix) {
				t.Fatalf("a good picture after it: %v", err)
			}
			for i := range m.Pix {
				m.Pix[i] = 0xa5
			}
		}
	})
}
