package half

import "math"

// LRN is a local response normalisation over Size channels of each position,
//
//	s[c] = K + Alpha * sum of x[j]^2 over the channels j around c
//	y[c] = x[c] * s[c]^-3/4
//
// of values with the channels last.
type LRN struct {
	Channels int // a multiple of 16
	Size     int // 5
	Alpha, K float32
}

// Size and beta that there are kernels for.
const (
	lrnSize  = 5
	lrnBlock = 16
	lrnBeta  = 0.75
)

// HasLRN reports whether there is an LRN for so many channels and such parameters, and
// vector kernels for it.
func HasLRN(channels, size int, beta float64) bool {
	return hasVectors() && channels > 0 && channels%lrnBlock == 0 && size == lrnSize && beta == lrnBeta
}

// Forward sets y to the normalised x, both of whole positions.
func (l LRN) Forward(y, x []uint16) {
	if len(x) == 0 {
		return
	}
	if hasVectors() {
		l.forwardVector(y[:len(x)], x)
		return
	}
	l.forwardPlain(y[:len(x)], x)
}

// Backward sets dx, which may be dy, to the gradient of the input x,
//
//	dx[c] = dy[c]*s[c]^-3/4 - 3/2*Alpha * x[c] * sum of dy[j]*y[j]/s[j]
//
// with the sum over the channels j around c.
func (l LRN) Backward(dx, x, dy []uint16) {
	if len(x) == 0 {
		return
	}
	if hasVectors() {
		l.backwardVector(dx[:len(x)], x, dy[:len(x)])
		return
	}
	l.backwardPlain(dx[:len(x)], x, dy[:len(x)])
}

func (l LRN) factor() float32 { return float32(2 * lrnBeta * float64(l.Alpha)) }

// window returns the sum over the channels around c.
func (l LRN) window(v []float32, c int) float32 {
	s := float32(0)
	for j := max(c-l.Size/2, 0); j <= min(c+l.Size/2, len(v)-1); j++ {
		s += v[j]
	}
	return s
}

// roots returns s^-1/2 and s^-3/4 for a sum of squares.
func (l LRN) roots(sum float32) (q, p float32) {
	q = float32(1 / math.Sqrt(float64(l.K+l.Alpha*sum)))
	return q, q * float32(math.Sqrt(float64(q)))
}

func (l LRN) forwardPlain(y, x []uint16) {
	squares := make([]float32, l.Channels)
	for at := 0; at < len(x); at += l.Channels {
		row := x[at : at+l.Channels]
		for c, h := range row {
			v := Widen(h)
			squares[c] = v * v
		}
		for c, h := range row {
			_, p := l.roots(l.window(squares, c))
			y[at+c] = Round(Widen(h) * p)
		}
	}
}

func (l LRN) backwardPlain(dx, x, dy []uint16) {
	squares, ratios, direct := make([]float32, l.Channels), make([]float32, l.Channels), make([]float32, l.Channels)
	for at := 0; at < len(x); at += l.Channels {
		row, grad := x[at:at+l.Channels], dy[at:at+l.Channels]
		for c, h := range row {
			v := Widen(h)
			squares[c] = v * v
		}
		for c, h := range row {
			q, p := l.roots(l.window(squares, c))
			direct[c] = Widen(grad[c]) * p
			ratios[c] = Widen(h) * direct[c] * q * q
		}
		for c, h := range row {
			dx[at+c] = Round(direct[c] - l.factor()*Widen(h)*l.window(ratios, c))
		}
	}
}
