package records

import (
	"sync"
	"sync/atomic"
	"unsafe"

	"github.com/edsrzf/mmap-go"
)

// Cache keeps rows in memory, up to a budget: decompressed rows of compressed
// shards, and rows of shards in an object store.
// Splits that are to use it are told with Split.UseCache. It is safe for
// concurrent use.
//
// In training each row is read once an epoch, in an order that is new in each.
// To keep what was used last is of little use there: room for half of the rows
// would give 15 % of them (a share a of the rows missing: 1 - a + a ln a). So
// rows are taken in until the budget is used up, and then kept: in every epoch
// but the first, the share that comes from the cache is budget / size of the
// decompressed rows.
//
// The rows are in memory of the system's, not on Go's heap, so that the garbage
// collector neither counts nor doubles them. It is given back when the last
// split that uses the cache is closed.
type Cache struct {
	budget       int64
	hits, misses atomic.Int64
	rows         atomic.Int64
	held         atomic.Int64 // bytes of slabs
	full         atomic.Bool

	mu    sync.Mutex
	users int
	slabs []mmap.MMap
	free  []byte // what is left of the last slab
}

// slabBytes is how much memory a cache asks of the system at a time.
const slabBytes = 16 << 20

// NewCache returns an empty cache that uses at most budget bytes of memory for
// rows. (What finds them takes some 150 bytes a row of the splits besides.)
// With too small a budget for a row it keeps nothing.
func NewCache(budget int64) *Cache { return &Cache{budget: budget} }

// CacheStats is what a Cache has done and has.
type CacheStats struct {
	// Hits counts the rows that came from the cache, Misses those of compressed
	// or remote shards that did not.
	Hits, Misses int64
	// Rows is the number of rows kept, Bytes the memory that they are in.
	// Bytes never exceeds Budget.
	Rows, Bytes, Budget int64
}

// Stats returns the counts so far. Those of different kinds may be of slightly
// different moments while rows are being read.
func (c *Cache) Stats() CacheStats {
	return CacheStats{
		Hits: c.hits.Load(), Misses: c.misses.Load(),
		Rows: c.rows.Load(), Bytes: c.held.Load(), Budget: c.budget,
	}
}

// UseCache makes the split take rows of compressed and of remote shards from the
// cache, and put them there; rows of others it leaves to the system's cache of
// files. A row from the cache costs no request, no decompression and no checksum,
// needs no Scratch, and is valid until the split is closed.
//
// Several splits may share a cache. A split keeps the first that it is given,
// which UseCache returns; rows that were read before come into it when they are read
// again.
func (s *Split) UseCache(c *Cache) *Cache {
	s.cacheOnce.Do(func() { s.useCache(c) })
	return s.cache
}

// useCache does the work of UseCache, once.
func (s *Split) useCache(c *Cache) {
	s.cache = c
	c.mu.Lock()
	c.users++
	c.mu.Unlock()
	for _, sh := range s.shards {
		if sh.packed || sh.remote != nil {
			sh.cached.Store(&shardCache{cache: c, rows: make([]atomic.Pointer[Row], sh.rows), claimed: make([]atomic.Uint64, (sh.rows+63)/64)})
		}
	}
}

// release ends a split's use of the cache. With the last of them all memory
// goes back to the system, and the cache is empty again.
func (c *Cache) release() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.users--; c.users > 0 {
		return nil
	}
	var first error
	for _, slab := range c.slabs {
		if err := slab.Unmap(); err != nil && first == nil {
			first = err
		}
	}
	c.slabs, c.free = nil, nil
	c.held.Store(0)
	c.rows.Store(0)
	c.full.Store(false)
	return first
}

// take returns n bytes of memory, aligned to 64, or nil when the budget is used
// up or the system has no more.
func (c *Cache) take(n int) []byte {
	if c.full.Load() {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	n = (n + 63) &^ 63
	if n > len(c.free) {
		size := min(max(slabBytes, int64(n)), c.budget-c.held.Load())
		if size < int64(n) {
			c.full.Store(true)
			return nil
		}
		slab, err := mmap.MapRegion(nil, int(size), mmap.COPY, mmap.ANON, 0) // private
		if err != nil {
			c.full.Store(true) // a cache can do without
			return nil
		}
		_ = adviseHuge(slab) // only a hint
		c.slabs = append(c.slabs, slab)
		c.held.Add(size)
		c.free = slab
	}
	at := c.free[:n:n]
	c.free = c.free[n:]
	return at
}

// shardCache is what a Cache has of a shard.
type shardCache struct {
	cache   *Cache
	rows    []atomic.Pointer[Row]
	claimed []atomic.Uint64 // bit i: somebody has put row i there, or tried
}

// cachedRow returns row i out of the cache, nil where it is not there.
func (s *shard) cachedRow(i int) *Row {
	if sc := s.cached.Load(); sc != nil {
		return sc.get(i)
	}
	return nil
}

// isCached says whether row i is in the cache, and counts nothing.
func (s *shard) isCached(i int) bool {
	sc := s.cached.Load()
	return sc != nil && sc.rows[i].Load() != nil
}

// cacheRow puts row i, which is whole, into the cache, if there is one.
func (s *shard) cacheRow(i int, row Row) {
	if sc := s.cached.Load(); sc != nil {
		sc.put(i, row)
	}
}

// get returns row i, or nil.
func (sc *shardCache) get(i int) *Row {
	row := sc.rows[i].Load()
	if row != nil {
		sc.cache.hits.Add(1)
	} else {
		sc.cache.misses.Add(1)
	}
	return row
}

// put copies row i, which is whole, into the cache if there is room for it.
func (sc *shardCache) put(i int, row Row) {
	if sc.cache.full.Load() {
		return
	}
	if bit := uint64(1) << (i % 64); sc.claimed[i/64].Or(bit)&bit != 0 {
		return
	}
	pixels := row.U8
	if row.I16 != nil {
		pixels = unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(row.I16))), 2*len(row.I16))
	}
	// The key is copied, too: it may be in a Scratch, or on a page of the file
	// that would have to be read again.
	at := sc.cache.take(len(pixels) + len(row.Key))
	if at == nil {
		return
	}
	n := copy(at, pixels)
	copy(at[n:], row.Key)
	kept := row
	kept.Key = unsafe.String(unsafe.SliceData(at[n:]), len(row.Key))
	if row.I16 != nil {
		kept.I16 = unsafe.Slice((*int16)(unsafe.Pointer(unsafe.SliceData(at))), len(row.I16))
	} else {
		kept.U8 = at[:n:n]
	}
	sc.cache.rows.Add(1)
	sc.rows[i].Store(&kept)
}
