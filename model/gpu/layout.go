package gpu

import "alexnet/model"

// rowMap says how a parameter lies in the device's memory: in rows, one for each output,
// as in the model, but with the values of a row in another order and zeros between.
type rowMap struct {
	rows  int
	model int     // values of a row in the model's order
	own   int     // values of a row in the device's memory
	index []int32 // of each of the latter its place in the former, -1 for a zero; nil: the same order
}

// straight returns the map of what lies in both in the same order.
func straight(rows, values int) rowMap { return rowMap{rows: rows, model: values, own: values} }

// size returns the number of values in the device's memory.
func (m *rowMap) size() int { return m.rows * m.own }

// padded reports whether some of them are always zero.
func (m *rowMap) padded() bool { return m.own != m.model }

// blockRows returns the map of the weights of a convolution, [out][c][kernel][kernel] in
// the model. The device has them as [out][y][x][channel], y and x counting blocks of
// block x block pixels, each with channels values, channel (dy*block+dx)*c + c'. So a
// convolution whose stride is block becomes one of stride 1 over an image that is cut
// into blocks. With blocks of 1 x 1 it stays what it is.
func blockRows(out, c, kernel, block, channels int) rowMap {
	side := (kernel + block - 1) / block
	m := rowMap{rows: out, model: c * kernel * kernel, own: side * side * channels}
	m.index = make([]int32, m.own)
	for i := range m.index {
		channel, at := i%channels, i/channels
		y, x := at/side*block+channel/c/block, at%side*block+channel/c%block
		m.index[i] = -1
		if channel < block*block*c && y < kernel && x < kernel {
			m.index[i] = int32((channel%c*kernel+y)*kernel + x)
		}
	}
	return m
}

// featureRows returns the map of the weights of a fully connected layer whose inputs
// are feature maps of shape s, [out][channel][y][x] in the model. The device has them as
// [out][y][x][channel], of channels channels.
func featureRows(out int, s model.Shape, channels int) rowMap {
	m := rowMap{rows: out, model: s.Size(), own: s.H * s.W * channels}
	if m.own == m.model && (s.C == 1 || s.H*s.W == 1) {
		return m
	}
	m.index = make([]int32, m.own)
	for i := range m.index {
		m.index[i] = -1
		if c := i % channels; c < s.C {
			m.index[i] = int32(c*s.H*s.W + i/channels)
		}
	}
	return m
}

// spread writes rows in the model's order to own, in the device's.
func (m *rowMap) spread(own, rows []float32) {
	if m.index == nil {
		copy(own, rows)
		return
	}
	for len(rows) > 0 {
		for i, j := range m.index {
			if own[i] = 0; j >= 0 {
				own[i] = rows[j]
			}
		}
		own, rows = own[m.own:], rows[m.model:]
	}
}

// collect is the inverse of spread.
func (m *rowMap) collect(rows, own []float32) {
	if m.index == nil {
		copy(rows, own)
		return
	}
	for len(rows) > 0 {
		for i, j := range m.index {
			if j >= 0 {
				rows[j] = own[i]
			}
		}
		own, rows = own[m.own:], rows[m.model:]
	}
}

// keep returns a byte for each value in the device's memory: 0 where it is always zero.
func (m *rowMap) keep() []byte {
	k := make([]byte, 0, m.size())
	for range m.rows {
		for i := range m.own {
			b := byte(1)
			if m.index != nil && m.index[i] < 0 {
				b = 0
			}
			k = append(k, b)
		}
	}
	return k
}
