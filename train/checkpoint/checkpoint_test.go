package checkpoint

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"

	"alexnet/model"
	"alexnet/records"
	"alexnet/records/atomicfile"
	"alexnet/train/report"
)

func tinyNet(classes int) *model.Net {
	return &model.Net{Name: "tiny", Input: model.Shape{C: 3, H: 4, W: 4}, Classes: classes, Layers: []model.Layer{
		{Name: "conv1", Kind: model.Conv, Out: 2, Kernel: 3, Stride: 1, InitStd: 0.1},
		{Name: "relu1", Kind: model.ReLU},
		{Name: "fc2", Kind: model.FC, Out: classes, InitStd: 0.1},
		{Name: "prob", Kind: model.Softmax},
	}}
}

type settings struct {
	Batch    int                `json:"batch"`
	Schedule map[string]float64 `json:"schedule"`
}

var plain = settings{Batch: 4, Schedule: map[string]float64{"base": 0.01}}

func sample(t testing.TB, step int) *Checkpoint {
	t.Helper()
	net := tinyNet(3)
	text, err := json.Marshal(plain)
	if err != nil {
		t.Fatal(err)
	}
	c := &Checkpoint{
		Net: net, Classes: []string{"n01", "n02", "n03"}, Records: "0123abcd", Settings: text,
		Progress: Progress{Step: step, Epoch: step / 5, StepInEpoch: step % 5, Schedule: json.RawMessage(`{"epochs":1}`),
			Window: model.Score{N: 3, Loss: 1. / 3, Top1: 1, Top5: 2},
			Last:   &report.Line{Event: report.EpochEvent, Step: 5, Val: &report.Val{Top1: .5}},
			Best:   &Best{Step: 5, Top1: 2. / 3}},
		State: model.State{Weights: net.Init(7), Velocity: net.Init(8)},
	}
	return c
}

func save(t *testing.T, s *Store, c *Checkpoint) string {
	t.Helper()
	path, err := s.Save(c)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func TestRoundTrip(t *testing.T) {
	c := sample(t, 123)
	c.Engine = "oneDNN 2.6.3, 2 threads"
	path := save(t, &Store{Run: t.TempDir(), Keep: 3}, c)
	if got := filepath.Base(path); got != "step-00000123.safetensors" {
		t.Errorf("file is called %s", got)
	}
	got, err := Read(path)
	if err != nil {
		t.Fatal(err)
	}
	c.File = path
	if !reflect.DeepEqual(got, c) {
		t.Errorf("read %+v, wrote %+v", got, c)
	}
	weights, err := ReadWeights(path, Own)
	if err != nil || !reflect.DeepEqual(weights, c.State.Weights) {
		t.Errorf("weights alone: %v, error %v", weights, err)
	}
}

// The averaged weights of a run that keeps them are part of a checkpoint.
func TestRoundTripOfAverages(t *testing.T) {
	c := sample(t, 12)
	c.Average = c.Net.Init(9)
	path := save(t, &Store{Run: t.TempDir(), Keep: 3}, c)
	got, err := Read(path)
	if err != nil {
		t.Fatal(err)
	}
	c.File = path
	if !reflect.DeepEqual(got, c) {
		t.Errorf("read %+v, wrote %+v", got, c)
	}
	for which, want := range map[Weights][]model.Tensor{Own: c.State.Weights, Averaged: c.Average} {
		if got, err := got.Weights(which); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: error %v", which, err)
		}
		if got, err := ReadWeights(path, which); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s read alone: error %v", which, err)
		}
	}
	if _, err := got.Weights("best"); err == nil || err.Error() != `weights "best": there are "own" and "average"` {
		t.Errorf("unknown weights: error %v", err)
	}
	c.Average = c.Average[1:]
	path = save(t, &Store{Run: t.TempDir(), Keep: 3}, c)
	var damaged *DamagedError
	if _, err := Read(path); !errors.As(err, &damaged) || !strings.Contains(err.Error(), "its averages: ") {
		t.Errorf("an average that is not whole: error %v", err)
	}
}

// Where there is no average, none is made up.
func TestNoAverage(t *testing.T) {
	path := save(t, &Store{Run: t.TempDir(), Keep: 3}, sample(t, 12))
	want := "checkpoint " + path + ": it has no averaged weights, which only runs with --ema keep; take its own weights"
	if _, err := ReadWeights(path, Averaged); err == nil || err.Error() != want {
		t.Errorf("error %v", err)
	}
	c, err := Read(path)
	if err != nil {
		t.Fatal(err)
	}
	var unsupported *UnsupportedError
	if _, err := c.Weights(Averaged); !errors.As(err, &unsupported) || err.Error() != want {
		t.Errorf("error %v", err)
	}
}

// How long things took is not part of a checkpoint, and stays where it was.
func TestNoTimes(t *testing.T) {
	a, b := sample(t, 12), sample(t, 12)
	b.Progress.Last.ImagesPerSecond, b.Progress.Last.WaitShare = 70, 0.5
	b.Progress.Last.Loader = &report.Loader{WaitShare: 0.5, Verdict: "slow"}
	var x, y bytes.Buffer
	if err := errors.Join(a.Write(&x), b.Write(&y)); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(x.Bytes(), y.Bytes()) {
		t.Error("another speed gives another file")
	}
	if b.Progress.Last.Loader == nil || b.Progress.Last.ImagesPerSecond != 70 {
		t.Error("writing has changed the checkpoint")
	}
}

// No byte of a checkpoint can change, and none can be missing, without notice.
func TestEveryFlippedByteIsNoticed(t *testing.T) {
	var file bytes.Buffer
	c := sample(t, 7)
	if err := c.Write(&file); err != nil {
		t.Fatal(err)
	}
	const path = "step-00000007.safetensors"
	notice := func(data []byte) error {
		got, err := read(bytes.NewReader(data), path)
		if err == nil {
			got.File = ""
			if !reflect.DeepEqual(got, c) {
				return nil
			}
			return errors.New("the same all the same") // a blank of the header's padding
		}
		var damaged *DamagedError
		var unsupported *UnsupportedError
		if !errors.As(err, &damaged) && !errors.As(err, &unsupported) || !strings.Contains(err.Error(), path) {
			t.Fatalf("error %v is of no known kind or does not name the file", err)
		}
		return err
	}
	for i := range file.Bytes() {
		data := bytes.Clone(file.Bytes())
		data[i] ^= 0x10
		if notice(data) == nil {
			t.Fatalf("byte %d flipped, and another checkpoint was read", i)
		}
	}
	for n := range file.Len() {
		if notice(file.Bytes()[:n]) == nil {
			t.Fatalf("%d of %d bytes were read as a checkpoint", n, file.Len())
		}
	}
	if notice(append(file.Bytes(), 0)) == nil {
		t.Fatal("a byte too many was not noticed")
	}
}

func TestForeignFiles(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, meta map[string]string) string {
		path := filepath.Join(dir, name)
		if err := atomicfile.Write(path, func(w io.Writer) error { return model.WriteTensors(w, meta, tinyNet(3).Init(1)) }); err != nil {
			t.Fatal(err)
		}
		return path
	}
	weights := write("weights.safetensors", nil)
	if _, err := Read(weights); err == nil || !strings.Contains(err.Error(), weights+": it has no training state") || !strings.Contains(err.Error(), "--init") {
		t.Errorf("weights only: error %v", err)
	}
	if got, err := ReadWeights(weights, Own); err != nil || len(got) != 4 {
		t.Errorf("%d tensors of a file of weights, error %v", len(got), err)
	}
	if _, err := ReadWeights(weights, Averaged); err == nil || !strings.Contains(err.Error(), "it has no averaged weights") {
		t.Errorf("an average of weights only: error %v", err)
	}
	newer := write("newer.safetensors", map[string]string{"format": format, "version": "2"})
	for _, read := range []func(string) error{
		func(p string) error { _, err := Read(p); return err },
		func(p string) error { _, err := ReadWeights(p, Own); return err },
	} {
		if err := read(newer); err == nil || !strings.Contains(err.Error(), newer+`: it has version "2", and this program reads version 1; use the program`) {
			t.Errorf("another version: error %v", err)
		}
		if err := read(filepath.Join(dir, "missing")); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("missing: error %v", err)
		}
		if err := read(dir); err == nil {
			t.Error("a folder was read as a file")
		}
	}
}

func manifest(digest string, classes []string) *records.Manifest {
	m := &records.Manifest{Digest: digest}
	for _, wnid := range classes {
		m.Classes = append(m.Classes, records.Class{WNID: wnid})
	}
	return m
}

func TestCheckShowsTheDifference(t *testing.T) {
	c := sample(t, 7)
	c.File = "run/step-00000007.safetensors"
	if err := c.Check(tinyNet(3), manifest(c.Records, c.Classes), plain); err != nil {
		t.Fatalf("the same run: %v", err)
	}
	wide := tinyNet(3)
	wide.Layers[0].Out, wide.Layers[0].Pad = 4, 1
	deep := tinyNet(3)
	deep.Layers = append([]model.Layer{{Name: "drop", Kind: model.Dropout}}, deep.Layers...)
	for _, tc := range []struct {
		name     string
		net      *model.Net
		classes  []string
		records  string
		settings any
		want     string
	}{
		{"a wider net", wide, c.Classes, c.Records, plain,
			"has other net: layers.conv1.out: 2 in the checkpoint, 4 here, layers.conv1.pad: nothing in the checkpoint, 1 here; resume with the net"},
		{"a deeper net", deep, c.Classes, c.Records, plain, "has other net: layers: nothing in the checkpoint, drop here; "},
		{"more classes", tinyNet(4), []string{"n01", "n02", "n03", "n04"}, c.Records, plain,
			"has other classes: 3 classes in the checkpoint, 4 here; use the records"},
		{"classes in another order", tinyNet(3), []string{"n01", "n03", "n02"}, c.Records, plain,
			"has other classes: class 1: n02 in the checkpoint, n03 here, class 2: "},
		{"other records", tinyNet(3), c.Classes, "ffff", plain, "has other records: digest: 0123abcd in the checkpoint, ffff here; resume with the records"},
		{"other settings", tinyNet(3), c.Classes, c.Records, settings{Batch: 8, Schedule: map[string]float64{"base": 0.02}},
			"has other settings: batch: 4 in the checkpoint, 8 here, schedule.base: 0.01 in the checkpoint, 0.02 here; leave out"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			err := c.Check(tc.net, manifest(tc.records, tc.classes), tc.settings)
			var mismatch *MismatchError
			if !errors.As(err, &mismatch) || !strings.HasPrefix(err.Error(), "checkpoint "+c.File+" "+tc.want) {
				t.Errorf("error %v, want %q", err, tc.want)
			}
		})
	}
	many := make([]string, 3)
	if got := (&MismatchError{Differences: append(many, many...)}).Error(); !strings.Contains(got, " and 1 more; ") {
		t.Errorf("a long list is %q", got)
	}
}

func TestKeepsTheNewestAndTheBest(t *testing.T) {
	s := &Store{Run: t.TempDir(), Keep: 2}
	for step := 5; step <= 30; step += 5 {
		c := sample(t, step)
		c.Progress.Best = &Best{Step: min(step, 10)}
		save(t, s, c)
	}
	steps, _, err := list(s.Run)
	if err != nil || !slices.Equal(steps, []int{30, 25, 10}) {
		t.Errorf("checkpoints %v, error %v; want 30 and 25, and 10, the best", steps, err)
	}
	best, warnings, err := BestOf(s.Run)
	if err != nil || best.Progress.Step != 10 || len(warnings) > 0 {
		t.Errorf("best: %v, %v, %v", best, warnings, err)
	}
	if c, _, err := Find(s.Run); err != nil || c.Progress.Step != 10 {
		t.Errorf("the run's checkpoint: %v, %v", c, err)
	}
	if c, _, err := Find(s.Path(25)); err != nil || c.Progress.Step != 25 {
		t.Errorf("the file's checkpoint: %v, %v", c, err)
	}
	// The run is resumed at 10 and leaves the later ones to be overwritten.
	if err := os.Remove(s.Path(25)); err != nil {
		t.Fatal(err)
	}
	save(t, s, sample(t, 15))
	if steps, _, _ = list(s.Run); !slices.Equal(steps, []int{30, 15, 10}) {
		t.Errorf("checkpoints %v after going back", steps)
	}
	// Without its file the best is nowhere, and the newest serves.
	if err := os.Remove(s.Path(10)); err != nil {
		t.Fatal(err)
	}
	c, warnings, err := BestOf(s.Run)
	if err != nil || c.Progress.Step != 30 || len(warnings) != 1 || !strings.Contains(warnings[0].Error(), "taking the newest checkpoint, not the best") {
		t.Errorf("without the best: %v, %v, %v", c, warnings, err)
	}
}

func TestLatestFallsBackFromADamagedFile(t *testing.T) {
	s := &Store{Run: t.TempDir(), Keep: 3}
	for _, step := range []int{5, 6, 7} {
		save(t, s, sample(t, step))
	}
	data, err := os.ReadFile(s.Path(7))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(s.Path(7), data[:len(data)/2], 0o666); err != nil {
		t.Fatal(err)
	}
	data[len(data)-3] ^= 1
	if err := os.WriteFile(s.Path(6), data, 0o666); err != nil {
		t.Fatal(err)
	}
	c, warnings, err := Latest(s.Run)
	if err != nil || c.Progress.Step != 5 {
		t.Fatalf("checkpoint %v, error %v; want that of step 5", c, err)
	}
	if len(warnings) != 2 || !strings.Contains(warnings[0].Error(), s.Path(7)+" is damaged") ||
		!strings.Contains(warnings[1].Error(), s.Path(6)+" is damaged: the checksum of its contents is ") {
		t.Errorf("warnings %v", warnings)
	}
	if err := os.WriteFile(s.Path(5), nil, 0o666); err != nil {
		t.Fatal(err)
	}
	if _, _, err = Latest(s.Run); err == nil || !strings.Contains(err.Error(), "no checkpoint in "+filepath.Join(s.Run, Folder)+" can be read") {
		t.Errorf("all damaged: error %v", err)
	}
}

func TestNone(t *testing.T) {
	run := t.TempDir()
	for range 2 {
		if _, _, err := Latest(run); !errors.Is(err, ErrNone) {
			t.Errorf("error %v, want ErrNone", err)
		}
		if any, err := Any(run); any || err != nil {
			t.Errorf("any: %v, %v", any, err)
		}
		if err := os.MkdirAll(filepath.Join(run, Folder), 0o777); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"step-x.safetensors", "step-7", "7.safetensors"} {
			if err := os.WriteFile(filepath.Join(run, Folder, name), nil, 0o666); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, _, err := Find(filepath.Join(run, "missing")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing: error %v", err)
	}
}

// fullDisk lets through so many bytes.
type fullDisk struct {
	w    io.Writer
	room int
}

func (d *fullDisk) Write(p []byte) (int, error) {
	if len(p) > d.room {
		n, _ := d.w.Write(p[:d.room])
		d.room = 0
		return n, syscall.ENOSPC
	}
	d.room -= len(p)
	return d.w.Write(p)
}

func TestAFullDiskKeepsTheLastGoodCheckpoint(t *testing.T) {
	s := &Store{Run: t.TempDir(), Keep: 1}
	good := save(t, s, sample(t, 5))
	for _, room := range []int{0, 1, 100, 700} {
		s.WriteFile = func(path string, fill func(io.Writer) error) error {
			return atomicfile.Write(path, func(w io.Writer) error { return fill(&fullDisk{w, room}) })
		}
		_, err := s.Save(sample(t, 6))
		if !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), s.Path(6)+" was not written: ") {
			t.Fatalf("room for %d bytes: error %v", room, err)
		}
		if c, warnings, err := Latest(s.Run); err != nil || c.File != good || len(warnings) > 0 {
			t.Fatalf("room for %d bytes: latest is %v, %v, %v", room, c, warnings, err)
		}
		if entries, _ := os.ReadDir(filepath.Dir(good)); len(entries) != 1 {
			t.Fatalf("room for %d bytes: %d files are left", room, len(entries))
		}
	}
}

// What a killed process left behind goes with the next checkpoint.
func TestTemporariesAreRemoved(t *testing.T) {
	s := &Store{Run: t.TempDir(), Keep: 1}
	good := save(t, s, sample(t, 5))
	left := s.Path(6) + ".tmp-123-0"
	if err := os.WriteFile(left, []byte("half"), 0o666); err != nil {
		t.Fatal(err)
	}
	if c, warnings, err := Latest(s.Run); err != nil || c.File != good || len(warnings) > 0 {
		t.Fatalf("latest is %v, %v, %v", c, warnings, err)
	}
	save(t, s, sample(t, 6))
	if _, err := os.Stat(left); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the temporary is still there: %v", err)
	}
}

// Whatever a file holds, it is a checkpoint that can be written again, or an error.
func FuzzRead(f *testing.F) {
	var file bytes.Buffer
	if err := sample(f, 7).Write(&file); err != nil {
		f.Fatal(err)
	}
	f.Add(file.Bytes())
	f.Add(file.Bytes()[:file.Len()/2])
	f.Add([]byte("\x02\x00\x00\x00\x00\x00\x00\x00{}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		// With the checksum made right, what lies behind it is reached too.
		if meta, tensors, err := model.ReadTensors(bytes.NewReader(data)); err == nil && meta != nil {
			meta[checksumKey] = checksum(meta, tensors)
			var sealed bytes.Buffer
			if err := model.WriteTensors(&sealed, meta, tensors); err == nil {
				data = sealed.Bytes()
			}
		}
		c, err := read(bytes.NewReader(data), "fuzz")
		if err != nil {
			return
		}
		var again bytes.Buffer
		if err := c.Write(&again); err != nil {
			t.Fatalf("what was read cannot be written: %v", err)
		}
		if _, err := read(&again, "again"); err != nil {
			t.Fatalf("what was written cannot be read: %v", err)
		}
	})
}
