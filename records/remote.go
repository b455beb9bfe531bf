package records

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"sync"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sync/errgroup"

	"alexnet/records/bucket"
)

// remote is how a shard in an object store is read. In memory are its footer and,
// of the batches that were asked for, all but the pixels: the heads of their rows.
// A row costs a request for its pixels, and the first of a batch one for the heads;
// for the first row in a batch they are one. A row that is a batch of its own,
// compressed or large, is read with its head, in one request.
//
// A request takes milliseconds, whatever it is for. So those for rows are for the
// caller to have many of at a time (see Split.Load), and heads that are asked for
// in the order in which they are stored are read ahead.
type remote struct {
	folder        bucket.Folder
	name, version string
	ctx           context.Context // of requests for which the caller has none
	batches       []atomic.Pointer[batchHeads]

	mu      sync.Mutex
	loading map[int]chan struct{} // batches whose heads are being read; closed when they are
	next    int                   // the batch after those that were read ahead last
	group   int                   // how many those were
}

// batchHeads is what is kept in memory of a record batch.
type batchHeads struct {
	keys   string
	rows   []head  // their places: of pixels in the object, of keys in keys
	faults []error // by row: why it cannot be read; nil when all can
}

const (
	// storeRequests is how many requests for heads, or to open shards, there are
	// at a time.
	storeRequests = 64
	// headGuess is how much of the body of a batch of one row is read for its
	// head: all columns but the pixels, unless the key is long.
	headGuess = 1 << 10
	// headBytes is the most that the heads of a batch may take, without their
	// keys: more is damage.
	headBytes = 64 << 10
	// joinedBytes is the most that neighbouring heads are read of at a time.
	joinedBytes = 4 << 20
)

// Loaded is the memory for a row as an object store has it: Split.Load fills it,
// Split.Unpack makes a Row of it. The zero value is ready, and grows to what is
// needed. It is for one goroutine at a time.
type Loaded struct {
	memory []uint64 // 64-bit words, so that everything in it is aligned
	row    int      // of the split
	part   span     // bytes of the object that are in memory; empty for none
	read   int      // bytes that Load has read
}

// Bytes returns how many bytes the last Load has read from the object store.
func (l *Loaded) Bytes() int { return l.read }

// content returns the bytes of the object from lo to hi-1, which must be in memory.
func (l *Loaded) content(want span) []byte {
	all := unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(l.memory))), 8*len(l.memory))
	lo, hi := want.lo-l.part.lo, want.hi-l.part.lo
	return all[lo:hi:hi]
}

// holds says whether a part of the object is in memory.
func (l *Loaded) holds(want span) bool { return l.part.lo <= want.lo && want.hi <= l.part.hi }

// take returns memory for a part of the object, which is to be read there.
func (l *Loaded) take(part span) []byte {
	if words := int((part.hi - part.lo + 7) / 8); words > len(l.memory) {
		l.memory = make([]uint64, words)
	}
	l.part = part
	return l.content(part)
}

// read reads a part of the object.
func (r *remote) read(ctx context.Context, l *Loaded, part span) error {
	return r.readVersion(ctx, l, r.version, part)
}

// readVersion is read of a version.
func (r *remote) readVersion(ctx context.Context, l *Loaded, version string, part span) error {
	if err := r.folder.ReadAt(ctx, r.name, version, l.take(part), part.lo); err != nil {
		l.part = span{}
		return err
	}
	l.read += int(part.hi - part.lo)
	return nil
}

// claim makes the caller the one who reads the heads of batch n, unless somebody
// does; then it returns a channel that is closed when that one is done.
func (r *remote) claim(n int) (wait <-chan struct{}, mine bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if done, ok := r.loading[n]; ok {
		return done, false
	}
	r.loading[n] = make(chan struct{})
	return nil, true
}

// release ends a claim.
func (r *remote) release(n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	close(r.loading[n])
	delete(r.loading, n)
}

// heads returns the heads of batch n. Where they are not in memory it has read
// bring them there, once; several callers wait for the one who does.
func (r *remote) heads(ctx context.Context, n int, read func() error) (*batchHeads, error) {
	for {
		if h := r.batches[n].Load(); h != nil {
			return h, nil
		}
		wait, mine := r.claim(n)
		if !mine {
			select {
			case <-wait:
			case <-ctx.Done():
				return nil, ctx.Err()
			}
			continue
		}
		if r.batches[n].Load() == nil { // or it came before the claim
			if err := read(); err != nil {
				r.release(n)
				return nil, err
			}
		}
		r.release(n)
	}
}

// place returns where batch n is.
func (s *shard) place(n int) (arrowBlock, error) {
	at, err := s.arrow.block(n)
	if err != nil {
		return at, err
	}
	rows := int64(s.rowsOf(n))
	if size := at.end() - at.offset; size > rows*int64(s.rowBytes()+maxKey)+headBytes+rows*64 {
		return at, fmt.Errorf("the footer gives batch %d %d bytes, more than its %d rows can take", n, size, rows)
	}
	return at, nil
}

// headSpan returns where the heads of batch n are, in all likelihood: before the
// pixels, which end the batch.
func (s *shard) headSpan(n int, at arrowBlock) span {
	body := at.bodySize
	if s.spec.rowsPerBatch == 1 {
		body = min(body, headGuess)
	} else {
		body = max(0, body-int64(s.rowsOf(n))*int64(s.rowBytes()))
	}
	return span{at.offset, at.offset + int64(at.metaSize) + body}
}

// keepHeads keeps the heads of batch n, of which l has what headSpan says. Where
// that is not enough it reads more.
func (s *shard) keepHeads(ctx context.Context, n int, at arrowBlock, l *Loaded) (err error) {
	defer caught(&err)
	for {
		part := span{at.offset, min(l.part.hi, at.end())}
		b, err := at.parse(n, l.content(part))
		if err != nil {
			return err
		}
		if err := s.checkBatch(n, &b); err != nil {
			return err
		}
		end := int64(0) // of what is not pixels
		for i := range shardBufs {
			if place, err := b.place(i); err == nil && i != bufPixels {
				end = max(end, place.hi)
			}
		}
		if end <= int64(len(b.body)) {
			s.remote.batches[n].Store(s.headsOf(n, at, b))
			return nil
		}
		l = new(Loaded)
		if err := s.remote.read(ctx, l, span{at.offset, at.offset + int64(at.metaSize) + end}); err != nil {
			return err
		}
	}
}

// headsOf returns the heads of batch n, all of which is in memory but for the
// pixels. The caller must have deferred caught.
func (s *shard) headsOf(n int, at arrowBlock, b arrowBatch) *batchHeads {
	rows, size := s.rowsOf(n), s.rowBytes()
	h := &batchHeads{rows: make([]head, rows)}
	var keys strings.Builder
	for k := range rows {
		r := bufferReader{batch: b}
		row := r.head(k)
		pixels, err := b.place(bufPixels)
		if r.err == nil {
			r.err = err
		}
		if have := pixels.hi - pixels.lo; r.err == nil && b.codec == None && have < int64((k+1)*size) {
			r.err = shortBuffer(bufPixels, int(have), (k+1)*size)
		}
		if r.err != nil {
			if h.faults == nil {
				h.faults = make([]error, rows)
			}
			h.faults[k] = r.err
		}
		h.rows[k] = head{
			pixels: at.offset + int64(at.metaSize) + pixels.lo + int64(k*size), key: int64(keys.Len()), keyBytes: int32(len(row.Key)),
			sourceXXH3: row.SourceXXH3, keyXXH3: row.KeyXXH3, label: row.Label, ilsvrcID: row.ILSVRCID,
			crc32C: row.CRC32C, width: row.Width, height: row.Height,
		}
		keys.WriteString(row.Key)
	}
	h.keys = keys.String()
	return h
}

// row returns row k of the batch without its pixels. When it fails, the row has
// its key if that could be read.
func (h *batchHeads) row(k int) (Row, error) {
	kept := &h.rows[k]
	row := kept.row()
	row.Key = h.keys[kept.key:][:kept.keyBytes]
	if h.damaged(k) {
		return Row{Key: row.Key}, h.faults[k]
	}
	return row, nil
}

// damaged says whether row k cannot be read.
func (h *batchHeads) damaged(k int) bool { return h.faults != nil && h.faults[k] != nil }

// remoteHead returns row i, which must be in range, without its pixels, for those
// who want no pixels.
func (s *shard) remoteHead(i int) (Row, error) {
	n, ctx := i/s.spec.rowsPerBatch, s.remote.ctx
	h, err := s.remote.heads(ctx, n, func() error { return s.readGroup(ctx, n) })
	if err != nil {
		return Row{}, err
	}
	return h.row(i % s.spec.rowsPerBatch)
}

// remoteLabel is readLabel for an object store.
func (s *shard) remoteLabel(i int) (int32, error) {
	row, err := s.remoteHead(i)
	return row.Label, err
}

// remoteKey is readKey for an object store.
func (s *shard) remoteKey(i int) (string, error) {
	row, err := s.remoteHead(i)
	return row.Key, err
}

// claimGroup claims the batches whose heads are to be read with those of batch n,
// which the caller has claimed: none, or, when n is where the last group ended,
// up to twice as many as it had.
func (r *remote) claimGroup(n int) []int {
	r.mu.Lock()
	defer r.mu.Unlock()
	if n == r.next {
		r.group = min(2*r.group, storeRequests)
	} else {
		r.group = 1
	}
	group := []int{n}
	for n++; n < len(r.batches) && len(group) < r.group; n++ {
		if _, busy := r.loading[n]; !busy && r.batches[n].Load() == nil {
			r.loading[n] = make(chan struct{})
			group = append(group, n)
		}
	}
	r.next = n
	return group
}

// headPart is a part of the object with the heads of some batches.
type headPart struct {
	part   span
	list   []int
	places []arrowBlock
}

// readGroup reads the heads of batch n, which the caller has claimed, and perhaps
// of those that follow. Failures of the others are left for those who will want
// them.
func (s *shard) readGroup(ctx context.Context, n int) error {
	group := s.remote.claimGroup(n)
	defer func() {
		for _, k := range group[1:] {
			s.remote.release(k)
		}
	}()
	var parts []*headPart
	for _, k := range group {
		at, err := s.place(k)
		switch {
		case err != nil && k == n:
			return err
		case err != nil:
			continue
		}
		next := s.headSpan(k, at)
		last := len(parts) - 1
		if last < 0 || next.lo < parts[last].part.hi || next.lo-parts[last].part.hi > nearBytes || next.hi-parts[last].part.lo > joinedBytes {
			parts = append(parts, &headPart{part: next})
			last++
		}
		p := parts[last]
		p.part.hi = next.hi
		p.list, p.places = append(p.list, k), append(p.places, at)
	}
	var readers errgroup.Group
	for _, p := range parts[1:] {
		readers.Go(func() error { return s.readHeads(ctx, p) })
	}
	err := s.readHeads(ctx, parts[0])
	_ = readers.Wait() // see above
	return err
}

// readHeads reads a part and keeps its heads. The error is that of the first.
func (s *shard) readHeads(ctx context.Context, p *headPart) (first error) {
	var l Loaded
	if err := s.remote.read(ctx, &l, p.part); err != nil {
		return err
	}
	for k, n := range p.list {
		if err := s.keepHeads(ctx, n, p.places[k], &l); err != nil && k == 0 {
			first = err
		}
	}
	return first
}

// load reads row i as it is stored, unless the cache has it.
func (s *shard) load(ctx context.Context, i int, l *Loaded) error {
	if s.isCached(i) {
		return nil
	}
	n, k := i/s.spec.rowsPerBatch, i%s.spec.rowsPerBatch
	at, err := s.place(n)
	if err != nil {
		return err
	}
	if s.spec.rowsPerBatch == 1 {
		return s.remote.read(ctx, l, span{at.offset, at.end()})
	}
	h, err := s.remote.heads(ctx, n, func() error {
		part := s.headSpan(n, at)
		if k == 0 { // its pixels are next
			part.hi = min(part.hi+int64(s.rowBytes()), at.end())
		}
		if err := s.remote.read(ctx, l, part); err != nil {
			return err
		}
		return s.keepHeads(ctx, n, at, l)
	})
	if err != nil {
		return err
	}
	want := span{h.rows[k].pixels, h.rows[k].pixels + int64(s.rowBytes())}
	if h.damaged(k) || l.holds(want) { // unpack says what the damage is, with the key
		return nil
	}
	return s.remote.read(ctx, l, want)
}

// unpack makes a row of what load has read.
func (s *shard) unpack(i int, l *Loaded, sc *Scratch) (Row, error) {
	if row := s.cachedRow(i); row != nil {
		return *row, nil
	}
	row, err := s.unpackRow(i, l, sc)
	if err != nil {
		return Row{}, s.lose(i, row.Key, sc, err)
	}
	return row, nil
}

// unpackRow does the work of unpack. When it fails, the row has its key if that
// could be read.
func (s *shard) unpackRow(i int, l *Loaded, sc *Scratch) (row Row, err error) {
	defer caught(&err)
	n, k := i/s.spec.rowsPerBatch, i%s.spec.rowsPerBatch
	if s.spec.rowsPerBatch == 1 {
		at, err := s.place(n)
		if err != nil {
			return row, err
		}
		b, err := at.parse(n, l.content(l.part))
		if err != nil {
			return row, err
		}
		if err := s.checkBatch(n, &b); err != nil {
			return row, err
		}
		return s.rowOf(i, 0, b, sc)
	}
	h := s.remote.batches[n].Load()
	if h == nil {
		return row, errNotLoaded
	}
	if row, err = h.row(k); err != nil {
		return row, err
	}
	pixels := l.content(span{h.rows[k].pixels, h.rows[k].pixels + int64(s.rowBytes())})
	if err := checkPixels(pixels, row.CRC32C); err != nil {
		return row, err
	}
	s.setPixels(&row, pixels)
	s.cacheRow(i, row)
	return row, nil
}

var errNotLoaded = errors.New("it was not loaded")

// remoteRow is row for an object store.
func (s *shard) remoteRow(i int, sc *Scratch) (Row, error) {
	if sc == nil {
		sc = new(Scratch)
	}
	sc.held.part, sc.held.read = span{}, 0
	if err := s.load(s.remote.ctx, i, &sc.held); err != nil {
		return Row{}, s.fault(i, "", err)
	}
	return s.unpack(i, &sc.held, sc)
}

// Remote says whether the split lies in an object store. Row waits for its answer
// then: those who want many rows have many goroutines Load them.
func (s *Split) Remote() bool { return s.remote }

// Load reads row i, as it is stored, into l, for Unpack to make a Row of it: with
// one request to the object store, or two for the first row of a record batch, or
// none where the split's Cache has it. Of a row in a file it does what Fetch does.
//
// Unlike Row it needs no memory for decompressing, little of the processor, and
// ends with ctx, so that there can be many at a time. Errors are those of Row; a
// store that has failed for good is a *bucket.Error.
func (s *Split) Load(ctx context.Context, i int, l *Loaded) error {
	l.row, l.part, l.read = i, span{}, 0
	if err := s.check(i); err != nil {
		return err
	}
	k := s.shardOf(i)
	sh := s.shards[k]
	if sh.remote == nil || sh.lost != nil {
		return sh.fetch(i - s.starts[k])
	}
	if err := sh.load(ctx, i-s.starts[k], l); err != nil {
		return sh.fault(i-s.starts[k], "", err)
	}
	return nil
}

// Unpack returns the row that the last Load, which must have succeeded, read into
// l: it verifies its checksum and decompresses it. Its key and pixels are borrowed
// until l or sc is used again or the split closes. For a row in a file it is Row.
func (s *Split) Unpack(l *Loaded, sc *Scratch) (Row, error) {
	if err := s.check(l.row); err != nil {
		return Row{}, err
	}
	k := s.shardOf(l.row)
	sh, i := s.shards[k], l.row-s.starts[k]
	if sh.remote == nil || sh.lost != nil {
		return sh.row(i, sc)
	}
	return sh.unpack(i, l, sc)
}

// storeFault makes an error of the package of what a request to an object store
// gave, or returns nil if cause is something else. An object that is another one
// now is damage, one that is gone a missing file; that a store failed, or the
// context ended, says nothing of the data.
func storeFault(file string, row int, cause error) error {
	var failed *bucket.Error
	ended := errors.Is(cause, context.Canceled) || errors.Is(cause, context.DeadlineExceeded)
	switch {
	case !errors.As(cause, &failed) && !ended:
		return nil
	case errors.Is(cause, bucket.ErrChanged):
		return &CorruptError{File: file, Row: row, Cause: bucket.ErrChanged}
	case errors.Is(cause, fs.ErrNotExist) && row < 0:
		return missing(file, cause)
	case row < 0:
		return fmt.Errorf("%s: %w", file, cause)
	}
	return fmt.Errorf("%s: row %d: %w", file, row, cause)
}
