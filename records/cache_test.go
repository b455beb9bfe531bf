package records

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/apache/arrow/go/v15/arrow/ipc"
)

// rowRoom is how much of a cache a row of testRecords takes.
func rowRoom(p PixelType, rec Record) int64 {
	return int64(len(rec.Pixels)*p.Size()+len(rec.Key)+63) &^ 63
}

// Rows from the cache are the rows, in every encoding and with any budget; they
// are counted, stay valid while others are read, and never take more memory
// than the budget. Rows of uncompressed shards are none of its business.
func TestCache(t *testing.T) {
	const n = 20
	rows := testRecords(n, testShape)
	encodings(t, func(t *testing.T, p PixelType, c Compression) {
		dir := t.TempDir()
		writeDataset(t, dir, p, c, testShape, rows, 7)
		room := rowRoom(p, rows[0])
		for _, b := range []struct{ budget, kept int64 }{
			{-1, 0}, {0, 0}, {room - 1, 0}, {room, 1}, {5*room + 3, 5}, {n * room, n}, {1 << 40, n},
		} {
			s := openTrain(t, dir)
			cache := NewCache(b.budget)
			s.UseCache(cache)
			if c == None {
				b.kept = 0
			}
			wantCached(t, s, rows, cache, b.kept, c != None)
			if err := s.Close(); err != nil {
				t.Error(err)
			}
			if left := cache.Stats(); left.Bytes != 0 || left.Rows != 0 || len(cache.slabs) != 0 {
				t.Errorf("after Close the cache has %+v", left)
			}
		}
	})
}

// wantCached reads all rows twice and fails unless they are right and kept of
// them came from the cache the second time.
func wantCached(t *testing.T, s *Split, rows []Record, cache *Cache, kept int64, packed bool) {
	t.Helper()
	var sc Scratch
	baseline := testBaseline(Int16, testShape)
	pixels := Uint8
	if s.RowBytes() == 2*testShape.Size() {
		pixels = Int16
	}
	n := int64(len(rows))
	var last []Row
	for range 2 {
		last = last[:0]
		for i, rec := range rows {
			row, err := s.Row(i, &sc)
			if err != nil {
				t.Fatal(err)
			}
			wantRow(t, row, rec, pixels, baseline)
			last = append(last, row)
			if st := cache.Stats(); st.Bytes > max(0, st.Budget) {
				t.Fatalf("%d bytes held, the budget is %d", st.Bytes, st.Budget)
			}
		}
	}
	st := cache.Stats()
	misses := 2*n - kept
	if !packed {
		misses = 0
	}
	if st.Rows != kept || st.Hits != kept || st.Misses != misses {
		t.Errorf("budget %d: %+v; want %d rows, as many hits, %d misses", st.Budget, st, kept, misses)
	}
	if kept == n { // none of them is in the scratch
		for i, row := range last {
			wantRow(t, row, rows[i], pixels, baseline)
		}
		if allocs := testing.AllocsPerRun(10, func() { s.Row(3, nil) }); allocs != 0 {
			t.Errorf("a row from the cache costs %v allocations", allocs)
		}
	}
}

// A row that two readers decompressed at once is kept once.
func TestCacheKeepsRowOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s.arrow")
	rows := testRecords(2, testShape)
	writeShard(t, path, testOptions(Uint8, Zstd, testShape), rows)
	s, err := openShard(path)
	if err != nil {
		t.Fatal(err)
	}
	row, err := s.row(0, nil)
	if err != nil {
		t.Fatal(err)
	}
	split := &Split{shards: []*shard{s}, files: []string{"s.arrow"}, starts: []int{0, s.rows}}
	cache := NewCache(1 << 20)
	split.UseCache(cache)
	defer split.Close()
	if other := NewCache(1 << 20); split.UseCache(other) != cache || other.users != 0 {
		t.Error("a second cache takes the first one's place")
	}
	s.cached.Load().put(0, row)
	free := len(cache.free)
	s.cached.Load().put(0, row)
	if st := cache.Stats(); st.Rows != 1 || len(cache.free) != free {
		t.Errorf("%+v, %d bytes free of %d", st, len(cache.free), free)
	}
}

// A cache that splits share keeps its memory until the last of them is closed.
func TestCacheIsShared(t *testing.T) {
	dir := t.TempDir()
	rows := testRecords(10, testShape)
	writeDataset(t, dir, Int16, Zstd, testShape, rows, 4)
	cache := NewCache(1 << 20)
	a, b := openTrain(t, dir), openTrain(t, dir)
	a.UseCache(cache)
	b.UseCache(cache)
	for i := range rows {
		if _, err := a.Row(i, nil); err != nil {
			t.Fatal(err)
		}
	}
	first, err := b.Row(0, nil)
	if err != nil {
		t.Fatal(err)
	}
	if st := cache.Stats(); st.Rows != 11 || st.Hits != 0 {
		t.Errorf("%+v, want 10 rows of one split and 1 of the other", st)
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := b.Row(0, nil)
	if err != nil || cache.Stats().Hits != 1 {
		t.Errorf("row 0 is not in the cache any more: %+v, %v", cache.Stats(), err)
	}
	wantRow(t, first, rows[0], Int16, testBaseline(Int16, testShape))
	wantRow(t, again, rows[0], Int16, testBaseline(Int16, testShape))
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if st := cache.Stats(); st.Bytes != 0 || len(cache.slabs) != 0 {
		t.Errorf("after both are closed: %+v", st)
	}
}

// Many readers fill a cache that has room for some of the rows (for the race
// detector), in several slabs.
func TestCacheConcurrently(t *testing.T) {
	shape := Shape{C: 3, H: 256, W: 256}
	dir := t.TempDir()
	rows := testRecords(60, shape)
	writeDataset(t, dir, Int16, LZ4, shape, rows, 25)
	s := openTrain(t, dir)
	const budget = 50 * 400 << 10 // more than a slab, and not all rows
	cache := NewCache(budget)
	s.UseCache(cache)
	baseline := testBaseline(Int16, shape)
	var group sync.WaitGroup
	for g := range 4 {
		group.Go(func() {
			var sc Scratch
			for _, i := range Permutation("test", uint64(g), 0, len(rows)) {
				row, err := s.Row(int(i), &sc)
				if err != nil {
					t.Error(err)
					return
				}
				wantRow(t, row, rows[i], Int16, baseline)
			}
		})
	}
	group.Wait()
	st := cache.Stats()
	if st.Hits+st.Misses != 4*int64(len(rows)) || st.Rows < 45 || st.Rows > 52 || st.Bytes > budget || len(cache.slabs) != 2 {
		t.Errorf("%+v in %d slabs", st, len(cache.slabs))
	}
}

// A row that is damaged is not kept, and is an error every time.
func TestCacheOfDamagedRow(t *testing.T) {
	dir := t.TempDir()
	rows := testRecords(4, testShape)
	writeDataset(t, dir, Uint8, Zstd, testShape, rows, 4)
	const shard = "train-00000-of-00001.arrow"
	edit(t, filepath.Join(dir, shard), func(b []byte) []byte {
		f, err := parseArrowFile(b)
		if err != nil {
			t.Fatal(err)
		}
		batch, err := f.batch(2)
		if err != nil {
			t.Fatal(err)
		}
		sum, err := batch.buffer(bufCRC32C)
		if err != nil {
			t.Fatal(err)
		}
		sum[prefixSize] ^= 1
		return b
	})
	s := openTrain(t, dir)
	cache := NewCache(1 << 20)
	s.UseCache(cache)
	for range 3 {
		for i := range rows {
			row, err := s.Row(i, nil)
			if i == 2 {
				wantCorrupt(t, err, shard, 2, "the CRC-32C of its pixels")
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			wantRow(t, row, rows[i], Uint8, nil)
		}
	}
	if st := cache.Stats(); st.Rows != 3 || st.Hits != 6 {
		t.Errorf("%+v, want 3 rows and 6 hits", st)
	}
}

// Other writers compress all buffers, the keys too: keys are then decompressed,
// and those from a cache stay valid.
func TestKeysCompressedByOthers(t *testing.T) {
	rows := testRecords(6, testShape)
	for i := range rows {
		rows[i].Key = fmt.Sprintf("%0200d", i)
	}
	o := testOptions(Int16, Zstd, testShape)
	dir := t.TempDir()
	ours, theirs := filepath.Join(dir, "ours.arrow"), filepath.Join(dir, "theirs.arrow")
	writeShard(t, ours, o, rows)
	recompress(t, ours, theirs)
	s, err := openShard(theirs)
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	batch, err := s.arrow.batch(0)
	if err != nil {
		t.Fatal(err)
	}
	if text, err := batch.buffer(bufKeyBytes); err != nil || !s.packed || text[0] != 200 {
		t.Fatalf("the key is not compressed: %v, % x", err, text)
	}
	split := &Split{shards: []*shard{s}, files: []string{"theirs.arrow"}, starts: []int{0, s.rows}}
	split.UseCache(NewCache(1 << 20))
	var sc Scratch
	var keys []string
	for range 2 {
		keys = keys[:0]
		for i, rec := range rows {
			row, err := split.Row(i, &sc)
			if err != nil {
				t.Fatal(err)
			}
			wantRow(t, row, rec, Int16, o.Baseline)
			key, err := split.Key(i)
			if err != nil || key != rec.Key {
				t.Errorf("key %d is %q, %v", i, key, err)
			}
			keys = append(keys, key, row.Key)
		}
	}
	for k, key := range keys {
		if key != rows[k/2].Key {
			t.Errorf("key %d became %q", k/2, key)
		}
	}
	if err := split.Close(); err != nil {
		t.Error(err)
	}
}

// recompress copies a shard by Arrow's own reader and writer, with zstd.
func recompress(t *testing.T, from, to string) {
	t.Helper()
	data, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	r, err := ipc.NewFileReader(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	f, err := os.Create(to)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w, err := ipc.NewFileWriter(f, ipc.WithSchema(r.Schema()), ipc.WithZstd())
	if err != nil {
		t.Fatal(err)
	}
	for k := range r.NumRecords() {
		rec, err := r.Record(k)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Write(rec); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
}

// BenchmarkCache measures rows of compressed shards that come from the cache
// (hit), and those that do not fit into it.
func BenchmarkCache(b *testing.B) {
	for _, c := range []Compression{LZ4, Zstd} {
		dir := b.TempDir()
		writeDataset(b, dir, Int16, c, paperShape, testRecords(64, paperShape), 32)
		for name, budget := range map[string]int64{"hit": 1 << 30, "miss": 0} {
			b.Run(fmt.Sprintf("%s/%s", c, name), func(b *testing.B) {
				s := openTrain(b, dir)
				s.UseCache(NewCache(budget))
				var sc Scratch
				for i := range 64 {
					s.Row(i, &sc)
				}
				b.SetBytes(int64(s.RowBytes()))
				b.ReportAllocs()
				for i := 0; b.Loop(); i++ {
					if _, err := s.Row(i%64, &sc); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "images/s")
			})
		}
	}
}

// BenchmarkCacheFill measures the first reading of a row: it is decompressed,
// verified and copied to the cache.
func BenchmarkCacheFill(b *testing.B) {
	dir := b.TempDir()
	writeDataset(b, dir, Int16, LZ4, paperShape, testRecords(64, paperShape), 32)
	ds, err := Open(dir)
	if err != nil {
		b.Fatal(err)
	}
	for name, budget := range map[string]int64{"with": 1 << 30, "without": 0} {
		b.Run(name, func(b *testing.B) {
			var sc Scratch
			for b.Loop() {
				s, err := ds.OpenSplit("train")
				if err != nil {
					b.Fatal(err)
				}
				s.UseCache(NewCache(budget))
				for i := range 64 {
					if _, err := s.Row(i, &sc); err != nil {
						b.Fatal(err)
					}
				}
				s.Close()
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/64, "us/row")
		})
	}
}
