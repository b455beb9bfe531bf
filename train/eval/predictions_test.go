package eval

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"alexnet/model"
	"alexnet/pipeline"
	"alexnet/records"
)

// ids are devkit numbers of data's classes: not in the order of the labels.
var ids = []int32{7, 1, 1000, 12, 3, 400, 99}

// named makes a split of one image a key, of which so many more were rejected.
func named(t *testing.T, keys []string, rejected int, ids []int32) (*records.Dataset, *records.Split) {
	t.Helper()
	ds, err := records.Open(namedDir(t, keys, rejected, ids))
	if err != nil {
		t.Fatal(err)
	}
	split, err := ds.OpenSplit("val")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = split.Close() })
	return ds, split
}

func namedDir(t *testing.T, keys []string, rejected int, ids []int32) string {
	t.Helper()
	dir := t.TempDir()
	shape := records.Shape{C: 3, H: data.Size, W: data.Size}
	w, err := records.CreateShard(filepath.Join(dir, records.ShardName("val", 0, 1)),
		records.WriterOptions{Split: "val", Shape: shape, Pixels: records.Uint8, Compression: records.None})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = w.Abort() }()
	pixels := make([]uint8, shape.Size())
	for i, key := range keys {
		for j := range pixels {
			pixels[j] = uint8(i*37 + j*i)
		}
		if err := w.Write(records.Record{Key: key, Label: -1, Width: 9, Height: 9, SourceXXH3: 1, Pixels: pixels}); err != nil {
			t.Fatal(err)
		}
	}
	info, err := w.Commit()
	if err != nil {
		t.Fatal(err)
	}
	m := &records.Manifest{Shape: shape, Pixels: records.Uint8, Compression: records.None, Decoder: "none", Filter: "none",
		Splits: map[string]records.SplitInfo{"val": {Seen: len(keys) + rejected, Written: len(keys), Rejected: rejected, Shards: []records.ShardInfo{info}}}}
	for c, id := range ids {
		m.Classes = append(m.Classes, records.Class{WNID: fmt.Sprintf("n%08d", c), ILSVRCID: id})
	}
	mean := &records.Mean{Shape: shape, Mean: make([]float32, shape.Size()), Baseline: make([]uint8, shape.Size())}
	if m.Mean, err = records.WriteMean(filepath.Join(dir, records.MeanName), mean); err != nil {
		t.Fatal(err)
	}
	if err := records.WriteManifest(dir, m); err != nil {
		t.Fatal(err)
	}
	return dir
}

// numbered are keys of test images with these numbers.
func numbered(numbers ...int) (keys []string) {
	for _, n := range numbers {
		keys = append(keys, fmt.Sprintf("ILSVRC2012_test_%08d.JPEG", n))
	}
	return keys
}

// write evaluates two nets, writes their predictions and returns the lines.
func write(t *testing.T, path string, ds *records.Dataset, split *records.Split, skip bool) (lines []string, warnings string, predictions []Prediction) {
	t.Helper()
	p, err := CreatePredictions(path, ds, split, skip)
	if err != nil {
		t.Fatal(err)
	}
	o := Options{Predictions: func(q Prediction) error {
		err := p.Add(q)
		q.Classes, q.Probabilities = slices.Clone(q.Classes), slices.Clone(q.Probabilities)
		predictions = append(predictions, q)
		return err
	}}
	if skip {
		o.OnCorrupt = pipeline.Skip
	}
	if _, err := Measure(t.Context(), []model.Engine{net(5, 4), net(6, 4)}, ds, split, o); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err == nil {
		if text, err := os.ReadFile(path); err != nil || string(text) != "old\n" {
			t.Errorf("before Commit %s is %q, error %v", path, text, err)
		}
	}
	n, list, err := p.Commit()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Abort(); err != nil {
		t.Error(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines = strings.SplitAfter(string(text), "\n")
	if lines[len(lines)-1] != "" || n != len(lines)-1 {
		t.Errorf("%d lines in %q", n, text)
	}
	if left, err := filepath.Glob(path + ".*"); err != nil || len(left) > 0 {
		t.Errorf("left: %q, %v", left, err)
	}
	return lines[:n], strings.Join(list, "\n"), predictions
}

// idsOf is the line of a submission, made by hand.
func idsOf(p Prediction) string {
	var text []string
	for _, c := range p.Classes {
		text = append(text, fmt.Sprint(ids[c]))
	}
	return strings.Join(text, " ") + "\n"
}

func TestSubmission(t *testing.T) {
	for _, tc := range []struct {
		name     string
		keys     []string
		rejected int
		skip     bool
		order    []int // rows by line, -1 where there is none
		warning  string
	}{
		{"whole", numbered(5, 2, 4, 1, 6, 3), 0, false, []int{3, 1, 5, 2, 0, 4}, ""},
		{"in folders of classes", []string{"n2/ILSVRC2012_val_00000002.JPEG", "n1/ILSVRC2012_val_00000001.JPEG"}, 0, false, []int{1, 0}, ""},
		{"past nine, by numbers", numbered(10, 9, 2, 1, 3, 4, 5, 6, 7, 8), 0, false, []int{3, 2, 4, 5, 6, 7, 8, 9, 1, 0}, ""},
		{"without the rejected", numbered(6, 2, 3), 3, true, []int{-1, 1, 2, -1, -1, 0}, "lines that answer 1 for images that are missing or damaged: 3, that of image 1 first"},
		{"a part", numbered(4007, 12, 300), 0, false, []int{1, 2, 0}, "the split is a part of ILSVRC's: the lines are in the order of the images' numbers, which are not 1 to 3"},
		{"a part without the rejected", numbered(4007, 12), 1, true, []int{1, 0}, "which are not 1 to 2; images without a line, since they are not in the records or cannot be read: 1"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			ds, split := named(t, tc.keys, tc.rejected, ids)
			path := filepath.Join(t.TempDir(), "test.txt")
			if err := os.WriteFile(path, []byte("old\n"), 0o666); err != nil {
				t.Fatal(err)
			}
			lines, warnings, predictions := write(t, path, ds, split, tc.skip)
			var want []string
			for _, row := range tc.order {
				if row < 0 {
					want = append(want, "1\n")
				} else {
					want = append(want, idsOf(predictions[row]))
				}
			}
			if !slices.Equal(lines, want) {
				t.Errorf("lines %q, want %q", lines, want)
			}
			if !strings.HasSuffix(warnings, tc.warning) || (tc.warning == "") != (warnings == "") {
				t.Errorf("warnings %q, want %q", warnings, tc.warning)
			}
			if len(slices.Compact(slices.Sorted(slices.Values(want)))) < 2 {
				t.Error("all images have the same answer: the test shows nothing")
			}
		})
	}
}

// A damaged image has a line too, once damage is let pass; one of a shard that is
// gone is known by its absence.
func TestSubmissionOfDamage(t *testing.T) {
	ds, split := named(t, numbered(4, 3, 5, 2, 1), 0, ids)
	row := damage(t, ds, split)
	lines, warnings, _ := write(t, filepath.Join(t.TempDir(), "p"), ds, split, true)
	number := []int{4, 3, 5, 2, 1}[row]
	for i, line := range lines {
		if (line == "1\n") != (i == number-1) {
			t.Errorf("image %d is damaged, line %d is %q", number, i+1, line)
		}
	}
	if want := fmt.Sprintf("lines that answer 1 for images that are missing or damaged: 1, that of image %d first", number); len(lines) != 5 || warnings != want {
		t.Errorf("%d lines, warnings %q; want %q", len(lines), warnings, want)
	}
}

func TestJSONLines(t *testing.T) {
	ds, split := openVal(t, data)
	lines, warnings, predictions := write(t, filepath.Join(t.TempDir(), "p.jsonl"), ds, split, false)
	if len(lines) != split.Len() || warnings != "" {
		t.Fatalf("%d lines, warnings %q", len(lines), warnings)
	}
	for i, line := range lines {
		var got jsonLine
		if err := json.Unmarshal([]byte(line), &got); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		p := predictions[i]
		if got.Key != fmt.Sprintf("val-%d", i) || got.Label == nil || *got.Label != int32(i%7) || !slices.Equal(got.Predicted, p.Classes) {
			t.Errorf("line %d: %s", i, line)
		}
		for k, c := range p.Classes {
			if got.WNIDs[k] != fmt.Sprintf("n%08d", c) || got.Probabilities[k] != float32(p.Probabilities[k]) {
				t.Errorf("line %d: %s, want %v", i, line, p)
			}
		}
	}
	ds, split = named(t, []string{"a/ü.png"}, 0, ids)
	lines, _, _ = write(t, filepath.Join(t.TempDir(), "P.JSONL"), ds, split, false)
	if !strings.HasPrefix(lines[0], `{"key":"a/ü.png","predicted":[`) {
		t.Errorf("without a label: %s", lines[0])
	}
}

func TestPredictionsRefused(t *testing.T) {
	dir := t.TempDir()
	noIDs := slices.Clone(ids)
	noIDs[4] = 0
	for _, tc := range []struct {
		name     string
		path     string
		keys     []string
		rejected int
		ids      []int32
		want     string
	}{
		{"a folder", dir, numbered(1), 0, ids, "is a folder"},
		{"a folder that is not there", filepath.Join(dir, "no", "p.jsonl"), numbered(1), 0, ids, "creating " + filepath.Join(dir, "no", "p.jsonl")},
		{"no numbers", filepath.Join(dir, "p.txt"), []string{"ILSVRC2012_val_00000001.JPEG", "n01440764/n01440764_10026.JPEG"}, 0, ids,
			`it cannot be a submission to ILSVRC: its lines are in the order of the numbers in names like ILSVRC2012_val_00000001.JPEG, and split val has "n01440764/n01440764_10026.JPEG"; name the file *.jsonl`},
		{"no ids", filepath.Join(dir, "p.txt"), numbered(1), 0, noIDs, "the class n00000004 has no number from 1 to 1000"},
		{"two of a number", filepath.Join(dir, "p.txt"), []string{"ILSVRC2012_val_00000001.JPEG", "a/ILSVRC2012_val_00000001.JPEG"}, 0, ids, "two images of split val have the number 1"},
		{"rejected", filepath.Join(dir, "p.txt"), numbered(1, 2, 4), 1, ids, "1 of the 4 images of split val are not in the records (ingest has rejected them), number 3 first, and each needs a line; name the file *.jsonl to write JSON lines, or give --on-corrupt skip"},
		{"the last rejected", filepath.Join(dir, "p.txt"), numbered(1, 2, 3), 1, ids, "number 4 first"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			ds, split := named(t, tc.keys, tc.rejected, tc.ids)
			_, err := CreatePredictions(tc.path, ds, split, false)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Fatalf("error %v, want %q", err, tc.want)
			}
			var refused *SubmissionError
			var failed *fs.PathError
			if errors.As(err, &refused) == errors.As(err, &failed) {
				t.Errorf("error %v is of neither kind, or of both", err)
			}
		})
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}

// A file that is given up leaves nothing, and what was there before.
func TestAbort(t *testing.T) {
	ds, split := openVal(t, data)
	dir := t.TempDir()
	path := filepath.Join(dir, "p.jsonl")
	if err := os.WriteFile(path, []byte("old\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	p, err := CreatePredictions(path, ds, split, false)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(p.Add(Prediction{Classes: []int{1}, Probabilities: []float64{1}}), p.Abort(), p.Abort()); err != nil {
		t.Fatal(err)
	}
	left, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(path); err != nil || string(text) != "old\n" || len(left) != 1 {
		t.Errorf("%q, error %v, beside %v", text, err, left)
	}
}
