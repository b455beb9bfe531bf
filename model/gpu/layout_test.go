package gpu

import (
	"slices"
	"testing"

	"alexnet/model"
)

// counted returns 1, 2, 3, …
func counted(n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(i + 1)
	}
	return x
}

// What is spread is collected again, every value has one place, and the rest is zero.
func TestRowsRoundTrip(t *testing.T) {
	for name, m := range map[string]rowMap{
		"bias":                 straight(1, 7),
		"conv":                 blockRows(3, 4, 3, 1, 4),
		"conv, channels added": blockRows(2, 3, 5, 1, 8),
		"conv, dense":          blockRows(6, 2, 3, 1, 2).dense(3, 2),
		"the paper's conv1":    blockRows(2, 3, 11, 4, 48),
		"blocks, more added":   blockRows(2, 1, 5, 3, 16),
		"fc":                   featureRows(4, model.Shape{C: 6, H: 2, W: 3}, 6),
		"fc after fc":          featureRows(4, model.Shape{C: 6, H: 1, W: 1}, 6),
		"fc first":             featureRows(2, model.Shape{C: 3, H: 2, W: 2}, 8),
	} {
		rows := counted(m.rows * m.model)
		own := make([]float32, m.size())
		for i := range own {
			own[i] = -1
		}
		m.spread(own, rows, 0)
		seen := map[float32]int{}
		for i, v := range own {
			seen[v]++
			if (v != 0) != (m.keep()[i] == 1) {
				t.Errorf("%s: value %g at %d, kept: %d", name, v, i, m.keep()[i])
			}
		}
		for _, v := range rows {
			if seen[v] != 1 {
				t.Errorf("%s: %g has %d places", name, v, seen[v])
			}
		}
		if m.padded() != (seen[0] > 0) || seen[0] != m.size()-len(rows) {
			t.Errorf("%s: %d zeros between %d values, padded %v", name, seen[0], len(rows), m.padded())
		}
		back := make([]float32, len(rows))
		m.collect(back, own, 0)
		if !slices.Equal(back, rows) {
			t.Errorf("%s: collected %v", name, back)
		}
	}
}

// A convolution over blocks of pixels is the convolution over pixels with its stride.
func TestBlocksAreAStride(t *testing.T) {
	const c, side, kernel, stride, pad = 2, 13, 5, 3, 1
	image, weights := counted(c*side*side), counted(c*kernel*kernel)
	at := func(ch, y, x int) float32 {
		if y < 0 || x < 0 || y >= side || x >= side {
			return 0
		}
		return image[(ch*side+y)*side+x]
	}
	out := (side+2*pad-kernel)/stride + 1
	net := &model.Net{Input: model.Shape{C: c, H: side, W: side}, Layers: []model.Layer{{Kind: model.Conv, Out: 1, Kernel: kernel, Stride: stride, Pad: pad}}}
	f := firstLayer(net, []model.Shape{{C: 1, H: out, W: out}}, 0)
	if f.block != stride || f.pad != pad || f.channels != stride*stride*c {
		t.Fatalf("%+v", f)
	}
	m := blockRows(1, c, kernel, f.block, f.channels)
	own := make([]float32, m.size())
	m.spread(own, weights, 0)
	blocks := (kernel + stride - 1) / stride
	for oy := range out {
		for ox := range out {
			var want, got float32
			for i, w := range weights {
				want += w * at(i/(kernel*kernel), oy*stride-pad+i/kernel%kernel, ox*stride-pad+i%kernel)
			}
			for i, w := range own {
				ch, bx, by := i%f.channels, i/f.channels%blocks, i/f.channels/blocks
				y, x := (oy+by)*stride+ch/c/stride, (ox+bx)*stride+ch/c%stride
				got += w * at(ch%c, y-pad, x-pad)
			}
			if got != want || oy+blocks > f.h || ox+blocks > f.w {
				t.Errorf("output %d, %d: %g, want %g (%dx%d blocks)", oy, ox, got, want, f.h, f.w)
			}
		}
	}
}
