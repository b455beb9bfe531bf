package pipeline

import (
	"math"
	"strings"
	"testing"
	"time"

	"alexnet/records"
)

// worked10 are the Stats of 10 seconds of two workers, as shares of their time.
func worked10(wait, fetch, read, augment float64) Stats {
	part := func(x float64) time.Duration { return time.Duration(x * float64(20*time.Second)) }
	return Stats{
		Elapsed: 10 * time.Second, ConsumerWait: time.Duration(wait * float64(10*time.Second)),
		Fetch: part(fetch), Read: part(read), Augment: part(augment),
		Records: 1000, Images: 1000, Bytes: 4e9, StoredBytes: 1e9, DiskBytes: 4e8, Workers: 2, Depth: 4, Batches: 100, ReadySum: 150,
	}
}

func TestLimit(t *testing.T) {
	order, ring, mapped := worked10(0.6, 0, 0, 0.3), worked10(0.4, 0.1, 0, 0.2), worked10(0.4, 0.6, 0.1, 0.3)
	mapped.DiskBytes = 0
	handed := worked10(0.1, 0, 0, 0.2)
	handed.ReadySum = 500
	bursts := worked10(0.4, 0.7, 0, 0.1)
	bursts.ReadySum = 500
	order.Order = 7 * time.Second
	ring.BufferWait = 6 * time.Second
	tests := []struct {
		name string
		s    Stats
		want Limit
	}{
		{"trainer", worked10(0.01, 0.1, 0, 0.2), LimitConsumer},
		{"trainer, busy workers", worked10(0.01, 0.1, 0, 0.9), LimitConsumer},
		{"slow to take", handed, LimitConsumer},
		{"bursts of a disk", bursts, LimitDisk},
		{"disk", worked10(0.38, 0.7, 0, 0.3), LimitDisk},
		{"disk, slow trainer", worked10(0.05, 0.6, 0.1, 0.3), LimitDisk},
		{"page cache", mapped, map[bool]Limit{true: LimitRead, false: LimitDisk}[diskKnown]},
		{"decompression", worked10(0.9, 0.1, 0.6, 0.3), LimitRead},
		{"images", worked10(0.9, 0.1, 0.1, 0.8), LimitAugment},
		{"order", order, LimitOrder},
		{"ring", ring, LimitRing},
		{"nothing yet", Stats{Workers: 2}, LimitConsumer},
	}
	for _, tt := range tests {
		if got := limit(tt.s); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
}

func TestStages(t *testing.T) {
	s := worked10(0.25, 0.1, 0.2, 0.3)
	s.BufferWait, s.Order = 7*time.Second, time.Second
	s.DiskBytes, s.Queued = 2e8, 3
	want := []Stage{
		{"order", 1, 0.1, 0.2, 0.7, 0, 0},
		{"fetch", 2, 0.1, 0.5, 0.4, 2e7, 3},
		{"read", 2, 0.2, 0.4, 0.4, 1e8, 0},
		{"augment", 2, 0.3, 0.3, 0.4, 4e8, 0},
		{"consumer", 1, 0.75, 0.25, 0, 4e8, 1.5},
	}
	near := func(a, b float64) bool { return math.Abs(a-b) <= 1e-9*math.Max(1, math.Abs(b)) }
	for i, got := range stages(s) {
		w := want[i]
		if got.Name != w.Name || got.Goroutines != w.Goroutines || !near(got.Busy, w.Busy) || !near(got.Input, w.Input) ||
			!near(got.Output, w.Output) || !near(got.BytesPerSecond, w.BytesPerSecond) || got.Queue != w.Queue {
			t.Errorf("got  %+v\nwant %+v", got, w)
		}
		if sum := got.Busy + got.Input + got.Output; !near(sum, 1) {
			t.Errorf("%s: shares add up to %v", got.Name, sum)
		}
	}
	for _, got := range stages(Stats{Workers: 2}) { // no time at all
		if sum := got.Busy + got.Input + got.Output; !near(sum, 1) || got.BytesPerSecond != 0 {
			t.Errorf("%+v", got)
		}
	}
}

func TestVerdict(t *testing.T) {
	tests := []struct {
		limit       Limit
		pixels      records.PixelType
		compression records.Compression
		s           Stats
		want        string
	}{
		{LimitConsumer, records.Int16, records.None, worked10(0.004, 0, 0, 0.1),
			"the trainer is the limit: it waits 0.4 % of the time; the loader could make 1000 images/s"},
		{LimitDisk, records.Int16, records.None, worked10(0.38, 0.8, 0, 0.1),
			"the disk is the limit: 410 MB/s, at most 420 seen; the trainer waits 38 % of the time; uint8 records would halve it, block shuffle would read in sequence"},
		{LimitDisk, records.Uint8, records.Zstd, worked10(0.38, 0.8, 0, 0.1),
			"the disk is the limit: 410 MB/s, at most 420 seen; the trainer waits 38 % of the time; block shuffle would read in sequence"},
		{LimitRead, records.Int16, records.Zstd, worked10(0.5, 0, 0.75, 0.1),
			"decompression is the limit: 75 % of the workers' time; the trainer waits 50 % of the time; records without --compress, or memory for all of them decompressed, would do without"},
		{LimitRead, records.Int16, records.None, worked10(0.5, 0, 0.75, 0.1),
			"reading records for the first time is the limit: 75 % of the workers' time; the trainer waits 50 % of the time; the next epoch will be faster"},
		{LimitAugment, records.Int16, records.None, worked10(0.9, 0, 0, 0.98),
			"making images is the limit: 98 % of the time of 2 workers; the trainer waits 90 % of the time"},
		{LimitOrder, records.Int16, records.None, worked10(0.9, 0, 0, 0.1), "drawing the order is the limit; the trainer waits 90 % of the time"},
		{LimitRing, records.Int16, records.None, worked10(0.3, 0, 0, 0.1),
			"the ring is the limit: 4 batches, and workers without one to fill; the trainer waits 30 % of the time; more depth, or releasing batches earlier, would help"},
	}
	for _, tt := range tests {
		p := &Pipeline{pixels: tt.pixels, packed: tt.compression != records.None, o: Options{Train: true}, ahead: &ahead{drop: true}}
		d := Diagnosis{Limit: tt.limit, WaitShare: tt.s.WaitShare(), Possible: 1000, DiskBytesPerSecond: 410e6, DiskPeak: 420e6}
		got := p.verdict(tt.s, d)
		if before, _, ok := strings.Cut(got, "; 1 processors have"); ok { // a machine with more than two
			got = before
		}
		if !strings.HasPrefix(got, tt.want) {
			t.Errorf("%s:\n got %s\nwant %s", tt.limit, got, tt.want)
		}
		d.DiskBytesPerSecond, d.DiskPeak = 0, 0
		if got := p.verdict(tt.s, d); strings.Contains(got, "MB/s") {
			t.Errorf("a rate of a disk of which the system does not tell: %s", got)
		}
		tt.s.Skipped = 3
		if got := p.verdict(tt.s, d); !strings.HasSuffix(got, "; 3 damaged records were skipped") {
			t.Errorf("nothing of skipped records: %s", got)
		}
	}
}

// TestDiagnoseTrainer lets a slow consumer and a fast one be told apart.
func TestDiagnoseTrainer(t *testing.T) {
	ds, split := open(t, usual.write(t))
	p, err := OpenSplit(t.Context(), ds, split, Options{Batch: 8, Crop: 9, Train: true, Epochs: 1000, Workers: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	b, _ := p.Next(t.Context())
	b.Release()
	since := p.Stats()
	for range 20 {
		b, ok := p.Next(t.Context())
		if !ok {
			t.Fatal(p.Err())
		}
		time.Sleep(5 * time.Millisecond)
		b.Release()
	}
	d := p.Diagnose(p.Stats().Sub(since))
	if d.ImagesPerSecond <= 0 || d.Possible < d.ImagesPerSecond || len(d.Stages) != 5 || d.Verdict == "" || d.DiskPeak < 0 {
		t.Errorf("%+v", d)
	}
	if d.WaitShare < 0.2 && d.Limit == LimitConsumer && !strings.HasPrefix(d.Verdict, "the trainer is the limit") {
		t.Errorf("a slow consumer: %+v", d)
	}
}
