package convert

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/png"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"alexnet/ingest/decode"
	"alexnet/ingest/source"
	"alexnet/records"
)

// known is a source of pictures that all have one shape, and of a set whose
// size is known.
type known struct {
	source.Source
	shape    records.Shape
	official map[string]int
}

func (k *known) Shape() records.Shape     { return k.shape }
func (k *known) Official() map[string]int { return k.official }

// digits makes grey pictures of 7x7 in two classes, six of each, as a source
// of one plane.
func digits(t *testing.T) *known {
	t.Helper()
	dir := t.TempDir()
	for i := range 12 {
		img := image.NewGray(image.Rect(0, 0, 7, 7))
		for k := range img.Pix {
			img.Pix[k] = uint8(k*5 + i*11)
		}
		var file bytes.Buffer
		if err := png.Encode(&file, img); err != nil {
			t.Fatal(err)
		}
		name := filepath.Join(dir, fmt.Sprint("class", i%2), fmt.Sprintf("%02d.png", i))
		if err := os.MkdirAll(filepath.Dir(name), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, file.Bytes(), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	return &known{open(t, dir, source.Options{}), records.Shape{C: 1, H: 7, W: 7}, map[string]int{"train": 12}}
}

// TestGrey makes records of one plane: the pictures as they are, a mean, and no
// colours.
func TestGrey(t *testing.T) {
	for _, pixels := range []records.PixelType{records.Int16, records.Uint8} {
		cfg := config(digits(t), filepath.Join(t.TempDir(), "out"))
		cfg.Size, cfg.Pixels = 0, pixels
		s := convert(t, cfg)
		if s.HasPCA || s.Splits[0].Published != 12 {
			t.Errorf("summary %+v", s)
		}
		ds, err := records.Open(cfg.Out)
		if err != nil {
			t.Fatal(err)
		}
		if ds.Manifest.Shape != (records.Shape{C: 1, H: 7, W: 7}) || ds.Manifest.PCA != nil {
			t.Errorf("shape %v, components %v", ds.Manifest.Shape, ds.Manifest.PCA)
		}
		for _, r := range rows(t, cfg.Out, "train") {
			var i int
			if _, err := fmt.Sscanf(r.Key[len("class0/"):], "%d.png", &i); err != nil {
				t.Fatal(err)
			}
			for k, v := range r.pixels {
				if v != uint8(k*5+i*11) {
					t.Fatalf("%s: value %d is %d", r.Key, k, v)
				}
			}
		}
		if err := records.Verify(context.Background(), cfg.Out, nil); err != nil {
			t.Error(err)
		}
	}
}

func TestShapeOfRecords(t *testing.T) {
	cifar := &known{smallSource(t), records.Shape{C: 3, H: 32, W: 32}, nil}
	for _, c := range []struct {
		src  source.Source
		size int
		want records.Shape
	}{
		{smallSource(t), 0, records.Shape{C: 3, H: 256, W: 256}},
		{smallSource(t), 40, records.Shape{C: 3, H: 40, W: 40}},
		{&known{smallSource(t), records.Shape{}, nil}, 0, records.Shape{C: 3, H: 256, W: 256}},
		{cifar, 0, records.Shape{C: 3, H: 32, W: 32}},
		{cifar, 64, records.Shape{C: 3, H: 64, W: 64}},
		{&known{smallSource(t), records.Shape{C: 1, H: 28, W: 28}, nil}, 0, records.Shape{C: 1, H: 28, W: 28}},
		{&known{smallSource(t), records.Shape{C: 1, H: 28, W: 28}, nil}, 32, records.Shape{C: 1, H: 32, W: 32}},
	} {
		if got := (&Config{Source: c.src, Size: c.size}).Shape(); got != c.want {
			t.Errorf("size %d of %T: %v, want %v", c.size, c.src, got, c.want)
		}
	}
	cfg := config(cifar, filepath.Join(t.TempDir(), "out"))
	cfg.Size = 0
	convert(t, cfg)
	if m, err := records.ReadManifest(cfg.Out); err != nil || m.Shape != (records.Shape{C: 3, H: 32, W: 32}) || m.PCA == nil {
		t.Errorf("manifest %+v, %v", m, err)
	}
}

// TestDamaged keeps pictures although a part of them is missing, and says which.
func TestDamaged(t *testing.T) {
	src := smallSource(t)
	cfg := config(src, filepath.Join(t.TempDir(), "out"))
	cfg.KeepTruncated = true
	// The smallest pictures stand in for truncated ones, whatever order they come in.
	smallest := 1 << 30
	for _, r := range expected(t, src, 16)["train"] {
		smallest = min(smallest, int(r.Width)*int(r.Height))
	}
	cfg.damage = func(img *decode.Image) error {
		if img.W*img.H > smallest {
			return nil
		}
		return &decode.Error{Reason: decode.Truncated, Err: errors.New("the last 3 rows are missing")}
	}
	s := convert(t, cfg)
	data, err := os.ReadFile(filepath.Join(cfg.Out, "damaged.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(data)), "\n")
	count, m := s.Splits[0].Damaged+s.Splits[1].Damaged, map[string]bool{}
	for _, line := range lines {
		var r Reject
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatal(err)
		}
		if r.Reason != decode.Truncated || r.Message != "the last 3 rows are missing" || len(r.SHA256) != 64 || r.Bytes == 0 {
			t.Errorf("line %+v", r)
		}
		m[r.Split+" "+r.Key] = true
	}
	if len(lines) == 0 || len(lines) != count || len(m) != count || !slices.IsSorted(lines) || s.Splits[0].Written != 24 {
		t.Errorf("%d lines, %d counted, %d written:\n%s", len(lines), count, s.Splits[0].Written, data)
	}
	manifest, err := records.ReadManifest(cfg.Out)
	if err != nil || manifest.Splits["train"].Damaged != s.Splits[0].Damaged {
		t.Errorf("manifest %+v, %v", manifest.Splits, err)
	}
	again := cfg
	again.KeepTruncated = false
	var changed *ChangedError
	if _, err := Run(context.Background(), again); !errors.As(err, &changed) || !strings.Contains(err.Error(), "keep-truncated was true, is false") {
		t.Errorf("without --keep-truncated: %v", err)
	}
	again = cfg
	again.ExifRotate = true
	if _, err := Run(context.Background(), again); !errors.As(err, &changed) || !strings.Contains(err.Error(), "exif-rotate was false, is true") {
		t.Errorf("with --exif-rotate: %v", err)
	}
}

// TestOtherDecoder goes on with a job that another decoder began.
func TestOtherDecoder(t *testing.T) {
	cfg := config(smallSource(t), filepath.Join(t.TempDir(), "out"))
	stopAt(t, cfg, 12)
	path := filepath.Join(cfg.Out, requestName)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	data = bytes.Replace(data, []byte(decode.Name()), []byte("libjpeg-turbo 1.2.3"), 1)
	if err := os.WriteFile(path, data, 0o666); err != nil {
		t.Fatal(err)
	}
	_, err = Run(context.Background(), cfg)
	want := "decoder was libjpeg-turbo 1.2.3, is " + decode.Name() + " (shards of two decoders would not be the same: install the one that was used)"
	var changed *ChangedError
	if !errors.As(err, &changed) || !strings.Contains(err.Error(), want) {
		t.Errorf("error %v, want %q", err, want)
	}
}

// TestShardOfTheSameSize overwrites the ends of finished shards, which leaves
// their sizes as they were.
func TestShardOfTheSameSize(t *testing.T) {
	src := smallSource(t)
	cfg := config(src, filepath.Join(t.TempDir(), "out"))
	cfg.Jobs = 1
	stopAt(t, cfg, 24)
	parts, _ := filepath.Glob(filepath.Join(cfg.Out, stateName, "*.part"))
	if len(parts) < 2 {
		t.Fatalf("only %d shards are finished", len(parts))
	}
	for i, part := range parts[:2] {
		shard := filepath.Join(cfg.Out, strings.TrimSuffix(filepath.Base(part), ".part"))
		data, err := os.ReadFile(shard)
		if err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			clear(data[:8])
		} else {
			clear(data[len(data)-64:])
		}
		if err := os.WriteFile(shard, data, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	s := convert(t, cfg)
	if want := 33 - 6*(len(parts)-2); s.Files != want {
		t.Errorf("%d files dealt with, want %d", s.Files, want)
	}
	undisturbed := config(src, filepath.Join(t.TempDir(), "undisturbed"))
	convert(t, undisturbed)
	sameTree(t, "after damage", cfg.Out, undisturbed.Out)
}

// TestDigest recomputes the digest from the files alone: of the mean and of the
// shards, which are found by their names.
func TestDigest(t *testing.T) {
	cfg := config(smallSource(t), filepath.Join(t.TempDir(), "out"))
	s := convert(t, cfg)
	shards, err := filepath.Glob(filepath.Join(cfg.Out, "*-*-of-*.arrow"))
	if err != nil || len(shards) != 6 {
		t.Fatal(shards, err)
	}
	slices.Sort(shards) // train before val, and by number
	whole := sha256.New()
	for _, file := range append([]string{filepath.Join(cfg.Out, "mean.arrow")}, shards...) {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(whole, "%s %x\n", filepath.Base(file), sha256.Sum256(data))
	}
	if got := hex.EncodeToString(whole.Sum(nil)); got != s.Digest {
		t.Errorf("the digest of the files is %s, the job says %s", got, s.Digest)
	}
}
