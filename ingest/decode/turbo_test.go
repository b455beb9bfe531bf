package decode

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"image"
	"image/color"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"testing"
)

// turboOrSkip returns libjpeg-turbo, and skips the test where there is none.
func turboOrSkip(t testing.TB) *Library {
	t.Helper()
	l := Find()
	if l.turbo == nil {
		t.Skip("no libjpeg-turbo here: " + l.Hint())
	}
	return l
}

// eachLibrary runs the test with the libraries that are here.
func eachLibrary(t *testing.T, test func(t *testing.T, l *Library)) {
	t.Run("standard", func(t *testing.T) { test(t, Standard()) })
	t.Run("turbo", func(t *testing.T) { test(t, turboOrSkip(t)) })
}

func TestLibraries(t *testing.T) {
	for _, l := range []*Library{Standard(), findFor(None)} {
		if !regexp.MustCompile(`^image/jpeg \(.+\)$`).MatchString(l.Name()) || l.Hint() != "" {
			t.Errorf("name %q, hint %q", l.Name(), l.Hint())
		}
	}
	l := findFor("/no/such/libturbojpeg.so")
	if l.turbo != nil || !strings.HasPrefix(l.Hint(), Variable+"=/no/such/libturbojpeg.so: ") || l.Name() != Standard().Name() {
		t.Errorf("name %q, hint %q", l.Name(), l.Hint())
	}
	if _, err := Open("/no/such/libturbojpeg.so"); err == nil {
		t.Error("a file that is not there was loaded")
	}
	if again := Find(); again != Find() || Name() != again.Name() {
		t.Error("the library changes")
	}
	if Find().turbo == nil {
		t.Log("hint: " + Find().Hint())
		return
	}
	if !regexp.MustCompile(`^(libjpeg-turbo|mozjpeg) [0-9.]+ \(.*turbojpeg.*\)$`).MatchString(Name()) || Find().Hint() != "" {
		t.Errorf("name %q, hint %q", Name(), Find().Hint())
	}
}

// TestTurboPixels compares with pixels that libjpeg-turbo's own djpeg gives;
// the library promises the same from all its releases on all machines.
func TestTurboPixels(t *testing.T) {
	d := Decoder{Library: turboOrSkip(t)}
	grey := image.NewGray(image.Rect(0, 0, 61, 47))
	for i := range grey.Pix {
		grey.Pix[i] = uint8(i * i / 50)
	}
	for _, test := range []struct {
		name string
		data []byte
		sum  string
	}{
		{"colour, halved chroma", encodeJPEG(t, drawn(100, 75)), "9ff4976377329543"},
		{"grey", encodeJPEG(t, grey), "4e3d2dafe85def28"},
		{"YCbCr, three scans", fromPlanes(t, nil, planesOf(3, 33, 20)...), "4451b2b5ad27cb2e"},
		{"RGB", fromPlanes(t, adobe(0), planesOf(3, 33, 20)...), "3e827b1c4aed050c"},
	} {
		m, err := d.Decode(test.data)
		if err != nil {
			t.Fatalf("%s: %v", test.name, err)
		}
		check(t, m)
		h := sha256.New()
		for y := range m.H {
			for x := range m.W {
				h.Write(pixel(m, x, y))
			}
		}
		if got := hex.EncodeToString(h.Sum(nil)[:8]); got != test.sum {
			t.Errorf("%s: pixels of sum %s, want %s", test.name, got, test.sum)
		}
	}
}

// TestBothLibraries has both decode pictures without subsampling, where they
// differ only by the rounding of the DCT.
func TestBothLibraries(t *testing.T) {
	turbo, standard := Decoder{Library: turboOrSkip(t)}, Decoder{Library: Standard()}
	flat := image.NewRGBA(image.Rect(0, 0, 50, 39))
	for i := range flat.Pix {
		flat.Pix[i] = []uint8{200, 90, 30, 255}[i%4]
	}
	for _, test := range []struct {
		name      string
		data      []byte
		tolerance int
	}{
		{"grey", encodeJPEG(t, planesOf(1, 50, 39)[0]), 1},
		{"one colour", encodeJPEG(t, flat), 2},
		{"YCbCr", fromPlanes(t, nil, planesOf(3, 50, 39)...), 3},
		{"YCbCr by Adobe", fromPlanes(t, adobe(1), planesOf(3, 50, 39)...), 3},
		{"RGB", fromPlanes(t, adobe(0), planesOf(3, 50, 39)...), 1},
		{"CMYK", fromPlanes(t, adobe(0), planesOf(4, 50, 39)...), 2},
		{"YCCK", fromPlanes(t, adobe(2), planesOf(4, 50, 39)...), 4},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := turbo.Decode(test.data)
			if err != nil {
				t.Fatal(err)
			}
			want, err := standard.Decode(test.data)
			if err != nil {
				t.Fatal(err)
			}
			check(t, got)
			near(t, got, want, test.tolerance)
		})
	}
}

// TestInks says which way the inks go: Adobe's 255 is no ink, so white.
func TestInks(t *testing.T) {
	ink := func(v uint8) *image.Gray {
		m := image.NewGray(image.Rect(0, 0, 16, 16))
		for i := range m.Pix {
			m.Pix[i] = v
		}
		return m
	}
	eachLibrary(t, func(t *testing.T, l *Library) {
		d := Decoder{Library: l}
		for _, test := range []struct {
			cmyk [4]uint8
			want color.RGBA
		}{
			{[4]uint8{255, 255, 255, 255}, color.RGBA{255, 255, 255, 0}},
			{[4]uint8{255, 255, 255, 0}, color.RGBA{0, 0, 0, 0}},
			{[4]uint8{0, 255, 255, 255}, color.RGBA{0, 255, 255, 0}},
			{[4]uint8{255, 255, 0, 255}, color.RGBA{255, 255, 0, 0}},
		} {
			var planes []*image.Gray
			for _, v := range test.cmyk {
				planes = append(planes, ink(v))
			}
			m, err := d.Decode(fromPlanes(t, adobe(0), planes...))
			if err != nil {
				t.Fatal(err)
			}
			if p := pixel(m, 8, 8); p[0] != test.want.R || p[1] != test.want.G || p[2] != test.want.B {
				t.Errorf("inks %v: %v, want %v", test.cmyk, p, test.want)
			}
		}
	})
}

// TestTurboAllocations is about the usual case: a picture like the last.
func TestTurboAllocations(t *testing.T) {
	d := Decoder{Library: turboOrSkip(t), Budget: NewBudget(1 << 30), Enough: 256}
	data := encodeJPEG(t, drawn(200, 150))
	if n := testing.AllocsPerRun(50, func() {
		if _, err := d.Decode(data); err != nil {
			t.Fatal(err)
		}
	}); n != 0 && !raceEnabled {
		t.Errorf("%v allocations a picture", n)
	}
}

// TestTurboAfterFailure uses a handle that has just failed.
func TestTurboAfterFailure(t *testing.T) {
	d := Decoder{Library: turboOrSkip(t)}
	good := encodeJPEG(t, drawn(40, 30))
	m, err := d.Decode(good)
	if err != nil {
		t.Fatal(err)
	}
	want := *m
	want.Pix = bytes.Clone(m.Pix)
	sof := bytes.Index(good, []byte{0xff, markerSOF0})
	sos := bytes.Index(good, []byte{0xff, markerSOS})
	badTable, badScan, twoFrames := bytes.Clone(good), bytes.Clone(good), bytes.Clone(good)
	badTable[bytes.Index(good, []byte{0xff, markerDHT})+4] = 0x77
	badScan[sos+5] = 99
	twoFrames = append(append(twoFrames[:sof:sof], good[sof:sos]...), good[sof:]...)
	for name, bad := range map[string][]byte{
		"table": badTable, "scan": badScan, "two frames": twoFrames, "half": good[:len(good)/2], "headers": good[:sos],
		"no scan": append(bytes.Clone(good[:sos]), 0xff, markerEOI),
	} {
		_, err := d.Decode(bad)
		var e *Error
		if !errors.As(err, &e) {
			t.Errorf("%s: error %v", name, err)
		}
		m, err := d.Decode(good)
		if err != nil {
			t.Fatalf("after %s: %v", name, err)
		}
		same(t, m, &want)
	}
	d.Close()
	if m, err = d.Decode(good); err != nil {
		t.Fatalf("after Close: %v", err)
	}
	same(t, m, &want)
	d.Library = Standard()
	if _, err := d.Decode(good); err != nil {
		t.Fatal(err)
	}
}

// TestWarnings says which of libjpeg's warnings cost a picture its place.
func TestWarnings(t *testing.T) {
	good := encodeJPEG(t, drawn(64, 48))
	sos := bytes.Index(good, []byte{0xff, markerSOS})
	half := sos + (len(good)-sos)/2
	junk := inserted(good, 1, 2, 3)
	short := append(bytes.Clone(good[:half]), 0xff, markerEOI)
	for _, test := range []struct {
		name   string
		data   []byte
		reason string // "": taken
		text   string
		kept   bool // with KeepTruncated
	}{
		{"junk before a marker", junk, "", "", true},
		{"junk, and cut", junk[:half], Truncated, "the file ends before the picture does", true},
		{"unknown Adobe transform", inserted(good, adobe(9)...), "", "", true},
		{"unknown JFIF release", inserted(good, segment(0xe0, 'J', 'F', 'I', 'F', 0, 7, 1, 0, 0, 1, 0, 1, 0, 0)...), "", "", true},
		{"cut", good[:half], Truncated, "Premature end of JPEG file", true},
		{"without its end", good[:len(good)-2], Truncated, "Premature end of JPEG file", true},
		{"ends early", short, Malformed, "premature end of data segment", true},
		{"cut before the pixels", good[:sos+14], Truncated, "", false},
		{"cut within the scan header", good[:sos+6], Truncated, "the file ends before the pixels", false},
		{"only headers, with an end", append(bytes.Clone(good[:sos+14]), 0xff, markerEOI), Malformed, "premature end of data segment", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			for _, keep := range []bool{false, true} {
				d := Decoder{Library: turboOrSkip(t), KeepTruncated: keep}
				m, err := d.Decode(test.data)
				var e *Error
				switch {
				case test.reason == "" || keep && test.kept:
					if err != nil {
						t.Fatalf("keep %v: %v", keep, err)
					}
					check(t, m)
					if (m.Damage != nil) != (test.reason != "") {
						t.Errorf("damage %v", m.Damage)
					}
					if errors.As(m.Damage, &e) && e.Reason != test.reason {
						t.Errorf("damage %v", m.Damage)
					}
				case !errors.As(err, &e) || e.Reason != test.reason || !strings.Contains(e.Error(), test.text):
					t.Errorf("keep %v: %v; want %q of class %s", keep, err, test.text, test.reason)
				}
			}
		})
	}
}

// TestKeepTruncatedPixels compares what is kept with the whole picture.
func TestKeepTruncatedPixels(t *testing.T) {
	d := Decoder{Library: turboOrSkip(t), KeepTruncated: true}
	data := encodeJPEG(t, drawn(64, 64))
	whole, err := d.Decode(data)
	if err != nil {
		t.Fatal(err)
	}
	first := bytes.Clone(whole.Pix[:3*64*14]) // rows that the next blocks' chroma does not reach
	m, err := d.Decode(data[:len(data)*3/4])
	if err != nil || m.Damage == nil {
		t.Fatalf("damage %v, error %v", m.Damage, err)
	}
	if !bytes.Equal(m.Pix[:len(first)], first) {
		t.Error("the part that is there is not what it was")
	}
	if m, err = d.Decode(data); err != nil || m.Damage != nil {
		t.Errorf("the next picture: damage %v, error %v", m.Damage, err)
	}
	none := Decoder{Library: Standard(), KeepTruncated: true}
	if _, err := none.Decode(data[:len(data)/2]); err == nil || !strings.Contains(err.Error(), "--keep-truncated needs libjpeg-turbo") {
		t.Errorf("image/jpeg: %v", err)
	}
}

// TestUnsupported has pictures that are refused by their header.
func TestUnsupported(t *testing.T) {
	photo := encodeJPEG(t, drawn(16, 16))
	sof := bytes.Index(photo, []byte{0xff, markerSOF0})
	with := func(at int, v byte) []byte {
		b := bytes.Clone(photo)
		b[at] = v
		return b
	}
	eachLibrary(t, func(t *testing.T, l *Library) {
		for name, data := range map[string][]byte{
			"12 bits": with(sof+4, 12), "lossless": with(sof+1, 0xc3), "hierarchical": with(sof+1, 0xc5),
			"two components": fromPlanes(t, nil, planesOf(2, 16, 16)...),
		} {
			_, err := (&Decoder{Library: l}).Decode(data)
			var e *Error
			if !errors.As(err, &e) || e.Reason != Unsupported {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

// TestManyScans has a progressive picture of a single block refined more often
// than any encoder would.
func TestManyScans(t *testing.T) {
	d := Decoder{Library: turboOrSkip(t)}
	head, _ := segments(t, encodeJPEG(t, planesOf(1, 8, 8)[0]))
	picture := func(scans int) []byte {
		data := append([]byte{0xff, markerSOI}, head[0xdb]...)
		data = append(data, segment(0xc2, 8, 0, 8, 0, 8, 1, 1, 0x11, 0)...)
		data = append(data, head[markerDHT]...)
		for range scans {
			data = append(data, segment(markerSOS, 1, 1, 0, 0, 0, 0)...)
			data = append(data, 0x3f) // the first code, no difference of DC, and padding
		}
		return append(data, 0xff, markerEOI)
	}
	if _, err := d.Decode(picture(scanLimit / 2)); err != nil {
		t.Errorf("%d scans: %v", scanLimit/2, err)
	}
	var e *Error
	if _, err := d.Decode(picture(2 * scanLimit)); !errors.As(err, &e) || e.Reason != TooLarge {
		t.Errorf("%d scans: %v", 2*scanLimit, err)
	}
}

// TestManyDecoders decodes at once, and leaves decoders to the collector.
func TestManyDecoders(t *testing.T) {
	eachLibrary(t, func(t *testing.T, l *Library) {
		var pictures [][]byte
		var want []*Image
		for i := range 5 {
			data := encodeJPEG(t, drawn(20+17*i, 90-11*i))
			m, err := (&Decoder{Library: l}).Decode(data)
			if err != nil {
				t.Fatal(err)
			}
			pictures, want = append(pictures, data), append(want, m)
		}
		var wait sync.WaitGroup
		for g := range 4 {
			wait.Go(func() {
				for r := range 4 {
					d := Decoder{Library: l}
					for i := range pictures {
						k := (i + g + r) % len(pictures)
						m, err := d.Decode(pictures[k])
						if err != nil {
							t.Error(err)
							return
						}
						if !bytes.Equal(m.Pix, want[k].Pix) {
							t.Error("another picture")
						}
					}
					runtime.GC()
				}
			})
		}
		wait.Wait()
	})
}

// TestManyComplaints has many decoders fail at once. The library keeps the text
// of a failure for the thread, and the scheduler moves goroutines between them.
func TestManyComplaints(t *testing.T) {
	l := turboOrSkip(t)
	data := encodeJPEG(t, drawn(600, 400))
	data = data[:len(data)*9/10]
	var wait sync.WaitGroup
	for range 8 {
		wait.Go(func() {
			d := Decoder{Library: l}
			for range 25 {
				_, err := d.Decode(data)
				var e *Error
				if !errors.As(err, &e) || e.Reason != Truncated {
					t.Errorf("error %v", err)
					return
				}
			}
		})
	}
	wait.Wait()
}

func BenchmarkDecode(b *testing.B) {
	for _, l := range []*Library{Find(), Standard()} {
		for _, size := range [][2]int{{500, 375}, {1600, 1200}} {
			data := encodeJPEG(b, drawn(size[0], size[1]))
			b.Run(fmt.Sprintf("%s/%dx%d", strings.Fields(l.Name())[0], size[0], size[1]), func(b *testing.B) {
				d := Decoder{Library: l}
				b.SetBytes(int64(len(data)))
				b.ReportAllocs()
				for b.Loop() {
					if _, err := d.Decode(data); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "images/s")
			})
		}
		if l.turbo == nil {
			return
		}
	}
}
