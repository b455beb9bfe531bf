package gpu

import "alexnet/model"

// rowMap says how a parameter lies in the device's memory: in rows, one for each output,
// as in the model, but with the values of a row in another order and zeros between.
type rowMap struct {
	rows  int
	model int     // values of a row in the model's order
	own   int     // values of a row in the device's memory
	index []int32 // of each of the latter its place in the former, -1 for a zero; nil: the same order

	// With groups other than 0 as many rows as the groups are equal parts have an index each,
	// one behind the other.
	groups int
}

// of returns the index of a row.
func (m *rowMap) of(row int) []int32 {
	if m.groups == 0 {
		return m.index
	}
	g := row / (m.rows / m.groups)
	return m.index[g*m.own:][:m.own]
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

// dense returns the map of the weights of a convolution in so many groups, whose map of one
// row of its own group this is with so many channels, as those of one without groups: each
// pixel has the channels of all groups, those of the others zeros.
func (m rowMap) dense(groups, channels int) rowMap {
	if groups == 1 {
		return m
	}
	d := rowMap{rows: m.rows, model: m.model, own: m.own * groups, groups: groups, index: make([]int32, 0, m.own*groups*groups)}
	for g := range groups {
		for i := range d.own {
			pixel, channel := i/(channels*groups), i%(channels*groups)
			place := int32(-1)
			if channel/channels == g {
				place = m.index[pixel*channels+channel%channels]
			}
			d.index = append(d.index, place)
		}
	}
	return d
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

// spread writes rows from number row on, in the model's order, to own, in the device's.
func (m *rowMap) spread(own, rows []float32, row int) {
	if m.index == nil {
		copy(own, rows)
		return
	}
	for ; len(rows) > 0; row++ {
		for i, j := range m.of(row) {
			if own[i] = 0; j >= 0 {
				own[i] = rows[j]
			}
		}
		own, rows = own[m.own:], rows[m.model:]
	}
}

// collect is the inverse of spread.
func (m *rowMap) collect(rows, own []float32, row int) {
	if m.index == nil {
		copy(rows, own)
		return
	}
	for ; len(rows) > 0; row++ {
		for i, j := range m.of(row) {
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
	for row := range m.rows {
		index := m.of(row)
		for i := range m.own {
			b := byte(1)
			if index != nil && index[i] < 0 {
				b = 0
			}
			k = append(k, b)
		}
	}
	return k
}
