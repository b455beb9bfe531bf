package cache

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"alexnet/records/bucket"
	"alexnet/records/bucket/buckettest"
)

const testBlock = 1000

// object puts an object of n drawn bytes and returns them and its version.
func object(t *testing.T, m *buckettest.Memory, name string, n int) ([]byte, string) {
	t.Helper()
	data := make([]byte, n)
	random := rand.New(rand.NewPCG(uint64(n), uint64(len(name))))
	for i := range data {
		data[i] = byte(random.Uint32())
	}
	ctx := context.Background()
	if err := m.Put(ctx, name, bytes.NewReader(data), int64(n), bucket.Replace); err != nil {
		t.Fatal(err)
	}
	info, err := m.Stat(ctx, name)
	if err != nil {
		t.Fatal(err)
	}
	return data, info.Version
}

// opened puts a cache of some blocks before a Folder.
func opened(t *testing.T, f bucket.Folder, dir string, blocks int) *Folder {
	t.Helper()
	c, err := New(f, Options{Dir: dir, Bytes: int64(blocks) * int64(testBlock+footerSize), block: testBlock})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// want reads a piece and compares it.
func want(t *testing.T, c *Folder, name, version string, data []byte, off, n int) {
	t.Helper()
	p := make([]byte, n)
	if err := c.ReadAt(context.Background(), name, version, p, int64(off)); err != nil {
		t.Fatalf("%d bytes from %d on: %v", n, off, err)
	}
	if !bytes.Equal(p, data[off:off+n]) {
		t.Fatalf("%d bytes from %d on are others", n, off)
	}
}

// files lists the files in the cache's folder with their lengths.
func files(t *testing.T, dir string) map[string]int64 {
	t.Helper()
	found := map[string]int64{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			found[path] = info.Size()
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func total(files map[string]int64) (n int64) {
	for _, size := range files {
		n += size
	}
	return n
}

func TestInterface(t *testing.T) {
	defer goleak.VerifyNone(t)
	c, err := New(&buckettest.Memory{}, Options{Dir: t.TempDir(), Bytes: 10 * (testBlock + int64(footerSize)), block: testBlock})
	if err != nil {
		t.Fatal(err)
	}
	if err := buckettest.Check(context.Background(), c); err != nil {
		t.Error(err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}

// TestReads reads pieces of every kind, twice, and in another process.
func TestReads(t *testing.T) {
	m := &buckettest.Memory{}
	data, version := object(t, m, "a/b", 4500)
	reads := 0
	m.Before = func(op, _ string) error {
		if op == "read" {
			reads++
		}
		return nil
	}
	dir := t.TempDir()
	for process := range 2 {
		c := opened(t, m, dir, 100)
		for range 2 {
			for _, piece := range [][2]int{{0, 1}, {0, 4500}, {999, 2}, {1000, 1000}, {4499, 1}, {3999, 501}, {10, 0}} {
				want(t, c, "a/b", version, data, piece[0], piece[1])
			}
		}
		for _, piece := range [][2]int{{4500, 1}, {4000, 501}, {9000, 1}, {0, 4501}} {
			err := c.ReadAt(context.Background(), "a/b", version, make([]byte, piece[1]), int64(piece[0]))
			var own *bucket.Error
			if !errors.Is(err, io.ErrUnexpectedEOF) || !errors.As(err, &own) {
				t.Errorf("%d bytes from %d on: %v", piece[1], piece[0], err)
			}
		}
		if s := c.Stats(); process == 0 && (s.Misses != 5 || s.Fetched != 4500) || process == 1 && s.Misses != 0 || s.Hits == 0 || s.Kept != total(files(t, dir)) {
			t.Errorf("process %d: %+v", process, s)
		}
	}
	if reads != 5 {
		t.Errorf("the store was read %d times", reads)
	}
}

// TestVersions has an object replaced: the old version is served from the cache
// or not at all, and never as the new one.
func TestVersions(t *testing.T) {
	m := &buckettest.Memory{}
	data, version := object(t, m, "a", 1500)
	c := opened(t, m, t.TempDir(), 100)
	want(t, c, "a", version, data, 0, 10)
	other, second := object(t, m, "a", 1600)
	want(t, c, "a", version, data, 0, 10)
	if err := c.ReadAt(context.Background(), "a", version, make([]byte, 10), 1200); !errors.Is(err, bucket.ErrChanged) {
		t.Errorf("a block of a version that is gone: %v", err)
	}
	want(t, c, "a", second, other, 0, 1600)
	want(t, c, "a", "", other, 0, 1600)
	if s := c.Stats(); s.Misses != 3 {
		t.Errorf("%+v", s)
	}
}

// plain is a store that gives all objects the same version, as one over a file system may
// of files that it has not put there itself.
type plain struct {
	*buckettest.Memory
	modified time.Time
}

func (p *plain) Stat(ctx context.Context, name string) (bucket.Info, error) {
	info, err := p.Memory.Stat(ctx, name)
	info.Version, info.Modified = "plain", p.modified
	return info, err
}

func (p *plain) ReadAt(ctx context.Context, name, _ string, b []byte, off int64) error {
	return p.Memory.ReadAt(ctx, name, "", b, off)
}

// TestPlainVersions has an object replaced by another of the same version: of another
// length, or put at another time.
func TestPlainVersions(t *testing.T) {
	p := &plain{Memory: &buckettest.Memory{}, modified: time.Now()}
	dir := t.TempDir()
	for i, length := range []int{testBlock, 2 * testBlock, 2 * testBlock} {
		p.modified = p.modified.Add(time.Duration(i/2) * time.Minute)
		data := bytes.Repeat([]byte{byte(i)}, length)
		if err := p.Put(context.Background(), "a", bytes.NewReader(data), int64(length), bucket.Replace); err != nil {
			t.Fatal(err)
		}
		c := opened(t, p, dir, 10)
		want(t, c, "a", "plain", data, 0, length)
		want(t, c, "a", "plain", data, 0, length)
		if s := c.Stats(); s.Misses != int64(length/testBlock) || s.Hits != s.Misses {
			t.Errorf("object %d: %+v", i, s)
		}
	}
}

// TestBound reads more than there is room for: the bound holds, now and for the
// next process; what came first stays, the rest is asked for as it is wanted and no
// more, and what another object left goes.
func TestBound(t *testing.T) {
	m := &buckettest.Memory{}
	data, version := object(t, m, "a", 40*testBlock)
	dir := t.TempDir()
	const room = 10
	limit := int64(room) * int64(testBlock+footerSize)
	c := opened(t, m, dir, room)
	for i := range 40 {
		want(t, c, "a", version, data, i*testBlock, 100)
		want(t, c, "a", version, data, 0, 100)
		if n := total(files(t, dir)); n > limit {
			t.Fatalf("%d bytes after %d blocks, the bound is %d", n, i, limit)
		}
	}
	s := c.Stats()
	if s.Misses != room || s.Passed != 40-room || s.Fetched != room*testBlock+(40-room)*100 || s.Evictions != 0 || s.Kept != limit {
		t.Errorf("%+v", s)
	}
	small := opened(t, m, dir, 4)
	if n := total(files(t, dir)); n > limit*4/room || n < limit*3/room {
		t.Errorf("%d bytes after a process with a smaller bound", n)
	}
	want(t, small, "a", version, data, (room-1)*testBlock, 1)
	if s := small.Stats(); s.Hits != 1 {
		t.Errorf("the block that was written last is not there: %+v", s)
	}
	want(t, c, "a", version, data, 5*testBlock, 1) // evicted under it

	other, otherVersion := object(t, m, "b", 3*testBlock)
	next := opened(t, m, dir, 4)
	want(t, next, "b", otherVersion, other, 0, len(other))
	want(t, next, "b", otherVersion, other, 0, len(other))
	if s := next.Stats(); s.Misses != 3 || s.Hits != 3 || s.Evictions == 0 {
		t.Errorf("another object: %+v", s)
	}
	other, otherVersion = object(t, m, "b", 4*testBlock) // whose blocks take the place of the old ones
	want(t, next, "b", otherVersion, other, 0, len(other))
	want(t, next, "b", otherVersion, other, 0, len(other))
	if s := next.Stats(); s.Misses != 7 || s.Hits != 7 || s.Passed != 0 || total(files(t, dir)) > limit*4/room {
		t.Errorf("another version of it: %+v", s)
	}
}

// TestOtherUsers may read the blocks, as far as the user's mask lets them.
func TestOtherUsers(t *testing.T) {
	m := &buckettest.Memory{}
	data, version := object(t, m, "a", testBlock)
	dir := t.TempDir()
	want(t, opened(t, m, dir, 10), "a", version, data, 0, 1)
	for path := range files(t, dir) {
		usual := filepath.Join(t.TempDir(), "usual")
		if err := os.WriteFile(usual, nil, 0o666); err != nil {
			t.Fatal(err)
		}
		mode := func(path string) fs.FileMode {
			info, err := os.Stat(path)
			if err != nil {
				t.Fatal(err)
			}
			return info.Mode()
		}
		if got, want := mode(path), mode(usual); got != want {
			t.Errorf("a block has the mode %v, and should have %v", got, want)
		}
	}
}

// TestTwoProcesses have one folder and evict for each other.
func TestTwoProcesses(t *testing.T) {
	m := &buckettest.Memory{}
	data, version := object(t, m, "a", 60*testBlock)
	dir := t.TempDir()
	const room = 16
	one, two := opened(t, m, dir, room), opened(t, m, dir, room)
	for i := range 30 {
		want(t, one, "a", version, data, i*testBlock, 1)
		want(t, two, "a", version, data, (i+30)*testBlock, 1)
		want(t, two, "a", version, data, i*testBlock, 1) // the other's
	}
	if n, most := total(files(t, dir)), int64(room+room/looks+2)*int64(testBlock+footerSize); n > most {
		t.Errorf("%d bytes, want %d at most", n, most)
	}
	if s := two.Stats(); s.Hits < room/2 || s.Misses > room || s.Hits+s.Misses+s.Passed != 60 {
		t.Errorf("the second has not found what the first has: %+v", s)
	}
}

// TestDamage changes block files in every way: they are fetched again.
func TestDamage(t *testing.T) {
	m := &buckettest.Memory{}
	data, version := object(t, m, "a", 2*testBlock)
	dir := t.TempDir()
	first := opened(t, m, dir, 100)
	want(t, first, "a", version, data, 0, 1)
	var path string
	for path = range files(t, dir) {
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	other := makeKey("mem://test", "b", known{version: version}, testBlock, 0)
	table := map[string][]byte{
		"empty": {}, "a byte": {1}, "no footer": whole[:testBlock], "cut": whole[:len(whole)-1], "cut in front": whole[1:],
		"longer": append(bytes.Clone(whole), 0), "too long": make([]byte, 10*testBlock), "twice": append(bytes.Clone(whole), whole...),
		"another's": seal(other, bytes.Clone(whole[:testBlock])), "shorter, its length right": append(bytes.Clone(whole[:10]), whole[testBlock:]...),
	}
	for i := range whole {
		if i < testBlock && i%97 != 0 {
			continue
		}
		flipped := bytes.Clone(whole)
		flipped[i] ^= 1 << (i % 8)
		table[fmt.Sprintf("byte %d", i)] = flipped
	}
	for what, content := range table {
		if err := os.WriteFile(path, content, 0o666); err != nil {
			t.Fatal(err)
		}
		c := opened(t, m, dir, 100)
		want(t, c, "a", version, data, 0, testBlock)
		if s := c.Stats(); s.Damaged != 1 || s.Misses != 1 || s.Hits != 0 {
			t.Errorf("%s: %+v", what, s)
		}
		if again, err := os.ReadFile(path); err != nil || !bytes.Equal(again, whole) {
			t.Errorf("%s: the file was not made again: %v", what, err)
		}
	}
}

// TestCutMeanwhile has a block cut that this process has seen whole, and the folder looked
// through after that.
func TestCutMeanwhile(t *testing.T) {
	m := &buckettest.Memory{}
	data, version := object(t, m, "a", testBlock)
	dir := t.TempDir()
	c := opened(t, m, dir, 10)
	want(t, c, "a", version, data, 0, testBlock)
	for path, size := range files(t, dir) {
		if err := os.Truncate(path, size/2); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.disk.look(); err != nil {
		t.Fatal(err)
	}
	want(t, c, "a", version, data, 0, testBlock)
	if s := c.Stats(); s.Damaged != 1 || s.Misses != 2 {
		t.Errorf("%+v", s)
	}
}

func FuzzBlock(f *testing.F) {
	k := makeKey("s3://b", "a", known{version: "v"}, testBlock, 3)
	f.Add(seal(k, []byte("some bytes")))
	f.Add(seal(key{}, nil))
	f.Add(bytes.Repeat([]byte{0}, footerSize))
	f.Fuzz(func(t *testing.T, file []byte) {
		b, err := unseal(k, file)
		if err != nil {
			if !errors.Is(err, errDamaged) {
				t.Fatal(err)
			}
			return
		}
		if !bytes.Equal(seal(k, bytes.Clone(b)), file) {
			t.Error("a file that is not what seal makes was taken")
		}
	})
}

func TestKeysDiffer(t *testing.T) {
	seen := map[key]string{}
	for _, c := range []struct {
		folder, object string
		of             known
		block, index   int64
	}{
		{"a", "b", known{"c", 3, 4}, 1, 2}, {"ab", "", known{"c", 3, 4}, 1, 2}, {"", "ab", known{"c", 3, 4}, 1, 2}, {"a", "bc", known{"", 3, 4}, 1, 2},
		{"a", "b", known{"d", 3, 4}, 1, 2}, {"a", "b", known{"c", 4, 3}, 1, 2}, {"a", "b", known{"c", 3, 5}, 1, 2},
		{"a", "b", known{"c", 3, 4}, 2, 1}, {"a", "b", known{"c", 3, 4}, 1, 3}, {"a", "b", known{"c", 4, 1}, 3, 2},
	} {
		k := makeKey(c.folder, c.object, c.of, c.block, c.index)
		if before, ok := seen[k]; ok {
			t.Errorf("%+v has the key of %s", c, before)
		}
		seen[k] = fmt.Sprintf("%+v", c)
	}
}

// gate lets reads of the store wait until it is opened.
type gate struct {
	bucket.Folder
	entered chan struct{}
	open    chan struct{}
	mu      sync.Mutex
	reads   int
}

func (g *gate) ReadAt(ctx context.Context, name, version string, p []byte, off int64) error {
	g.mu.Lock()
	g.reads++
	g.mu.Unlock()
	g.entered <- struct{}{}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-g.open:
	}
	return g.Folder.ReadAt(ctx, name, version, p, off)
}

// TestOneFetch has many read one block at once: it is fetched once, also when the
// one who asked first goes away.
func TestOneFetch(t *testing.T) {
	m := &buckettest.Memory{}
	data, version := object(t, m, "a", testBlock)
	g := &gate{Folder: m, entered: make(chan struct{}, 10), open: make(chan struct{})}
	c := opened(t, g, t.TempDir(), 10)
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	all.Go(func() {
		if err := c.ReadAt(ctx, "a", version, make([]byte, 1), 0); !errors.Is(err, context.Canceled) {
			t.Errorf("the one who went away: %v", err)
		}
	})
	<-g.entered
	for range 20 {
		all.Go(func() {
			p := make([]byte, testBlock)
			if err := c.ReadAt(context.Background(), "a", version, p, 0); err != nil || !bytes.Equal(p, data) {
				t.Error(err)
			}
		})
	}
	waiting := func() int {
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, f := range c.flights {
			return f.waiters
		}
		return 0
	}
	for waiting() < 22 { // 20, the one who goes, and the fetcher
		time.Sleep(time.Millisecond)
	}
	cancel()
	for waiting() > 21 {
		time.Sleep(time.Millisecond)
	}
	close(g.open)
	all.Wait()
	if g.reads != 1 {
		t.Errorf("it was fetched %d times", g.reads)
	}
}

// TestAllGoAway has the only reader of a block go away: the request ends, and the
// next reader makes a new one.
func TestAllGoAway(t *testing.T) {
	m := &buckettest.Memory{}
	data, version := object(t, m, "a", testBlock)
	g := &gate{Folder: m, entered: make(chan struct{}, 10), open: make(chan struct{})}
	c := opened(t, g, t.TempDir(), 10)
	ctx, cancel := context.WithCancel(context.Background())
	go func() { <-g.entered; cancel() }()
	if err := c.ReadAt(ctx, "a", version, make([]byte, 1), 0); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	close(g.open)
	want(t, c, "a", version, data, 0, testBlock)
	if g.reads != 2 {
		t.Errorf("it was asked for %d times", g.reads)
	}
}

// TestErrorsPass has the store fail: the error is its own, and nothing is kept.
func TestErrorsPass(t *testing.T) {
	m := &buckettest.Memory{}
	data, version := object(t, m, "a", testBlock)
	broken := errors.New("no store")
	m.Before = func(op, _ string) error { return broken }
	dir := t.TempDir()
	c := opened(t, m, dir, 10)
	if err := c.ReadAt(context.Background(), "a", version, make([]byte, 1), 0); !errors.Is(err, broken) {
		t.Error(err)
	}
	m.Before = nil
	want(t, c, "a", version, data, 0, testBlock)
	m.Before = func(op, _ string) error { return broken }
	want(t, c, "a", version, data, 0, testBlock) // no request at all
}

// TestFullDisk has the disk take nothing: reading goes on.
func TestFullDisk(t *testing.T) {
	m := &buckettest.Memory{}
	data, version := object(t, m, "a", 5*testBlock)
	dir := t.TempDir()
	c := opened(t, m, dir, 10)
	tries := 0
	c.disk.put = func(string, []byte) error { tries++; return errors.New("no space left") }
	for range 2 {
		want(t, c, "a", version, data, 0, len(data))
	}
	if s := c.Stats(); s.Failures != 1 || s.Misses != 1 || s.Passed != 9 || s.Kept != 0 || tries != 1 {
		t.Errorf("%+v after %d tries", s, tries)
	}
	c.disk.put = putFile
	c.mute = time.Time{} // the pause is over
	want(t, c, "a", version, data, 0, len(data))
	if s := c.Stats(); s.Kept == 0 || s.Kept != total(files(t, dir)) {
		t.Errorf("after the disk has room again: %+v", s)
	}
}

// TestForeignFiles lie in the folder: they stay and do not count; temporaries
// that nobody writes any more go.
func TestForeignFiles(t *testing.T) {
	dir := t.TempDir()
	stale := strings.Repeat("ab", 16) + suffix + ".tmp-123"
	for _, name := range []string{"notes.txt", "ab/notes.txt", "ab/" + stale, "ab/" + strings.Repeat("ac", 16) + suffix} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, make([]byte, 100), 0o666); err != nil {
			t.Fatal(err)
		}
		old := time.Now().Add(-2 * staleAfter)
		if err := os.Chtimes(path, old, old); err != nil {
			t.Fatal(err)
		}
	}
	c := opened(t, &buckettest.Memory{}, dir, 10)
	if s := c.Stats(); s.Kept != 0 || len(files(t, dir)) != 3 {
		t.Errorf("%+v, and %v", s, files(t, dir))
	}
}

func TestTooSmall(t *testing.T) {
	if _, err := New(&buckettest.Memory{}, Options{Dir: t.TempDir(), Bytes: blockSize}); err == nil || !strings.Contains(err.Error(), "too small") {
		t.Error(err)
	}
}

// TestBoundOfMany has many fetch at once while the folder is looked through: no block that
// was written meanwhile goes uncounted.
func TestBoundOfMany(t *testing.T) {
	m := &buckettest.Memory{}
	const room, readers = 40, 16
	data, version := object(t, m, "a", 3*room*testBlock)
	dir := t.TempDir()
	c := opened(t, m, dir, room)
	var all sync.WaitGroup
	for r := range readers {
		all.Go(func() {
			for i := r; i < 3*room; i += readers {
				p := make([]byte, 1)
				if err := c.ReadAt(context.Background(), "a", version, p, int64(i*testBlock)); err != nil || p[0] != data[i*testBlock] {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if s, n := c.Stats(), total(files(t, dir)); s.Kept != n || n > int64(room)*int64(testBlock+footerSize) {
		t.Errorf("%d bytes are there: %+v", n, s)
	}
}
