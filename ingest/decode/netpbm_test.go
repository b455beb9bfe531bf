package decode

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

func TestNetpbm(t *testing.T) {
	grey, colour := "\x01\x02\x03\x04\x05\x06", "\n\x02\x03\x04\x05\x06\x07\x08\x09"
	for _, test := range []struct {
		name, data string
		w, h, c    int
		pixels     string
	}{
		{"grey", "P5\n3 2\n255\n" + grey, 3, 2, 1, grey},
		{"grey, high", "P5 2 3 255 " + grey, 2, 3, 1, grey},
		{"comments", "P5#a\n# b 7 \r\t3#c\n\n 2 # 9\n255\n" + grey, 3, 2, 1, grey},
		{"colour, and a first sample like white space", "P6 3 1 255\n" + colour, 3, 1, 3, colour},
	} {
		m, err := Decode([]byte(test.data), Limits{})
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		check(t, m)
		got := ""
		for y := range m.H {
			for x := range m.W {
				got += string(pixel(m, x, y))
			}
		}
		if m.W != test.w || m.H != test.h || m.C != test.c || got != test.pixels || m.SourceW != test.w {
			t.Errorf("%s: %dx%dx%d %q", test.name, m.W, m.H, m.C, got)
		}
	}
	for _, test := range []struct{ name, data, reason, text string }{
		{"no size", "P5\n", Truncated, "ends within the netpbm header"},
		{"no height", "P5 3 ", Truncated, "ends within the netpbm header"},
		{"no largest value", "P5 3 2 255", Truncated, "ends within the netpbm header"},
		{"an open comment", "P5 3 # 2 255 abcdef", Truncated, "ends within the netpbm header"},
		{"letters", "P5 3 x 255 " + grey, Malformed, `has 'x' where a number should be`},
		{"a negative width", "P5 -3 2 255 " + grey, Malformed, `has '-' where`},
		{"a huge number", "P5 99999999999999999999 2 255 " + grey, Malformed, "more than nine digits"},
		{"no pixels", "P5 0 2 255 ", Malformed, "0x2 pixels"},
		{"too wide", "P5 65501 1 255 ", TooLarge, "a side is longer"},
		{"too many", "P6 60000 60000 255 ", TooLarge, "more than the limit"},
		{"16 bits", "P5 3 2 65535 " + grey + grey, Unsupported, "samples up to 65535"},
		{"4 bits", "P5 3 2 15 " + grey, Unsupported, "samples up to 15"},
		{"a number that goes on", "P5 3 2 255a" + grey, Malformed, "does not end with white space"},
		{"one byte short", "P5 3 2 255 " + grey[1:], Truncated, "5 bytes of pixels, a picture of 3x2 has 6"},
		{"one byte more", "P6 3 1 255 " + colour + "x", Malformed, "10 bytes of pixels, a picture of 3x1 has 9"},
		{"text", "P3 1 1 255 1 2 3", Unsupported, "a netpbm P3 file"},
		{"PAM", "P7\nWIDTH 3\n", Unsupported, "a netpbm P7 file"},
		{"a word", "P5x", NotAnImage, "neither JPEG, PNG nor netpbm"},
	} {
		m, err := Decode([]byte(test.data), Limits{})
		var e *Error
		if !errors.As(err, &e) || e.Reason != test.reason || !strings.Contains(e.Error(), test.text) || m != nil {
			t.Errorf("%s: %v, want %q of class %s", test.name, err, test.text, test.reason)
		}
	}
}

func FuzzNetpbm(f *testing.F) {
	f.Add([]byte("P5 3 2 255 abcdef"))
	f.Add([]byte("P6#c\n1 1\n255\nabc"))
	f.Add([]byte("P5 99999999999 2 255 "))
	f.Fuzz(func(t *testing.T, data []byte) {
		if kind, err := sniff(data); err != nil || kind != netpbmFile {
			return
		}
		m, err := Decode(data, Limits{MaxSide: 2000, MaxPixels: 1 << 18})
		var e *Error
		switch {
		case err != nil && !errors.As(err, &e):
			t.Fatalf("error of type %T: %v", err, err)
		case err == nil:
			check(t, m)
			if m.C == 1 && !bytes.HasSuffix(data, m.Pix) {
				t.Fatal("other pixels")
			}
		}
	})
}
