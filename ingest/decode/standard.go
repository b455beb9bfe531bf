package decode

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"image/jpeg"
	"image/png"
	"runtime/debug"
)

// withStandard decodes a JPEG with image/jpeg.
func (d *Decoder) withStandard(data []byte, head *jpegHeader) error {
	config, err := jpeg.DecodeConfig(bytes.NewReader(data))
	if err != nil {
		return d.notKept(classify(err))
	}
	if err := d.Limits.check(config.Width, config.Height); err != nil {
		return err
	}
	if head.w != config.Width || head.h != config.Height {
		// image/jpeg sees another frame than we did, so the worst is assumed.
		*head = jpegHeader{w: config.Width, h: config.Height, components: 4, sampling: [4]byte{0x11, 0x11, 0x11, 0x11}, process: 0xc2, exif: head.exif}
	}
	c := 3
	if head.components == 1 {
		c = 1
	}
	p := d.newPlan(config.Width, config.Height, c)
	d.turnBy(&p, head.exif)
	err = d.standard(&p, standardJPEGBytes(head), func() (image.Image, error) { return jpeg.Decode(bytes.NewReader(data)) })
	return d.notKept(err)
}

// notKept tells someone who wants to keep damaged pictures why this one cannot
// be kept.
func (d *Decoder) notKept(err error) error {
	var e *Error
	if d.KeepTruncated && errors.As(err, &e) && (e.Reason == Truncated || e.Reason == Malformed) {
		return &Error{e.Reason, fmt.Errorf("%w (--keep-truncated needs libjpeg-turbo)", e.Err)}
	}
	return err
}

// standardJPEGBytes returns how much memory image/jpeg takes: the planes, all
// coefficients, four bytes each, when the picture is progressive, and a second
// copy for CMYK and RGB. Of three components of the same size it is not known
// whether they are RGB, so they count as such.
func standardJPEGBytes(head *jpegHeader) int64 {
	need := head.coefficients() // as many samples
	if head.progressive() {
		need += 4 * head.coefficients()
	}
	if s := head.sampling; head.components == 4 || head.components == 3 && s[0] == s[1] && s[0] == s[2] {
		need += 4 * int64(head.w) * int64(head.h)
	}
	return need
}

// decodePNG decodes with image/png.
func (d *Decoder) decodePNG(data []byte) error {
	config, err := png.DecodeConfig(bytes.NewReader(data))
	if err != nil {
		return classify(err)
	}
	if err := d.Limits.check(config.Width, config.Height); err != nil {
		return err
	}
	// The header was right, so IHDR has its place: 8 bytes of signature, length,
	// name; width, height, depth, colour type, compression, filter, interlace.
	const depthAt, typeAt, interlaceAt, first = 24, 25, 28, 33
	deep, kind := data[depthAt] == 16, data[typeAt]
	pixel := int64(4)
	c := 3
	switch kind {
	case 0: // grey without alpha
		pixel, c = 1, 1
	case 3: // palette
		pixel = 1
	}
	if deep {
		pixel *= 2
	}
	need := pixel * int64(config.Width) * int64(config.Height)
	if data[interlaceAt] != 0 {
		need += need / 2 // the last pass is half the picture
	}
	p := d.newPlan(config.Width, config.Height, c)
	d.turnBy(&p, pngExif(data[first:]))
	return d.standard(&p, need, func() (image.Image, error) { return png.Decode(bytes.NewReader(data)) })
}

// pngExif returns the content of the eXIf chunk before the pixels, nil if there
// is none.
func pngExif(chunks []byte) []byte {
	for len(chunks) >= 12 {
		n := int64(binary.BigEndian.Uint32(chunks))
		name := string(chunks[4:8])
		if name == "IDAT" || n+12 > int64(len(chunks)) {
			return nil
		}
		if name == "eXIf" {
			return chunks[8 : 8+n]
		}
		chunks = chunks[n+12:]
	}
	return nil
}

// standard decodes with a decoder of the standard library that takes need
// bytes besides the pixels that are lent.
func (d *Decoder) standard(p *plan, need int64, decode func() (image.Image, error)) error {
	held, err := d.Budget.acquire(need + p.out())
	if err != nil {
		return err
	}
	defer d.Budget.release(held)
	if held > 0 {
		// What the decoder leaves behind must be gone before the next large
		// picture begins. Those are rare, and slow anyway.
		defer debug.FreeOSMemory()
	}
	src, err := decode()
	if err != nil {
		return classify(err)
	}
	if size := src.Bounds().Size(); size.X != p.w || size.Y != p.h {
		return &Error{Malformed, fmt.Errorf("the header says %dx%d pixels, the picture has %dx%d", p.w, p.h, size.X, size.Y)}
	}
	c, row := rows(src)
	p.c = c
	d.img.fill(p, row)
	d.turn(p.turning)
	return nil
}
