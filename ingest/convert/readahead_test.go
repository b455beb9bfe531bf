package convert

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"alexnet/ingest/source"
	"alexnet/records/bucket"
	"alexnet/records/bucket/buckettest"
	"alexnet/tools/drawn"
)

// storeOf copies a folder into a store.
func storeOf(t testing.TB, dir string) *buckettest.Memory {
	t.Helper()
	m := new(buckettest.Memory)
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		return m.Put(context.Background(), filepath.ToSlash(name), bytes.NewReader(data), int64(len(data)), bucket.Create)
	})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// openStore opens a store for the length of the test.
func openStore(t testing.TB, m *buckettest.Memory) source.Source {
	t.Helper()
	src, err := source.OpenFolder(context.Background(), m, "", source.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { src.Close() })
	return src
}

// underWay counts the reads that are under way, and shows them to a test.
func underWay(m *buckettest.Memory, look func(now int)) {
	var mu sync.Mutex
	now := 0
	add := func(n int) int {
		mu.Lock()
		defer mu.Unlock()
		now += n
		return now
	}
	m.Before = func(op, _ string) error {
		if op == "open" || op == "read" {
			look(add(1))
			add(-1)
		}
		return nil
	}
}

// TestReadAhead makes records out of a store: the bytes are those of the folder,
// and as many files are read at the same time as there may be, with one worker.
func TestReadAhead(t *testing.T) {
	dir := folder(t, small())
	damage(t, dir, "train/*/*_3.JPEG", []byte("no picture"))
	local := config(open(t, dir, source.Options{}), filepath.Join(t.TempDir(), "folder"))
	local.Jobs, local.MaxRejects = 1, 1
	want := convert(t, local)

	const reads = 8
	m := storeOf(t, dir)
	all := make(chan struct{})
	var once sync.Once
	cfg := local
	cfg.Source, cfg.Out = openStore(t, m), filepath.Join(t.TempDir(), "store")
	cfg.aheadReads, cfg.aheadBytes = reads, 1<<20
	underWay(m, func(now int) {
		if now == reads {
			once.Do(func() { close(all) })
		} else if now > reads {
			t.Errorf("%d files are read at the same time, of at most %d", now, reads)
		}
		select {
		case <-all:
		case <-time.After(10 * time.Second):
			once.Do(func() { t.Errorf("never more than %d files are read at the same time", now); close(all) })
		}
	})
	got := convert(t, cfg)
	sameTree(t, "read ahead", cfg.Out, local.Out)
	if got.Decoded != want.Decoded {
		t.Errorf("%d decoded, want %d", got.Decoded, want.Decoded)
	}

	// Files that together are too much for the memory are read one by one.
	cfg.Out, cfg.aheadBytes, cfg.Jobs = filepath.Join(t.TempDir(), "alone"), 1, 3
	underWay(m, func(now int) {
		if now > 1 {
			t.Errorf("%d files are read at the same time, and there is memory for one", now)
		}
		time.Sleep(100 * time.Microsecond)
	})
	convert(t, cfg)
	sameTree(t, "read one by one", cfg.Out, local.Out)
}

// TestReadAheadFails has a store that fails for good, or a job that is
// interrupted, in the middle: no file is rejected for it, and the job goes on
// when it is run again.
func TestReadAheadFails(t *testing.T) {
	m := storeOf(t, folder(t, small()))
	src := openStore(t, m)
	down := errors.New("connection reset")
	for _, interrupted := range []bool{false, true} {
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		cfg := config(src, filepath.Join(t.TempDir(), "out"))
		cfg.MaxRejects, cfg.BaselineSample = 1, 5
		var mu sync.Mutex
		n := 0
		m.Before = func(_, name string) error {
			mu.Lock()
			defer mu.Unlock()
			if n++; n < 20 {
				return nil
			}
			if interrupted {
				cancel()
				return nil
			}
			return down
		}
		_, err := Run(ctx, cfg)
		m.Before = nil
		if interrupted && !errors.Is(err, context.Canceled) {
			t.Fatalf("interrupted: %v", err)
		}
		if _, ok := errors.AsType[*source.IOError](err); !interrupted && (!ok || !errors.Is(err, down) ||
			!strings.HasPrefix(err.Error(), "mem://test/") || !strings.Contains(err.Error(), ": open failed: connection reset; check the network and the store; ")) {
			t.Fatalf("the store fails: %v", err)
		}
		goesOn(t, cfg, err)
	}
}

// BenchmarkSource makes records of 400 pictures in a folder, and in a store that
// answers after 20 ms, with and without reading ahead.
func BenchmarkSource(b *testing.B) {
	dir := folder(b, drawn.Options{Classes: 4, TrainPerClass: 100, Seed: 5})
	m := storeOf(b, dir)
	stored := openStore(b, m)
	m.Before = func(string, string) error { time.Sleep(20 * time.Millisecond); return nil }
	for _, c := range []struct {
		name  string
		src   source.Source
		reads int
	}{{"folder", open(b, dir, source.Options{}), 0}, {"store", stored, 0}, {"store-2-reads", stored, 2}} {
		b.Run(c.name, func(b *testing.B) {
			for b.Loop() {
				convert(b, Config{
					Source: c.src, Out: filepath.Join(b.TempDir(), "out"), Seed: 11, MaxRejects: DefaultMaxRejects, Jobs: 2,
					aheadReads: c.reads, aheadBytes: aheadBytes,
				})
			}
			b.ReportMetric(400*float64(b.N)/b.Elapsed().Seconds(), "images/s")
		})
	}
}
