package pipeline

import (
	"sync"
	"sync/atomic"
	"time"
)

// Stats says what a stream has done and where its time went, since Open. To see
// an epoch or a minute, subtract an earlier one. Pipeline.Diagnose says what
// follows from it.
type Stats struct {
	// Elapsed is the time from Open to now, or until the stream had ended and
	// its last batch was released.
	Elapsed time.Duration
	// ConsumerWait is the time that the consumer spent waiting for a batch. It
	// is measured by Next; for a consumer that receives from Batches itself it
	// is the time during which it held no batch and none was ready, which is
	// the same unless it holds one batch while it waits for another.
	ConsumerWait time.Duration
	// Order is the time that the feeder spent drawing orders, BufferWait that
	// during which it could assign no more records because all buffers of the
	// ring were full or held.
	Order, BufferWait time.Duration
	// Fetch, Read and Augment are the times that the workers, all together,
	// spent waiting for records to be in memory (from a disk or an object store),
	// reading them (checksums,
	// decompression), and making images of them.
	Fetch, Read, Augment time.Duration
	// Records, Images, Bytes and StoredBytes count what the workers have made:
	// Bytes those of the images, StoredBytes those of the records' pixels,
	// decompressed.
	Records, Images, Bytes, StoredBytes int64
	// DiskBytes counts what the whole process has had read from disks, where the
	// system tells (Linux), page cache not included.
	DiskBytes int64
	// Asked counts the records that the system was asked to read ahead.
	Asked int64
	// Loaded counts the records that were loaded from an object store, or from the
	// cache in its place, StoreBytes what the store was asked for them.
	Loaded, StoreBytes int64
	// CacheHits and CacheMisses count the records that came, and did not come,
	// from the cache of decompressed rows, since it was made: an earlier stream
	// of the same split may have used it.
	CacheHits, CacheMisses int64
	// Batches and Delivered count the batches that the consumer was given and
	// the records in them, Skipped those of the records that could not be read
	// and were skipped. ReadySum adds up how many were ready each time that
	// one was given, itself included.
	Batches, Delivered, Skipped, ReadySum int64
	// DoubleReleases counts calls of Release on batches that had been released.
	DoubleReleases int64
	// Held is the number of batches that the consumer holds at this moment,
	// Ready that of those waiting for it, Queued that of runs of records waiting
	// for a worker, Ahead how many batches beyond the ring are read ahead.
	Held, Ready, Queued, Ahead int64
	// Workers and Depth are those that the pipeline runs with, Requests how many
	// records it asks an object store for at a time (0 for records in files),
	// CacheBytes the memory that the cache has taken.
	Workers, Depth, Requests int
	CacheBytes               int64
}

// Busy is the time that the workers, all together, spent on records.
func (s Stats) Busy() time.Duration { return s.Fetch + s.Read + s.Augment }

// WaitShare is the share of the elapsed time that the consumer spent waiting
// for data: from 0, never, to 1, always.
func (s Stats) WaitShare() float64 { return shareOf(s.ConsumerWait, s.Elapsed) }

// shareOf returns the part that d is of all, from 0 to 1.
func shareOf(d, all time.Duration) float64 {
	if all <= 0 {
		return 0
	}
	return max(0, min(1, float64(d)/float64(all)))
}

// Sub returns what happened between an earlier Stats of the same pipeline and
// s. What is of a moment, Held and what follows it, is that of s.
func (s Stats) Sub(earlier Stats) Stats {
	s.Elapsed -= earlier.Elapsed
	s.ConsumerWait -= earlier.ConsumerWait
	s.Order -= earlier.Order
	s.BufferWait -= earlier.BufferWait
	s.Fetch -= earlier.Fetch
	s.Read -= earlier.Read
	s.Augment -= earlier.Augment
	s.Records -= earlier.Records
	s.Images -= earlier.Images
	s.Bytes -= earlier.Bytes
	s.StoredBytes -= earlier.StoredBytes
	s.DiskBytes -= earlier.DiskBytes
	s.Skipped -= earlier.Skipped
	s.Asked -= earlier.Asked
	s.Loaded -= earlier.Loaded
	s.StoreBytes -= earlier.StoreBytes
	s.CacheHits -= earlier.CacheHits
	s.CacheMisses -= earlier.CacheMisses
	s.Batches -= earlier.Batches
	s.Delivered -= earlier.Delivered
	s.ReadySum -= earlier.ReadySum
	s.DoubleReleases -= earlier.DoubleReleases
	return s
}

// Stats returns the counts and times so far.
func (p *Pipeline) Stats() Stats {
	s := p.meter.stats()
	s.Workers, s.Depth = p.o.Workers, p.o.Depth
	s.Queued, s.Ready = int64(len(p.tasks)), max(0, p.meter.filled.Load())
	s.Ahead, s.Asked = p.ahead.batches.Load(), p.ahead.asked.Load()
	if p.loads != nil {
		s.Requests, s.Loaded, s.StoreBytes = p.o.Requests, p.loads.rows.Load(), p.loads.bytes.Load()
	}
	if p.cache != nil {
		c := p.cache.Stats()
		s.CacheHits, s.CacheMisses, s.CacheBytes = c.Hits, c.Misses, c.Bytes
	}
	return s
}

// meter collects Stats.
type meter struct {
	order, bufferWait, fetch, read, augment atomic.Int64
	records, images, bytes, storedBytes     atomic.Int64
	doubleReleases                          atomic.Int64
	// filled counts the batches that are complete and not yet delivered.
	filled atomic.Int64

	mu              sync.Mutex
	began, ended    time.Time
	batches, taken  int64
	readySum, held  int64
	skipped         int64
	disks           *diskCounter
	disk, diskBegan int64   // bytes read by the process: last known, at the start
	diskPeak        float64 // bytes a second
	// out counts the batches that are held or ready to be taken. While it is 0
	// a consumer has nothing to do, since idle.
	out       int64
	idle      time.Time
	idled     time.Duration
	next      bool          // Next has been called
	nextWaits time.Duration // time spent in it
	waiting   int           // calls of it that have not returned
	changed   time.Time     // when waiting last changed
}

// start begins the measurement.
func (m *meter) start() {
	m.began = time.Now()
	m.idle = m.began
	m.disks = openDiskCounter()
	m.diskBegan = m.disks.bytes()
	m.disk = m.diskBegan
}

// end stops the clock, at the latest Release if one is to come.
func (m *meter) end() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.ended = time.Now()
	m.disk = m.disks.bytes()
	m.disks.close()
}

// worked adds what a worker has done: records of so many images of so many
// bytes, and of so many stored bytes.
func (m *meter) worked(t tally, views, image, stored int) {
	m.fetch.Add(int64(t.fetch))
	m.read.Add(int64(t.read))
	m.augment.Add(int64(t.augment))
	m.records.Add(int64(t.records))
	m.images.Add(int64(t.records * views))
	m.bytes.Add(int64(t.records * views * image))
	m.storedBytes.Add(int64(t.records * stored))
}

// ready notes that a batch can be taken.
func (m *meter) ready() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.out == 0 {
		m.idled += time.Since(m.idle)
	}
	m.out++
}

// delivered notes that a batch of n records has been taken.
func (m *meter) delivered(n, skipped int) {
	ready := max(1, m.filled.Add(-1)+1)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.held++
	m.batches++
	m.taken += int64(n)
	m.skipped += int64(skipped)
	m.readySum += ready
}

// released notes that the consumer is done with a batch.
func (m *meter) released() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.held--
	m.out--
	if m.out == 0 {
		m.idle = time.Now()
	}
	if !m.ended.IsZero() {
		m.ended = time.Now()
	}
}

// asking notes that Next is waiting.
func (m *meter) asking() { m.asks(1) }

// asked notes that it has returned.
func (m *meter) asked() { m.asks(-1) }

// asks changes the number of calls of Next that wait.
func (m *meter) asks(change int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	m.nextWaits += time.Duration(m.waiting) * now.Sub(m.changed)
	m.changed = now
	m.waiting += change
	m.next = true
}

// stats reads the meter.
func (m *meter) stats() Stats {
	s := Stats{
		Order:          time.Duration(m.order.Load()),
		BufferWait:     time.Duration(m.bufferWait.Load()),
		Fetch:          time.Duration(m.fetch.Load()),
		Read:           time.Duration(m.read.Load()),
		Augment:        time.Duration(m.augment.Load()),
		Records:        m.records.Load(),
		Images:         m.images.Load(),
		Bytes:          m.bytes.Load(),
		StoredBytes:    m.storedBytes.Load(),
		DoubleReleases: m.doubleReleases.Load(),
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	end := m.ended
	if end.IsZero() || m.held > 0 {
		end = now
	}
	if m.ended.IsZero() {
		m.disk = m.disks.bytes()
	}
	s.DiskBytes = m.disk - m.diskBegan
	s.Elapsed = end.Sub(m.began)
	switch {
	case m.next:
		s.ConsumerWait = m.nextWaits + time.Duration(m.waiting)*now.Sub(m.changed)
	case m.out == 0 && m.ended.IsZero():
		s.ConsumerWait = m.idled + now.Sub(m.idle)
	default:
		s.ConsumerWait = m.idled
	}
	s.Batches, s.Delivered, s.Skipped, s.ReadySum = m.batches, m.taken, m.skipped, m.readySum
	s.Held = m.held
	return s
}

// peak returns the highest rate of reading from disks that it was told of, in
// bytes a second. Of times too short to measure a rate it keeps nothing.
func (m *meter) peak(s Stats) float64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	if s.Elapsed <= 0 {
		return m.diskPeak
	}
	rate := float64(s.DiskBytes) / s.Elapsed.Seconds()
	if s.Elapsed >= minRateTime {
		m.diskPeak = max(m.diskPeak, rate)
	}
	return max(m.diskPeak, rate)
}

// minRateTime is the shortest time that a disk's rate is measured over.
const minRateTime = 100 * time.Millisecond
