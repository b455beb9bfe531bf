package decode

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestPlan says by how much large pictures are reduced.
func TestPlan(t *testing.T) {
	for _, test := range []struct{ w, h, enough, reduce, toW, toH int }{
		{4000, 4000, 256, 1, 4000, 4000}, // 16 megapixels are not more than that
		{4001, 4000, 256, 8, 501, 500},
		{4001, 4000, 0, 1, 4001, 4000},
		{4001, 4000, 500, 8, 501, 500},
		{4001, 4000, 501, 4, 1001, 1000},
		{4001, 4000, 1001, 2, 2001, 2000},
		{4001, 4000, 2001, 1, 4001, 4000},
		{10000, 6001, 751, 8, 1250, 751},
		{65500, 250, 32, 8, 8188, 32},
	} {
		d := Decoder{Enough: test.enough}
		if p := d.newPlan(test.w, test.h, 3); p.reduce != test.reduce || p.toW != test.toW || p.toH != test.toH {
			t.Errorf("%dx%d, enough %d: 1/%d, %dx%d; want 1/%d, %dx%d", test.w, test.h, test.enough, p.reduce, p.toW, p.toH, test.reduce, test.toW, test.toH)
		}
	}
}

// TestFill averages squares, cut off at the edges, as a slow loop does.
func TestFill(t *testing.T) {
	for _, size := range [][2]int{{1, 1}, {8, 8}, {9, 7}, {16, 17}, {31, 23}} {
		for _, reduce := range []int{1, 2, 4, 8} {
			for _, src := range []image.Image{drawn(size[0], size[1]), planesOf(1, size[0], size[1])[0]} {
				c, row := rows(src)
				p := plan{w: size[0], h: size[1], c: c, reduce: reduce, toW: up(size[0], reduce), toH: up(size[1], reduce)}
				got, whole := &Image{}, slow(src)
				got.fill(&p, row)
				if got.W != p.toW || got.H != p.toH || got.C != c {
					t.Fatalf("%dx%dx%d", got.W, got.H, got.C)
				}
				for y := range got.H {
					for x := range got.W {
						for ch := range c {
							sum, n := 0, 0
							for v := y * reduce; v < min((y+1)*reduce, whole.H); v++ {
								for u := x * reduce; u < min((x+1)*reduce, whole.W); u++ {
									sum, n = sum+int(pixel(whole, u, v)[ch]), n+1
								}
							}
							if want := (2*sum + n) / (2 * n); int(pixel(got, x, y)[ch]) != want {
								t.Fatalf("%v by %d: x %d, y %d, channel %d: %d, want %d", size, reduce, x, y, ch, pixel(got, x, y)[ch], want)
							}
						}
					}
				}
			}
		}
	}
}

// TestEnough decodes a picture of 16.4 megapixels at an eighth of its size.
func TestEnough(t *testing.T) {
	const w, h = 4100, 4001
	m := image.NewGray(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			m.Pix[y*w+x] = uint8(x/20 + y/100)
		}
	}
	data := encodeJPEG(t, m)
	eachLibrary(t, func(t *testing.T, l *Library) {
		d := Decoder{Library: l, Enough: 256}
		got, err := d.Decode(data)
		if err != nil {
			t.Fatal(err)
		}
		check(t, got)
		if got.W != 513 || got.H != 501 || got.C != 1 || got.SourceW != w || got.SourceH != h {
			t.Fatalf("%dx%dx%d of %dx%d", got.W, got.H, got.C, got.SourceW, got.SourceH)
		}
		for _, at := range [][2]int{{0, 0}, {100, 50}, {256, 250}, {500, 490}} {
			want := (at[0]*8+4)/20 + (at[1]*8+4)/100
			if v := int(pixel(got, at[0], at[1])[0]); v < want-2 || v > want+2 {
				t.Errorf("at %v: %d, want %d", at, v, want)
			}
		}
		small, err := d.Decode(encodeJPEG(t, drawn(64, 48)))
		if err != nil || small.W != 64 || small.H != 48 {
			t.Errorf("the next picture: %v", err)
		}
	})
}

// TestNeed compares estimates with what the pictures are known to take.
func TestNeed(t *testing.T) {
	head := func(process byte, scanned int, sampling ...byte) *jpegHeader {
		h := &jpegHeader{process: process, precision: 8, w: 1000, h: 500, components: len(sampling), scanned: scanned}
		copy(h.sampling[:], sampling)
		return h
	}
	for _, test := range []struct {
		name         string
		head         *jpegHeader
		coefficients int64
		standard     int64
	}{
		{"grey", head(0xc0, 1, 0x11), 1000 * 504, 1000 * 504},
		{"grey of 2x2", head(0xc0, 1, 0x22), 1008 * 512, 1008 * 512},
		{"4:4:4, perhaps RGB", head(0xc0, 3, 0x11, 0x11, 0x11), 3 * 1000 * 504, 3*1000*504 + 4*1000*500},
		{"4:2:0", head(0xc0, 3, 0x22, 0x11, 0x11), 1008 * 512 * 3 / 2, 1008 * 512 * 3 / 2},
		{"progressive 4:2:0", head(0xc2, 3, 0x22, 0x11, 0x11), 1008 * 512 * 3 / 2, 5 * 1008 * 512 * 3 / 2},
		{"CMYK", head(0xc0, 4, 0x11, 0x11, 0x11, 0x11), 4 * 1000 * 504, 4*1000*504 + 4*1000*500},
	} {
		if got := test.head.coefficients(); got != test.coefficients {
			t.Errorf("%s: %d coefficients, want %d", test.name, got, test.coefficients)
		}
		if got := standardJPEGBytes(test.head); got != test.standard {
			t.Errorf("%s: image/jpeg takes %d bytes, want %d", test.name, got, test.standard)
		}
	}
}

// TestBudget has many decoders share room for one large picture.
func TestBudget(t *testing.T) {
	const w, h = 6000, 6000 // 36 MB
	var data bytes.Buffer
	fmt.Fprintf(&data, "P5 %d %d 255\n", w, h)
	data.Write(make([]byte, w*h))
	budget := NewBudget(40 << 20)
	var wait sync.WaitGroup
	for range 4 {
		wait.Go(func() {
			d := Decoder{Budget: budget}
			m, err := d.Decode(data.Bytes())
			if err != nil || m.W != w {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	if !budget.free.TryAcquire(budget.bytes) {
		t.Error("the budget was not given back")
	}
	budget.free.Release(budget.bytes)

	d := Decoder{Budget: NewBudget(34 << 20)}
	var e *Error
	if _, err := d.Decode(data.Bytes()); !errors.As(err, &e) || e.Reason != TooLarge || !strings.Contains(e.Error(), "takes 35 MB of memory, all large pictures together may take 34 MB") {
		t.Errorf("over the budget: %v", err)
	}
	d.Enough = 256
	if m, err := d.Decode(data.Bytes()); err != nil || m.W != w/8 {
		t.Errorf("reduced, it is in the budget: %v", err)
	}
	if cap(d.img.Pix) > large {
		t.Error("the memory of a large picture is still held")
	}

	// While another holds the budget, small pictures go on, large ones wait.
	b := NewBudget(40 << 20)
	held, err := b.acquire(33 << 20)
	if err != nil || held == 0 {
		t.Fatal(held, err)
	}
	small, waiting := Decoder{Budget: b}, Decoder{Budget: b}
	if _, err := small.Decode(encodeJPEG(t, drawn(64, 48))); err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() {
		_, err := waiting.Decode(data.Bytes())
		done <- err
	}()
	select {
	case err := <-done:
		t.Errorf("did not wait: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	b.release(held)
	if err := <-done; err != nil {
		t.Error(err)
	}
}
