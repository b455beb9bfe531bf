package ptx

import "math/bits"

func first(m uint32) int { return bits.TrailingZeros32(m) }

// set marks a row as written by the threads of a mask.
func (w *warp) set(d int, m uint32) { w.init[d] |= m }

func copyRow(d, s int) func(w *warp, m uint32) *trouble {
	return func(w *warp, m uint32) *trouble {
		if m == everyLane {
			w.rows[d] = w.rows[s]
		} else {
			for n := m; n != 0; n &= n - 1 {
				i := bits.TrailingZeros32(n) & (warpSize - 1)
				w.rows[d][i] = w.rows[s][i]
			}
		}
		w.init[d] = w.init[d]&^m | w.init[s]&m
		return nil
	}
}

func each1(d, a int, f func(a uint64) uint64) func(w *warp, m uint32) *trouble {
	return func(w *warp, m uint32) *trouble {
		dr, ar := &w.rows[d], &w.rows[a]
		if m == everyLane {
			for i := range dr {
				dr[i] = f(ar[i])
			}
		} else {
			for n := m; n != 0; n &= n - 1 {
				i := bits.TrailingZeros32(n) & (warpSize - 1)
				dr[i] = f(ar[i])
			}
		}
		w.init[d] = w.init[d]&^m | w.init[a]&m
		return nil
	}
}

func each2(d, a, b int, f func(a, b uint64) uint64) func(w *warp, m uint32) *trouble {
	return func(w *warp, m uint32) *trouble {
		dr, ar, br := &w.rows[d], &w.rows[a], &w.rows[b]
		if m == everyLane {
			for i := range dr {
				dr[i] = f(ar[i], br[i])
			}
		} else {
			for n := m; n != 0; n &= n - 1 {
				i := bits.TrailingZeros32(n) & (warpSize - 1)
				dr[i] = f(ar[i], br[i])
			}
		}
		w.init[d] = w.init[d]&^m | w.init[a]&w.init[b]&m
		return nil
	}
}

func each3(d, a, b, c int, f func(a, b, c uint64) uint64) func(w *warp, m uint32) *trouble {
	return func(w *warp, m uint32) *trouble {
		dr, ar, br, cr := &w.rows[d], &w.rows[a], &w.rows[b], &w.rows[c]
		if m == everyLane {
			for i := range dr {
				dr[i] = f(ar[i], br[i], cr[i])
			}
		} else {
			for n := m; n != 0; n &= n - 1 {
				i := bits.TrailingZeros32(n) & (warpSize - 1)
				dr[i] = f(ar[i], br[i], cr[i])
			}
		}
		w.init[d] = w.init[d]&^m | w.init[a]&w.init[b]&w.init[c]&m
		return nil
	}
}
