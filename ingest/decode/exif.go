package decode

import (
	"bytes"
	"encoding/binary"
)

// orientation returns the value of the orientation tag in EXIF data (a TIFF
// structure), 1..8. It is 1, which changes nothing, for data without that tag
// or that cannot be understood. Only the first directory is read, so that there
// is nothing to go round in circles on.
func orientation(tiff []byte) int {
	const (
		tag   = 0x0112
		short = 3 // a type: 16 bits
	)
	var order binary.ByteOrder
	switch {
	case bytes.HasPrefix(tiff, []byte("II*\x00")):
		order = binary.LittleEndian
	case bytes.HasPrefix(tiff, []byte("MM\x00*")):
		order = binary.BigEndian
	default:
		return 1
	}
	if len(tiff) < 8 {
		return 1
	}
	at := int64(order.Uint32(tiff[4:]))
	if at+2 > int64(len(tiff)) {
		return 1
	}
	entries := tiff[at+2:]
	for range order.Uint16(tiff[at:]) {
		if len(entries) < 12 {
			return 1
		}
		if order.Uint16(entries) == tag {
			v := order.Uint16(entries[8:])
			if order.Uint16(entries[2:]) != short || v < 1 || v > 8 {
				return 1
			}
			return int(v)
		}
		entries = entries[12:]
	}
	return 1
}

// turn changes the picture as an EXIF orientation of 1..8 says.
func (d *Decoder) turn(orientation int) {
	m := &d.img
	if orientation < 2 || orientation > 8 {
		return
	}
	w, h := m.W, m.H
	// The picture's first pixel is number start of the stored one; the next in
	// the row is right further on, the next in the column down.
	var start, right, down int
	switch orientation {
	case 2: // mirrored
		start, right, down = w-1, -1, w
	case 3: // by 180 degrees
		start, right, down = w*h-1, -1, -w
	case 4: // mirrored, by 180 degrees
		start, right, down = w*(h-1), 1, -w
	case 5: // mirrored, by 90 degrees
		start, right, down = 0, w, 1
	case 6: // by 90 degrees clockwise
		start, right, down = w*(h-1), -w, 1
	case 7: // mirrored, by 270 degrees
		start, right, down = w*h-1, -w, -1
	case 8: // by 270 degrees clockwise
		start, right, down = w-1, w, -1
	}
	to := Image{Pix: d.turned}
	if orientation >= 5 {
		w, h = h, w
	}
	to.reset(w, h, m.C)
	for y := range h {
		from := start + y*down
		if m.C == 1 {
			row := to.Pix[y*w:][:w]
			for x := range row {
				row[x] = m.Pix[from]
				from += right
			}
			continue
		}
		row := to.Pix[3*y*w:][:3*w]
		for x := range w {
			copy(row[3*x:3*x+3], m.Pix[3*from:3*from+3])
			from += right
		}
	}
	m.W, m.H = w, h
	m.Pix, d.turned = to.Pix, m.Pix
	if cap(d.turned) > large {
		d.turned = nil
	}
}
