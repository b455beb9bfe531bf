package features

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/ipc"

	"alexnet/model"
	"alexnet/model/cpu"
	"alexnet/model/cpu/gemm"
	"alexnet/records"
	"alexnet/train/traintest"
)

// testSource is one of random features.
func testSource(rows, size int) Source {
	return Source{Records: "r", Split: "train", Net: "n", Layer: "fc7", Precision: "fp32", Size: size, Rows: rows, perFile: 2 * batchRows}
}

// save writes a store.
func save(t *testing.T, s Source, dir string, features []float32) {
	t.Helper()
	w := newWriter(s, dir, 0)
	for row := range s.Rows {
		if err := w.add(fmt.Sprintf("key %d", row), int32(row%7), features[row*s.Size:][:s.Size]); err != nil {
			t.Fatal(err)
		}
	}
}

// slow is Nearest without blocks.
func slow(s Source, features, query []float32, k int) (all []Match) {
	for row := range s.Rows {
		all = append(all, Match{row, fmt.Sprintf("key %d", row), int32(row % 7), distance(query, features[row*s.Size:][:s.Size])})
	}
	slices.SortStableFunc(all, func(a, b Match) int { return cmp.Compare(a.Distance, b.Distance) })
	return all[:min(k, len(all))]
}

// Nearest finds what comparing all with all finds: for odd sizes, for rows that are
// equal, where the norms are large beside the distances and where products overflow.
func TestNearest(t *testing.T) {
	for _, c := range []struct {
		name                   string
		rows, size, queries, k int
		value                  func(r *rand.Rand) float32
	}{
		{"normal", 1300, 300, 130, 6, func(r *rand.Rand) float32 { return float32(r.NormFloat64()) }},
		{"rectified", 700, 512, 97, 1, func(r *rand.Rand) float32 { return max(0, float32(r.NormFloat64())) }},
		{"far from zero", 600, 257, 20, 5, func(r *rand.Rand) float32 { return 1000 + float32(r.NormFloat64())/100 }},
		{"equals", 900, 3, 30, 40, func(r *rand.Rand) float32 { return float32(r.IntN(3)) }},
		{"huge", 300, 20, 10, 4, func(r *rand.Rand) float32 { return 1e30 * float32(r.NormFloat64()) }},
		{"few", 5, 8, 3, 9, func(r *rand.Rand) float32 { return float32(r.NormFloat64()) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := rand.New(rand.NewPCG(1, uint64(c.size)))
			values := func(n int) []float32 {
				v := make([]float32, n*c.size)
				for i := range v {
					v[i] = c.value(r)
				}
				return v
			}
			s, dir := testSource(c.rows, c.size), t.TempDir()
			features, queries := values(c.rows), values(c.queries)
			copy(queries, features[3*c.size:4*c.size]) // a row itself
			save(t, s, dir, features)
			for i, kernel := range gemm.Kernels() {
				var done []int64
				got, err := s.Nearest(t.Context(), dir, queries, c.k, SearchOptions{Threads: 1 + i, Group: []int{0, 7, 96}[i%3], kernel: &kernel,
					Progress: func(d, _ int64) { done = append(done, d) }})
				if err != nil {
					t.Fatal(err)
				}
				for q := range c.queries {
					if want := slow(s, features, queries[q*c.size:][:c.size], c.k); !slices.Equal(got[q], want) {
						t.Fatalf("%v, query %d: %v, want %v", kernel, q, got[q], want)
					}
				}
				if !slices.IsSorted(done) || done[len(done)-1] != int64(c.queries*c.rows) {
					t.Errorf("progress %v of %d", done, c.queries*c.rows)
				}
			}
		})
	}
}

func TestNearestRefused(t *testing.T) {
	s := testSource(5, 4)
	dir := t.TempDir()
	save(t, s, dir, make([]float32, 20))
	for want, search := range map[string]func() error{
		"0 neighbours of 4 values of 4 each": func() error {
			_, err := s.Nearest(t.Context(), dir, make([]float32, 4), 0, SearchOptions{})
			return err
		},
		"1 neighbours of 5 values of 4 each": func() error {
			_, err := s.Nearest(t.Context(), dir, make([]float32, 5), 1, SearchOptions{})
			return err
		},
		"context canceled": func() error {
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			_, err := s.Nearest(ctx, dir, make([]float32, 4), 1, SearchOptions{})
			return err
		},
		"no such file": func() error {
			_, err := s.Nearest(t.Context(), t.TempDir(), make([]float32, 4), 1, SearchOptions{})
			return err
		},
	} {
		if err := search(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

// testNet is a small net with a hidden layer.
func testNet() *model.Net {
	return &model.Net{Name: "tiny", Input: model.Shape{C: 3, H: 6, W: 6}, Classes: 3, Layers: []model.Layer{
		{Name: "fc1", Kind: model.FC, Out: 10, InitStd: 0.01},
		{Name: "relu1", Kind: model.ReLU},
		{Name: "drop1", Kind: model.Dropout, Rate: 0.5},
		{Name: "fc2", Kind: model.FC, Out: 3, InitStd: 0.1},
		{Name: "prob", Kind: model.Softmax},
	}}
}

func testEngine(t *testing.T, seed uint64) model.FeatureEngine {
	t.Helper()
	e, err := cpu.New(testNet(), model.State{}, cpu.Options{Batch: 50, Threads: 2, Seed: seed, Backend: cpu.Plain})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	return e
}

func testSplit(t *testing.T) (*records.Dataset, *records.Split) {
	t.Helper()
	dir := t.TempDir()
	if err := (traintest.Data{Classes: 3, Size: 8, Train: 600, Val: 1}).Make(dir); err != nil {
		t.Fatal(err)
	}
	ds, err := records.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	split, err := ds.OpenSplit("train")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { split.Close() })
	return ds, split
}

// files returns the content of a store, by name.
func files(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	all := map[string][]byte{}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if all[e.Name()], err = os.ReadFile(filepath.Join(dir, e.Name())); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

// Extract stores what the engine says of each row; interrupted, it goes on with the
// file that it was at, to the same bytes.
func TestExtract(t *testing.T) {
	ds, split := testSplit(t)
	e := testEngine(t, 1)
	o := Options{Layer: "fc1", Precision: "fp32", perFile: batchRows}
	whole := t.TempDir()
	s, err := Extract(t.Context(), e, ds, split, whole, o)
	if err != nil {
		t.Fatal(err)
	}
	if s.Size != 10 || s.Rows != 600 || s.Layer != "fc1" {
		t.Fatalf("%+v", s)
	}
	rows := []int{0, 255, 256, 599, 17}
	want, err := Of(e, ds, split, rows, "fc1")
	if err != nil {
		t.Fatal(err)
	}
	matches, err := s.Nearest(t.Context(), whole, want, 1, SearchOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for i, row := range rows {
		if m := matches[i][0]; m.Row != row || m.Distance != 0 || m.Key != fmt.Sprintf("train-%d", row) || m.Label != int32(row%3) {
			t.Errorf("row %d is %+v", row, m)
		}
	}

	part := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	o.Progress = func(done, total int) {
		if done == 350 && total == 600 {
			cancel()
		}
	}
	if _, err := Extract(ctx, e, ds, split, part, o); !errors.Is(err, context.Canceled) {
		t.Fatalf("error %v", err)
	}
	if names := files(t, part); len(names) != 1 || names["train-00000000.arrow"] == nil {
		t.Fatalf("after an interruption there are %d files", len(names))
	}
	least := 600
	o.Progress = func(done, _ int) { least = min(least, done) }
	if _, err := Extract(t.Context(), e, ds, split, part, o); err != nil {
		t.Fatal(err)
	}
	if least <= 256 {
		t.Errorf("began again at row %d", least)
	}
	a, b := files(t, whole), files(t, part)
	if len(a) != 3 || len(b) != 3 {
		t.Fatalf("%d and %d files", len(a), len(b))
	}
	for name := range a {
		if !bytes.Equal(a[name], b[name]) {
			t.Errorf("%s differs after an interruption", name)
		}
	}
	least = 600
	if _, err := Extract(t.Context(), e, ds, split, part, o); err != nil || least != 600 {
		t.Errorf("a store that is whole was made again: %v", err)
	}

	var other *OtherError
	if _, err := Extract(t.Context(), testEngine(t, 2), ds, split, part, o); !errors.As(err, &other) || other.What != "net" {
		t.Errorf("features of another net: %v", err)
	}
	o.Layer = "fc2"
	if _, err := Extract(t.Context(), e, ds, split, part, o); !errors.As(err, &other) || other.What != "layer" {
		t.Errorf("features of another layer: %v", err)
	}
	o.Layer = "fc3"
	if _, err := Extract(t.Context(), e, ds, split, part, o); err == nil || !strings.Contains(err.Error(), `there is no layer "fc3"`) {
		t.Errorf("no layer: %v", err)
	}
}

func TestNotFinite(t *testing.T) {
	ds, split := testSplit(t)
	e := testEngine(t, 1)
	st, err := e.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	st.Weights[0].Data[0] = float32(math.Inf(1))
	if err := e.Restore(st); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if _, err := Extract(t.Context(), e, ds, split, dir, Options{Layer: "fc1"}); !errors.Is(err, errNotFinite) {
		t.Errorf("error %v", err)
	}
	if len(files(t, dir)) > 0 {
		t.Error("a file is left")
	}
	if _, err := Of(e, ds, split, []int{1}, "fc1"); !errors.Is(err, errNotFinite) {
		t.Errorf("error %v", err)
	}
}

// Damage of any kind is an error that names the file.
func TestDamage(t *testing.T) {
	s := testSource(300, 4)
	dir := t.TempDir()
	save(t, s, dir, make([]float32, 1200))
	name := s.part(dir, 0)
	sound, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	fewer := testSource(299, 4)
	other := t.TempDir()
	save(t, fewer, other, make([]float32, 1200))
	short, err := os.ReadFile(fewer.part(other, 0))
	if err != nil {
		t.Fatal(err)
	}
	for what, data := range map[string][]byte{
		"empty":          {},
		"no Arrow file":  bytes.Repeat([]byte("x"), 5000),
		"cut off":        sound[:len(sound)/2],
		"without an end": sound[:len(sound)-12],
		"a wrong footer": append(slices.Clone(sound[:len(sound)-10]), append([]byte{255, 255, 255, 127}, sound[len(sound)-6:]...)...),
		"of fewer rows":  short,
	} {
		if err := os.WriteFile(name, data, 0o666); err != nil {
			t.Fatal(err)
		}
		_, err := s.Nearest(t.Context(), dir, make([]float32, 4), 1, SearchOptions{})
		var damaged *DamagedError
		var different *OtherError
		if !errors.As(err, &damaged) && !errors.As(err, &different) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// Other programs read the files: here the Arrow library does.
func TestArrowReads(t *testing.T) {
	s := testSource(300, 4)
	dir := t.TempDir()
	values := make([]float32, 1200)
	for i := range values {
		values[i] = float32(i)
	}
	save(t, s, dir, values)
	file, err := os.Open(s.part(dir, 0))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	r, err := ipc.NewFileReader(file)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if meta := r.Schema().Metadata().ToMap(); meta["layer"] != "fc7" || meta["rows"] != "300" || r.NumRecords() != 2 {
		t.Errorf("metadata %v, %d record batches", meta, r.NumRecords())
	}
	record, err := r.RecordAt(1)
	if err != nil {
		t.Fatal(err)
	}
	defer record.Release()
	keys, labels := record.Column(0).(*array.String), record.Column(1).(*array.Int32)
	list := record.Column(2).(*array.FixedSizeList)
	from, to := list.ValueOffsets(40)
	got := list.ListValues().(*array.Float32).Float32Values()[from:to]
	if keys.Value(40) != "key 296" || labels.Value(40) != 296%7 || !slices.Equal(got, values[4*296:4*297]) {
		t.Errorf("row 296 is %s, %d, %v", keys.Value(40), labels.Value(40), got)
	}
}

// A byte that is not as it was written is found, or makes no difference.
func TestFlippedBytes(t *testing.T) {
	s := testSource(5, 4)
	dir := t.TempDir()
	values := make([]float32, 20)
	for i := range values {
		values[i] = float32(i * i % 7)
	}
	save(t, s, dir, values)
	name := s.part(dir, 0)
	sound, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	read := func() (text string, err error) {
		r, err := s.openPart(dir, 0)
		if err != nil {
			return "", err
		}
		defer r.close()
		b, err := r.batch(0)
		if err != nil {
			return "", err
		}
		return fmt.Sprint(b.keys, b.labels, b.features), nil
	}
	want, err := read()
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for i := range sound {
		data := slices.Clone(sound)
		data[i] ^= 1 << (i % 8)
		if err := os.WriteFile(name, data, 0o666); err != nil {
			t.Fatal(err)
		}
		got, err := read()
		var damaged *DamagedError
		var other *OtherError
		switch {
		case errors.As(err, &damaged), errors.As(err, &other):
			found++
		case err != nil:
			t.Errorf("byte %d: %v", i, err)
		case got != want:
			t.Errorf("byte %d: %s, want %s", i, got, want)
		}
	}
	if found < len(sound)/4 {
		t.Errorf("%d of %d flipped bytes were found", found, len(sound))
	}
}

// FuzzPart: whatever is in a file, reading it neither panics nor takes much memory.
func FuzzPart(f *testing.F) {
	s := testSource(5, 4)
	dir := f.TempDir()
	w := newWriter(s, dir, 0)
	for row := range s.Rows {
		if err := w.add("key", int32(row), make([]float32, 4)); err != nil {
			f.Fatal(err)
		}
	}
	sound, err := os.ReadFile(s.part(dir, 0))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(sound)
	f.Add(sound[:len(sound)/2])
	f.Fuzz(func(t *testing.T, data []byte) {
		dir := t.TempDir()
		if err := os.WriteFile(s.part(dir, 0), data, 0o666); err != nil {
			t.Fatal(err)
		}
		_, err := s.Nearest(t.Context(), dir, make([]float32, 4), 2, SearchOptions{Threads: 1})
		var damaged *DamagedError
		var other *OtherError
		if err != nil && !errors.As(err, &damaged) && !errors.As(err, &other) {
			t.Error(err)
		}
	})
}

// Sources that differ have stores of their own.
func TestFolder(t *testing.T) {
	base := Source{Records: "r", Split: "train", Net: "n", Layer: "fc7", Precision: "fp32", Size: 4096, Rows: 10}
	seen := map[string]bool{base.Folder(): true}
	if !strings.HasPrefix(base.Folder(), "fc7-") {
		t.Errorf("folder %s", base.Folder())
	}
	for _, change := range []func(*Source){func(s *Source) { s.Records = "q" }, func(s *Source) { s.Split = "val" }, func(s *Source) { s.Net = "m" },
		func(s *Source) { s.Layer = "fc6" }, func(s *Source) { s.Precision = "bf16" }} {
		other := base
		change(&other)
		if seen[other.Folder()] {
			t.Errorf("%+v: %s is another's", other, other.Folder())
		}
		seen[other.Folder()] = true
	}
}
