package checkpoint

import (
	"encoding/binary"
	"fmt"
	"hash"
	"hash/crc32"
	"maps"
	"math"
	"slices"

	"alexnet/model"
)

const checksumKey = "crc32c"

// checksum returns the CRC-32C (Castagnoli), in hex, of all metadata but the
// checksum itself and of all tensors in their order. Each text and each shape goes
// in with its length, so that nothing can move from one field into the next.
func checksum(meta map[string]string, tensors []model.Tensor) string {
	sum := crc32.New(crc32.MakeTable(crc32.Castagnoli))
	for _, key := range slices.Sorted(maps.Keys(meta)) {
		if key != checksumKey {
			addText(sum, key)
			addText(sum, meta[key])
		}
	}
	for _, t := range tensors {
		addText(sum, t.Name)
		addText(sum, fmt.Sprint(t.Shape))
		addFloats(sum, t.Data)
	}
	return fmt.Sprintf("%08x", sum.Sum32())
}

func addText(sum hash.Hash32, text string) {
	var length [8]byte
	binary.LittleEndian.PutUint64(length[:], uint64(len(text)))
	sum.Write(length[:]) // a hash never fails
	sum.Write([]byte(text))
}

func addFloats(sum hash.Hash32, values []float32) {
	var buf [16 << 10]byte
	for len(values) > 0 {
		n := min(len(values), len(buf)/4)
		for i, x := range values[:n] {
			binary.LittleEndian.PutUint32(buf[4*i:], math.Float32bits(x))
		}
		sum.Write(buf[:4*n])
		values = values[n:]
	}
}
