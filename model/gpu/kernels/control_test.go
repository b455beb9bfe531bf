package kernels

import (
	"bytes"
	"testing"
)

// TestSetControl: what the kernel writes is what Put writes, and no more.
func TestSetControl(t *testing.T) {
	g := newGPU(t)
	c := Control{Step: 1<<40 + 5, First: 1<<33 + 7, Source: 1<<33 + 8, Views: 24, Labels: 1 << 45, LossScale: 0.5, Rate: 0.01, Momentum: 0.9, Decay: 1e-4}
	at := g.bytes(ControlBytes, 0)
	g.do(g.set.SetControl(g, at, c))
	want := make([]byte, ControlBytes)
	c.Put(want)
	if got := g.view(at, ControlBytes); !bytes.Equal(got, want) {
		t.Errorf("%x, want %x", got, want)
	}
}
