package pipeline

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"alexnet/augment"
	"alexnet/records"
	"alexnet/records/bucket"
	"alexnet/records/bucket/buckettest"
)

// store is an object store with the records of a folder, that counts requests for
// parts of objects.
type store struct {
	buckettest.Memory
	reads   atomic.Int64
	flying  atomic.Int64 // under way
	highest atomic.Int64 // most of them at a time
}

func (s *store) ReadAt(ctx context.Context, name, version string, p []byte, off int64) error {
	s.reads.Add(1)
	now := s.flying.Add(1)
	defer s.flying.Add(-1)
	for most := s.highest.Load(); now > most && !s.highest.CompareAndSwap(most, now); most = s.highest.Load() {
	}
	return s.Memory.ReadAt(ctx, name, version, p, off)
}

// upload makes a store of a folder.
func upload(t testing.TB, dir string) *store {
	t.Helper()
	s := new(store)
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		data, err := os.ReadFile(filepath.Join(dir, f.Name()))
		if err == nil {
			err = s.Put(context.Background(), f.Name(), bytes.NewReader(data), int64(len(data)), bucket.Replace)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// openStore opens a stream of the records in a store.
func openStore(t testing.TB, s *store, o Options) (*Pipeline, error) {
	t.Helper()
	ds, err := records.OpenFolder(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	return OpenDataset(t.Context(), ds, o)
}

// taken is a stream as a test remembers it.
type taken struct {
	batches []seen
	keys    Digest
	skipped map[int64]string
	err     string
}

// takeAll takes all batches of a stream and closes it.
func takeAll(t testing.TB, p *Pipeline, err error) taken {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	got := taken{skipped: map[int64]string{}}
	for b := range p.Batches() {
		got.batches = append(got.batches, remember(&b))
		got.keys = got.keys.Add(b.Keys)
		for _, s := range b.Skipped {
			got.skipped[b.Indices[s.Slot]] = s.Err.Error()
		}
		b.Release()
	}
	if err := p.Err(); err != nil {
		got.err = err.Error()
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	return got
}

// Batches of records in a store are those of the records in a folder, bit for bit,
// whatever the encoding, the order and the number of requests; an epoch costs a
// request a record, and the first besides those for the heads of the record batches.
func TestStoreStreamsAsFolder(t *testing.T) {
	for _, pixels := range []records.PixelType{records.Int16, records.Uint8} {
		for _, compression := range []records.Compression{records.None, records.LZ4, records.Zstd} {
			r := usual
			r.pixels, r.compression = pixels, compression
			dir := r.write(t)
			s := upload(t, dir)
			for _, o := range []Options{
				{Train: true, Color: &testColor, Epochs: 3, Workers: 3, Cache: -1},
				{Train: true, Epochs: 2, Workers: 1, Requests: 1, Depth: 1, Cache: -1, Shuffle: ShuffleBlock, Window: 10},
				{Train: true, Epochs: 2, Skip: 1, Workers: 2, Requests: 200, Rank: 1, World: 3},
				{Views: 10, Workers: 2, Epochs: 2, Cache: -1},
			} {
				o.Batch, o.Crop, o.Seed = 8, 9, 5
				p, err := Open(t.Context(), dir, o)
				want := takeAll(t, p, err)
				s.reads.Store(-int64(r.shards)) // the footers do not count
				p, err = openStore(t, s, o)
				got := takeAll(t, p, err)
				if fmt.Sprint(got) != fmt.Sprint(want) || got.err != "" {
					t.Errorf("%s %s, %+v: the streams differ: %v, %v; %s", pixels, compression, o, got.keys, want.keys, got.err)
				}
				stats := p.Stats()
				reads, rows := s.reads.Load(), stats.Loaded
				most := rows
				if compression == records.None {
					most += int64(r.shards) // a batch each
				}
				if o.Cache < 0 && (reads < rows || reads > most) || o.Cache == 0 && reads > 37+2 || rows != stats.Records || stats.StoreBytes == 0 {
					t.Errorf("%s %s: %d requests for %d records, %+v", pixels, compression, reads, rows, stats)
				}
			}
		}
	}
}

// Records that are damaged or gone in a store are skipped as those in a folder are.
func TestStoreSkips(t *testing.T) {
	dir := usual.write(t)
	corrupt(t, dir, 5)
	corrupt(t, dir, 30)
	o := Options{Batch: 8, Crop: 9, Seed: 11, Train: true, Epochs: 2, Workers: 3, OnCorrupt: Skip, Cache: -1}
	p, err := Open(t.Context(), dir, o)
	want := takeAll(t, p, err)
	s := upload(t, dir)
	p, err = openStore(t, s, o)
	got := takeAll(t, p, err)
	if fmt.Sprint(got.batches) != fmt.Sprint(want.batches) || got.keys != want.keys {
		t.Error("the batches differ")
	}
	for index, text := range want.skipped {
		want.skipped[index] = strings.ReplaceAll(text, dir+string(filepath.Separator), s.Name()+"/")
	}
	if len(got.skipped) != 2 || !maps.Equal(got.skipped, want.skipped) {
		t.Errorf("skipped %v, in a folder %v", got.skipped, want.skipped)
	}

	s.Remove(t.Context(), "train-00001-of-00002.arrow") // records 18 to 36
	p, err = openStore(t, s, o)
	got = takeAll(t, p, err)
	if len(got.skipped) != 20 || !strings.Contains(got.skipped[20], "is not there") || got.err != "" {
		t.Errorf("skipped %v, %s", got.skipped, got.err)
	}
	o.OnCorrupt = Stop
	if _, err := openStore(t, s, o); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing object: %v", err)
	}
}

// An object that is replaced while the stream runs is damage.
func TestStoreChanges(t *testing.T) {
	dir := usual.write(t)
	s := upload(t, dir)
	name := "train-00000-of-00002.arrow"
	data, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	p, err := openStore(t, s, Options{Batch: 8, Crop: 9, Workers: 2, OnCorrupt: Skip, Cache: -1, Depth: 1, Epochs: 2})
	if err != nil {
		t.Fatal(err)
	}
	b, _ := p.Next(t.Context())
	b.Release()
	if err := s.Put(t.Context(), name, bytes.NewReader(data), int64(len(data)), bucket.Replace); err != nil {
		t.Fatal(err)
	}
	got := takeAll(t, p, nil)
	if text := got.skipped[0]; got.err != "" || !strings.Contains(text, "row 0") || !strings.Contains(text, bucket.ErrChanged.Error()) {
		t.Errorf("skipped %v, %s", got.skipped, got.err)
	}
	if _, ok := got.skipped[20]; ok {
		t.Errorf("record 20 was skipped: %s", got.skipped[20])
	}
}

// A store that fails for good stops the stream, skipping or not, before the batch
// with the record; those before it come.
func TestStoreOutage(t *testing.T) {
	s := upload(t, usual.write(t))
	outage := errors.New("connection refused")
	var asked atomic.Int64
	s.Before = func(op, _ string) error {
		if op == "read" && asked.Add(1) > 30 { // two of them the footers'
			return outage
		}
		return nil
	}
	p, err := openStore(t, s, Options{Batch: 8, Crop: 9, Workers: 2, OnCorrupt: Skip, Requests: 1, Cache: -1})
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for b := range p.Batches() {
		if len(b.Skipped) > 0 {
			t.Errorf("skipped: %v", b.Skipped)
		}
		n++
		b.Release()
	}
	var failed *bucket.Error
	if err := p.Err(); !errors.As(err, &failed) || !errors.Is(err, outage) || !contains(err, "epoch 0, step 3: record ") || !contains(err, "train-00001-of-00002.arrow: row ") || n != 3 {
		t.Errorf("%d batches, then %v", n, err)
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
}

// Rows are asked for many at a time, with one worker, and no more than Requests.
func TestStoreRequestsTogether(t *testing.T) {
	r := usual
	r.compression = records.LZ4 // rows are batches of their own, and nothing is read once for many
	s := upload(t, r.write(t))
	for _, requests := range []int{1, 6} {
		var together sync.WaitGroup
		together.Add(requests)
		var began atomic.Int64
		s.Before = func(op, _ string) error {
			if op != "read" {
				return nil
			}
			if n := began.Add(1); n > 2 && n <= int64(2+requests) { // after the footers
				together.Done()
				met := make(chan struct{})
				go func() { together.Wait(); close(met) }()
				select {
				case <-met:
				case <-time.After(10 * time.Second):
					return errors.New("the others do not come")
				}
			}
			return nil
		}
		s.highest.Store(0)
		p, err := openStore(t, s, Options{Batch: 8, Crop: 9, Workers: 1, Requests: requests, Cache: -1, Depth: 2, Train: true, Epochs: 2})
		if got := takeAll(t, p, err); got.err != "" || len(got.batches) != 10 {
			t.Errorf("%d batches, %s", len(got.batches), got.err)
		}
		// The two footers are read together.
		if most := s.highest.Load(); most > int64(max(requests, 2)) {
			t.Errorf("%d requests at a time, where there should be %d", most, requests)
		}
		s.Before = nil
	}
}

// A stream that ends while requests are under way, by its context or by Close, ends
// them and leaves nothing behind (TestMain looks).
func TestStoreCancel(t *testing.T) {
	s := upload(t, usual.write(t))
	for _, end := range []string{"cancel", "close"} {
		slow := &slowStore{Folder: s, begun: make(chan struct{}, 1000)}
		ds, err := records.OpenFolder(t.Context(), slow)
		if err != nil {
			t.Fatal(err)
		}
		split, err := ds.OpenSplit("train")
		if err != nil {
			t.Fatal(err)
		}
		slow.stuck.Store(true)
		ctx, cancel := context.WithCancel(t.Context())
		p, err := OpenSplit(ctx, ds, split, Options{Batch: 8, Crop: 9, Workers: 2, Requests: 4, OnCorrupt: Skip})
		if err != nil {
			t.Fatal(err)
		}
		<-slow.begun
		if end == "cancel" {
			cancel()
		}
		if err := errors.Join(p.Close(), split.Close()); err != nil {
			t.Error(err)
		}
		cancel()
		err = p.Err()
		if end == "cancel" && !errors.Is(err, context.Canceled) && !errors.Is(err, ErrClosed) || end == "close" && !errors.Is(err, ErrClosed) {
			t.Errorf("%s: %v", end, err)
		}
		if n := p.Stats().Skipped; n != 0 {
			t.Errorf("%d records were skipped because the stream ended", n)
		}
	}
}

// slowStore is a store that, when it is stuck, answers when the context ends.
type slowStore struct {
	bucket.Folder
	stuck atomic.Bool
	begun chan struct{}
}

func (s *slowStore) ReadAt(ctx context.Context, name, version string, p []byte, off int64) error {
	if s.stuck.Load() {
		s.begun <- struct{}{}
		<-ctx.Done()
		return ctx.Err()
	}
	return s.Folder.ReadAt(ctx, name, version, p, off)
}

// The limit of a stream that waits for a store is the store.
func TestStoreIsTheLimit(t *testing.T) {
	s := worked10(0.38, 0.7, 0.1, 0.1)
	s.DiskBytes, s.StoreBytes, s.Requests = 0, 2e9, 64
	if got := limit(s); got != LimitStore {
		t.Errorf("the limit is %s", got)
	}
	p := &Pipeline{pixels: records.Int16, o: Options{Train: true}, ahead: &ahead{drop: true}, loads: new(loads)}
	d := p.Diagnose(s)
	want := "the object store is the limit: 200 MB/s, 64 records asked for at a time; the trainer waits 38 % of the time; more at a time, or a cache of it on a disk, would help; uint8 records would halve it"
	if d.Verdict != want || d.StoreBytesPerSecond != 2e8 {
		t.Errorf("got  %s\nwant %s", d.Verdict, want)
	}
	if i := slices.IndexFunc(d.Stages, func(s Stage) bool { return s.Name == "fetch" }); d.Stages[i].BytesPerSecond != 2e8 {
		t.Errorf("%+v", d.Stages[i])
	}
	if diff := s.Sub(Stats{StoreBytes: 1e9, Loaded: 1}); diff.StoreBytes != 1e9 || diff.Loaded != -1 || diff.Requests != 64 {
		t.Errorf("%+v", diff)
	}
}

// BenchmarkStore measures a stream from a store that takes 20 ms to answer, as one
// that is not far away does, and has no limit besides: records of the paper's size, with
// as many asked for at a time.
func BenchmarkStore(b *testing.B) {
	for _, compression := range []records.Compression{records.None, records.Zstd} {
		for _, requests := range []int{1, 16, 64} {
			b.Run(fmt.Sprintf("%s/requests=%d", compression, requests), func(b *testing.B) {
				r := recipe{shape: records.Shape{C: 3, H: 256, W: 256}, rows: 256, shards: 2, pixels: records.Int16, compression: compression}
				s := upload(b, r.write(b))
				s.Before = func(op, _ string) error {
					if op == "read" {
						time.Sleep(20 * time.Millisecond)
					}
					return nil
				}
				p, err := openStore(b, s, Options{Batch: 64, Crop: 224, Type: augment.Stored, Seed: 1, Train: true, Cache: -1, Requests: requests, Epochs: 1 << 30})
				if err != nil {
					b.Fatal(err)
				}
				defer p.Close()
				next := func() int {
					batch, ok := p.Next(b.Context())
					if !ok {
						b.Fatal(p.Err())
					}
					defer batch.Release()
					return batch.N
				}
				for range 4 + p.Stats().Depth { // the first epoch reads heads, too; then the ring is as it stays
					next()
				}
				b.SetBytes(int64(p.rowBytes))
				b.ResetTimer()
				for done := 0; done < b.N; {
					done += next()
				}
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "rows/s")
			})
		}
	}
}
