package records

import (
	"encoding/binary"
	"os"
	"runtime/debug"
)

// KeepWhole says that all of the split is wanted in memory and fits there. What is not
// in memory yet is then read in huge pages, of 2 MiB, where the file system can
// (Linux: ext4, XFS and others): half a dozen rows at a time, of which all will be
// used, and less work for the processor in every epoch, since it has a
// five-hundredth of the addresses to look up: measured, a sixth less time for a crop
// of a row of int16. What is in memory already, in small pages, stays as it is.
//
// WillNeed and Fetch of such a split read huge pages too, and so does WillNeed
// wait for the disk.
//
// A second call does nothing: streams of the same split may come and go.
func (s *Split) KeepWhole() {
	s.wholeOnce.Do(func() {
		for _, sh := range s.shards {
			sh.whole.Store(sh.lost == nil && len(sh.mapping) > 0 && adviseHuge(sh.mapping))
		}
	})
}

// WillNeed asks the system to read rows i to i+n-1 from the disk soon, without
// waiting for it, so that Row will find them in memory. It is a hint, of use
// where rows are read in an order that the system cannot guess, and does
// nothing on systems that have no such call, for rows in an object store (see
// Load) or for rows that do not exist.
//
// Without it, a row in a random order costs a few reads of as much as the
// system reads ahead (of 8 MiB each where that was measured, ten times what was
// wanted), one after the other. Eight rows ahead are enough to keep a fast disk
// busy. For a row that is in memory it costs 2 to 3 us.
func (s *Split) WillNeed(i, n int) { s.advise(i, n, (*shard).willNeed) }

// DontNeed tells the system that rows i to i+n-1 will not be read again soon:
// it may give up its copies of them before others, here and in its cache of
// files. It is a hint like WillNeed. The rows may be read again at any time,
// from the disk; those that were handed out stay valid, but may have to be
// read again when they are touched.
func (s *Split) DontNeed(i, n int) { s.advise(i, n, (*shard).dontNeed) }

// Fetch waits until row i, as it is stored, is in memory. Row does not wait for
// pixels that it returns as they are stored: whoever touches them first waits
// for the disk, and meets its failure as a fault. After Fetch nobody does,
// unless the system drops the row again. A disk that fails is an error that
// wraps *fs.PathError.
//
// Of a row in an object store it does nothing: Load it.
//
// For a row that is in memory it takes some 5 us, as the system's own call for
// it does (MADV_POPULATE_READ), of which the first use of the pixels saves one.
func (s *Split) Fetch(i int) error {
	if err := s.check(i); err != nil {
		return err
	}
	k := s.shardOf(i)
	return s.shards[k].fetch(i - s.starts[k])
}

// advise calls tell for the rows of each shard that has some of rows i to i+n-1.
func (s *Split) advise(i, n int, tell func(sh *shard, from, to int)) {
	if n < 1 || s.check(i) != nil {
		return
	}
	end := i + min(n, s.Len()-i)
	for k := s.shardOf(i); i < end; k++ {
		stop := min(end, s.starts[k+1])
		if sh := s.shards[k]; i < stop && sh.lost == nil && sh.remote == nil {
			tell(sh, i-s.starts[k], stop-s.starts[k])
		}
		i = stop
	}
}

// span is the bytes lo to hi-1 of a shard.
type span struct{ lo, hi int64 }

// padding is how far before the place that their size gives pixels may start:
// Arrow pads a buffer to a multiple of 64 bytes.
const padding = 64

// hugePage is the size of the huge pages of most processors.
const hugePage = 2 << 20

// nearBytes is how far apart two spans are that are not worth a call each.
const nearBytes = 64 << 10

// willNeed gives the hint for rows from to to-1: for all pages that have
// something of them.
func (s *shard) willNeed(from, to int) {
	var lost error // nobody asks a hint whether the disk failed
	defer caught(&lost)
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	page := int64(os.Getpagesize())
	s.spans(from, to, true, func(part span) {
		if s.whole.Load() {
			touchPages(s.mapping[part.lo:part.hi], hugePage)
			return
		}
		adviseWillNeed(s.mapping[part.lo/page*page : part.hi])
	})
}

// dontNeed gives the hint for rows from to to-1: for the pages that have
// nothing else.
func (s *shard) dontNeed(from, to int) {
	var lost error // as above
	defer caught(&lost)
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	page := int64(os.Getpagesize())
	s.spans(from, to, false, func(part span) {
		if lo, hi := (part.lo+page-1)/page*page, part.hi/page*page; lo < hi {
			adviseDontNeed(s.file, s.mapping, span{lo, hi})
		}
	})
}

// spans calls f for the bytes of rows from to to-1, neighbours as one. What
// rows of a batch have in common, its header and all columns but the pixels,
// belongs to each of them if shared is set, else only to all of them.
//
// It reads the footer's list of batches, and no batch: where the pixels are is
// known from their size, as they end the batch. (In a shard where they do not,
// the hints are off, and nothing else.) It reports false, and stops, where the
// list cannot be right.
func (s *shard) spans(from, to int, shared bool, f func(part span)) bool {
	var last span
	add := func(next span) {
		switch {
		case last.hi == 0:
			last = next
		case next.lo < last.lo || next.lo-last.hi > nearBytes:
			f(last)
			last = next
		default:
			last.hi = max(last.hi, next.hi)
		}
	}
	size := int64(s.rowBytes())
	for from < to {
		batch := from / s.spec.rowsPerBatch
		first := batch * s.spec.rowsPerBatch
		rows := min(s.spec.rowsPerBatch, s.rows-first)
		stop := min(to-first, rows)
		whole, ok := s.arrow.place(batch)
		if !ok {
			return false
		}
		pixels := whole.hi - int64(rows)*size
		switch {
		case stop-(from-first) == rows || pixels-padding < whole.lo:
			add(whole)
		case shared:
			add(span{whole.lo, pixels})
			fallthrough
		default:
			add(span{pixels + int64(from-first)*size - padding, pixels + int64(stop)*size})
		}
		from = first + stop
	}
	if last.hi > 0 {
		f(last)
	}
	return true
}

// fetch brings row i, which must be in range, into memory.
func (s *shard) fetch(i int) error {
	switch {
	case s.lost != nil:
		return s.lostRow(i)
	case s.remote != nil:
		return nil
	case s.isCached(i):
		return nil
	}
	if err := s.touchRow(i); err != nil {
		return s.fault(i, "", err)
	}
	return nil
}

// touchRow does the work of fetch.
func (s *shard) touchRow(i int) (err error) {
	defer caught(&err)
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	page := int64(os.Getpagesize())
	if s.spans(i, i+1, true, func(part span) {
		// All of the row is asked for first: a fault alone would read as much
		// around it as the system thinks fit, megabytes perhaps, and all but the
		// row of it in vain.
		if !s.whole.Load() {
			adviseWillNeed(s.mapping[part.lo/page*page : part.hi])
		}
		touchPages(s.mapping[part.lo:part.hi], int(page))
	}) {
		return nil
	}
	_, err = s.arrow.batch(i / s.spec.rowsPerBatch) // says what is wrong with it
	return err
}

// touchPages reads a byte of every page of data, which brings all of them into
// memory. It returns their sum, so that it cannot be left out.
//
//go:noinline
func touchPages(data []byte, page int) (sum byte) { //nolint:unparam // without a result the compiler leaves the reading out
	for i := 0; i < len(data); i += page {
		sum += data[i]
	}
	if len(data) > 0 {
		sum += data[len(data)-1]
	}
	return sum
}

// place returns where batch i is, as the footer says, if that can be.
func (f *arrowFile) place(i int) (span, bool) {
	block := f.blocks[i*blockSize:][:blockSize]
	lo := int64(binary.LittleEndian.Uint64(block))
	meta := int64(int32(binary.LittleEndian.Uint32(block[8:])))
	body := int64(binary.LittleEndian.Uint64(block[16:]))
	end := f.footer
	if lo < 0 || lo > end || meta < 0 || meta > end-lo || body < 0 || body > end-lo-meta {
		return span{}, false
	}
	return span{lo, lo + meta + body}, true
}
