// Package cache keeps pieces of a store's objects on a disk of this machine, so
// that a second epoch, or another process, does not fetch them again.
//
// It decorates a bucket.Folder: ReadAt of a known version goes through blocks of
// 4 MiB that lie as files in a folder; everything else passes: a whole object, which Open
// gives, is read once, as archives of pictures are. A block belongs to
// one version of one object, so nothing in the cache is ever out of date: a new
// version has other blocks, and the old ones are evicted in time. Since some stores give
// all versions one name, their lengths and times tell them apart, too.
//
// What is evicted is what was not used for longest, but never a block of an object
// that this process reads. Training reads each row once an epoch, in a new order: to
// keep what was used last would throw most blocks away just before they are wanted,
// and fetch megabytes for each row. So blocks are taken in until the folder is full,
// and from then on what is not there is read past the cache, as if there were none: of
// every epoch but the first, the share that costs no request is that of the folder in
// the data.
//
// Nothing here is trusted or needed. A block that is damaged, cut, or of something
// else fails its checksum, is thrown away and fetched again; one that another
// process has evicted is a miss; a disk that is full keeps nothing more. Processes
// may share a folder: each finds the others' blocks, and each evicts.
package cache

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"alexnet/records/bucket"
)

// blockSize is how much is fetched and kept at once. A request to a store takes
// some 20 to 100 ms before its first byte, and a connection brings some 50 MB/s:
// 4 MiB take about as long to bring as to ask for. Smaller blocks would wait more
// than they read; larger ones bring more that nobody asks for (a row has 200 kB)
// where a run does not come to the end of its first epoch.
const blockSize = 4 << 20

// pauseAfterFailure is how long nothing is kept after a write that failed, as on a
// full disk: each try costs a block's writing.
const pauseAfterFailure = 30 * time.Second

// Options says where the blocks lie and how much of them.
type Options struct {
	Dir   string // is made if it does not exist
	Bytes int64  // of all blocks together; at least some blocks' worth

	block int // blockSize but in tests
}

// Stats counts what a Folder has done.
type Stats struct {
	Hits, Misses int64 // reads of blocks that were there, and that were fetched
	Passed       int64 // reads past the cache, because it is full
	Fetched      int64 // bytes that came from the store
	Kept         int64 // bytes in the folder, as far as is known: of all processes, as of the last look
	Evictions    int64 // blocks removed to make room
	Damaged      int64 // blocks thrown away because they failed their checksum
	Failures     int64 // blocks that could not be kept, as on a full disk
}

// Folder is a bucket.Folder with a cache.
type Folder struct {
	bucket.Folder
	block int64
	disk  *store

	ctx    context.Context // of all fetching; ends with Close
	cancel context.CancelFunc
	work   sync.WaitGroup
	pool   sync.Pool // of *[]byte with room for a block

	mu      sync.Mutex
	flights map[key]*flight
	objects map[string]known // those that are read
	stats   Stats
	mute    time.Time // nothing is kept before
}

// known is a version of an object.
type known struct {
	version        string
	size, modified int64 // in bytes and seconds
}

var _ bucket.Folder = (*Folder)(nil)

// New puts a cache before a Folder, which is closed with it. Blocks of earlier
// processes in the folder are found again.
func New(f bucket.Folder, options Options) (*Folder, error) {
	if options.block == 0 {
		options.block = blockSize
	}
	if least := 4 * int64(options.block+footerSize); options.Bytes < least {
		return nil, fmt.Errorf("a cache of %d bytes is too small: 4 blocks are %d bytes", options.Bytes, least)
	}
	disk, err := openStore(options.Dir, options.Bytes)
	if err != nil {
		return nil, err
	}
	c := &Folder{Folder: f, block: int64(options.block), disk: disk, flights: map[key]*flight{}, objects: map[string]known{}}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.pool.New = func() any {
		b := make([]byte, 0, options.block+footerSize)
		return &b
	}
	return c, nil
}

// Stats returns the counts so far.
func (c *Folder) Stats() Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.stats
	s.Kept, s.Evictions = c.disk.counts()
	return s
}

// Close implements bucket.Folder. The blocks stay for the next process.
func (c *Folder) Close() error {
	c.cancel()
	c.work.Wait()
	return c.Folder.Close()
}

// Stat implements bucket.Folder. Who asks is taken for somebody who is about to read.
func (c *Folder) Stat(ctx context.Context, name string) (bucket.Info, error) {
	info, err := c.Folder.Stat(ctx, name)
	if err == nil {
		c.learn(info)
	}
	return info, err
}

// learn remembers what a store says of an object. Its blocks stay from now on, and those
// of what it was before may go.
func (c *Folder) learn(info bucket.Info) known {
	now := known{info.Version, info.Size, info.Modified.Unix()}
	c.mu.Lock()
	before := c.objects[info.Name]
	c.objects[info.Name] = now
	c.mu.Unlock()
	if before != now {
		c.disk.hold(c.blocks(info.Name, before), false)
		c.disk.hold(c.blocks(info.Name, now), true)
	}
	return now
}

// recall returns what is known of a version of an object; it is asked for if that is nothing.
func (c *Folder) recall(ctx context.Context, name, version string) (known, error) {
	c.mu.Lock()
	k := c.objects[name]
	c.mu.Unlock()
	if k.version == version {
		return k, nil
	}
	info, err := c.Folder.Stat(ctx, name)
	if err == nil && info.Version != version {
		err = c.fail(name, bucket.ErrChanged)
	}
	if err != nil {
		return k, err
	}
	return c.learn(info), nil
}

// blocks are the file names of an object's blocks.
func (c *Folder) blocks(name string, of known) []string {
	names := make([]string, (of.size+c.block-1)/c.block)
	for i := range names {
		_, names[i] = makeKey(c.Name(), name, of, c.block, int64(i)).file()
	}
	return names
}

func (c *Folder) fail(name string, err error) error {
	return &bucket.Error{Op: "read", Object: c.Name() + "/" + name, Attempts: 1, Err: err}
}

// ReadAt implements bucket.Folder: with a version, through the cache.
func (c *Folder) ReadAt(ctx context.Context, name, version string, p []byte, off int64) error {
	if len(p) == 0 {
		return ctx.Err()
	}
	if version == "" || off < 0 {
		return c.Folder.ReadAt(ctx, name, version, p, off)
	}
	of, err := c.recall(ctx, name, version)
	if err != nil {
		return err
	}
	for len(p) > 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		index := off / c.block
		at := off - index*c.block
		piece := p[:min(int64(len(p)), c.block-at)]
		if err := c.read(ctx, name, of, index, piece, at); err != nil {
			return err
		}
		p, off = p[len(piece):], off+int64(len(piece))
	}
	return nil
}

// full says that a block could not be kept now, and that nobody is fetching it.
func (c *Folder) full(k key) bool {
	c.mu.Lock()
	alone, muted := c.flights[k] == nil, time.Now().Before(c.mute)
	c.mu.Unlock()
	return alone && (muted || !c.disk.room(c.block+int64(footerSize)))
}

// read fills p with the bytes of a block from at on.
func (c *Folder) read(ctx context.Context, name string, of known, index int64, p []byte, at int64) error {
	k := makeKey(c.Name(), name, of, c.block, index)
	err := c.disk.read(k, p, at, c.block+int64(footerSize), &c.pool)
	switch {
	case err == nil:
		c.count(func(s *Stats) { s.Hits++ })
		return nil
	case errors.Is(err, errDamaged):
		c.count(func(s *Stats) { s.Damaged++ })
	case errors.Is(err, io.ErrUnexpectedEOF):
		return c.fail(name, fmt.Errorf("that is beyond the object's end: %w", err))
	}
	if c.full(k) {
		c.count(func(s *Stats) { s.Passed++; s.Fetched += int64(len(p)) })
		return c.Folder.ReadAt(ctx, name, of.version, p, index*c.block+at)
	}
	f := c.join(k, func(ctx context.Context, b []byte) ([]byte, error) { return c.fetch(ctx, k, name, of, index, b) })
	defer c.leave(k, f)
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-f.done:
	}
	switch {
	case f.err != nil:
		return f.err
	case at+int64(len(p)) > int64(len(f.data)):
		return c.fail(name, fmt.Errorf("that is beyond the object's end: %w", io.ErrUnexpectedEOF))
	}
	copy(p, f.data[at:])
	return nil
}

// fetch brings a block, whose bytes it appends to b, and keeps it.
func (c *Folder) fetch(ctx context.Context, k key, name string, of known, index int64, b []byte) ([]byte, error) {
	off := index * c.block
	if off >= of.size {
		return nil, nil // beyond the end, as the reader finds
	}
	b = b[:min(c.block, of.size-off)]
	if err := c.Folder.ReadAt(ctx, name, of.version, b, off); err != nil {
		return nil, err
	}
	c.mu.Lock()
	c.stats.Misses++
	c.stats.Fetched += int64(len(b))
	c.mu.Unlock()
	if err := c.disk.write(k, b); err != nil && !errors.Is(err, errNoRoom) {
		c.mu.Lock()
		c.stats.Failures++
		c.mute = time.Now().Add(pauseAfterFailure)
		c.mu.Unlock()
	}
	return b, nil
}

func (c *Folder) count(f func(*Stats)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f(&c.stats)
}

// flight is a block that is being fetched, for all who want it.
type flight struct {
	done    chan struct{} // closed when data and err are there
	data    []byte
	err     error
	buffer  *[]byte
	waiters int // who use it, and its fetcher; guarded by Folder.mu
	cancel  context.CancelFunc
}

// join begins to fetch a block, or waits with those who have begun. leave ends it.
func (c *Folder) join(k key, fetch func(context.Context, []byte) ([]byte, error)) *flight {
	c.mu.Lock()
	defer c.mu.Unlock()
	if f := c.flights[k]; f != nil {
		f.waiters++
		return f
	}
	// The context is not a reader's: one who goes away must not fail the others.
	ctx, cancel := context.WithCancel(c.ctx)
	f := &flight{done: make(chan struct{}), waiters: 2, cancel: cancel, buffer: c.pool.Get().(*[]byte)}
	c.flights[k] = f
	c.work.Go(func() {
		defer c.leave(k, f)
		f.data, f.err = fetch(ctx, (*f.buffer)[:0])
		cancel()
		c.mu.Lock()
		if c.flights[k] == f {
			delete(c.flights, k)
		}
		c.mu.Unlock()
		close(f.done)
	})
	return f
}

// leave ends a reader's wait, or the fetcher's work. When only the fetcher is left
// it is told to stop, and whoever comes now begins anew; the last one gives the
// memory back.
func (c *Folder) leave(k key, f *flight) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f.waiters--
	switch f.waiters {
	case 0:
		c.pool.Put(f.buffer)
	case 1:
		f.cancel()
		if c.flights[k] == f {
			delete(c.flights, k)
		}
	}
}
