package augment

import "unsafe"

// plain is the twin of all vector kernels.
func plain[T Pixel](k *Kernel, dst []byte, src []T, p Params) {
	s := &k.spec
	crop := s.Geometry.Crop
	width, plane := s.Geometry.Width, s.Geometry.Height*s.Geometry.Width
	// Value x of row y of channel c goes to c*perPlane + y*perRow + x*perPixel.
	perPlane, perRow, perPixel := crop*crop, crop, 1
	if s.Layout == NHWC {
		perPlane, perRow, perPixel = 1, crop*s.Channels, s.Channels
	}
	for y := range crop {
		for c := range s.Channels {
			var shift float32
			if c < len(p.Shift) {
				shift = p.Shift[c]
			}
			at := c*plane + (p.Top+y)*width + p.Left
			row := src[at : at+crop]
			out, step := c*perPlane+y*perRow, perPixel
			if p.Flip {
				out, step = out+(crop-1)*perPixel, -perPixel
			}
			if s.Type == Stored {
				stored(dst, row, out, step)
				continue
			}
			shifted(dst, row, s.Sub[at:at+crop], shift, s.Type, out, step)
		}
	}
}

// values views the bytes of an image as its values.
func values[T any](image []byte) []T {
	var zero T
	return unsafe.Slice((*T)(unsafe.Pointer(unsafe.SliceData(image))), len(image)/int(unsafe.Sizeof(zero)))
}

// stored copies a row to values out, out+step, ...
func stored[T Pixel](dst []byte, row []T, out, step int) {
	to := values[T](dst)
	if step == 1 {
		copy(to[out:], row)
		return
	}
	for _, v := range row {
		to[out] = v
		out += step
	}
}

// shifted writes a row, less the mean and shifted, to values out, out+step, ...
func shifted[T Pixel](dst []byte, row []T, sub []float32, shift float32, t Type, out, step int) {
	sub = sub[:len(row)]
	switch t {
	case Float32:
		to := values[float32](dst)
		switch step {
		case 1:
			straight(to[out:out+len(row)], row, sub, shift)
			return
		case -1:
			mirrored(to[out+1-len(row):out+1], row, sub, shift)
			return
		}
		for x, v := range row {
			to[out] = (float32(v) - sub[x]) + shift
			out += step
		}
	case Float16:
		to := values[uint16](dst)
		for x, v := range row {
			to[out] = half((float32(v) - sub[x]) + shift)
			out += step
		}
	case BFloat16:
		to := values[uint16](dst)
		for x, v := range row {
			to[out] = brain((float32(v) - sub[x]) + shift)
			out += step
		}
	}
}
