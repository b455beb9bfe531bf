package pipeline

import (
	"sync"
	"sync/atomic"
	"time"
)

// Stats says what a stream has done and where its time went, since Open. To see
// an epoch or a minute, subtract an earlier one.
//
// Together they tell which side is slow: ConsumerWait grows when the records
// come too slowly, BufferWait when the consumer does.
type Stats struct {
	// Elapsed is the time from Open to now, or until the stream had ended and
	// the last batch was released.
	Elapsed time.Duration
	// ConsumerWait is the time that the consumer spent waiting for a batch. It
	// is measured by Next; for a consumer that receives from Batches itself it
	// is the time during which it held no batch and none was ready, which is
	// the same unless it holds one batch while it waits for another.
	ConsumerWait time.Duration
	// BufferWait is the time during which no more records could be assigned
	// because all buffers of the ring were full or held.
	BufferWait time.Duration
	// Read and Augment are the times that the workers, all together, spent
	// reading (and decompressing) records and making images of them.
	Read, Augment time.Duration
	// Records, Images and Bytes count what the workers have made: Bytes those
	// of the float32 images.
	Records, Images, Bytes int64
	// Batches and Delivered count the batches that the consumer was given and
	// the records in them.
	Batches, Delivered int64
	// Held is the number of batches that the consumer holds at this moment.
	Held int64
	// DoubleReleases counts calls of Release on batches that had been released.
	DoubleReleases int64
	// Workers and Depth are those that the pipeline runs with.
	Workers, Depth int
}

// Busy is the time that the workers, all together, spent working.
func (s Stats) Busy() time.Duration { return s.Read + s.Augment }

// WaitShare is the share of the elapsed time that the consumer spent waiting
// for data: from 0, never, to 1, always.
func (s Stats) WaitShare() float64 {
	if s.Elapsed <= 0 {
		return 0
	}
	return min(1, float64(s.ConsumerWait)/float64(s.Elapsed))
}

// Sub returns what happened between an earlier Stats of the same pipeline and
// s. Held, Workers and Depth are those of s.
func (s Stats) Sub(earlier Stats) Stats {
	s.Elapsed -= earlier.Elapsed
	s.ConsumerWait -= earlier.ConsumerWait
	s.BufferWait -= earlier.BufferWait
	s.Read -= earlier.Read
	s.Augment -= earlier.Augment
	s.Records -= earlier.Records
	s.Images -= earlier.Images
	s.Bytes -= earlier.Bytes
	s.Batches -= earlier.Batches
	s.Delivered -= earlier.Delivered
	s.DoubleReleases -= earlier.DoubleReleases
	return s
}

// Stats returns the counts and times so far.
func (p *Pipeline) Stats() Stats {
	s := p.meter.stats()
	s.Workers, s.Depth = p.o.Workers, p.o.Depth
	return s
}

// meter collects Stats.
type meter struct {
	bufferWait, read, augment, records, images, bytes, doubleReleases atomic.Int64

	mu             sync.Mutex
	began, ended   time.Time
	batches, taken int64
	held           int64
	// out counts the batches that are held or ready to be taken. While it is 0
	// a consumer has nothing to do, since idle.
	out       int64
	idle      time.Time
	idled     time.Duration
	next      bool          // Next has been called
	nextWaits time.Duration // time spent in it
}

// start begins the measurement.
func (m *meter) start() {
	m.began = time.Now()
	m.idle = m.began
}

// end stops the clock, at the latest Release if one is to come.
func (m *meter) end() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.ended = time.Now()
}

// worked adds one record's work.
func (m *meter) worked(read, augment time.Duration, images, bytes int) {
	m.read.Add(int64(read))
	m.augment.Add(int64(augment))
	m.records.Add(1)
	m.images.Add(int64(images))
	m.bytes.Add(int64(bytes))
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
func (m *meter) delivered(n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.held++
	m.batches++
	m.taken += int64(n)
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

// asked notes that Next waited.
func (m *meter) asked(d time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.next = true
	m.nextWaits += d
}

// stats reads the meter.
func (m *meter) stats() Stats {
	s := Stats{
		BufferWait:     time.Duration(m.bufferWait.Load()),
		Read:           time.Duration(m.read.Load()),
		Augment:        time.Duration(m.augment.Load()),
		Records:        m.records.Load(),
		Images:         m.images.Load(),
		Bytes:          m.bytes.Load(),
		DoubleReleases: m.doubleReleases.Load(),
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	end := m.ended
	if end.IsZero() {
		end = time.Now()
	}
	s.Elapsed = end.Sub(m.began)
	s.ConsumerWait = m.idled
	if m.next {
		s.ConsumerWait = m.nextWaits
	}
	s.Batches, s.Delivered = m.batches, m.taken
	// A consumer may release a batch before its delivery has been noted.
	s.Held = max(0, m.held)
	return s
}
