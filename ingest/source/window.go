package source

import (
	"context"
	"errors"
	"io"
	"sync"
)

// A reach says how much a window reads at once.
type reach struct {
	few  int64 // bytes, at first and after a long way
	many int64 // bytes, where what is read lies no further apart than that
	more int   // how many times many is asked for before it is needed
}

// near is for files: a read costs little, and each of its bytes too. far is for
// objects, where a request takes as long as a megabyte. There a tar of pictures
// is read whole, instead of being asked for every header, and a tar of large
// members is not.
var (
	near = reach{few: 4 * blockSize, many: 4 * blockSize} //nolint:gochecknoglobals // read only
	far  = reach{few: 32 * blockSize, many: 1 << 20}      //nolint:gochecknoglobals // read only
	lone = reach{far.few, far.many, 8}                    //nolint:gochecknoglobals // read only
)

// reachOf is the reach for a tar that is scanned while no others are.
func reachOf(r io.ReaderAt) reach {
	if isRemote(r) {
		return lone
	}
	return near
}

// A window is an io.ReadSeeker over an io.ReaderAt, made for headers that lie
// far apart: seeking costs nothing, and reading takes a few blocks at a time, so
// that a member of a tar costs one short read: the end of the last body, which
// archive/tar touches, and the header that follows.
type window struct {
	r          io.ReaderAt
	size       int64
	reach      reach
	pos        int64
	start, end int64 // what buf holds
	buf        []byte

	cancel context.CancelFunc
	asking sync.WaitGroup
	pieces []*piece // that follow buf without a gap
	moves  int      // how often the next piece was the one to be read
}

// A piece is on its way, or there.
type piece struct {
	start int64
	buf   []byte
	err   error
	done  chan struct{}
}

func newWindow(ctx context.Context, r io.ReaderAt, size int64, how reach) *window {
	ctx, cancel := context.WithCancel(ctx)
	return &window{r: reading(ctx, r), size: size, reach: how, cancel: cancel}
}

// close gives up what is on its way.
func (w *window) close() {
	w.cancel()
	w.asking.Wait()
}

// Read copies from the window, after moving it where pos lies outside.
func (w *window) Read(p []byte) (int, error) {
	if w.pos >= w.size {
		return 0, io.EOF
	}
	if w.pos < w.start || w.pos >= w.end {
		if err := w.move(); err != nil {
			return 0, err
		}
	}
	n := copy(p, w.buf[w.pos-w.start:w.end-w.start])
	w.pos += int64(n)
	return n, nil
}

// move makes the window begin at or before pos.
func (w *window) move() error {
	step := w.pos - w.end
	ahead := int64(0) // bytes that the pieces have
	for _, p := range w.pieces {
		ahead += int64(len(p.buf))
	}
	n := w.reach.few
	switch {
	case w.end == 0 && w.size <= w.reach.many:
		n = w.size // all of it
	case w.end > 0 && step >= 0 && step < max(w.reach.many, ahead):
		n = w.reach.many
	default:
		w.pieces, w.moves = nil, 0
	}
	if n > w.reach.few && w.reach.more > 0 {
		return w.next()
	}
	n = min(n, w.size-w.pos)
	if int64(cap(w.buf)) < n {
		w.buf = make([]byte, n)
	}
	w.start, w.end = w.pos, w.pos // of nothing, should it fail
	if err := readFull(w.r, w.buf[:n], w.pos); err != nil {
		return err
	}
	w.end = w.pos + n
	return nil
}

// next takes the piece that pos lies in. The longer it is one after the other,
// the more of those that follow are asked for.
func (w *window) next() error {
	w.moves++
	for {
		last := w.pos
		if n := len(w.pieces); n > 0 {
			last = w.pieces[n-1].start + int64(len(w.pieces[n-1].buf))
		}
		for len(w.pieces) < min(w.moves, w.reach.more) && last < w.size {
			p := &piece{start: last, buf: make([]byte, min(w.reach.many, w.size-last)), done: make(chan struct{})}
			w.pieces = append(w.pieces, p)
			last += int64(len(p.buf))
			w.asking.Go(func() {
				defer close(p.done)
				p.err = readFull(w.r, p.buf, p.start)
			})
		}
		p := w.pieces[0]
		w.pieces = w.pieces[1:]
		<-p.done
		w.start, w.end, w.buf = p.start, p.start, p.buf
		if p.err != nil {
			return p.err
		}
		if w.end += int64(len(p.buf)); w.pos < w.end {
			return nil
		}
	}
}

// readFull fills p.
func readFull(r io.ReaderAt, p []byte, off int64) error {
	n, err := r.ReadAt(p, off)
	switch {
	case n == len(p):
		return nil
	case err == nil || err == io.EOF:
		return io.ErrUnexpectedEOF
	}
	return err
}

// Seek moves pos, also beyond the end, as a file's Seek does.
func (w *window) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += w.pos
	case io.SeekEnd:
		offset += w.size
	}
	if offset < 0 {
		return 0, errors.New("seek to a negative offset")
	}
	w.pos = offset
	return offset, nil
}
