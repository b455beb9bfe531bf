package records

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"unsafe"

	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

// Scratch is the memory that one goroutine needs to read rows of compressed
// shards, and of shards in an object store. The zero value is ready. It may serve any number of splits, one Row
// call at a time.
type Scratch struct {
	arena []uint64 // 64-bit words, so that everything in it is aligned
	used  int      // words
	zstd  *zstd.Decoder
	lz4   *lz4.Reader
	src   bytes.Reader
	over  [1]byte
	held  Loaded // what Row has read from an object store
}

// take returns n bytes of the arena, which stay valid until used is set back.
func (sc *Scratch) take(n int) []byte {
	words := (n + 7) / 8
	if words > len(sc.arena)-sc.used {
		// What was handed out stays where it is; from the next row on, all of
		// a row fits.
		sc.arena = make([]uint64, max(sc.used+words, 512))
		sc.used = 0
	}
	at := sc.arena[sc.used : sc.used+words]
	sc.used += words
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(at))), 8*words)[:n:n]
}

// decompress fills dst from src, which must hold exactly that.
func (sc *Scratch) decompress(dst, src []byte, codec Compression) error {
	if codec == LZ4 {
		return sc.unlz4(dst, src)
	}
	if sc.zstd == nil {
		var err error
		sc.zstd, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecodeAllCapLimit(true))
		if err != nil {
			return err
		}
	}
	out, err := sc.zstd.DecodeAll(src, dst[:0])
	if err == nil && len(out) != len(dst) {
		err = errors.New("the data end early")
	}
	if err != nil {
		return fmt.Errorf("zstd: decompressing %d bytes to %d: %w", len(src), len(dst), err)
	}
	return nil
}

// unlz4 is decompress for LZ4 frames.
func (sc *Scratch) unlz4(dst, src []byte) error {
	sc.src.Reset(src)
	if sc.lz4 == nil {
		sc.lz4 = lz4.NewReader(&sc.src)
	} else {
		sc.lz4.Reset(&sc.src)
	}
	_, err := io.ReadFull(sc.lz4, dst)
	if err == nil {
		if n, end := sc.lz4.Read(sc.over[:]); n != 0 || !errors.Is(end, io.EOF) {
			err = errors.New("the data do not end where they should")
		}
	}
	if err != nil {
		return fmt.Errorf("lz4: decompressing %d bytes to %d: %w", len(src), len(dst), err)
	}
	return nil
}

// bufferReader reads values out of a batch's buffers, decompressing them into
// the scratch where need be. After the first failure, err, it returns zeros.
type bufferReader struct {
	batch   arrowBatch
	scratch *Scratch // nil: made when needed
	err     error
}

// slack is how much longer than its values a buffer may be: Arrow pads to 64.
const slack = 64

// bytes returns the first want bytes of buffer i.
func (r *bufferReader) bytes(i, want int) []byte {
	if r.err != nil || want == 0 {
		return nil
	}
	stored, err := r.batch.buffer(i)
	if err != nil {
		r.err = err
		return nil
	}
	if r.batch.codec != None {
		// A compressed buffer starts with its length before compression, or
		// with -1 when it is stored as it is.
		if len(stored) < prefixSize {
			r.err = fmt.Errorf("buffer %d has %d bytes, too few for the length of its content", i, len(stored))
			return nil
		}
		length := int64(binary.LittleEndian.Uint64(stored))
		stored = stored[prefixSize:]
		if length != -1 {
			return r.unpack(i, want, length, stored)
		}
	}
	if len(stored) < want {
		r.err = shortBuffer(i, len(stored), want)
		return nil
	}
	return stored[:want:want]
}

// shortBuffer is the error for a buffer that is too small.
func shortBuffer(i, have, want int) error {
	return fmt.Errorf("buffer %d has %d bytes, and should have %d", i, have, want)
}

// unpack decompresses buffer i, which should give length bytes.
func (r *bufferReader) unpack(i, want int, length int64, stored []byte) []byte {
	if length < int64(want) || length > int64(want)+slack {
		r.err = shortBuffer(i, int(length), want)
		return nil
	}
	if r.scratch == nil {
		r.scratch = new(Scratch)
	}
	out := r.scratch.take(int(length))
	if err := r.scratch.decompress(out, stored, r.batch.codec); err != nil {
		r.err = fmt.Errorf("buffer %d: %w", i, err)
		return nil
	}
	return out[:want:want]
}

// uint64At returns value k of buffer i.
func (r *bufferReader) uint64At(i, k int) uint64 {
	b := r.bytes(i, 8*(k+1))
	if r.err != nil {
		return 0
	}
	return binary.LittleEndian.Uint64(b[8*k:])
}

// uint32At returns value k of buffer i.
func (r *bufferReader) uint32At(i, k int) uint32 {
	b := r.bytes(i, 4*(k+1))
	if r.err != nil {
		return 0
	}
	return binary.LittleEndian.Uint32(b[4*k:])
}

// uint16At returns value k of buffer i.
func (r *bufferReader) uint16At(i, k int) uint16 {
	b := r.bytes(i, 2*(k+1))
	if r.err != nil {
		return 0
	}
	return binary.LittleEndian.Uint16(b[2*k:])
}

// null says whether value k of a column, which has its validity bitmap in
// buffer i, is null.
func (r *bufferReader) null(column, i, k int) bool {
	length, nulls := r.batch.node(column)
	if nulls == 0 || nulls == length {
		return nulls != 0
	}
	b := r.bytes(i, k/8+1)
	return r.err == nil && b[k/8]>>(k%8)&1 == 0
}

// key returns key k, a string over the buffer's memory.
func (r *bufferReader) key(k int) string {
	ends := r.bytes(bufKeyEnds, 4*(k+2))
	if r.err != nil {
		return ""
	}
	from, to := int32(binary.LittleEndian.Uint32(ends[4*k:])), int32(binary.LittleEndian.Uint32(ends[4*k+4:]))
	if from < 0 || to < from || to-from > maxKey || r.batch.codec != None && to > maxKey {
		r.err = fmt.Errorf("its key is at bytes %d to %d", from, to)
		return ""
	}
	text := r.bytes(bufKeyBytes, int(to))
	if r.err != nil || from == to {
		return ""
	}
	return unsafe.String(&text[from], int(to-from))
}
