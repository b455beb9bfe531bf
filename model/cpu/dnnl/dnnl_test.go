package dnnl

import (
	"errors"
	"math"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

// TestMain fails if a context leaves its thread behind.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// newContext makes a context, and skips the test where there is no oneDNN.
func newContext(t *testing.T) *Context {
	t.Helper()
	l, err := Find()
	if err != nil {
		t.Skip(err)
	}
	c, err := l.NewContext(2)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func TestFind(t *testing.T) {
	var missing *MissingError
	if _, err := findFor(None); !errors.As(err, &missing) || missing.Hint != "" || !strings.Contains(err.Error(), Variable+"=none") {
		t.Errorf("none: %v", err)
	}
	if _, err := findFor("/no/such/libdnnl.so"); !errors.As(err, &missing) || !strings.Contains(err.Error(), "/no/such/libdnnl.so") && len(libraryPaths()) > 0 {
		t.Errorf("a file that is not there: %v", err)
	}
	if len(libraryPaths()) > 0 {
		// A library that is there and is another.
		if _, err := findFor("libc.so.6"); runtime.GOOS == "linux" && !errors.As(err, &missing) {
			t.Errorf("libc: %v", err)
		}
	}
	l, err := Find()
	if again, err2 := Find(); again != l || !errors.Is(err2, err) {
		t.Error("the library changes")
	}
	if err == nil && !regexp.MustCompile(`^oneDNN [0-9]+\.[0-9]+\.[0-9]+$`).MatchString(l.Name()) {
		t.Errorf("name %q", l.Name())
	}
}

// TestReorder goes to an order of the library's and back.
func TestReorder(t *testing.T) {
	c := newContext(t)
	p, err := c.ConvForward(Conv{Batch: 2, In: 32, InH: 5, InW: 4, Out: 32, OutH: 5, OutW: 4, Groups: 2, Kernel: 3, Stride: 1, Pad: 1}, true)
	if err != nil {
		t.Fatal(err)
	}
	v := Conv{Out: 32, In: 32, Groups: 2, Kernel: 3}
	plain, err := c.Plain(v.WeightDims()...)
	if err != nil || plain.Floats() != 32*16*9 {
		t.Fatal(plain, err)
	}
	there, err := c.Reorder(plain, p.Desc(Weights))
	if err != nil {
		t.Fatal(err)
	}
	back, err := c.Reorder(p.Desc(Weights), plain)
	if err != nil {
		t.Fatal(err)
	}
	x, y, z := make([]float32, plain.Floats()), make([]float32, p.Desc(Weights).Floats()), make([]float32, plain.Floats())
	for i := range x {
		x[i] = float32(i)
	}
	if err := errors.Join(c.Run(there, Buffer{Src, x}, Buffer{Dst, y}), c.Run(back, Buffer{Src, y}, Buffer{Dst, z})); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(x, z) {
		t.Error("values have changed")
	}
	if c.Same(plain, p.Desc(Weights)) != slices.Equal(x, y) || !c.Same(plain, plain) {
		t.Error("orders are the same, or not")
	}
}

// TestBFloat16 rounds to bfloat16, with channels last, and goes back.
func TestBFloat16(t *testing.T) {
	c := newContext(t)
	plain, err := c.Plain(1, 3, 1, 3)
	if err != nil {
		t.Fatal(err)
	}
	last, err := c.ChannelsLast(BFloat16, 1, 3, 1, 3)
	if err != nil || last.Floats() != 5 {
		t.Fatalf("nine values in %d float32s: %v", last.Floats(), err)
	}
	narrow, err := c.PlainOf(BFloat16, 1, 3, 1, 3)
	if err != nil || c.Same(plain, narrow) || c.Same(narrow, last) {
		t.Fatal("orders or types are taken for the same", err)
	}
	there, err := c.Reorder(plain, last)
	if err != nil {
		t.Skip(err)
	}
	back, err := c.Reorder(last, plain)
	if err != nil {
		t.Fatal(err)
	}
	x := []float32{1, 2, 3, 4, 5, 6, 7 + 1.0/1024, 8, -9}
	y, z := make([]float32, last.Floats()), make([]float32, 9)
	if err := errors.Join(c.Run(there, Buffer{Src, x}, Buffer{Dst, y}), c.Run(back, Buffer{Src, y}, Buffer{Dst, z})); err != nil {
		t.Fatal(err)
	}
	if x[6] = 7; !slices.Equal(x, z) {
		t.Errorf("got %v", z)
	}
	// The first pair in memory: the first two channels of the first pixel, 1 and 4.
	if got := math.Float32bits(y[0]); got != 0x40803f80 {
		t.Errorf("the first pair is %#08x", got)
	}
}

// TestRefusals: what is wrong comes out as an error.
func TestRefusals(t *testing.T) {
	c := newContext(t)
	var refused *Error
	if _, err := c.ConvForward(Conv{Batch: 1, In: 3, InH: 5, InW: 5, Out: 4, OutH: 9, OutW: 9, Groups: 2, Kernel: 3, Stride: 1}, false); !errors.As(err, &refused) ||
		!strings.HasPrefix(refused.Call, "dnnl_convolution_forward") || !strings.Contains(err.Error(), "invalid arguments") || Unimplemented(err) {
		t.Errorf("3 channels in two groups: %v", err)
	}
	d, err := c.Plain(2, 3, 4, 5)
	if err != nil {
		t.Fatal(err)
	}
	relu, err := c.ReLUForward(d)
	if err != nil {
		t.Fatal(err)
	}
	x := make([]float32, d.Floats())
	for _, test := range []struct {
		buffers []Buffer
		want    string
	}{
		{[]Buffer{{Src, x}, {Dst, x[1:]}}, "argument 17 has 119 values instead of 120"},
		{[]Buffer{{Src, x}}, "no buffer for argument 17"},
		{[]Buffer{{Src, x}, {Dst, x}, {Bias, x}}, "1 buffers of 3 are none of its"},
	} {
		if err := c.Run(relu, test.buffers...); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("got %v, want %q", err, test.want)
		}
	}
	c.Close()
	if err := c.Run(relu, Buffer{Src, x}, Buffer{Dst, x}); !errors.Is(err, ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}
