package stats

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

// The encoding, all integers little-endian:
//
//	8  bytes  "rgbsums1"
//	4  bytes  c, 4 h, 4 w
//	8  bytes  number of pictures
//	48 bytes  RR, RG, RB, GG, GB, BB
//	1  byte   k, bytes a sum
//	c*h*w*k   the sums of the sample positions
//	4  bytes  CRC-32C of everything before
const (
	magic      = "rgbsums1"
	headerSize = len(magic) + 3*4 + 8 + 6*8 + 1
	maxSamples = 1 << 28
)

// ErrEncoding is wrapped by every error of UnmarshalBinary.
var ErrEncoding = errors.New("stats: not an encoding of sums")

// MarshalBinary encodes the sums, with as few bytes a sample position as the
// largest sum needs. It implements [encoding.BinaryMarshaler].
func (s *Sums) MarshalBinary() ([]byte, error) {
	largest := uint64(0)
	for i := range s.high {
		largest = max(largest, s.at(i))
	}
	k := 1
	for k < 8 && largest>>(8*k) != 0 {
		k++
	}
	out := make([]byte, 0, headerSize+k*len(s.high)+4)
	out = append(out, magic...)
	for _, v := range []int{s.c, s.h, s.w} {
		out = binary.LittleEndian.AppendUint32(out, uint32(v))
	}
	out = binary.LittleEndian.AppendUint64(out, s.n)
	for _, v := range s.products {
		out = binary.LittleEndian.AppendUint64(out, v)
	}
	out = append(out, byte(k))
	var word [8]byte
	for i := range s.high {
		binary.LittleEndian.PutUint64(word[:], s.at(i))
		out = append(out, word[:k]...)
	}
	return binary.LittleEndian.AppendUint32(out, crc32.Checksum(out, crc32.MakeTable(crc32.Castagnoli))), nil
}

// UnmarshalBinary replaces s by the sums that MarshalBinary encoded. Anything
// else gives an error that wraps [ErrEncoding], and leaves s as it was. It
// implements [encoding.BinaryUnmarshaler].
func (s *Sums) UnmarshalBinary(data []byte) error {
	if len(data) < headerSize+4 || string(data[:len(magic)]) != magic {
		return fmt.Errorf("%w: %d bytes without the signature", ErrEncoding, len(data))
	}
	body, sum := data[:len(data)-4], binary.LittleEndian.Uint32(data[len(data)-4:])
	if crc32.Checksum(body, crc32.MakeTable(crc32.Castagnoli)) != sum {
		return fmt.Errorf("%w: the checksum does not fit", ErrEncoding)
	}
	at := len(magic)
	word := func() uint64 {
		v := binary.LittleEndian.Uint64(body[at:])
		at += 8
		return v
	}
	side := func() int {
		v := binary.LittleEndian.Uint32(body[at:])
		at += 4
		return int(min(v, maxSamples+1))
	}
	c, h, w := side(), side(), side()
	n := word()
	var products [6]uint64
	for i := range products {
		products[i] = word()
	}
	k := int(body[at])
	at++
	if c < 1 || h < 1 || w < 1 || h > maxSamples/w || c > maxSamples/(h*w) || k < 1 || k > 8 || len(body)-at != c*h*w*k {
		return fmt.Errorf("%w: %dx%dx%d sums of %d bytes in %d bytes", ErrEncoding, c, h, w, k, len(body)-at)
	}
	fresh := New(c, h, w)
	fresh.n, fresh.products = n, products
	for i := range fresh.high {
		var padded [8]byte
		copy(padded[:], body[at:at+k])
		fresh.high[i] = binary.LittleEndian.Uint64(padded[:])
		at += k
	}
	*s = *fresh
	return nil
}
