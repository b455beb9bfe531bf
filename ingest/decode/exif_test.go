package decode

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"testing"
)

func TestOrientation(t *testing.T) {
	little, big := exifData(binary.LittleEndian, 6), exifData(binary.BigEndian, 8)
	changed := func(at int, v ...byte) []byte {
		b := bytes.Clone(little)
		copy(b[at:], v)
		return b
	}
	other := bytes.Clone(little[:10])
	other[8] = 2 // entries
	other = append(other, 0, 1, 4, 0, 1, 0, 0, 0, 9, 9, 9, 9)
	other = append(other, little[10:]...)
	for _, test := range []struct {
		name string
		data []byte
		want int
	}{
		{"little endian", little, 6},
		{"big endian", big, 8},
		{"second entry", other, 6},
		{"nothing", nil, 1},
		{"garbage", []byte("garbage garbage garbage"), 1},
		{"only a signature", little[:4], 1},
		{"only a header", little[:8], 1},
		{"cut within the entry", little[:21], 1},
		{"0", exifData(binary.LittleEndian, 0), 1},
		{"9", exifData(binary.BigEndian, 9), 1},
		{"65535", exifData(binary.BigEndian, 65535), 1},
		{"another type", changed(12, 4), 1},
		{"a directory beyond the end", changed(4, 0xff, 0xff, 0xff, 0xff), 1},
		{"a directory at the end", changed(4, byte(len(little)-2)), 1},
		{"a directory that is the header", changed(4, 0), 1},
		{"more entries than there are", changed(8, 0xff, 0xff), 6},
	} {
		if got := orientation(test.data); got != test.want {
			t.Errorf("%s: %d, want %d", test.name, got, test.want)
		}
	}
}

// TestTurn has numbered pixels, of which it is known where they go: the corners
// as EXIF 2.32 (4.6.4, Orientation) names them.
func TestTurn(t *testing.T) {
	// a b c
	// d e f
	for o, want := range []string{
		1: "abc/def", 2: "cba/fed", 3: "fed/cba", 4: "def/abc",
		5: "ad/be/cf", 6: "da/eb/fc", 7: "fc/eb/da", 8: "cf/be/ad",
	} {
		if o == 0 {
			continue
		}
		for _, c := range []int{1, 3} {
			var d Decoder
			d.img.reset(3, 2, c)
			for i := range d.img.Pix {
				d.img.Pix[i] = "abcdef"[i/c]
			}
			d.turn(o)
			m, got := &d.img, ""
			for y := range m.H {
				for x := range m.W {
					got += string(pixel(m, x, y)[c-1:])
				}
				if y < m.H-1 {
					got += "/"
				}
			}
			if got != want {
				t.Errorf("orientation %d, %d channels: %s, want %s", o, c, got, want)
			}
		}
	}
}

// TestExifRotate finds the orientation in the files, and leaves it alone where
// it is not asked for.
func TestExifRotate(t *testing.T) {
	jpegData := encodeJPEG(t, drawn(40, 24))
	pngData := encodePNG(t, drawn(40, 24))
	tiff := exifData(binary.BigEndian, 6)
	chunk := append([]byte("eXIf"), tiff...)
	chunk = binary.BigEndian.AppendUint32(append(binary.BigEndian.AppendUint32(nil, uint32(len(tiff))), chunk...), crc32.ChecksumIEEE(chunk))
	const afterIHDR = 33
	for name, data := range map[string][]byte{
		"JPEG": inserted(jpegData, exifSegment(tiff)...),
		"PNG":  append(append(bytes.Clone(pngData[:afterIHDR]), chunk...), pngData[afterIHDR:]...),
	} {
		eachLibrary(t, func(t *testing.T, l *Library) {
			plain, turning := Decoder{Library: l}, Decoder{Library: l, ExifRotate: true}
			stored, err := plain.Decode(data)
			if err != nil {
				t.Fatal(err)
			}
			for range 2 { // the second picture takes the first one's memory
				m, err := turning.Decode(data)
				if err != nil {
					t.Fatal(err)
				}
				check(t, m)
				if stored.W != 40 || m.W != 24 || m.H != 40 || m.SourceW != 40 || m.SourceH != 24 {
					t.Fatalf("%s: stored %dx%d, turned %dx%d of %dx%d", name, stored.W, stored.H, m.W, m.H, m.SourceW, m.SourceH)
				}
				for y := range m.H {
					for x := range m.W {
						if got, want := pixel(m, x, y), pixel(stored, y, stored.H-1-x); !bytes.Equal(got, want) {
							t.Fatalf("%s: x %d, y %d: %d, want %d", name, x, y, got, want)
						}
					}
				}
			}
		})
	}
}

func FuzzOrientation(f *testing.F) {
	f.Add(exifData(binary.LittleEndian, 6))
	f.Add(exifData(binary.BigEndian, 3))
	f.Add([]byte("MM\x00*\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if o := orientation(data); o < 1 || o > 8 {
			t.Fatalf("orientation %d", o)
		}
	})
}
