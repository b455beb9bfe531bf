package cpu

import (
	"math"

	"alexnet/model"
)

// lrnBlock is the number of positions that a unit of normalisation works on, over
// all channels.
const lrnBlock = 512

// lrnKernel computes the local response normalisation of the paper's section 3.3
// over the channels of each position:
//
//	s[c] = k + alpha * sum of x[j]^2 over the n channels j around c
//	y[c] = x[c] * s[c]^-beta
//
// In groups, only channels of c's own count.
// For the backward pass it keeps q = s^(-1/4), of which, with the paper's beta of
// 3/4, s^-beta is q^3 and 1/s is q^4: two square roots and a division in all.
type lrnKernel struct {
	m                  *machinery
	layout             layout
	half               int // channels on either side
	group              int // channels in a group
	alpha, beta, kappa float32
	cubed              bool // beta is 3/4
	q                  []float32
	zeros              []float32
}

func newLRNKernel(m *machinery, l *model.Layer, at layout) *lrnKernel {
	k := &lrnKernel{m: m, layout: at, half: l.Size / 2, group: at.shape.C / l.GroupCount(), zeros: make([]float32, lrnBlock),
		alpha: float32(l.Alpha), beta: float32(l.Beta), kappa: float32(l.K), cubed: l.Beta == 0.75}
	if m.train {
		k.q = m.arena.floats(at.capacity(m.batch) * at.shape.Size())
	}
	m.scratch.reserve((at.shape.C + 1) * lrnBlock)
	return k
}

// eachBlock calls f for blocks of positions: base is the offset of the block in
// channel 0, and the block's values of channel c are at base + c*stride.
func (k *lrnKernel) eachBlock(n int, f func(worker, base, length int)) {
	hw := k.layout.shape.H * k.layout.shape.W
	blocks := (k.layout.chunk*hw + lrnBlock - 1) / lrnBlock
	k.m.each(k.layout.chunks(n)*blocks, func(worker, unit int) {
		chunk, start := unit/blocks, unit%blocks*lrnBlock
		end := min(k.layout.chunk, n-chunk*k.layout.chunk) * hw
		if start < end {
			f(worker, chunk*k.layout.chunk*k.layout.shape.Size()+start, min(lrnBlock, end-start))
		}
	})
}

// windowSum sets dst to the sum over the channels around c, of c's group, of rows,
// where row(j) is channel j's.
func (k *lrnKernel) windowSum(dst []float32, c int, row func(j int) []float32) {
	n := len(dst)
	first := c - c%k.group
	last := first + k.group - 1
	at := func(j int) []float32 {
		if j < first || j > last {
			return k.zeros[:n]
		}
		return row(j)[:n]
	}
	if k.half == 2 {
		r0, r1, r2, r3, r4 := at(c-2), at(c-1), at(c), at(c+1), at(c+2)
		for i := range dst {
			dst[i] = r0[i] + r1[i] + r2[i] + r3[i] + r4[i]
		}
		return
	}
	clear(dst)
	for j := max(c-k.half, first); j <= min(c+k.half, last); j++ {
		for i, v := range at(j) {
			dst[i] += v
		}
	}
}

func (k *lrnKernel) forward(c *call, t *buffers) {
	k.m.blank(c.n, t.y, k.layout)
	channels, stride := k.layout.shape.C, k.layout.channelStride()
	k.eachBlock(c.n, func(worker, base, n int) {
		buf := k.m.scratch.get(worker, (channels+1)*lrnBlock)
		squares, s := buf[:channels*lrnBlock], buf[channels*lrnBlock:][:n]
		for ch := range channels {
			sq := squares[ch*lrnBlock:][:n]
			for i, v := range t.x[base+ch*stride:][:n] {
				sq[i] = v * v
			}
		}
		for ch := range channels {
			k.windowSum(s, ch, func(j int) []float32 { return squares[j*lrnBlock:] })
			at := base + ch*stride
			q := s
			if k.q != nil {
				q = k.q[at:][:n]
			}
			k.normalise(t.y[at:][:n], t.x[at:][:n], s, q)
		}
	})
}

// normalise sets q and y from x and the sums of squares s.
func (k *lrnKernel) normalise(y, x, s, q []float32) {
	x, s, q = x[:len(y)], s[:len(y)], q[:len(y)]
	kappa, alpha := k.kappa, k.alpha
	if !k.cubed {
		for i := range y {
			q[i] = float32(1 / math.Sqrt(math.Sqrt(float64(kappa+alpha*s[i]))))
			y[i] = x[i] * k.power(q[i])
		}
		return
	}
	for i := range y {
		r := 1 / sqrt(sqrt(kappa+alpha*s[i]))
		q[i] = r
		y[i] = x[i] * (r * r * r)
	}
}

// sqrt compiles to the single-precision instruction.
func sqrt(x float32) float32 { return float32(math.Sqrt(float64(x))) }

// power returns s^-beta for any beta.
func (k *lrnKernel) power(q float32) float32 {
	return float32(math.Pow(float64(q), 4*float64(k.beta)))
}

// backward computes
//
//	dx[c] = dy[c]*s[c]^-beta - 2*alpha*beta * x[c] * sum of dy[j]*y[j]/s[j]
//
// with the sum over the channels j around c.
func (k *lrnKernel) backward(c *call, t *buffers) {
	if t.dx == nil {
		return
	}
	k.m.blank(c.n, t.dx, k.layout)
	channels, stride := k.layout.shape.C, k.layout.channelStride()
	factor := 2 * k.alpha * k.beta
	k.eachBlock(c.n, func(worker, base, n int) {
		buf := k.m.scratch.get(worker, (channels+1)*lrnBlock)
		ratios, s := buf[:channels*lrnBlock], buf[channels*lrnBlock:][:n]
		for ch := range channels {
			at := base + ch*stride
			ratio, q := ratios[ch*lrnBlock:][:n], k.q[at:][:n]
			dy, y := t.dy[at:][:n], t.y[at:][:n]
			for i := range ratio {
				q2 := q[i] * q[i]
				ratio[i] = dy[i] * y[i] * (q2 * q2)
			}
		}
		for ch := range channels {
			k.windowSum(s, ch, func(j int) []float32 { return ratios[j*lrnBlock:] })
			at := base + ch*stride
			dx, x := t.dx[at:][:n], t.x[at:][:n]
			dy, q := t.dy[at:][:n], k.q[at:][:n]
			if !k.cubed {
				for i := range dx {
					dx[i] = dy[i]*k.power(q[i]) - factor*x[i]*s[i]
				}
				continue
			}
			for i := range dx {
				dx[i] = dy[i]*(q[i]*q[i]*q[i]) - factor*x[i]*s[i]
			}
		}
	})
}
