package decode

import (
	"bytes"
	"encoding/binary"
	"image"
	"testing"
)

// Pictures that no encoder at hand makes are put together from its parts.

// segments cuts a JPEG of one scan into the bytes from SOI to SOS, without
// either, and the entropy-coded data.
func segments(t testing.TB, data []byte) (head map[byte][]byte, scan []byte) {
	t.Helper()
	head = map[byte][]byte{}
	for at := 2; ; {
		marker, n := data[at+1], int(binary.BigEndian.Uint16(data[at+2:]))
		if data[at] != 0xff {
			t.Fatalf("no marker at %d", at)
		}
		if marker == markerSOS {
			return head, data[at+2+n : len(data)-2]
		}
		head[marker] = append(head[marker], data[at:at+2+n]...)
		at += 2 + n
	}
}

// segment returns a marker segment.
func segment(marker byte, body ...byte) []byte {
	n := len(body) + 2
	return append([]byte{0xff, marker, byte(n >> 8), byte(n)}, body...)
}

// adobe returns the segment that says what the components are: 0 RGB or CMYK,
// 1 YCbCr, 2 YCCK.
func adobe(transform byte) []byte {
	return segment(0xee, append([]byte("Adobe\x00\x64\x00\x00\x00\x00"), transform)...)
}

// fromPlanes returns a JPEG whose components, all of full size, are the planes,
// each in a scan of its own: the scan of a grey picture.
func fromPlanes(t testing.TB, extra []byte, planes ...*image.Gray) []byte {
	t.Helper()
	size := planes[0].Bounds().Size()
	frame := []byte{8, byte(size.Y >> 8), byte(size.Y), byte(size.X >> 8), byte(size.X), byte(len(planes))}
	var scans []byte
	var head map[byte][]byte
	for i, m := range planes {
		var scan []byte
		head, scan = segments(t, encodeJPEG(t, m))
		frame = append(frame, byte(i+1), 0x11, 0)
		scans = append(scans, segment(markerSOS, 1, byte(i+1), 0, 0, 63, 0)...)
		scans = append(scans, scan...)
	}
	out := append([]byte{0xff, markerSOI}, extra...)
	out = append(out, head[0xdb]...)
	out = append(out, segment(markerSOF0, frame...)...)
	out = append(out, head[markerDHT]...)
	return append(append(out, scans...), 0xff, markerEOI)
}

// planesOf returns n different grey pictures.
func planesOf(n, w, h int) (planes []*image.Gray) {
	for i := range n {
		m := image.NewGray(image.Rect(0, 0, w, h))
		for y := range h {
			for x := range w {
				m.Pix[y*m.Stride+x] = uint8(60 + 40*i + x*(i+1) + y*(3-i))
			}
		}
		planes = append(planes, m)
	}
	return planes
}

// inserted puts bytes right after SOI.
func inserted(data []byte, extra ...byte) []byte {
	return append(append(bytes.Clone(data[:2]), extra...), data[2:]...)
}

// exifData is a TIFF structure whose only entry is the orientation.
func exifData(order binary.AppendByteOrder, orientation uint16) []byte {
	data := []byte("II*\x00")
	if order.String() == binary.BigEndian.String() {
		data = []byte("MM\x00*")
	}
	data = order.AppendUint32(data, 8)
	data = order.AppendUint16(data, 1)
	data = order.AppendUint16(data, 0x0112)
	data = order.AppendUint16(data, 3)
	data = order.AppendUint32(data, 1)
	data = order.AppendUint16(data, orientation)
	return order.AppendUint32(append(data, 0, 0), 0)
}

// exifSegment is the APP1 segment of the data.
func exifSegment(data []byte) []byte {
	return segment(markerAPP1, append([]byte("Exif\x00\x00"), data...)...)
}
