package decode

import "encoding/binary"

// Markers of JPEG (ITU-T T.81, table B.1) that the header is read for.
const (
	markerSOF0 = 0xc0
	markerDHT  = 0xc4
	markerJPG  = 0xc8
	markerDAC  = 0xcc
	markerRST0 = 0xd0
	markerRST7 = 0xd7
	markerSOI  = 0xd8
	markerEOI  = 0xd9
	markerSOS  = 0xda
	markerAPP1 = 0xe1
	markerTEM  = 0x01
)

// jpegHeader is what the segments before the first scan say. It is read without
// help of a decoder, for what decoders do not tell: how much memory they will
// take, the EXIF data, and why a file is hopeless.
type jpegHeader struct {
	process    byte // the marker of the frame, SOF0..SOF15; 0: there is none
	precision  int  // bits a sample
	w, h       int
	components int     // 0..255
	sampling   [4]byte // of the first four components: horizontal<<4 | vertical
	exif       []byte  // the TIFF structure of the first EXIF segment
	scan       int     // where the data of the first scan begin; 0: there is none
	scanned    int     // components in the first scan
	ended      bool    // EOI came before any scan
}

// readJPEGHeader reads the segments as libjpeg does: bytes that belong to
// nothing are skipped.
func readJPEGHeader(data []byte) (head jpegHeader) {
	at := 2
	for {
		marker, next := nextMarker(data, at)
		switch {
		case next > len(data):
			return head
		case marker == markerEOI:
			head.ended = true
			return head
		case marker == markerTEM, marker >= markerRST0 && marker <= markerSOI:
			at = next
			continue
		case next+2 > len(data):
			return head
		}
		length := max(2, int(binary.BigEndian.Uint16(data[next:])))
		at = next + length
		body := data[min(next+2, len(data)):min(at, len(data))]
		switch {
		case marker == markerSOS:
			if at <= len(data) && len(body) > 0 {
				head.scan, head.scanned = at, int(body[0])
			}
			return head
		case marker&0xf0 == markerSOF0 && marker != markerDHT && marker != markerJPG && marker != markerDAC:
			if head.process == 0 {
				head.frame(marker, body)
			}
		case marker == markerAPP1 && head.exif == nil && len(body) > 6 && string(body[:6]) == "Exif\x00\x00":
			head.exif = body[6:]
		}
	}
}

// frame takes what a frame header says (T.81, B.2.2).
func (head *jpegHeader) frame(marker byte, body []byte) {
	if len(body) < 6 {
		return
	}
	head.process, head.precision = marker, int(body[0])
	head.h, head.w = int(binary.BigEndian.Uint16(body[1:])), int(binary.BigEndian.Uint16(body[3:]))
	head.components = int(body[5])
	for i := range head.sampling {
		if at := 6 + 3*i + 1; i < head.components && at < len(body) {
			head.sampling[i] = body[at]
		}
	}
}

// nextMarker returns the first marker from at on, and where its segment
// begins, which is beyond the data when there is none.
func nextMarker(data []byte, at int) (marker byte, next int) {
	for at+1 < len(data) {
		if data[at] == 0xff && data[at+1] != 0 && data[at+1] != 0xff {
			return data[at+1], at + 2
		}
		at++
	}
	return 0, len(data) + 1
}

// complete says whether the data of the picture go on until an EOI marker. It
// reads all scans, so that it is no use of theirs that the thumbnail of an EXIF
// segment ends with an EOI too.
func (head *jpegHeader) complete(data []byte) bool {
	if head.scan == 0 {
		return false
	}
	for at := head.scan; ; {
		marker, next := nextMarker(data, at)
		switch {
		case next > len(data):
			return false
		case marker == markerEOI:
			return true
		case marker == markerTEM, marker >= markerRST0 && marker <= markerSOI:
			at = next
		case next+2 > len(data):
			return false
		default:
			at = next + max(2, int(binary.BigEndian.Uint16(data[next:])))
		}
	}
}

// begun says whether the first scan has any entropy-coded byte.
func (head *jpegHeader) begun(data []byte) bool {
	at := head.scan
	return at > 0 && at < len(data) && (data[at] != 0xff || at+1 < len(data) && data[at+1] == 0)
}

// progressive says whether each scan refines the whole picture.
func (head *jpegHeader) progressive() bool {
	return head.process == 0xc2 || head.process == 0xca
}

// coefficients returns how many DCT coefficients the first four components
// have: each is rounded up to whole units of all.
func (head *jpegHeader) coefficients() int64 {
	n := min(head.components, len(head.sampling))
	widest, highest := 1, 1
	for _, s := range head.sampling[:n] {
		widest, highest = max(widest, int(s>>4)), max(highest, int(s&15))
	}
	units := int64(up(head.w, 8*widest)) * int64(up(head.h, 8*highest))
	sum := int64(0)
	for _, s := range head.sampling[:n] {
		sum += units * 64 * int64(s>>4) * int64(s&15)
	}
	return sum
}
