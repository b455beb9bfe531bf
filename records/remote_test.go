package records

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"alexnet/records/bucket"
	"alexnet/records/bucket/buckettest"
)

// store is an object store that remembers what it was asked for.
type store struct {
	buckettest.Memory
	mu     sync.Mutex
	reads  []request // of ReadAt
	others map[string]int
}

// request is a call of ReadAt.
type request struct {
	name, version string
	off, to       int64
}

func (s *store) ReadAt(ctx context.Context, name, version string, p []byte, off int64) error {
	s.mu.Lock()
	s.reads = append(s.reads, request{name, version, off, off + int64(len(p))})
	s.mu.Unlock()
	return s.Memory.ReadAt(ctx, name, version, p, off)
}

func (s *store) Stat(ctx context.Context, name string) (bucket.Info, error) {
	s.count("stat")
	return s.Memory.Stat(ctx, name)
}

func (s *store) Open(ctx context.Context, name string) (io.ReadCloser, bucket.Info, error) {
	s.count("open")
	return s.Memory.Open(ctx, name)
}

func (s *store) count(op string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.others == nil {
		s.others = map[string]int{}
	}
	s.others[op]++
}

// asked returns the reads since it was last called, and the number of other requests.
func (s *store) asked() (reads []request, others int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, n := range s.others {
		others += n
	}
	reads = s.reads
	s.reads, s.others = nil, nil
	return reads, others
}

// upload makes an object of each file of a folder.
func upload(t testing.TB, f bucket.Folder, dir string) {
	t.Helper()
	for _, name := range names(t, dir) {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		put(t, f, name, data)
	}
}

// put makes an object.
func put(t testing.TB, f bucket.Folder, name string, data []byte) {
	t.Helper()
	if err := f.Put(context.Background(), name, bytes.NewReader(data), int64(len(data)), bucket.Replace); err != nil {
		t.Fatal(err)
	}
}

// openRemote opens the split "train" of a data set in a store.
func openRemote(t testing.TB, f bucket.Folder) *Split {
	t.Helper()
	ds, err := OpenFolder(t.Context(), f)
	if err != nil {
		t.Fatal(err)
	}
	s, err := ds.OpenSplit("train")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// batchShape returns a shape of which some rows make a batch, if the compression
// lets them, and whose size is no multiple of the padding.
func batchShape(c Compression) Shape {
	if c != None {
		return testShape
	}
	return Shape{C: 3, H: 231, W: 231}
}

// A data set in a store reads as that in a folder: rows, in any order and by any
// of the ways to them, labels and keys.
func TestFolderReadsAsDirectory(t *testing.T) {
	for _, large := range []bool{false, true} {
		encodings(t, func(t *testing.T, p PixelType, c Compression) {
			dir, shape, n := t.TempDir(), testShape, 31
			if large {
				if c != None {
					return
				}
				shape, n = batchShape(c), 14
			}
			writeDataset(t, dir, p, c, shape, testRecords(n, shape), 9)
			var f store
			upload(t, &f, dir)
			local, remote := openTrain(t, dir), openRemote(t, &f)
			if remote.Len() != n || !remote.Remote() || local.Remote() || remote.Packed() != local.Packed() || remote.RowBytes() != local.RowBytes() {
				t.Fatalf("%d rows, remote %v, packed %v", remote.Len(), remote.Remote(), remote.Packed())
			}
			var sc, other Scratch
			var l Loaded
			for k, i := range Permutation("test", 1, 2, n) {
				i := int(i)
				want, err := local.Row(i, &sc)
				if err != nil {
					t.Fatal(err)
				}
				var got Row
				switch k % 3 {
				case 0:
					got, err = remote.Row(i, nil)
				case 1:
					got, err = remote.Row(i, &other)
				default:
					if err = remote.Load(t.Context(), i, &l); err == nil {
						got, err = remote.Unpack(&l, &other)
					}
					if l.Bytes() < len(got.Key) {
						t.Errorf("row %d took %d bytes", i, l.Bytes())
					}
				}
				if err != nil || !reflect.DeepEqual(got, want) {
					t.Fatalf("row %d is %+v, %v", i, got, err)
				}
				wantHead(t, local, i, want)
				wantHead(t, remote, i, want)
			}
			for _, i := range []int{-1, n} {
				_, err := remote.Row(i, &sc)
				wantError(t, err, fmt.Sprintf("no row %d", i))
				wantError(t, remote.Load(t.Context(), i, &l), fmt.Sprintf("no row %d", i))
				_, err = remote.Head(i)
				wantError(t, err, fmt.Sprintf("no row %d", i))
			}
			remote.WillNeed(0, n)
			remote.DontNeed(0, n)
			remote.KeepWhole()
			if err := errors.Join(remote.Fetch(3), remote.Close(), remote.Close()); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// wantHead fails unless all but the pixels of a row are as in want.
func wantHead(t *testing.T, s *Split, i int, want Row) {
	t.Helper()
	head, err := s.Head(i)
	want.U8, want.I16 = nil, nil
	if err != nil || !reflect.DeepEqual(head, want) {
		t.Fatalf("head of row %d is %+v, %v; want %+v", i, head, err, want)
	}
	if key, err := s.Key(i); err != nil || key != want.Key {
		t.Fatalf("key of row %d is %q, %v", i, key, err)
	}
	if label, err := s.Label(i); err != nil || label != want.Label {
		t.Fatalf("label of row %d is %d, %v", i, label, err)
	}
}

// Load and Unpack of a split in a folder give what Row gives.
func TestLoadFromDirectory(t *testing.T) {
	encodings(t, func(t *testing.T, p PixelType, c Compression) {
		dir := t.TempDir()
		rows := testRecords(5, testShape)
		writeDataset(t, dir, p, c, testShape, rows, 2)
		s := openTrain(t, dir)
		var l Loaded
		var sc Scratch
		for i := range rows {
			if err := s.Load(t.Context(), i, &l); err != nil || l.Bytes() != 0 {
				t.Fatal(err, l.Bytes())
			}
			row, err := s.Unpack(&l, &sc)
			if err != nil {
				t.Fatal(err)
			}
			wantRow(t, row, rows[i], p, testBaseline(p, testShape))
		}
	})
}

// An epoch costs a request a row, and the first one besides those for the heads of
// the batches, of which the first row's comes with the row.
func TestRequestsOfAnEpoch(t *testing.T) {
	encodings(t, func(t *testing.T, p PixelType, c Compression) {
		dir, shape := t.TempDir(), batchShape(c)
		n := 16
		m := writeDataset(t, dir, p, c, shape, testRecords(n, shape), 10)
		var f store
		upload(t, &f, dir)
		f.asked()
		s := openRemote(t, &f)
		if reads, others := f.asked(); len(reads) != 2 || others != 2+2 {
			t.Errorf("to open 2 shards took %d and %d requests, want 2 and 4, manifest and mean included", len(reads), others)
		}
		per := rowsPerBatch(shape, p, c)
		var sc Scratch
		for epoch := range 2 {
			want := n
			if epoch == 0 && per > 1 { // rows are read from the last to the first
				for _, shard := range m.Splits["train"].Shards {
					want += (shard.Rows + per - 2) / per // the only one of a batch is its first
				}
			}
			for i := range n {
				if _, err := s.Row(n-1-i, &sc); err != nil {
					t.Fatal(err)
				}
			}
			reads, others := f.asked()
			if len(reads) != want || others != 0 {
				t.Errorf("epoch %d took %d and %d requests, want %d", epoch, len(reads), others, want)
			}
			if slices.ContainsFunc(reads, func(r request) bool { return r.version == "" }) {
				t.Error("rows are read of objects that may be others by now")
			}
		}
		if per == 1 {
			return
		}
		s = openRemote(t, &f)
		f.asked()
		for i := range n { // from the first to the last: heads come with rows
			if _, err := s.Row(i, &sc); err != nil {
				t.Fatal(err)
			}
		}
		if reads, _ := f.asked(); len(reads) != n {
			t.Errorf("%d requests for %d rows in order", len(reads), n)
		}
	})
}

// Keys and labels are read without pixels, ahead of those who go through all.
func TestHeadsWithoutPixels(t *testing.T) {
	encodings(t, func(t *testing.T, p PixelType, c Compression) {
		dir, shape := t.TempDir(), batchShape(c)
		rows := testRecords(30, shape)
		rows[13].Key = strings.Repeat("long ", 700)
		writeDataset(t, dir, p, c, shape, rows, 30)
		var f store
		upload(t, &f, dir)
		s := openRemote(t, &f)
		f.asked()
		for i, rec := range rows {
			if key, err := s.Key(i); err != nil || key != rec.Key {
				t.Fatalf("key %d: %.20q, %v", i, key, err)
			}
			if label, err := s.Label(i); err != nil || label != rec.Label {
				t.Fatalf("label %d: %d, %v", i, label, err)
			}
		}
		per := rowsPerBatch(shape, p, c)
		batches := (len(rows) + per - 1) / per
		reads, others := f.asked()
		bytes := int64(0)
		for _, r := range reads {
			bytes += r.to - r.off
		}
		// The long key takes more than was guessed where a batch is a row.
		if len(reads) > batches+1 || others != 0 || bytes > int64(batches*2048+30*64+2*maxKey) && c == None {
			t.Errorf("%d and %d requests for %d bytes of %d batches", len(reads), others, bytes, batches)
		}
		if len(reads) == 0 || s.shards[0].remote.group < 4 && batches > 8 {
			t.Errorf("nothing was read ahead: groups of %d", s.shards[0].remote.group)
		}
	})
}

// Whatever byte of an object was flipped, its rows are what those of such a file
// would be, or the errors are.
func TestFlippedBytesOfObjects(t *testing.T) {
	shape := Shape{C: 3, H: 2, W: 3}
	encodings(t, func(t *testing.T, p PixelType, c Compression) {
		dir := t.TempDir()
		m := writeDataset(t, dir, p, c, shape, testRecords(3, shape), 3)
		info := m.Splits["train"].Shards[0]
		original, err := os.ReadFile(filepath.Join(dir, info.File))
		if err != nil {
			t.Fatal(err)
		}
		var f buckettest.Memory
		path := f.Name() + "/" + info.File
		var sc, other Scratch
		for i := 0; i < len(original); i += 5 {
			data := slices.Clone(original)
			data[i] ^= 1 << (i % 8)
			local, err := parseShard(path, aligned(data))
			if err != nil || local.rows != info.Rows {
				continue
			}
			put(t, &f, info.File, data)
			remote, err := homeOf(&f).openObject(t.Context(), m, info)
			if err != nil {
				t.Fatalf("byte %d: %v", i, err)
			}
			remote.remote.ctx = t.Context()
			for k := range local.rows {
				want, werr := local.row(k, &sc)
				got, gerr := remote.row(k, &other)
				if fmt.Sprint(werr) != fmt.Sprint(gerr) || !reflect.DeepEqual(want, got) {
					t.Fatalf("byte %d, row %d: %+v, %v; of a file %+v, %v", i, k, got, gerr, want, werr)
				}
				key, kerr := remote.key(k)
				if kerr == nil && gerr == nil && key != got.Key {
					t.Fatalf("byte %d, row %d: key %q, and alone %q", i, k, got.Key, key)
				}
			}
		}
	})
}

// Objects that are gone, were replaced or do not fit are damage, of their own rows
// only when that is tolerated.
func TestDamagedObjects(t *testing.T) {
	const shard = "train-00001-of-00003.arrow"
	rows := testRecords(10, testShape)
	corrupt := func(parts ...string) func(*testing.T, error) {
		return func(t *testing.T, err error) { wantCorrupt(t, err, shard, 2, parts...) }
	}
	edited := func(edit func(b []byte) []byte) func(*testing.T, *store, []byte) {
		return func(t *testing.T, f *store, data []byte) { put(t, f, shard, edit(data)) }
	}
	for _, c := range []struct {
		name   string
		damage func(*testing.T, *store, []byte)
		check  func(*testing.T, error)
	}{
		{"missing", func(t *testing.T, f *store, _ []byte) { f.Remove(t.Context(), shard) }, func(t *testing.T, err error) {
			if !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%v is not fs.ErrNotExist", err)
			}
			wantError(t, err, "mem://test/"+shard+": row 2: ", "is listed in manifest.json and is not there")
		}},
		{"cut", edited(func(b []byte) []byte { return b[:1000] }), corrupt("it has 1000 bytes, the manifest says ")},
		{"structure", edited(func(b []byte) []byte { clear(b[len(b)-100:]); return b }), corrupt("it does not end with ARROW1")},
		{"footer", edited(func(b []byte) []byte { b[len(b)-9] = 0x7f; return b }), corrupt("it gives its footer a length of ")},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			writeDataset(t, dir, Int16, None, testShape, rows, 4)
			data, err := os.ReadFile(filepath.Join(dir, shard))
			if err != nil {
				t.Fatal(err)
			}
			var f store
			upload(t, &f, dir)
			c.damage(t, &f, data)
			ds, err := OpenFolder(t.Context(), &f)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := ds.OpenSplit("train"); !IsDamage(err) {
				t.Errorf("OpenSplit returns %v", err)
			}
			s, err := ds.OpenSplitLenient("train")
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			wantLost(t, s, rows, ds.Mean.Baseline, c.check)
			var l Loaded
			c.check(t, s.Load(t.Context(), 6, &l))
		})
	}
}

// Objects that are replaced or removed while the split is open are damage as well.
func TestObjectsThatChange(t *testing.T) {
	dir := t.TempDir()
	writeDataset(t, dir, Uint8, None, testShape, testRecords(10, testShape), 5)
	var f store
	upload(t, &f, dir)
	s := openRemote(t, &f)
	if _, err := s.Row(2, nil); err != nil {
		t.Fatal(err)
	}
	upload(t, &f, dir) // the same, but who knows
	for _, i := range []int{2, 7} {
		_, err := s.Row(i, nil)
		wantCorrupt(t, err, s.files[i/5], i%5, bucket.ErrChanged.Error())
	}
	_, err := s.Key(7)
	wantCorrupt(t, err, s.files[1], 2, bucket.ErrChanged.Error())
	if key, err := s.Key(2); err != nil || key == "" {
		t.Errorf("a key that is in memory: %q, %v", key, err)
	}
	s = openRemote(t, &f)
	f.Remove(t.Context(), s.files[1])
	_, err = s.Row(7, nil)
	if !errors.Is(err, fs.ErrNotExist) || !IsDamage(err) {
		t.Errorf("of an object that is gone: %v", err)
	}
	wantError(t, err, s.files[1]+": row 2: ")
}

// A store that fails for good, and a context that ends, are no damage, wherever it
// happens; the error tells what and where.
func TestStoreFails(t *testing.T) {
	outage := errors.New("connection refused")
	dir := t.TempDir()
	writeDataset(t, dir, Int16, None, testShape, testRecords(10, testShape), 5)
	var f store
	upload(t, &f, dir)
	for _, c := range []struct{ op, name string }{
		{"open", ManifestName}, {"open", MeanName}, {"stat", "train-00001"}, {"read", "train-00001"},
	} {
		f.Before = func(op, name string) error {
			if op == c.op && strings.HasPrefix(name, c.name) {
				return outage
			}
			return nil
		}
		ds, err := OpenFolder(t.Context(), &f)
		if err == nil {
			_, err = ds.OpenSplitLenient("train")
		}
		wantOutage(t, err, outage, c.name)
	}
	f.Before = nil
	s := openRemote(t, &f)
	f.Before = func(string, string) error { return outage }
	var l Loaded
	_, err := s.Row(3, nil)
	wantOutage(t, err, outage, s.files[0]+": row 3: ")
	wantOutage(t, s.Load(t.Context(), 8, &l), outage, s.files[1]+": row 3: ")
	_, err = s.Label(8)
	wantOutage(t, err, outage, s.files[1]+": row 3: ")
	wantOutage(t, VerifyFolder(t.Context(), &f, nil), outage, ManifestName)

	f.Before = nil
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Load(ctx, 3, &l); !errors.Is(err, context.Canceled) || IsDamage(err) {
		t.Errorf("a load with an ended context: %v", err)
	}
	if err := VerifyFolder(ctx, &f, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("Verify returns %v", err)
	}
	if _, err := s.Row(3, nil); err != nil {
		t.Errorf("after the failures: %v", err)
	}
}

// wantOutage fails unless err tells of a store's failure, which is no damage.
func wantOutage(t *testing.T, err, outage error, parts ...string) {
	t.Helper()
	var failed *bucket.Error
	if !errors.As(err, &failed) || !errors.Is(err, outage) || IsDamage(err) {
		t.Errorf("error %v (%T), damage %v", err, err, IsDamage(err))
		return
	}
	wantError(t, err, parts...)
}

// Shards are opened, and keys read ahead, several at a time.
func TestShardsAreOpenedTogether(t *testing.T) {
	dir := t.TempDir()
	writeDataset(t, dir, Uint8, None, testShape, testRecords(8, testShape), 1)
	var f store
	upload(t, &f, dir)
	ds, err := OpenFolder(t.Context(), &f)
	if err != nil {
		t.Fatal(err)
	}
	var together sync.WaitGroup
	together.Add(8)
	f.Before = func(op, _ string) error {
		if op == "stat" {
			together.Done()
			wait := make(chan struct{})
			go func() { together.Wait(); close(wait) }()
			select {
			case <-wait:
			case <-time.After(10 * time.Second):
				return errors.New("the others do not come")
			}
		}
		return nil
	}
	s, err := ds.OpenSplit("train")
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
}

// Many goroutines may read, the first rows of the same batches included; what the
// Cache has is not asked for again.
func TestRemoteRowsTogether(t *testing.T) {
	encodings(t, func(t *testing.T, p PixelType, c Compression) {
		dir, shape := t.TempDir(), batchShape(c)
		rows := testRecords(12, shape)
		writeDataset(t, dir, p, c, shape, rows, 12)
		var f store
		upload(t, &f, dir)
		s := openRemote(t, &f)
		cache := NewCache(64 << 20)
		s.UseCache(cache)
		f.asked()
		per := rowsPerBatch(shape, p, c)
		for epoch := range 2 {
			var readers errgroup.Group
			for i := range rows {
				readers.Go(func() error {
					var l Loaded
					var sc Scratch
					if err := s.Load(context.Background(), i, &l); err != nil {
						return err
					}
					row, err := s.Unpack(&l, &sc)
					if err == nil && row.Key != rows[i].Key {
						err = fmt.Errorf("row %d has the key %s", i, row.Key)
					}
					return err
				})
			}
			if err := readers.Wait(); err != nil {
				t.Fatal(err)
			}
			reads, _ := f.asked()
			if most := len(rows) + (len(rows)+per-1)/per; epoch == 0 && (len(reads) < len(rows) || len(reads) > most) || epoch == 1 && len(reads) != 0 {
				t.Errorf("epoch %d: %d requests for %d rows", epoch, len(reads), len(rows))
			}
		}
		if stats := cache.Stats(); stats.Hits != 12 || stats.Misses != 12 || stats.Rows != 12 {
			t.Errorf("cache: %+v", stats)
		}
		for i := range rows {
			row, err := s.Row(i, nil)
			if err != nil {
				t.Fatal(err)
			}
			wantRow(t, row, rows[i], p, testBaseline(p, shape))
		}
	})
}

// Verify of a store says what Verify of such a folder says, and reads each object
// once.
func TestVerifyFolder(t *testing.T) {
	encodings(t, func(t *testing.T, p PixelType, c Compression) {
		dir, shape := t.TempDir(), batchShape(c)
		m := writeDataset(t, dir, p, c, shape, testRecords(14, shape), 7)
		var f store
		upload(t, &f, dir)
		wantSameVerdict(t, dir, &f, 0)
		reads, others := f.asked()
		if len(reads) != 2 || others != 2+2*2 {
			t.Errorf("%d and %d requests", len(reads), others)
		}
		shards := m.Splits["train"].Shards
		edit(t, filepath.Join(dir, shards[0].File), func(b []byte) []byte { b[len(b)/2] ^= 4; return b })  // a pixel
		edit(t, filepath.Join(dir, shards[1].File), func(b []byte) []byte { b[len(b)-30] ^= 4; return b }) // the schema
		edit(t, filepath.Join(dir, MeanName), func(b []byte) []byte { b[len(b)/2] ^= 4; return b })
		upload(t, &f, dir)
		wantSameVerdict(t, dir, &f, 3)
		f.Remove(t.Context(), shards[0].File)
		if err := os.Remove(filepath.Join(dir, shards[0].File)); err != nil {
			t.Fatal(err)
		}
		wantSameVerdict(t, dir, &f, 3)
	})
}

// wantSameVerdict fails unless a folder and a store are said to have the same
// faults, at least so many.
func wantSameVerdict(t *testing.T, dir string, f *store, faults int) {
	t.Helper()
	f.asked()
	var verdicts [2][]string
	count := 0
	each := func(k int) func(file string, err error) {
		return func(file string, err error) {
			text := fmt.Sprint(file, ": ", err)
			text = strings.ReplaceAll(text, dir+string(filepath.Separator), "HOME/")
			text = strings.ReplaceAll(text, f.Name()+"/", "HOME/")
			if strings.Contains(text, "is not there") {
				text, _, _ = strings.Cut(text, "ingest: ")
			}
			verdicts[k] = append(verdicts[k], text)
			if err != nil && k == 1 {
				count++
			}
		}
	}
	errs := [2]error{Verify(t.Context(), dir, each(0)), VerifyFolder(t.Context(), f, each(1))}
	if !slices.Equal(verdicts[0], verdicts[1]) || count < faults || (errs[0] == nil) != (errs[1] == nil) {
		t.Errorf("the folder:\n%s\nthe store:\n%s\n%v\n%v", strings.Join(verdicts[0], "\n"), strings.Join(verdicts[1], "\n"), errs[0], errs[1])
	}
}

// What else there is for a store, beside what is for folders.
func TestFolderChecks(t *testing.T) {
	dir := t.TempDir()
	m := writeDataset(t, dir, Int16, None, testShape, testRecords(4, testShape), 2)
	var f buckettest.Memory
	_, err := OpenFolder(t.Context(), &f)
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("an empty store: %v", err)
	}
	wantError(t, err, "mem://test holds no finished records")
	upload(t, &f, dir)
	ds, err := OpenFolder(t.Context(), &f)
	if err != nil || ds.Dir != "mem://test" || !reflect.DeepEqual(ds.Mean, testMean(Int16, testShape)) {
		t.Fatalf("%+v, %v", ds, err)
	}
	if got, err := ReadFolderManifest(t.Context(), &f); err != nil || !reflect.DeepEqual(got, m) {
		t.Errorf("manifest %+v, %v", got, err)
	}
	info := m.Splits["train"].Shards[1]
	check := func(split string) error {
		_, err := homeOf(&f).openListed(t.Context(), m, split, info)
		return err
	}
	if err := check("train"); err != nil {
		t.Error(err)
	}
	wantCorrupt(t, check("val"), info.File, -1, `the manifest says`)
	info.Rows = 1025
	wantCorrupt(t, check("train"), info.File, -1, "it has 1 batches of 1024 rows, the manifest says 1025")
	_, err = ds.OpenSplit("test")
	wantError(t, err, `mem://test has no split "test"`)
	if s, err := ds.OpenSplit("val"); err != nil || s.Len() != 0 {
		t.Errorf("an empty split: %v", err)
	}
}
