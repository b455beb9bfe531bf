package decode

import "fmt"

// decodeNetpbm decodes the binary formats of netpbm: P5, grey, and P6, colour,
// with samples of 0..255. Sources whose pixels are raw, such as CIFAR and
// MNIST, hand them over so.
func (d *Decoder) decodeNetpbm(data []byte) error {
	var field [3]int // width, height, largest value
	at := 2
	for i := range field {
		v, next, err := netpbmNumber(data, at)
		if err != nil {
			return err
		}
		field[i], at = v, next
	}
	w, h := field[0], field[1]
	if field[2] != 255 {
		return &Error{Unsupported, fmt.Errorf("a netpbm file of samples up to %d; only those up to 255 are read", field[2])}
	}
	if at >= len(data) || !isSpace(data[at]) {
		return &Error{Malformed, fmt.Errorf("the netpbm header does not end with white space")}
	}
	if err := d.Limits.check(w, h); err != nil {
		return err
	}
	c := 1
	if data[1] == '6' {
		c = 3
	}
	pixels := data[at+1:]
	switch n := c * w * h; {
	case len(pixels) < n:
		return &Error{Truncated, fmt.Errorf("%d bytes of pixels, a picture of %dx%d has %d", len(pixels), w, h, n)}
	case len(pixels) > n:
		return &Error{Malformed, fmt.Errorf("%d bytes of pixels, a picture of %dx%d has %d", len(pixels), w, h, n)}
	}
	row := func(dst []uint8, y int) { copy(dst, pixels[c*y*w:][:c*w]) }
	p := d.newPlan(w, h, c)
	held, err := d.Budget.acquire(p.out())
	if err != nil {
		return err
	}
	defer d.Budget.release(held)
	d.img.fill(&p, row)
	return nil
}

// netpbmNumber reads a decimal number after white space and comments.
func netpbmNumber(data []byte, at int) (value, next int, err error) {
	for at < len(data) && (isSpace(data[at]) || data[at] == '#') {
		if data[at] == '#' {
			for at < len(data) && data[at] != '\n' && data[at] != '\r' {
				at++
			}
			continue
		}
		at++
	}
	from := at
	for ; at < len(data) && data[at] >= '0' && data[at] <= '9'; at++ {
		if at-from == 9 {
			return 0, 0, &Error{Malformed, fmt.Errorf("a number of the netpbm header has more than nine digits")}
		}
		value = 10*value + int(data[at]-'0')
	}
	switch {
	case at == len(data):
		return 0, 0, &Error{Truncated, fmt.Errorf("the file ends within the netpbm header")}
	case at == from:
		return 0, 0, &Error{Malformed, fmt.Errorf("the netpbm header has %q where a number should be", data[at])}
	}
	return value, at, nil
}

// isSpace says whether c is white space as netpbm has it.
func isSpace(c byte) bool {
	return c == ' ' || c >= '\t' && c <= '\r'
}
