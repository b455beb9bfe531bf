package pipeline

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"alexnet/records"
)

func contains(err error, part string) bool { return strings.Contains(err.Error(), part) }

// TestSkip leaves holes where two records are corrupt, and everything else as
// it is without them.
func TestSkip(t *testing.T) {
	whole := usual.write(t)
	o := Options{Batch: 8, Crop: 9, Seed: 11, Train: true, Color: &testColor, Epochs: 2, Workers: 3}
	want := images(t, whole, o, nil)
	dir := usual.write(t)
	corrupt(t, dir, 5)
	corrupt(t, dir, 30)
	o.OnCorrupt = Skip
	skipped := map[int64]int{}
	got := images(t, dir, o, func(b *Batch) {
		for i, s := range b.Skipped {
			if i > 0 && s.Slot <= b.Skipped[i-1].Slot {
				t.Error("holes are not in the order of their slots")
			}
			index := b.Indices[s.Slot]
			skipped[index]++
			var bad *records.CorruptError
			if !errors.As(s.Err, &bad) || bad.Key == "" || b.Labels[s.Slot] != -1 {
				t.Errorf("record %d: %v, label %d", index, s.Err, b.Labels[s.Slot])
			}
			hole := b.Images[s.Slot*3*9*9 : (s.Slot+1)*3*9*9]
			if slices.ContainsFunc(hole, func(x float32) bool { return x != 0 }) {
				t.Errorf("record %d: the hole is not empty", index)
			}
		}
		if b.Keys.Records != int64(b.N-len(b.Skipped)) {
			t.Errorf("%d keys of %d records, %d skipped", b.Keys.Records, b.N, len(b.Skipped))
		}
	})
	if len(skipped) != 2 || skipped[5] != 2 || skipped[30] != 2 {
		t.Errorf("skipped %v, want records 5 and 30 in each of 2 epochs", skipped)
	}
	for key, image := range want {
		if key.index != 5 && key.index != 30 && got[key] != image {
			t.Errorf("epoch %d: record %d is another because of those that were skipped", key.epoch, key.index)
		}
	}
}

// place is where a record was.
type place struct {
	epoch, step, slot int
	index             int64
}

// images returns a digest of each record of a stream, and shows each batch. It
// wants the stream to end well, and Stats to count what was skipped.
func images(t *testing.T, dir string, o Options, each func(*Batch)) map[place][32]byte {
	t.Helper()
	p, err := Open(t.Context(), dir, o)
	if err != nil {
		t.Fatal(err)
	}
	all := map[place][32]byte{}
	skipped := 0
	for b := range p.Batches() {
		for i, index := range b.Indices {
			all[place{b.Epoch, b.Step, i, index}] = digest(b.Images[i*3*o.Crop*o.Crop : (i+1)*3*o.Crop*o.Crop])
		}
		skipped += len(b.Skipped)
		if each != nil {
			each(&b)
		}
		b.Release()
	}
	if err := errors.Join(p.Err(), p.Close()); err != nil {
		t.Fatal(err)
	}
	if got := p.Stats().Skipped; got != int64(skipped) {
		t.Errorf("%d records counted as skipped, %d were", got, skipped)
	}
	return all
}

// TestLostShard skips, or does not, the records of a shard that is gone, and of
// one that is cut while it is mapped.
func TestLostShard(t *testing.T) {
	dir := usual.write(t)
	lost := filepath.Join(dir, "train-00001-of-00002.arrow") // records 18 to 36
	if err := os.Remove(lost); err != nil {
		t.Fatal(err)
	}
	o := Options{Batch: 8, Crop: 9, Workers: 2}
	if _, err := Open(t.Context(), dir, o); !errors.Is(err, fs.ErrNotExist) || !contains(err, "train-00001-of-00002.arrow") {
		t.Errorf("a missing shard: %v", err)
	}
	o.OnCorrupt = Skip
	holes := 0
	images(t, dir, o, func(b *Batch) {
		for _, s := range b.Skipped {
			holes++
			if !errors.Is(s.Err, fs.ErrNotExist) || !contains(s.Err, "train-00001-of-00002.arrow") || b.Indices[s.Slot] < 18 {
				t.Errorf("record %d: %v", b.Indices[s.Slot], s.Err)
			}
		}
	})
	ds, err := records.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	split, err := ds.OpenSplitLenient("train")
	if err != nil {
		t.Fatal(err)
	}
	defer split.Close()
	if d, lost, err := DigestOf(split); err != nil || d.Records != 18 || len(lost) != 19 || lost[0] != 18 {
		t.Errorf("digest %v without %d records, %v; want 18 without 19", d, len(lost), err)
	}
	if holes != 19 {
		t.Errorf("%d records skipped, want the 19 of the shard", holes)
	}
}

// TestSkipWhatIsCutOff cuts a shard while its rows are being streamed: they
// become holes, whoever meets the end of the file.
func TestSkipWhatIsCutOff(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("a mapped file cannot be truncated on Windows")
	}
	r := usual
	r.rows, r.shards, r.shape.H, r.shape.W = 64, 1, 64, 64
	dir := r.write(t)
	p, err := Open(t.Context(), dir, Options{Batch: 8, Crop: 60, Epochs: 3, Depth: 1, Workers: 2, OnCorrupt: Skip})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	for range p.StepsPerEpoch() {
		b, ok := p.Next(t.Context())
		if !ok || len(b.Skipped) != 0 {
			t.Fatal(p.Err(), b.Skipped)
		}
		b.Release()
	}
	path := filepath.Join(dir, "train-00000-of-00001.arrow")
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, info.Size()/2); err != nil {
		t.Fatal(err)
	}
	skipped, last := 0, 0
	for b := range p.Batches() {
		for _, s := range b.Skipped {
			if !contains(s.Err, path) && !contains(s.Err, filepath.Base(path)) || !contains(s.Err, "row ") {
				t.Errorf("record %d: %v names no file, or no row", b.Indices[s.Slot], s.Err)
			}
		}
		skipped += len(b.Skipped)
		if b.Epoch == 2 {
			last += len(b.Skipped)
		}
		b.Release()
	}
	if err := p.Err(); err != nil {
		t.Fatal(err)
	}
	// Half of the rows, and perhaps all: the file's own index was at its end.
	if last < 31 || skipped < last {
		t.Errorf("%d records skipped in the last epoch, %d in all", last, skipped)
	}
}
