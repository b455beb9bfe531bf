package decode

// reduceAbove is how many pixels a picture may have before [Decoder.Enough]
// matters.
const reduceAbove = 16_000_000

// scanLimit is how many scans a progressive picture may have: what TurboJPEG
// itself takes for TJFLAG_LIMITSCANS. Usual are ten; thousands take for ever.
const scanLimit = 500

// plan says how a picture is decoded.
type plan struct {
	w, h    int // of the header
	c       int // channels, as in Image
	reduce  int // 1, 2, 4 or 8: how many pixels across and down become one
	toW     int // w and h divided by reduce, rounded up
	toH     int
	turning int // EXIF orientation to undo, 1: none
}

// newPlan plans a picture of which the header says w x h pixels.
func (d *Decoder) newPlan(w, h, c int) plan {
	p := plan{w: w, h: h, c: c, reduce: 1, turning: 1}
	if d.Enough > 0 && int64(w)*int64(h) > reduceAbove {
		for p.reduce < 8 && up(min(w, h), 2*p.reduce) >= d.Enough {
			p.reduce *= 2
		}
	}
	p.toW, p.toH = up(w, p.reduce), up(h, p.reduce)
	d.img.SourceW, d.img.SourceH = w, h
	return p
}

// turnBy plans for EXIF data, which may be nil.
func (d *Decoder) turnBy(p *plan, exif []byte) {
	if d.ExifRotate && exif != nil {
		p.turning = orientation(exif)
	}
}

// out returns how many bytes the pixels take that the Decoder will lend, with
// the copy that turning makes.
func (p *plan) out() int64 {
	n := int64(p.toW) * int64(p.toH) * int64(p.c)
	if p.turning > 1 {
		n *= 2
	}
	return n
}

// up divides and rounds up.
func up(n, by int) int { return (n + by - 1) / by }
