package convert

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/zeebo/xxh3"

	"alexnet/ingest/decode"
	"alexnet/ingest/resize"
	"alexnet/ingest/source"
	"alexnet/records"
	"alexnet/tools/drawn"
)

// TestFolderAndTars converts the same set from folders and from archives, and
// with other numbers of jobs: all files must be the same.
func TestFolderAndTars(t *testing.T) {
	tars := filepath.Join(t.TempDir(), "tars")
	if err := drawn.WriteTars(context.Background(), tars, small()); err != nil {
		t.Fatal(err)
	}
	fromFolder, fromTars := smallSource(t), open(t, tars, source.Options{})
	want := filepath.Join(t.TempDir(), "out")
	cfg := config(fromFolder, want)
	cfg.Jobs = 1
	s := convert(t, cfg)
	if fmt.Sprint(s.Splits[0].Seen, s.Splits[0].Shards, s.Splits[1].Seen, s.Splits[1].Shards) != "24 4 9 2" {
		t.Errorf("splits %+v; want 24 pictures in 4 shards and 9 in 2", s.Splits)
	}
	for _, run := range []struct {
		name string
		src  source.Source
		jobs int
	}{{"tars", fromTars, 2}, {"folder", fromFolder, 7}, {"tars", fromTars, 16}} {
		cfg := config(run.src, filepath.Join(t.TempDir(), "out"))
		cfg.Jobs = run.jobs
		convert(t, cfg)
		sameTree(t, fmt.Sprintf("%s, %d jobs", run.name, run.jobs), cfg.Out, want)
	}
	cfg = config(fromFolder, filepath.Join(t.TempDir(), "out"))
	cfg.Seed++
	convert(t, cfg)
	if tree(t, cfg.Out)["train-00000-of-00004.arrow"] == tree(t, want)["train-00000-of-00004.arrow"] {
		t.Error("another seed dealt the same pictures to the first shard")
	}
}

// expected are the pictures of a source by split and key, each made by itself.
func expected(t *testing.T, src source.Source, size int) map[string]map[string]row {
	t.Helper()
	all := map[string]map[string]row{}
	for _, s := range src.Splits() {
		all[s.Name] = map[string]row{}
		for _, it := range s.Items {
			data, err := src.Read(context.Background(), &it, nil)
			if err != nil {
				t.Fatal(err)
			}
			img, err := decode.Decode(data, decode.Limits{})
			if err != nil {
				t.Fatal(err)
			}
			r := row{pixels: make([]uint8, 3*size*size)}
			r.Label, r.ILSVRCID, r.Width, r.Height = it.Label, it.ILSVRCID, uint16(img.SourceW), uint16(img.SourceH)
			r.SourceXXH3 = xxh3.Hash(data)
			if err := resize.Square(r.pixels, img, size); err != nil {
				t.Fatal(err)
			}
			all[s.Name][it.Key] = r
		}
	}
	return all
}

// TestContent compares the records of all encodings with squares that are made
// one by one, and mean and covariance with a recomputation in float64.
func TestContent(t *testing.T) {
	src := smallSource(t)
	want := expected(t, src, 16)
	var train [][]uint8
	for _, p := range want[source.Train] {
		train = append(train, p.pixels)
	}
	var order []string
	for _, pixels := range []records.PixelType{records.Int16, records.Uint8} {
		for _, compression := range []records.Compression{records.None, records.LZ4, records.Zstd} {
			cfg := config(src, filepath.Join(t.TempDir(), "out"))
			cfg.Pixels, cfg.Compression = pixels, compression
			cfg.ShardBytes = 6 * 3 * 16 * 16 * int64(pixels.Size())
			convert(t, cfg)
			for split, pictures := range want {
				keys := sameRows(t, rows(t, cfg.Out, split), pictures)
				if split != source.Train {
					continue
				}
				if order == nil {
					order = keys
				}
				if !slices.Equal(keys, order) {
					t.Errorf("%s %s: another order of rows", pixels, compression)
				}
			}
			checkStatistics(t, cfg.Out, train)
		}
	}
	if slices.IsSorted(order) {
		t.Error("the rows are sorted by key: they were not dealt at random")
	}
}

// sameRows checks that got are the wanted pictures, each once, and returns
// their keys.
func sameRows(t *testing.T, got []row, want map[string]row) (keys []string) {
	t.Helper()
	for _, r := range got {
		w, ok := want[r.Key]
		if !ok || slices.Contains(keys, r.Key) {
			t.Errorf("%s is there without reason", r.Key)
		}
		if r.Label != w.Label || r.ILSVRCID != w.ILSVRCID || r.Width != w.Width || r.Height != w.Height || r.SourceXXH3 != w.SourceXXH3 {
			t.Errorf("%s: label %d, id %d, %dx%d; want %d, %d, %dx%d", r.Key, r.Label, r.ILSVRCID, r.Width, r.Height, w.Label, w.ILSVRCID, w.Width, w.Height)
		}
		if !slices.Equal(r.pixels, w.pixels) {
			t.Errorf("%s has other pixels", r.Key)
		}
		keys = append(keys, r.Key)
	}
	if len(keys) != len(want) {
		t.Errorf("%d rows, want %d", len(keys), len(want))
	}
	return keys
}

// checkStatistics recomputes mean picture, baseline and covariance.
func checkStatistics(t *testing.T, out string, pictures [][]uint8) {
	t.Helper()
	ds, err := records.Open(out)
	if err != nil {
		t.Fatal(err)
	}
	n := float64(len(pictures))
	plane := ds.Manifest.Shape.H * ds.Manifest.Shape.W
	for i, got := range ds.Mean.Mean {
		sum := 0.0
		for _, p := range pictures {
			sum += float64(p[i])
		}
		if math.Abs(float64(got)-sum/n) > 0.5/1024+1e-9 {
			t.Fatalf("mean of value %d is %v, want %v", i, got, sum/n)
		}
		if base := float64(ds.Mean.Baseline[i]); ds.Manifest.Pixels == records.Int16 && math.Abs(base-sum/n) > 0.5+1e-9 || ds.Manifest.Pixels == records.Uint8 && base != 0 {
			t.Fatalf("baseline of value %d is %v, the mean %v", i, base, sum/n)
		}
	}
	var mean [3]float64
	var cov [3][3]float64
	for _, p := range pictures {
		for c := range 3 {
			for i := range plane {
				mean[c] += float64(p[c*plane+i]) / n / float64(plane)
			}
		}
	}
	for _, p := range pictures {
		for a := range 3 {
			for b := range 3 {
				for i := range plane {
					cov[a][b] += (float64(p[a*plane+i]) - mean[a]) * (float64(p[b*plane+i]) - mean[b]) / n / float64(plane)
				}
			}
		}
	}
	pca := ds.Manifest.PCA
	trace := 0.0
	for a := range 3 {
		if math.Abs(pca.MeanRGB[a]-mean[a]) > 1e-8 {
			t.Errorf("mean of channel %d is %v, want %v", a, pca.MeanRGB[a], mean[a])
		}
		for b := range 3 {
			if math.Abs(pca.Covariance[a][b]-cov[a][b]) > 1e-7 {
				t.Errorf("covariance %d,%d is %v, want %v", a, b, pca.Covariance[a][b], cov[a][b])
			}
		}
		trace += cov[a][a] - pca.Eigenvalues[a]
	}
	if math.Abs(trace) > 1e-6 || pca.Pixels != uint64(len(pictures)*plane) {
		t.Errorf("eigenvalues %v of %d pixels do not fit the covariance %v", pca.Eigenvalues, pca.Pixels, cov)
	}
}

// TestSample takes the baseline from fewer pictures than there are.
func TestSample(t *testing.T) {
	src := smallSource(t)
	cfg := config(src, filepath.Join(t.TempDir(), "out"))
	cfg.BaselineSample = 4
	s := convert(t, cfg)
	if s.Baseline != "mean of a seeded sample of 4 training pictures" || s.Files != 33 || s.Decoded != 37 {
		t.Errorf("baseline %q, %d files, %d decoded", s.Baseline, s.Files, s.Decoded)
	}
	whole := config(src, filepath.Join(t.TempDir(), "out"))
	if s := convert(t, whole); s.Baseline != "mean of all training pictures" || s.Decoded != 33 {
		t.Errorf("baseline %q, %d decoded", s.Baseline, s.Decoded)
	}
	a, b := rows(t, cfg.Out, "train"), rows(t, whole.Out, "train")
	for i := range a {
		if a[i].Key != b[i].Key || !slices.Equal(a[i].pixels, b[i].pixels) {
			t.Fatalf("row %d differs", i)
		}
	}
	if slices.Equal(a[0].I16, b[0].I16) {
		t.Error("a sample of 4 gave the same baseline as all pictures")
	}
}

// digestOf returns the SHA-256 of a file's content.
func digestOf(content string) string {
	sum := sha256.Sum256([]byte(content))
	return hex.EncodeToString(sum[:])
}

// TestRejects has a source with broken files.
func TestRejects(t *testing.T) {
	dir := folder(t, small())
	whole, err := os.ReadFile(filepath.Join(dir, "val", "ILSVRC2012_val_00000002.JPEG"))
	if err != nil {
		t.Fatal(err)
	}
	page := damage(t, dir, "train/n01443537/*_3.JPEG", []byte("<html>not found</html>"))
	empty := damage(t, dir, "train/n01440764/*_1.JPEG", nil)
	half := damage(t, dir, "val/*0002.JPEG", whole[:len(whole)/2])
	src := open(t, dir, source.Options{})

	cfg := config(src, filepath.Join(t.TempDir(), "out"))
	_, err = Run(context.Background(), cfg)
	var many *TooManyRejectsError
	if !errors.As(err, &many) || many.Rejected != 2 || many.Allowed != 1 {
		t.Fatalf("error %v; want that the second reject is one too many", err)
	}
	for _, part := range []string{"2 of 33 files rejected, and --max-rejects 0.01 allows 1: ", " shards are finished and kept in " + cfg.Out + ": run the same command again to go on, with a larger --max-rejects"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("error %q lacks %q", err, part)
		}
	}

	cfg.MaxRejects = 0.03
	s := convert(t, cfg)
	if s.Splits[0].Rejected != 2 || s.Splits[0].Written != 22 || s.Splits[1].Rejected != 1 || s.Splits[1].Written != 8 {
		t.Errorf("splits %+v", s.Splits)
	}
	data, err := os.ReadFile(filepath.Join(cfg.Out, "rejects.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	_, cut := decode.Decode(whole[:len(whole)/2], decode.Limits{}) // in the words of the decoder that is here
	want := []Reject{
		{"train", "n01440764/" + empty, decode.Empty, "the file has no bytes", 0, digestOf("")},
		{"train", "n01443537/" + page, decode.NotAnImage, "neither JPEG, PNG nor netpbm: it starts with 3c 68 74 6d", 22, digestOf("<html>not found</html>")},
		{"val", half, decode.Truncated, errors.Unwrap(cut).Error(), int64(len(whole) / 2), digestOf(string(whole[:len(whole)/2]))},
	}
	lines := strings.Split(strings.TrimSpace(string(data)), "\n")
	for i, line := range lines {
		var got Reject
		if err := json.Unmarshal([]byte(line), &got); err != nil {
			t.Fatal(err)
		}
		if i >= len(want) || got != want[i] {
			t.Errorf("line %d of rejects.jsonl: %+v", i, got)
		}
	}
	if len(lines) != len(want) {
		t.Errorf("%d rejects, want %d", len(lines), len(want))
	}
	if n := len(rows(t, cfg.Out, "train")); n != 22 {
		t.Errorf("%d rows in train", n)
	}

	strict := config(src, filepath.Join(t.TempDir(), "out"))
	strict.Strict, strict.MaxRejects = true, 1
	_, err = Run(context.Background(), strict)
	var first *RejectError
	if !errors.As(err, &first) || !strings.Contains(err.Error(), "rejected (--strict): ") {
		t.Errorf("strict: error %v", err)
	}
	none := config(src, filepath.Join(t.TempDir(), "out"))
	none.MaxRejects = 0
	if _, err := Run(context.Background(), none); !errors.As(err, &many) || many.Rejected != 1 {
		t.Errorf("no reject allowed: error %v", err)
	}
}

func TestNothingButRejects(t *testing.T) {
	dir := folder(t, drawn.Options{Classes: 2, TrainPerClass: 2, Seed: 1})
	files, _ := filepath.Glob(filepath.Join(dir, "train", "*", "*"))
	for _, f := range files {
		if err := os.WriteFile(f, []byte("no picture"), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	for _, pixels := range []records.PixelType{records.Int16, records.Uint8} {
		cfg := config(open(t, dir, source.Options{}), filepath.Join(t.TempDir(), "out"))
		cfg.MaxRejects, cfg.Pixels = 1, pixels
		_, err := Run(context.Background(), cfg)
		if err == nil || !strings.Contains(err.Error(), "none of 4 training files gives a picture; one of them is n") ||
			!strings.Contains(err.Error(), "not-an-image: neither JPEG, PNG nor netpbm") {
			t.Errorf("%s: error %v", pixels, err)
		}
		if _, err := os.Stat(filepath.Join(cfg.Out, records.ManifestName)); err == nil {
			t.Error("a manifest was written")
		}
	}
}

// TestMeanFrom converts a validation set alone, with the mean of other records.
func TestMeanFrom(t *testing.T) {
	train := drawn.Options{Classes: 3, TrainPerClass: 4, Seed: 3}
	val := drawn.Options{Classes: 3, ValPerClass: 2, Seed: 3}
	both := drawn.Options{Classes: 3, TrainPerClass: 4, ValPerClass: 2, Seed: 3}
	valSource := open(t, folder(t, val), source.Options{Layout: source.LayoutILSVRC})
	first := config(open(t, folder(t, train), source.Options{Layout: source.LayoutILSVRC}), filepath.Join(t.TempDir(), "out"))
	convert(t, first)
	together := config(open(t, folder(t, both), source.Options{}), filepath.Join(t.TempDir(), "out"))
	convert(t, together)

	alone := config(valSource, filepath.Join(t.TempDir(), "out"))
	_, err := Run(context.Background(), alone)
	var wrong *ConfigError
	if !errors.As(err, &wrong) || !strings.Contains(err.Error(), "has no training split to compute the mean picture from; name records that have one with --mean DIR") {
		t.Errorf("without a mean: %v", err)
	}
	alone.MeanFrom = first.Out
	s := convert(t, alone)
	if s.Baseline != "that of "+first.Out {
		t.Errorf("baseline: %s", s.Baseline)
	}
	a, b := tree(t, alone.Out), tree(t, together.Out)
	for name := range a {
		if (strings.HasPrefix(name, "val-") || name == records.MeanName) && a[name] != b[name] {
			t.Errorf("%s differs from that of the whole set", name)
		}
	}
	alone.Out, alone.Size = filepath.Join(t.TempDir(), "out"), 20
	if _, err := Run(context.Background(), alone); !errors.As(err, &wrong) || !strings.Contains(err.Error(), "--mean names records of 3x16x16, and --size asks for 3x20x20") {
		t.Errorf("mean of another size: %v", err)
	}
	first.MeanFrom = together.Out
	if _, err := Run(context.Background(), first); !errors.As(err, &wrong) || !strings.Contains(err.Error(), "--mean is for sources without a training split") {
		t.Errorf("mean for a training set: %v", err)
	}
}

func TestValFraction(t *testing.T) {
	dir := folder(t, drawn.Options{Classes: 3, TrainPerClass: 10, Seed: 2})
	src := open(t, dir, source.Options{})
	var before []string
	for _, it := range src.Splits()[0].Items {
		before = append(before, it.Key)
	}
	cfg := config(src, filepath.Join(t.TempDir(), "out"))
	cfg.ValFraction = 0.2
	s := convert(t, cfg)
	if len(s.Splits) != 2 || s.Splits[0].Seen != 24 || s.Splits[1].Name != "val" || s.Splits[1].Seen != 6 {
		t.Errorf("splits %+v", s.Splits)
	}
	count := map[int32]int{}
	var after []string
	for _, r := range rows(t, cfg.Out, "val") {
		count[r.Label]++
		after = append(after, r.Key)
	}
	if count[0] != 2 || count[1] != 2 || count[2] != 2 {
		t.Errorf("held out of the classes: %v, want 2 each", count)
	}
	for _, r := range rows(t, cfg.Out, "train") {
		after = append(after, r.Key)
	}
	slices.Sort(after)
	if !slices.Equal(before, after) {
		t.Error("pictures were lost or doubled")
	}
	for fraction, text := range map[float64]string{
		1:    "--val-fraction is 1; 0 to below 1 are possible",
		-0.5: "--val-fraction is -0.5",
		0.01: "--val-fraction is 0.01, which leaves no validation picture",
	} {
		cfg.ValFraction, cfg.Out = fraction, filepath.Join(t.TempDir(), "out")
		if _, err := Run(context.Background(), cfg); err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("fraction %v: error %v, want %q", fraction, err, text)
		}
	}
	cfg = config(smallSource(t), filepath.Join(t.TempDir(), "out"))
	cfg.ValFraction = 0.2
	if _, err := Run(context.Background(), cfg); err == nil || !strings.Contains(err.Error(), "is for sources with a training split and without a validation split") {
		t.Errorf("a source with val: error %v", err)
	}
}

func TestOptions(t *testing.T) {
	src := open(t, folder(t, drawn.Options{Classes: 1, TrainPerClass: 1, Seed: 1}), source.Options{})
	for text, change := range map[string]func(*Config){
		"--pixels is \"float\"; int16 and uint8 are possible":     func(c *Config) { c.Pixels = "float" },
		"--compress is \"gzip\"; none, lz4 and zstd are possible": func(c *Config) { c.Compression = "gzip" },
		"--size is -1; 1 to 4096 are possible":                    func(c *Config) { c.Size = -1 },
		"--shard-size is -5 bytes; it must be positive":           func(c *Config) { c.ShardBytes = -5 },
		"--max-rejects is 1.5; it is a share from 0 to 1":         func(c *Config) { c.MaxRejects = 1.5 },
		"--jobs is -2; it must be positive":                       func(c *Config) { c.Jobs = -2 },
		"--max-side is 70000; 1 to 65535 are possible":            func(c *Config) { c.Limits.MaxSide = 70000 },
		"--max-pixels is -1; it must be positive":                 func(c *Config) { c.Limits.MaxPixels = -1 },
		"--out is missing":                       func(c *Config) { c.Out = "" },
		"taking the mean picture from nowhere: ": func(c *Config) { c.Source, c.MeanFrom = &noTrain{src}, "nowhere" },
	} {
		cfg := config(src, filepath.Join(t.TempDir(), "out"))
		change(&cfg)
		_, err := Run(context.Background(), cfg)
		if err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("error %v, want %q", err, text)
		}
	}
}

// noTrain calls the training split val.
type noTrain struct{ source.Source }

func (s *noTrain) Splits() []source.Split {
	return []source.Split{{Name: source.Val, Items: s.Source.Splits()[0].Items}}
}
