package cache

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"

	"github.com/zeebo/xxh3"
)

// A block's file is the block's bytes and then a footer, all integers little-endian:
//
//	 8 bytes  "ANETBLK1"
//	32 bytes  the block's key
//	 8 bytes  the number of the block's bytes
//	 8 bytes  xxh3-64 of all the above, from the file's first byte on
//
// The footer comes last, so that a file that was cut never ends in one; the key in
// it tells a file that has got another's name.
const (
	footerMagic = "ANETBLK1"
	footerSize  = len(footerMagic) + sha256.Size + 8 + 8
)

// errDamaged says that a file is not the block that its name says.
var errDamaged = errors.New("the block is damaged")

// key says which block of what: a SHA-256.
type key [sha256.Size]byte

// makeKey returns the key of a block. Lengths go before strings, so that no two
// things have one key.
func makeKey(folder, object string, of known, block, index int64) key {
	var b bytes.Buffer
	for _, s := range []string{folder, object, of.version} {
		b.Write(binary.LittleEndian.AppendUint64(nil, uint64(len(s))))
		b.WriteString(s)
	}
	for _, n := range []int64{of.size, of.modified, block, index} {
		b.Write(binary.LittleEndian.AppendUint64(nil, uint64(n)))
	}
	return sha256.Sum256(b.Bytes())
}

// file is the name of a block's file in the cache's folder, below one of 256
// folders: half of the key are enough to be the only one.
func (k key) file() (folder, name string) {
	s := hex.EncodeToString(k[:16])
	return s[:2], s + suffix
}

// seal appends the footer to a block's bytes.
func seal(k key, b []byte) []byte {
	n := len(b)
	b = append(b, footerMagic...)
	b = append(b, k[:]...)
	b = binary.LittleEndian.AppendUint64(b, uint64(n))
	return binary.LittleEndian.AppendUint64(b, xxh3.Hash(b))
}

// unseal returns the block's bytes of a file's, or errDamaged.
func unseal(k key, file []byte) ([]byte, error) {
	n := len(file) - footerSize
	if n < 0 {
		return nil, errDamaged
	}
	footer := file[n:]
	sum := len(file) - 8
	switch {
	case string(footer[:len(footerMagic)]) != footerMagic,
		!bytes.Equal(footer[len(footerMagic):][:len(k)], k[:]),
		binary.LittleEndian.Uint64(file[sum-8:]) != uint64(n),
		binary.LittleEndian.Uint64(file[sum:]) != xxh3.Hash(file[:sum]):
		return nil, errDamaged
	}
	return file[:n], nil
}
