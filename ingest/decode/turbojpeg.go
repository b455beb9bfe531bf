//go:build (linux || darwin) && (amd64 || arm64)

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
	c, format := 3, tjRGBX
	switch colorspace {
	case tjColorGray:
		c, format = 1, tjGray
	case tjColorCMYK, tjColorYCCK:
		format = tjCMYK
	}
	p := d.newPlan(w, ht, c)
	d.turnBy(&p, head.exif)
	need := p.out()
	if head.progressive() || head.scanned < head.components {
		need += 2 * head.coefficients() // all are kept until the last scan
	}
	d.img.letGo(p.toW * p.toH * pixelBytes(c)) // before it waits for more
	held, err := d.Budget.acquire(need)
	if err != nil {
		return err
	}
	defer d.Budget.release(held)
	d.img.reset(p.toW, p.toH, c)
	if !h.read(data, d.img.Pix, &p, format) {
		if err := d.judge(h, data, head); err != nil {
			return err
		}
	}
	if format == tjCMYK {
		inverted(d.img.Pix)
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
// nil means that it is taken. Only the first warning of a picture is told.
func (d *Decoder) judge(h *turboHandle, data []byte, head *jpegHeader) error {
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
	if !head.begun(data) || flat(d.img.Pix, d.img.PixelBytes()) {
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
func flat(pix []uint8, pixelBytes int) bool {
	return bytes.Equal(pix[pixelBytes:], pix[:len(pix)-pixelBytes])
}
