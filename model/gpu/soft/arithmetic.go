package soft

import (
	"encoding/binary"
	"math"
	"unsafe"

	"alexnet/model/gpu/device"
)

// littleEndian says whether this machine has numbers in memory as a GPU has them.
func littleEndian() bool { return binary.NativeEndian.Uint16([]byte{1, 0}) == 1 }

// load returns the values of an operand as they enter products. It may be the memory
// itself: it is only read.
func load(a device.Arithmetic, b []byte) []float32 {
	if a == device.Float32 && littleEndian() {
		return unsafe.Slice((*float32)(unsafe.Pointer(unsafe.SliceData(b))), len(b)/4)
	}
	v := make([]float32, len(b)/a.Bytes())
	for i := range v {
		switch a {
		case device.BFloat16:
			v[i] = math.Float32frombits(uint32(binary.LittleEndian.Uint16(b[2*i:])) << 16)
		case device.TensorFloat32:
			v[i] = toTensorFloat32(math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:])))
		default:
			v[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
		}
	}
	return v
}

// store writes a result.
func store(a device.Arithmetic, b []byte, v []float32) {
	for i, v := range v {
		if a == device.BFloat16 {
			binary.LittleEndian.PutUint16(b[2*i:], toBFloat16(v))
		} else {
			binary.LittleEndian.PutUint32(b[4*i:], math.Float32bits(v))
		}
	}
}

// toBFloat16 rounds to the nearest value of bfloat16, to the even one of two.
func toBFloat16(v float32) uint16 {
	b := math.Float32bits(v)
	if v != v {
		return uint16(b>>16) | 0x40 // a NaN must not become an infinity
	}
	return uint16((b + 0x7fff + b>>16&1) >> 16)
}

// toTensorFloat32 rounds to the nearest value with 10 explicit bits of mantissa, away from
// zero of two, as PTX's cvt.rna.tf32.f32 does.
func toTensorFloat32(v float32) float32 {
	b := math.Float32bits(v)
	if b&0x7f800000 == 0x7f800000 {
		return v
	}
	return math.Float32frombits((b + 0x1000) &^ 0x1fff)
}

// transpose returns a rows x columns matrix as columns x rows.
func transpose(a []float32, rows, columns int) []float32 {
	t := make([]float32, len(a))
	for i := range rows {
		for j, v := range a[i*columns : (i+1)*columns] {
			t[j*rows+i] = v
		}
	}
	return t
}

// dots sets y, m x n, to the products of the rows of a, m x k, with those of b, n x k.
func dots(y, a, b []float32, m, n, k int) {
	for i := range m {
		row, out := a[i*k:(i+1)*k], y[i*n:(i+1)*n]
		j := 0
		for ; j+4 <= n; j += 4 {
			out[j], out[j+1], out[j+2], out[j+3] = dot4(row, b[j*k:(j+1)*k], b[(j+1)*k:(j+2)*k], b[(j+2)*k:(j+3)*k], b[(j+3)*k:(j+4)*k])
		}
		for ; j < n; j++ {
			var s float32
			for t, v := range b[j*k : (j+1)*k] {
				s += row[t] * v
			}
			out[j] = s
		}
	}
}

// dot4 returns the products of a with four others as long.
func dot4(a, b0, b1, b2, b3 []float32) (s0, s1, s2, s3 float32) {
	b0, b1, b2, b3 = b0[:len(a)], b1[:len(a)], b2[:len(a)], b3[:len(a)]
	for i, v := range a {
		s0 += v * b0[i]
		s1 += v * b1[i]
		s2 += v * b2[i]
		s3 += v * b3[i]
	}
	return s0, s1, s2, s3
}

// addScaled4 adds to y four others as long, each times its factor.
func addScaled4(y []float32, f *[4]float32, x0, x1, x2, x3 []float32) {
	x0, x1, x2, x3 = x0[:len(y)], x1[:len(y)], x2[:len(y)], x3[:len(y)]
	f0, f1, f2, f3 := f[0], f[1], f[2], f[3]
	for i := range y {
		y[i] += f0*x0[i] + f1*x1[i] + f2*x2[i] + f3*x3[i]
	}
}
