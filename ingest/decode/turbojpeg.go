//go:build (linux || darwin) && (amd64 || arm64) && !static

package decode

import (
	"bytes"
	"errors"
	"fmt"
	"runtime"
	"strings"
)

// withTurbo decodes a JPEG with libjpeg-turbo: one call for the header, one for
// the pixels.
func (d *Decoder) withTurbo(t *turbo, data []byte, head *jpegHeader) error {
	if err := head.check(d.Limits); err != nil {
		return err
	}
	h, err := d.handleFor(t)
	if err != nil {
		return err
	}
	// The library keeps the text of an error for the thread that met it.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	w, ht, colorspace, ok := h.readHeader(data)
	if !ok {
		text, _ := h.complaint()
		// The library does not tidy up after a header that it gave up on.
		d.dropHandle()
		return failure(text)
	}
	if w != head.w || ht != head.h {
		d.dropHandle()
		return &Error{Malformed, fmt.Errorf("the header says %dx%d pixels, libjpeg-turbo reads %dx%d", head.w, head.h, w, ht)}
	}
	c, format, each := 3, tjRGB, 3
	switch colorspace {
	case tjColorGray:
		c, format, each = 1, tjGray, 1
	case tjColorCMYK, tjColorYCCK:
		format, each = tjCMYK, 4
	}
	p := d.newPlan(w, ht, c)
	d.turnBy(&p, head.exif)
	need := p.out()
	if head.progressive() || head.scanned < head.components {
		need += 2 * head.coefficients() // all are kept until the last scan
	}
	size := p.toW * p.toH * each
	need += int64(size - p.toW*p.toH*c)
	d.img.letGo(size) // before it waits for more
	held, err := d.Budget.acquire(need)
	if err != nil {
		return err
	}
	defer d.Budget.release(held)
	d.img.W, d.img.H, d.img.C, d.img.Pix = p.toW, p.toH, c, d.img.room(size)
	if !h.read(data, d.img.Pix, &p, format, each) {
		if err := d.judge(h, data, head, each); err != nil {
			return err
		}
	}
	if format == tjCMYK {
		d.img.Pix = inverted(d.img.Pix)
	}
	d.turn(p.turning)
	return nil
}

// check finds out from the header alone that a picture is hopeless.
func (head *jpegHeader) check(limits Limits) error {
	switch {
	case head.process == 0 && head.ended:
		return &Error{Malformed, errors.New("the JPEG file has no picture")}
	case head.process == 0:
		return &Error{Truncated, errors.New("the file ends within the JPEG header")}
	case head.process > 0xc2 && head.process != 0xc9 && head.process != 0xca:
		return &Error{Unsupported, fmt.Errorf("a JPEG process that nobody uses: SOF%d", head.process-markerSOF0)}
	case head.precision != 8:
		return &Error{Unsupported, fmt.Errorf("a JPEG of %d bits a sample; 8 are read", head.precision)}
	}
	if err := limits.check(head.w, head.h); err != nil {
		return err
	}
	if head.scan == 0 && !head.ended {
		return &Error{Truncated, errors.New("the file ends before the pixels")}
	}
	return nil
}

// judge decides what to do with a picture about which the library complained:
// nil means that it is taken. Only the first warning of a picture is told. The
// pixels have so many bytes each.
func (d *Decoder) judge(h *turboHandle, data []byte, head *jpegHeader, each int) error {
	text, warning := h.complaint()
	if !warning {
		d.dropHandle()
		return failure(text)
	}
	damage := &Error{Malformed, errors.New(text)}
	switch {
	case strings.HasPrefix(text, "Premature end of JPEG file"):
		damage.Reason = Truncated
	case harmless(text) && head.complete(data):
		return nil
	case harmless(text):
		damage = &Error{Truncated, errors.New("the file ends before the picture does")}
	}
	if !d.KeepTruncated {
		return damage
	}
	if !head.begun(data) || flat(d.img.Pix, each) {
		return &Error{damage.Reason, fmt.Errorf("%w, and nothing of the picture could be decoded", damage.Err)}
	}
	d.img.Damage = damage
	return nil
}

// harmless says whether a warning of libjpeg leaves the picture whole. Pillow
// takes no notice of these either.
func harmless(text string) bool {
	for _, prefix := range []string{
		"Unknown Adobe color transform code ",
		"Inconsistent progression sequence ",
		"Invalid SOS parameters for sequential JPEG",
		"Warning: unknown JFIF revision number ",
		"Corrupt JPEG data: bad ICC marker",
	} {
		if strings.HasPrefix(text, prefix) {
			return true
		}
	}
	return strings.HasPrefix(text, "Corrupt JPEG data: ") && strings.Contains(text, " extraneous bytes before marker ")
}

// failure sorts an error of libjpeg-turbo into its class by its text, since it
// has no number.
func failure(text string) *Error {
	reason := Malformed
	switch {
	case strings.HasPrefix(text, "Premature end"):
		reason = Truncated
	case strings.Contains(text, "nsupported"), strings.Contains(text, "not supported"), strings.Contains(text, "not implemented"),
		strings.Contains(text, "Could not determine"):
		reason = Unsupported
	case strings.Contains(text, "memory"), strings.Contains(text, "Memory"), strings.Contains(text, "Maximum supported"),
		strings.HasPrefix(text, "Progressive JPEG image has more than"):
		reason = TooLarge
	}
	return &Error{reason, errors.New(text)}
}

// flat says whether all pixels are the same, as they are when not one has been
// decoded.
func flat(pix []uint8, each int) bool {
	return bytes.Equal(pix[each:], pix[:len(pix)-each])
}
