package convert

import (
	"context"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"alexnet/ingest/source"
)

const (
	// aheadReads is how many files of a source that lies across a network are read
	// at the same time: each takes 20 to 50 ms, of which next to none is a
	// processor's. Many workers get readsPerJob each, up to mostReads.
	aheadReads  = 64
	readsPerJob = 4
	mostReads   = 128

	// aheadBytes bounds what they have in memory, read or being read. A file that
	// is larger goes alone.
	aheadBytes = 64 << 20

	// keptBuffer is how large a buffer may be to be used again.
	keptBuffer = 1 << 20
)

// ahead reads the files of tasks before workers get them, where a source is
// remote, so that workers decode and never wait for a network. How far it is
// ahead, the lanes' windows bound; the order in a shard is theirs, too.
type ahead struct {
	job     *job
	bytes   int64
	free    *semaphore.Weighted // of bytes
	buffers chan []byte         // those that are not in use
}

// fetched is the file of a task that was read ahead.
type fetched struct {
	data []byte
	err  error
	held int64 // bytes of ahead's that it takes
}

// startAhead starts the readers, and gives what they read. They end when
// there are no more tasks, and then there is no more to give.
func (j *job) startAhead() <-chan *task {
	reads, bytes := j.cfg.ahead()
	j.ahead = &ahead{job: j, bytes: bytes, free: semaphore.NewWeighted(bytes), buffers: make(chan []byte, reads)}
	ready := make(chan *task, reads)
	var readers sync.WaitGroup
	for range reads {
		readers.Go(func() {
			for t := range j.tasks {
				j.ahead.read(t)
				ready <- t
			}
		})
	}
	go func() { // ends before the job does, which waits for it
		readers.Wait()
		close(ready)
	}()
	return ready
}

// ahead is how many files are read ahead at the same time, and the bytes that
// they may have; 0 where the source is at hand.
func (c *Config) ahead() (reads int, bytes int64) {
	switch {
	case !c.Source.Remote():
		return 0, 0
	case c.aheadReads > 0:
		return c.aheadReads, c.aheadBytes
	}
	return min(max(aheadReads, readsPerJob*c.Jobs), mostReads), aheadBytes
}

// read reads the file of a task, unless the worker will not ask for it.
func (a *ahead) read(t *task) {
	if _, kept := a.job.squares.Load(t.item); kept || t.item.Size > source.MaxImageBytes {
		return
	}
	need := min(t.item.Size, a.bytes)
	if err := a.free.Acquire(t.ctx, need); err != nil {
		t.ahead = &fetched{err: err}
		return
	}
	var buf []byte
	select {
	case buf = <-a.buffers:
	default:
	}
	data, err := a.job.read(t.ctx, t.item, buf)
	t.ahead = &fetched{data, err, need}
}

// done takes back what read gave to a task.
func (a *ahead) done(t *task) {
	f := t.ahead
	if f == nil {
		return
	}
	t.ahead = nil
	a.free.Release(f.held)
	if cap(f.data) > 0 && cap(f.data) <= keptBuffer {
		select {
		case a.buffers <- f.data[:0]:
		default:
		}
	}
}

// read reads a file of the source, into buf if it fits.
func (j *job) read(ctx context.Context, it *source.Item, buf []byte) ([]byte, error) {
	start := time.Now()
	defer func() { j.times.read.Add(int64(time.Since(start))) }()
	return j.cfg.Source.Read(ctx, it, buf)
}
