package records

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"hash"
	"io"
	"syscall"
	"unsafe"

	"alexnet/records/atomicfile"
)

// hashedWriter gathers what is written into large blocks, and digests and
// writes each on a goroutine of its own, so that neither the digest nor the disk
// holds up whoever fills the next. It can tell Arrow's writer its position, but
// not change it.
//
// Files that can be written directly are (atomicfile.File.Direct): shards are
// larger than what the cache of the operating system is good for, and copying
// into it costs more than all that is done to the pixels here.
type hashedWriter struct {
	to     io.Writer
	direct directWriter // nil for writing through the cache
	sum    hash.Hash
	bytes  int64

	block []byte         // being filled; its capacity is blockBytes
	full  chan []byte    // to the goroutine
	free  chan usedBlock // back from it
	err   error          // of the goroutine; it is the goroutine's until that is done
	done  chan struct{}
	ended bool // the goroutine has been joined
}

// usedBlock is a block to be filled again, nil for one that is yet to be made,
// and what went wrong so far.
type usedBlock struct {
	block []byte
	err   error
}

// directWriter is a file that can be written past the cache.
type directWriter interface{ Direct(on bool) error }

// blockBytes is the size of the writes: large enough for a disk to be busy with, and
// so small that a block is still in the processor's own cache when it is digested
// and when it is filled again. Blocks of 2 MB cost a twentieth of ingest's CPU time,
// most of it in the decoding whose memory they drove out of that cache.
const blockBytes = 512 << 10

// newHashedWriter returns a writer of everything to w. End it with finish or
// abandon.
func newHashedWriter(w io.Writer) *hashedWriter {
	h := &hashedWriter{to: w, sum: sha256.New(), full: make(chan []byte), free: make(chan usedBlock, 2), done: make(chan struct{})}
	if d, ok := w.(directWriter); ok && d.Direct(true) == nil {
		h.direct = d
	}
	h.block = alignedBlock()
	h.free <- usedBlock{} // a second block is made when there is use for it
	go h.work()
	return h
}

// alignedBlock returns an empty block, at a multiple of atomicfile.BlockSize.
func alignedBlock() []byte {
	b := make([]byte, blockBytes+atomicfile.BlockSize)
	skip := -int(uintptr(unsafe.Pointer(unsafe.SliceData(b)))) & (atomicfile.BlockSize - 1)
	return b[skip:][:0:blockBytes]
}

// work digests and writes full blocks until there are no more. After a failure
// it only hands them back.
func (h *hashedWriter) work() {
	defer close(h.done)
	for block := range h.full {
		if h.err == nil {
			h.sum.Write(block)
			h.err = h.put(block)
		}
		h.free <- usedBlock{block[:0], h.err}
	}
}

// put writes a block. A file system may take the wish to write directly and
// then refuse to do so; then the cache has to do.
func (h *hashedWriter) put(block []byte) error {
	n, err := h.to.Write(block)
	if err != nil && h.direct != nil && errors.Is(err, syscall.EINVAL) && h.direct.Direct(false) == nil {
		h.direct = nil
		_, err = h.to.Write(block[n:])
	}
	return err
}

// Write takes p, of which it keeps a copy. An error may be that of an earlier
// write.
func (h *hashedWriter) Write(p []byte) (int, error) {
	size := len(p)
	for len(p) > 0 {
		n := min(len(p), blockBytes-len(h.block))
		h.block = append(h.block, p[:n]...)
		p = p[n:]
		if len(h.block) < blockBytes {
			break
		}
		h.full <- h.block
		used := <-h.free
		if h.block = used.block; h.block == nil {
			h.block = alignedBlock()
		}
		if used.err != nil {
			return size - len(p), used.err
		}
	}
	h.bytes += int64(size)
	return size, nil
}

// finish writes what is left. After it digest is known.
func (h *hashedWriter) finish() error {
	h.abandon()
	if h.err != nil {
		return h.err
	}
	h.sum.Write(h.block)
	rest := h.block
	if h.direct != nil {
		whole := len(rest) &^ (atomicfile.BlockSize - 1)
		if h.err = h.put(rest[:whole]); h.err != nil {
			return h.err
		}
		rest = rest[whole:]
	}
	if h.direct != nil {
		if h.err = h.direct.Direct(false); h.err != nil {
			return h.err
		}
	}
	if len(rest) > 0 {
		_, h.err = h.to.Write(rest)
	}
	return h.err
}

// abandon ends the goroutine and waits for it.
func (h *hashedWriter) abandon() {
	if !h.ended {
		h.ended = true
		close(h.full)
		<-h.done
	}
}

// Seek returns the position; to go elsewhere is an error.
func (h *hashedWriter) Seek(offset int64, whence int) (int64, error) {
	if offset != 0 || whence != io.SeekCurrent {
		return 0, errors.New("a shard is written from its start to its end")
	}
	return h.bytes, nil
}

// digest returns the SHA-256 of all that was written, in hexadecimal.
func (h *hashedWriter) digest() string { return hex.EncodeToString(h.sum.Sum(nil)) }
