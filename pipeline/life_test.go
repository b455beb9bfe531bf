package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"alexnet/records"
)

// TestCloseAtAnyMoment closes streams of all kinds after a random number of
// batches, with some held and a goroutine still receiving.
func TestCloseAtAnyMoment(t *testing.T) {
	ds, split := open(t, usual.write(t))
	random := rand.New(rand.NewPCG(1, 2))
	for round := range 150 {
		var memory counter
		p, err := OpenSplit(t.Context(), ds, split, Options{
			Batch: 1 + random.IntN(10), Crop: 9, Train: true, Color: &testColor, Epochs: 1 + random.IntN(4),
			Workers: 1 + random.IntN(5), Depth: 2 + random.IntN(4), Allocator: &memory,
		})
		if err != nil {
			t.Fatal(err)
		}
		var held []Batch
		var receiver sync.WaitGroup
		take, spins := random.IntN(20), random.IntN(50)
		receiver.Go(func() {
			for range take {
				b, ok := p.Next(t.Context())
				if !ok {
					return
				}
				if len(held) < 1 {
					held = append(held, b)
				} else {
					b.Release()
				}
			}
		})
		if round%2 == 0 {
			receiver.Wait()
		}
		for range spins {
			runtime.Gosched()
		}
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
		receiver.Wait()
		if err := p.Err(); err != nil && !errors.Is(err, ErrClosed) {
			t.Fatal(err)
		}
		for _, b := range held {
			// Held batches outlive the stream.
			if remember(&b).labels != fmt.Sprint(labelsOf(b.Indices)) {
				t.Errorf("round %d: a held batch changed", round)
			}
			b.Release()
		}
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
		memory.assertFreed(t)
	}
}

func labelsOf(indices []int64) (labels []int32) {
	for _, i := range indices {
		labels = append(labels, usual.label(int(i)))
	}
	return labels
}

// TestNobodyReceives closes, and only closes.
func TestNobodyReceives(t *testing.T) {
	ds, split := open(t, usual.write(t))
	var memory counter
	p, err := OpenSplit(t.Context(), ds, split, Options{Batch: 8, Crop: 9, Allocator: &memory})
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	}
	if !errors.Is(p.Err(), ErrClosed) {
		t.Errorf("Err is %v, want ErrClosed", p.Err())
	}
	if b, ok := <-p.Batches(); ok {
		t.Errorf("batch %d after Close", b.Step)
	}
	memory.assertFreed(t)
}

// TestEndWithoutClose wants everything gone when the last batch has been
// released, though Close was never called; and no error from a late Close.
func TestEndWithoutClose(t *testing.T) {
	ds, split := open(t, usual.write(t))
	synctest.Test(t, func(t *testing.T) {
		var memory counter
		p, err := OpenSplit(t.Context(), ds, split, Options{Batch: 8, Crop: 9, Allocator: &memory})
		if err != nil {
			t.Fatal(err)
		}
		for b := range p.Batches() {
			b.Release()
		}
		synctest.Wait()
		memory.assertFreed(t)
		if err := p.Close(); err != nil {
			t.Error(err)
		}
		if err := p.Err(); err != nil {
			t.Errorf("Err after a whole stream: %v", err)
		}
		none, ok := p.Next(t.Context())
		if none.Release(); ok {
			t.Error("a batch after the last")
		}
	})
}

func TestCancel(t *testing.T) {
	ds, split := open(t, usual.write(t))
	reason := errors.New("interrupted by the user")
	tests := []struct {
		name   string
		cancel func(context.CancelCauseFunc)
		is     error
		want   string
	}{
		{"plain", func(c context.CancelCauseFunc) { c(nil) }, context.Canceled, "pipeline: stopped: context canceled"},
		{"cause", func(c context.CancelCauseFunc) { c(reason) }, reason, "pipeline: stopped: interrupted by the user"},
	}
	for _, tt := range tests {
		for take := range 8 {
			ctx, cancel := context.WithCancelCause(t.Context())
			var memory counter
			p, err := OpenSplit(ctx, ds, split, Options{Batch: 8, Crop: 9, Train: true, Epochs: 3, Allocator: &memory})
			if err != nil {
				t.Fatal(err)
			}
			for range take {
				b, ok := p.Next(t.Context())
				if !ok {
					t.Fatalf("%s: ended early: %v", tt.name, p.Err())
				}
				b.Release()
			}
			tt.cancel(cancel)
			rest := 0
			for b := range p.Batches() { // must end
				b.Release()
				rest++
			}
			if rest > 1+15-take {
				t.Errorf("%s: %d batches after cancellation", tt.name, rest)
			}
			if err := p.Err(); take+rest < 15 && (!errors.Is(err, tt.is) || err.Error() != tt.want) {
				t.Errorf("%s: Err is %v, want %q", tt.name, err, tt.want)
			}
			if err := p.Close(); err != nil {
				t.Error(err)
			}
			memory.assertFreed(t)
		}
	}
}

// TestSlowConsumerIsBounded stops receiving and waits until every goroutine of
// the stream is blocked: by then exactly the ring has been filled.
func TestSlowConsumerIsBounded(t *testing.T) {
	ds, split := open(t, usual.write(t))
	synctest.Test(t, func(t *testing.T) {
		var memory counter
		p, err := OpenSplit(t.Context(), ds, split, Options{Batch: 4, Crop: 9, Train: true, Epochs: 10, Workers: 3, Depth: 3, Allocator: &memory})
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		synctest.Wait()
		if got := p.Stats().Records; got != 3*4 {
			t.Errorf("%d records prepared for a consumer that takes none, want the ring's 12", got)
		}
		var held []Batch
		for range 3 {
			b, _ := p.Next(t.Context())
			held = append(held, b)
		}
		synctest.Wait()
		if s := p.Stats(); s.Records != 12 || s.Held != 3 || s.Batches != 3 || s.Delivered != 12 {
			t.Errorf("with all buffers held: %+v, want 12 records, 3 batches held", s)
		}
		held[1].Release() // in any order
		synctest.Wait()
		if got := p.Stats().Records; got != 16 {
			t.Errorf("%d records after one release, want 16", got)
		}
		held[0].Release()
		held[2].Release()
		if memory.peak != 3*4*3*9*9*4 {
			t.Errorf("%d bytes at the peak, want %d", memory.peak, 3*4*3*9*9*4)
		}
	})
}

// TestNoStallBetweenEpochs wants the ring full of the next epoch's batches
// while the last of an epoch is still held.
func TestNoStallBetweenEpochs(t *testing.T) {
	ds, split := open(t, usual.write(t))
	synctest.Test(t, func(t *testing.T) {
		p, err := OpenSplit(t.Context(), ds, split, Options{Batch: 8, Crop: 9, Train: true, Epochs: 2, Workers: 2, Depth: 3})
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		for range p.StepsPerEpoch() - 1 {
			b, _ := p.Next(t.Context())
			b.Release()
		}
		last, _ := p.Next(t.Context())
		synctest.Wait()
		if got, want := p.Stats().Records, int64(37+2*8); got != want {
			t.Errorf("%d records prepared while the epoch's last batch is held, want %d: two batches of the next epoch", got, want)
		}
		last.Release()
		if b, ok := p.Next(t.Context()); !ok || b.Epoch != 1 || b.Step != 0 {
			t.Errorf("next batch: %v, %t", b, ok)
		} else {
			b.Release()
		}
	})
}

// TestSeveralConsumers lets four goroutines receive from one stream.
func TestSeveralConsumers(t *testing.T) {
	dir := usual.write(t)
	ds, split := open(t, dir)
	var memory counter
	o := Options{Batch: 4, Crop: 9, Seed: 3, Train: true, Color: &testColor, Epochs: 3, Workers: 2, Depth: 6, Allocator: &memory}
	p, err := OpenSplit(t.Context(), ds, split, o)
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var all []seen
	var consumers sync.WaitGroup
	for range 4 {
		consumers.Go(func() {
			for b := range p.Batches() {
				s := remember(&b)
				b.Release()
				mu.Lock()
				all = append(all, s)
				mu.Unlock()
			}
		})
	}
	consumers.Wait()
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	memory.assertFreed(t)
	slices.SortFunc(all, func(a, b seen) int { return (a.epoch-b.epoch)*1000 + a.step - b.step })
	assertSame(t, all, usual.expect(o))
}

// TestDoubleRelease wants a second Release to do nothing, even when the buffer
// is in use again.
func TestDoubleRelease(t *testing.T) {
	ds, split := open(t, usual.write(t))
	var memory counter
	p, err := OpenSplit(t.Context(), ds, split, Options{Batch: 8, Crop: 9, Train: true, Epochs: 3, Depth: 1, Allocator: &memory})
	if err != nil {
		t.Fatal(err)
	}
	var stale []Batch // one at most
	var all []seen
	for b := range p.Batches() {
		for i := range stale {
			stale[i].Release()
		}
		all = append(all, remember(&b))
		copied := b
		b.Release()
		b.Release()
		if b.Images != nil || b.Bytes != nil || b.Labels != nil || b.Indices != nil || b.Params != nil {
			t.Error("a released batch still has its memory")
		}
		stale = []Batch{copied}
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	stale[0].Release()
	memory.assertFreed(t)
	assertSame(t, all, usual.expect(Options{Batch: 8, Crop: 9, Train: true, Epochs: 3}))
	if got := p.Stats().DoubleReleases; got != 15+14+1 {
		t.Errorf("%d double releases counted, want 30", got)
	}
}

func TestAllocatorFails(t *testing.T) {
	ds, split := open(t, usual.write(t))
	for at := 1; at <= 3; at++ {
		for _, short := range []bool{false, true} {
			memory := counter{failAt: at, short: short}
			_, err := OpenSplit(t.Context(), ds, split, Options{Batch: 8, Crop: 9, Depth: 3, Allocator: &memory})
			want := "no memory left for 7776 bytes"
			if short {
				want = "the allocator gave 7775 bytes"
			}
			want = fmt.Sprintf("pipeline: batch buffer %d of 3, 7776 bytes: %s (a smaller Batch or Depth needs less)", at, want)
			if err == nil || err.Error() != want {
				t.Errorf("got %v, want %q", err, want)
			}
			memory.assertFreed(t)
		}
	}
}

func TestFreeFails(t *testing.T) {
	ds, split := open(t, usual.write(t))
	memory := counter{freeErr: errors.New("device lost")}
	p, err := OpenSplit(t.Context(), ds, split, Options{Batch: 8, Crop: 9, Depth: 2, Allocator: &memory})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		err := p.Close()
		if !errors.Is(err, memory.freeErr) || err.Error() != "pipeline: freeing batch buffers: device lost\ndevice lost" {
			t.Errorf("Close: %v", err)
		}
	}
}

// TestCorruptRecord flips bytes in two pictures and wants the batches before
// them, and then the error of the one that comes first, for any number of
// workers.
func TestCorruptRecord(t *testing.T) {
	dir := usual.write(t)
	o := Options{Batch: 8, Crop: 9, Seed: 11, Train: true, Epochs: 2}
	order := Order(o.Seed, 0, usual.rows)
	// Slots 3 and 6 of step 2.
	first, second := int(order[2*8+3]), int(order[2*8+6])
	corrupt(t, dir, first)
	corrupt(t, dir, second)
	for _, workers := range []int{1, 2, 7} {
		ds, split := open(t, dir)
		var memory counter
		o.Workers, o.Allocator = workers, &memory
		p, err := OpenSplit(t.Context(), ds, split, o)
		if err != nil {
			t.Fatal(err)
		}
		var all []seen
		for b := range p.Batches() {
			all = append(all, remember(&b))
			b.Release()
		}
		assertSame(t, all, usual.expect(o)[:2])
		err = p.Err()
		shard, row, _ := split.Locate(first)
		var bad *records.CorruptError
		if !errors.As(err, &bad) || filepath.Base(bad.File) != shard || bad.Row != row || bad.Key != fmt.Sprintf("picture-%03d", first) {
			t.Errorf("%d workers: %v, want a CorruptError of row %d of %s", workers, err, row, shard)
		}
		start := fmt.Sprintf("pipeline: epoch 0, step 2: record %d of split \"train\": ", first)
		if err == nil || !strings.HasPrefix(err.Error(), start) || !strings.Contains(err.Error(), fmt.Sprintf("picture-%03d", first)) {
			t.Errorf("%d workers: %v, want it to begin with %q and name the key", workers, err, start)
		}
		if err := p.Close(); err != nil {
			t.Error(err)
		}
		if p.Err() == nil || errors.Is(p.Err(), ErrClosed) {
			t.Errorf("Close hid the error: %v", p.Err())
		}
		memory.assertFreed(t)
	}
}

// TestLabelWithoutClass wants the record named whose label is none of the manifest's
// classes, and a hole of it where damaged ones are skipped.
func TestLabelWithoutClass(t *testing.T) {
	dir := usual.write(t)
	m, err := records.ReadManifest(dir)
	if err != nil {
		t.Fatal(err)
	}
	m.Classes = m.Classes[:6]
	if err := records.WriteManifest(dir, m); err != nil {
		t.Fatal(err)
	}
	var lost []int
	for i := range usual.rows {
		if usual.label(i) > 5 {
			lost = append(lost, i)
		}
	}
	p, err := Open(t.Context(), dir, Options{Batch: 1, Crop: 9})
	if err != nil {
		t.Fatal(err)
	}
	for b := range p.Batches() {
		b.Release()
	}
	var bad *records.CorruptError
	if err := errors.Join(p.Err(), p.Close()); !errors.As(err, &bad) || bad.Row != lost[0] || bad.Key != fmt.Sprintf("picture-%03d", lost[0]) ||
		!strings.Contains(err.Error(), fmt.Sprintf("its label is %d, and the manifest has 6 classes", usual.label(lost[0]))) {
		t.Error(err)
	}
	var skipped []int
	images(t, dir, Options{Batch: 8, Crop: 9, OnCorrupt: Skip}, func(b *Batch) {
		for _, s := range b.Skipped {
			skipped = append(skipped, int(b.Indices[s.Slot]))
		}
	})
	if !slices.Equal(skipped, lost) {
		t.Errorf("skipped %v, want %v", skipped, lost)
	}
}

// corrupt flips a bit of the stored pixels of a picture: it finds their first
// row of values in the shard.
func corrupt(t *testing.T, dir string, index int) {
	t.Helper()
	_, split := open(t, dir)
	shard, _, _ := split.Locate(index)
	path := filepath.Join(dir, shard)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	_, baseline := usual.mean()
	var want []byte
	for j, x := range usual.picture(index)[:40] {
		v := uint16(int16(x) - int16(baseline[j]))
		want = append(want, byte(v), byte(v>>8))
	}
	at := strings.Index(string(data), string(want))
	if at < 0 {
		t.Fatalf("pixels of picture %d not found in %s", index, shard)
	}
	data[at+20] ^= 4
	// A new file, not the mapped one.
	if err := os.WriteFile(path+".new", data, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

// TestStats runs on synthetic time, where only sleeping takes any.
func TestStats(t *testing.T) {
	ds, split := open(t, usual.write(t))
	synctest.Test(t, func(t *testing.T) {
		p, err := OpenSplit(t.Context(), ds, split, Options{Batch: 8, Crop: 9, Views: 10, Workers: 2, Depth: 2})
		if err != nil {
			t.Fatal(err)
		}
		steps := 0
		for b := range p.Batches() {
			synctest.Wait()
			time.Sleep(time.Second)
			b.Release()
			steps++
		}
		synctest.Wait()
		s := p.Stats()
		s.DiskBytes = 0 // whatever else the process read
		// A batch is ready when the one before is released; the first may have to
		// wait for the second.
		if s.ReadySum < 5 || s.ReadySum > 6 {
			t.Errorf("%d batches were ready in 5 deliveries", s.ReadySum)
		}
		s.ReadySum = 0
		want := Stats{
			Elapsed:    5 * time.Second,
			BufferWait: 3 * time.Second, // steps 2 to 4 wait for the release of 0 to 2
			Records:    37, Images: 370, Bytes: 370 * 3 * 9 * 9 * 4, StoredBytes: 37 * 3 * 12 * 14 * 2,
			Batches: 5, Delivered: 37,
			Workers: 2, Depth: 2,
		}
		if s != want || steps != 5 {
			t.Errorf("%d steps\n got %+v\nwant %+v", steps, s, want)
		}
		if s.WaitShare() != 0 || s.Busy() != 0 {
			t.Errorf("wait share %v, busy %v, want none", s.WaitShare(), s.Busy())
		}
		time.Sleep(time.Hour)
		if again := p.Stats(); again.Elapsed != s.Elapsed {
			t.Error("the clock of a finished stream goes on")
		}
	})
}

// TestConsumerWait plays the two ways to measure a consumer's waiting.
func TestConsumerWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var m meter
		m.start()
		time.Sleep(3 * time.Second) // the first batch takes 3 s
		if got := m.stats(); got.ConsumerWait != 3*time.Second || got.WaitShare() != 1 {
			t.Errorf("while it waits: %+v, want the 3 s so far", got)
		}
		m.ready()
		time.Sleep(time.Second) // the consumer comes late
		m.delivered(8, 1)
		time.Sleep(2 * time.Second) // trains
		m.released()
		time.Sleep(4 * time.Second) // has to wait
		m.ready()
		m.delivered(8, 1)
		m.ready() // the next is there before it has finished
		time.Sleep(time.Second)
		m.released()
		time.Sleep(time.Second)
		m.delivered(5, 0)
		first := m.stats()
		if first.ConsumerWait != 7*time.Second || first.Elapsed != 12*time.Second || first.Batches != 3 || first.Delivered != 21 || first.Held != 1 {
			t.Errorf("received: %+v, want 7 s of waiting in 12 s, 3 batches of 21 records, 1 held", first)
		}
		if got, want := first.WaitShare(), 7.0/12; got != want {
			t.Errorf("wait share %v, want %v", got, want)
		}
		if first.Skipped != 2 {
			t.Errorf("%d records skipped, want 2", first.Skipped)
		}
		m.asking()
		m.asking() // two goroutines
		time.Sleep(2 * time.Second)
		m.asked()
		time.Sleep(time.Second)
		if got := m.stats().ConsumerWait; got != 5*time.Second {
			t.Errorf("while Next waits: %v, want the 5 s so far", got)
		}
		m.asked()
		time.Sleep(time.Second)
		m.worked(tally{time.Second, 3 * time.Second, 2 * time.Second, 1}, 10, 40, 100)
		m.bufferWait.Add(int64(time.Second))
		m.end()
		time.Sleep(time.Second) // a batch is still held
		got := m.stats()
		if got.ConsumerWait != 5*time.Second {
			t.Errorf("with Next: waited %v, want the 5 s that it measured", got.ConsumerWait)
		}
		got = got.Sub(first)
		want := Stats{Elapsed: 5 * time.Second, ConsumerWait: -2 * time.Second, BufferWait: time.Second,
			Fetch: time.Second, Read: 3 * time.Second, Augment: 2 * time.Second,
			Records: 1, Images: 10, Bytes: 400, StoredBytes: 100, Held: 1}
		if got != want || got.Busy() != 6*time.Second {
			t.Errorf("difference:\n got %+v\nwant %+v", got, want)
		}
		if (Stats{}).WaitShare() != 0 {
			t.Error("wait share of no time at all")
		}
	})
}

// TestShardCutShort truncates a mapped shard under a stream, which the hardware
// reports as a fault: an error must come of it, not a crash. Cut to nothing, the
// reader of the row meets it; cut in the middle, whoever reads the pixels.
func TestShardCutShort(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("a mapped file cannot be truncated on Windows")
	}
	r := usual
	r.rows, r.shards, r.shape.H, r.shape.W = 64, 1, 64, 64
	for _, part := range []int64{0, 2} {
		dir := r.write(t)
		ds, split := open(t, dir)
		p, err := OpenSplit(t.Context(), ds, split, Options{Batch: 8, Crop: 60, Epochs: 2, Depth: 1, Workers: 1})
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		for range p.StepsPerEpoch() { // all checksums have been verified
			b, ok := p.Next(t.Context())
			if !ok {
				t.Fatal(p.Err())
			}
			b.Release()
		}
		shard, _, _ := split.Locate(63)
		path := filepath.Join(dir, shard)
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		size := int64(0)
		if part > 0 {
			size = info.Size() / part
		}
		if err := os.Truncate(path, size); err != nil {
			t.Fatal(err)
		}
		for b := range p.Batches() {
			b.Release()
		}
		err = p.Err()
		var io *fs.PathError
		if !errors.As(err, &io) || filepath.Base(io.Path) != shard || !strings.Contains(err.Error(), "epoch 1, step ") || !strings.Contains(err.Error(), ": record ") {
			t.Errorf("cut to %d of %d bytes: %v, want an fs.PathError that names %s, and the record", size, info.Size(), err, shard)
		}
	}
}

// TestFirstFailureWins reports the lowest slot, whichever worker comes first.
func TestFirstFailureWins(t *testing.T) {
	b := &buffer{ready: make(chan struct{}, 1)}
	b.begin(0, 0, 4, 0, 4)
	for _, slot := range []int{2, 1, 3} {
		b.fail(slot, fmt.Errorf("slot %d", slot))
		if b.finish(1, Digest{1, 5}) || len(b.ready) != 0 {
			t.Error("ready before the last slot")
		}
	}
	if !b.finish(1, Digest{1, 6}) || len(b.ready) != 1 || b.err == nil || b.err.Error() != "slot 1" {
		t.Errorf("ready %d, error %v, want 1 and that of slot 1", len(b.ready), b.err)
	}
	if want := (Digest{4, 21}); b.keys != want {
		t.Errorf("keys %v, want %v", b.keys, want)
	}
}

// TestErrorFreesEverything does not call Close after an error.
func TestErrorFreesEverything(t *testing.T) {
	dir := usual.write(t)
	corrupt(t, dir, 9)
	ds, split := open(t, dir)
	synctest.Test(t, func(t *testing.T) {
		var memory counter
		p, err := OpenSplit(t.Context(), ds, split, Options{Batch: 8, Crop: 9, Epochs: 100, Workers: 3, Depth: 2, Allocator: &memory})
		if err != nil {
			t.Fatal(err)
		}
		for b := range p.Batches() {
			b.Release()
		}
		synctest.Wait()
		memory.assertFreed(t)
		if p.Err() == nil {
			t.Error("no error")
		}
	})
}

// TestSteadyState wants no allocation for a batch: what an epoch's order takes
// is shared by its thousand batches.
func TestSteadyState(t *testing.T) {
	r := usual
	r.rows = 2000
	ds, split := open(t, r.write(t))
	p, err := OpenSplit(t.Context(), ds, split, Options{Batch: 2, Crop: 9, Train: true, Color: &testColor, Epochs: 1000, Workers: 2, Depth: 4})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	n := testing.AllocsPerRun(3000, func() {
		b, ok := p.Next(t.Context())
		if !ok {
			t.Fatal(p.Err())
		}
		b.Release()
	})
	if n > 0 {
		t.Errorf("%v allocations a batch, want none", n)
	}
}

// TestStreamsShareASplit runs streams of a split at the same time, the later ones begun
// while the first reads: with the race detector, nothing of the split may be written
// then, also where the first has no use for a cache or for all records in memory.
func TestStreamsShareASplit(t *testing.T) {
	for _, compression := range []records.Compression{records.None, records.LZ4} {
		r := usual
		r.compression = compression
		ds, split := open(t, r.write(t))
		o := Options{Batch: 8, Crop: 9, Seed: 3, Train: true, Color: &testColor, Epochs: 20, Workers: 2}
		first := o
		first.Train, first.Color, first.Cache = false, nil, -1
		wants := [][]seen{r.expect(first), r.expect(o), r.expect(o)}
		var streams sync.WaitGroup
		for i, o := range []Options{first, o, o} {
			want := wants[i]
			p, err := OpenSplit(t.Context(), ds, split, o)
			if err != nil {
				t.Fatal(err)
			}
			streams.Go(func() {
				var all []seen
				for b := range p.Batches() {
					all = append(all, remember(&b))
					b.Release()
				}
				if err := errors.Join(p.Err(), p.Close()); err != nil || !slices.Equal(all, want) {
					t.Errorf("%s: %d batches, want %d; %v", compression, len(all), len(want), err)
				}
			})
		}
		streams.Wait()
	}
}
