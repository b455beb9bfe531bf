package records

import (
	"sync/atomic"
	"unsafe"
)

// heads keeps, of rows of an uncompressed shard that were read and found right,
// where their pixels are and what else a Row says. To find that out takes a dozen
// look-ups, here and there in the file: with rows in a random order each waits
// for memory, together 4 or 5 us a row, a tenth of what a crop of it takes. 56
// bytes a row are kept instead.
type heads struct {
	list    []head
	claimed []atomic.Uint64 // bit i: somebody has filled list[i], or does
	ready   []atomic.Uint64 // bit i: list[i] is filled
}

// head is a Row with offsets in the file in place of pointers.
type head struct {
	pixels, key         int64
	sourceXXH3, keyXXH3 uint64
	label, ilsvrcID     int32
	crc32C              uint32
	keyBytes            int32
	width, height       uint16
}

// row returns the row without its key and pixels.
func (h *head) row() Row {
	return Row{
		Label: h.label, ILSVRCID: h.ilsvrcID, Width: h.width, Height: h.height,
		SourceXXH3: h.sourceXXH3, KeyXXH3: h.keyXXH3, CRC32C: h.crc32C,
	}
}

// keptRow returns row i, if its head was kept. It touches no page of the file.
func (s *shard) keptRow(i int) (Row, bool) {
	h := s.heads.Load()
	if h == nil || h.ready[i/64].Load()&(1<<(i%64)) == 0 {
		return Row{}, false
	}
	kept := &h.list[i]
	row := kept.row()
	data := s.arrow.data
	if kept.keyBytes > 0 {
		row.Key = unsafe.String(&data[kept.key], int(kept.keyBytes))
	}
	s.setPixels(&row, data[kept.pixels:kept.pixels+int64(s.rowBytes())])
	return row, true
}

// keep keeps the head of row i, whose key and pixels are in the file.
func (s *shard) keep(i int, row *Row) {
	h := s.heads.Load()
	if h == nil {
		words := (s.rows + 63) / 64
		s.heads.CompareAndSwap(nil, &heads{list: make([]head, s.rows), claimed: make([]atomic.Uint64, words), ready: make([]atomic.Uint64, words)})
		h = s.heads.Load()
	}
	bit := uint64(1) << (i % 64)
	if h.claimed[i/64].Or(bit)&bit != 0 {
		return
	}
	base := uintptr(unsafe.Pointer(unsafe.SliceData(s.arrow.data)))
	pixels := unsafe.Pointer(unsafe.SliceData(row.U8))
	if row.I16 != nil {
		pixels = unsafe.Pointer(unsafe.SliceData(row.I16))
	}
	kept := head{
		pixels: int64(uintptr(pixels) - base), keyBytes: int32(len(row.Key)),
		sourceXXH3: row.SourceXXH3, keyXXH3: row.KeyXXH3, label: row.Label, ilsvrcID: row.ILSVRCID,
		crc32C: row.CRC32C, width: row.Width, height: row.Height,
	}
	if row.Key != "" {
		kept.key = int64(uintptr(unsafe.Pointer(unsafe.StringData(row.Key))) - base)
	}
	h.list[i] = kept
	h.ready[i/64].Or(bit)
}

// setPixels makes a row's pixels of their bytes.
func (s *shard) setPixels(row *Row, pixels []byte) {
	if s.spec.pixels == Int16 {
		row.I16 = unsafe.Slice((*int16)(unsafe.Pointer(unsafe.SliceData(pixels))), len(pixels)/2)
	} else {
		row.U8 = pixels
	}
}

// rowBytes returns how many bytes the pixels of a row take, decompressed.
func (s *shard) rowBytes() int { return s.spec.shape.Size() * s.spec.pixels.Size() }
