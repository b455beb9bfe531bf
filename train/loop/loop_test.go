package loop

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"alexnet/model"
	"alexnet/pipeline"
	"alexnet/records"
	"alexnet/records/atomicfile"
	"alexnet/train/checkpoint"
	"alexnet/train/collective"
	"alexnet/train/eval"
	"alexnet/train/report"
	"alexnet/train/sgd"
	"alexnet/train/traintest"
)

// The run that most tests look at: 18 images in batches of 4 are five steps an
// epoch, the last one short; three epochs. Steps write a line at 3, 6, 9, ….
const (
	seed          = 5
	stepsPerEpoch = 5
	epochs        = 3
	allSteps      = epochs * stepsPerEpoch
)

var data = traintest.Data{Classes: 6, Train: 18, Val: 12, Size: 12, Seed: 3}

func dataset(t testing.TB, d traintest.Data) *records.Dataset {
	t.Helper()
	dir := t.TempDir()
	if err := d.Make(dir); err != nil {
		t.Fatal(err)
	}
	return open(t, dir)
}

func open(t testing.TB, dir string) *records.Dataset {
	t.Helper()
	ds, err := records.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return ds
}

func config(run string) Config {
	return Config{
		Run: run,
		Settings: Settings{Batch: 4, Seed: seed, Momentum: 0.9, WeightDecay: 0.0005, Color: "stddev",
			Schedule: sgd.Config{Kind: sgd.Plateau, Base: 0.01, Factor: 0.1, Patience: 1, MaxDrops: 3}},
		Limits: Limits{Epochs: epochs, CheckpointEvery: 4, LogEvery: 3, Keep: 2, Workers: 2},
	}
}

// blocks makes a run shuffle block by block. The records are one block, of which
// windows of 7 are mixed.
func blocks(cfg Config) Config {
	cfg.Settings.Shuffle, cfg.Settings.Window = pipeline.ShuffleBlock, 7
	return cfg
}

func engine(ds *records.Dataset) *traintest.Engine {
	return traintest.NewEngine(traintest.Net(len(ds.Manifest.Classes), 8), seed, 4)
}

// resumed returns the configuration that goes on from the run's newest checkpoint,
// or from the beginning where there is none.
func resumed(t testing.TB, run string) Config {
	t.Helper()
	cfg := config(run)
	c, warnings, err := checkpoint.Latest(run)
	if errors.Is(err, checkpoint.ErrNone) {
		return cfg
	}
	if err != nil || len(warnings) > 0 {
		t.Fatal(err, warnings)
	}
	cfg.Resume = c
	return cfg
}

func train(t testing.TB, cfg Config, ds *records.Dataset, hooks Hooks) Summary {
	t.Helper()
	s, err := Run(t.Context(), cfg, engine(ds), ds, hooks)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// metrics returns the lines of a run's metrics without what depends on the time.
func metrics(t testing.TB, run string) []report.Line {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(run, MetricsFile))
	if err != nil {
		t.Fatal(err)
	}
	var lines []report.Line
	for line := range strings.Lines(string(text)) {
		var l report.Line
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			t.Fatalf("%s: %q: %v", run, line, err)
		}
		lines = append(lines, l.Timeless())
	}
	return lines
}

// checkSame fails unless two runs wrote the same metrics and the same last
// checkpoint, byte for byte.
func checkSame(t *testing.T, whole, broken string) {
	t.Helper()
	want, got := metrics(t, whole), metrics(t, broken)
	if !reflect.DeepEqual(got, want) {
		t.Errorf("metrics are\n%+v, of the undisturbed run\n%+v", got, want)
	}
	a, _, err := checkpoint.Latest(whole)
	if err != nil {
		t.Fatal(err)
	}
	b, _, err := checkpoint.Latest(broken)
	if err != nil {
		t.Fatal(err)
	}
	same, err := sameBytes(a.File, b.File)
	if err != nil {
		t.Fatal(err)
	}
	if !same {
		t.Errorf("the last checkpoint has %+v, that of the undisturbed run %+v", b.Progress, a.Progress)
	}
}

// sameBytes reports whether two files are equal byte by byte, as cmp does.
func sameBytes(a, b string) (bool, error) {
	x, err := os.ReadFile(a)
	if err != nil {
		return false, err
	}
	y, err := os.ReadFile(b)
	return bytes.Equal(x, y), err
}

func TestWholeRun(t *testing.T) {
	ds := dataset(t, data)
	run := filepath.Join(t.TempDir(), "deep", "run")
	var shown []report.Line
	var kept, steps int
	var said []string
	s := train(t, config(run), ds, Hooks{
		Metrics:  func(l report.Line) { shown = append(shown, l.Timeless()) },
		Message:  func(m string) { said = append(said, m) },
		Step:     func(step int) { steps = step },
		Progress: func(s report.Status, keep bool) { kept += map[bool]int{true: 1}[keep] },
	})
	lines := metrics(t, run)
	if !reflect.DeepEqual(shown, lines) {
		t.Errorf("hooks got %+v, the file %+v", shown, lines)
	}
	var events []string
	images := map[report.Event]int{}
	for _, l := range lines {
		events = append(events, fmt.Sprintf("%s %d/%d", l.Event, l.Step, l.Epoch))
		images[l.Event] += l.Images
		if (l.Val != nil) != (l.Event == report.EpochEvent) || l.Loss <= 0 || l.Top1 > l.Top5 {
			t.Errorf("line %+v", l)
		}
	}
	if want := []string{"step 3/1", "epoch 5/1", "step 6/2", "step 9/2", "epoch 10/2", "step 12/3", "step 15/3", "epoch 15/3"}; !slices.Equal(events, want) {
		t.Errorf("events %v, want %v", events, want)
	}
	if images[report.StepEvent] != epochs*data.Train || images[report.EpochEvent] != epochs*data.Train {
		t.Errorf("lines count %v images, want %d each", images, epochs*data.Train)
	}
	last := lines[len(lines)-1]
	if s.Net != "linear" || s.Parameters != 6*3*8*8+6 || s.End != EndEpochs || s.Steps != allSteps || s.Epochs != epochs || steps != allSteps || kept != 5 {
		t.Errorf("summary %+v after %d steps, %d lines", s, steps, kept)
	}
	if s.Last.Val == nil || *s.Last.Val != *last.Val || s.Last.Val.Images != data.Val || s.Last.Val.Top1 < 0.5 {
		t.Errorf("the last validation is %+v (chance is 0.17)", s.Last.Val)
	}
	if len(said) < epochs || !strings.Contains(said[0], "epoch 1 done: step 5, loss ") || !strings.Contains(said[0], "(best so far)") {
		t.Errorf("messages %q", said)
	}
	var onDisk Summary
	text, err := os.ReadFile(filepath.Join(run, SummaryFile))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &onDisk); err != nil || !reflect.DeepEqual(onDisk, s) {
		t.Errorf("summary.json is %s, error %v", text, err)
	}
	c, err := ReadConfig(run)
	if err != nil || !reflect.DeepEqual(c.Settings, config(run).Settings) || c.Records != ds.Dir || c.Digest != ds.Manifest.Digest || c.Net.Classes != 6 {
		t.Errorf("config.json is %+v, error %v", c, err)
	}
	for _, file := range []string{s.Checkpoint, s.BestCheckpoint} {
		if _, err := checkpoint.Read(file); err != nil {
			t.Error(err)
		}
	}
}

// A run that is stopped after any number of steps and resumed takes the steps that
// it would have taken: order, crops, colours, dropout, rates, averages.
func TestResumeAtEveryStep(t *testing.T) {
	ds := dataset(t, data)
	whole := filepath.Join(t.TempDir(), "whole")
	train(t, config(whole), ds, Hooks{})
	for k := 1; k < allSteps; k++ {
		run := filepath.Join(t.TempDir(), fmt.Sprint(k))
		first := config(run)
		first.Limits.MaxSteps = k
		if s := train(t, first, ds, Hooks{}); s.Steps != k || s.End != EndMaxSteps {
			t.Fatalf("stopped after %d steps: %+v", k, s)
		}
		if s := train(t, resumed(t, run), ds, Hooks{}); s.Steps != allSteps || s.End != EndEpochs {
			t.Fatalf("resumed at %d: %+v", k, s)
		}
		checkSame(t, whole, run)
	}
}

// A run that is resumed at its end still knows from the metrics how fast its last
// epoch was, which its checkpoint does not say.
func TestResumeAtTheEnd(t *testing.T) {
	ds, run := dataset(t, data), t.TempDir()
	first := train(t, config(run), ds, Hooks{})
	c := resumed(t, run)
	if l := c.Resume.Progress.Last; l.ImagesPerSecond != 0 || l.Loader != nil {
		t.Errorf("the checkpoint has the times %+v", l)
	}
	again := train(t, c, ds, Hooks{})
	again.Verdict = first.Verdict
	if first.Last.ImagesPerSecond == 0 || !reflect.DeepEqual(again, first) {
		t.Errorf("resumed at the end: %+v, before %+v", again, first)
	}
	if err := os.Remove(filepath.Join(run, MetricsFile)); err != nil {
		t.Fatal(err)
	}
	c.Resume.Progress.Last = new(c.Resume.Progress.Last.Timeless())
	if s := train(t, c, ds, Hooks{}); s.Last == nil || *s.Last.Val != *first.Last.Val {
		t.Errorf("without metrics: %+v", s)
	}
}

// named is an engine that says what it computes with.
type named struct {
	*traintest.Engine
	arithmetic string
}

func (e named) Arithmetic() string { return e.arithmetic }

// A run that goes on with another engine says so, and goes on.
func TestResumeWithAnotherEngine(t *testing.T) {
	ds := dataset(t, data)
	for _, tc := range []struct{ first, then, want string }{
		{"oneDNN 2.6.3, 2 threads", "oneDNN 2.6.3, 2 threads", ""},
		{"oneDNN 2.6.3, 2 threads", "plain Go, amd64", "note: the run goes on with plain Go, amd64, was oneDNN 2.6.3, 2 threads: from here on its numbers differ in the last bits "},
		{"", "plain Go, amd64", ""}, // a file of an older program
		{"plain Go, amd64", "", ""}, // an engine that does not say
	} {
		run := t.TempDir()
		cfg := config(run)
		cfg.Limits.MaxSteps = 4
		if _, err := Run(t.Context(), cfg, named{engine(ds), tc.first}, ds, Hooks{}); err != nil {
			t.Fatal(err)
		}
		cfg = resumed(t, run)
		if cfg.Resume.Engine != tc.first {
			t.Errorf("the checkpoint has engine %q, want %q", cfg.Resume.Engine, tc.first)
		}
		var notes []string
		s, err := Run(t.Context(), cfg, named{engine(ds), tc.then}, ds, Hooks{Message: func(m string) {
			if strings.HasPrefix(m, "note: ") {
				notes = append(notes, m)
			}
		}})
		if err != nil || s.End != EndEpochs {
			t.Fatalf("%+v, error %v", s, err)
		}
		if said := strings.Join(notes, "\n"); !strings.HasPrefix(said, tc.want) || (tc.want == "") != (said == "") {
			t.Errorf("from %q to %q it said %q, want %q", tc.first, tc.then, said, tc.want)
		}
		if c, err := checkpoint.Read(s.Checkpoint); err != nil || c.Engine != tc.then {
			t.Errorf("the last checkpoint has engine %q, error %v", c.Engine, err)
		}
	}
}

// An interruption in the middle of an epoch, at its end before the validation, and
// before the first step.
func TestInterruptAndResume(t *testing.T) {
	ds := dataset(t, data)
	whole := filepath.Join(t.TempDir(), "whole")
	train(t, config(whole), ds, Hooks{})
	for _, at := range []int{0, 2, stepsPerEpoch, 7, allSteps} {
		run := filepath.Join(t.TempDir(), fmt.Sprint(at))
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		if at == 0 {
			cancel()
		}
		s, err := Run(ctx, config(run), engine(ds), ds, Hooks{Step: func(step int) {
			if step == at {
				cancel()
			}
		}})
		if err != nil || s.End != EndInterrupted || s.Steps != at {
			t.Fatalf("interrupted after %d steps: %+v, error %v", at, s, err)
		}
		c, _, err := checkpoint.Latest(run)
		if err != nil || c.Progress.Step != at || s.Checkpoint != c.File {
			t.Fatalf("interrupted after %d steps: checkpoint %+v, error %v", at, c, err)
		}
		if at == stepsPerEpoch && c.Progress.StepInEpoch != stepsPerEpoch {
			t.Errorf("interrupted before validation, the checkpoint says %+v", c.Progress)
		}
		train(t, resumed(t, run), ds, Hooks{})
		checkSame(t, whole, run)
	}
}

// Interrupted within the validation, the epoch is validated again.
func TestInterruptWithinValidation(t *testing.T) {
	ds := dataset(t, data)
	whole, run := filepath.Join(t.TempDir(), "whole"), filepath.Join(t.TempDir(), "run")
	train(t, config(whole), ds, Hooks{})
	ctx, cancel := context.WithCancel(t.Context())
	eng := &interrupting{Engine: engine(ds), cancel: cancel}
	s, err := Run(ctx, config(run), eng, ds, Hooks{})
	if err != nil || s.End != EndInterrupted || s.Steps != stepsPerEpoch || s.Epochs != 0 {
		t.Fatalf("summary %+v, error %v", s, err)
	}
	train(t, resumed(t, run), ds, Hooks{})
	checkSame(t, whole, run)
}

// The checkpoint from before a validation goes on being the newest when the one
// after it cannot be written, though the epoch's line is in the metrics by then.
func TestFailureAfterInterruptedValidation(t *testing.T) {
	ds := dataset(t, data)
	whole, run := filepath.Join(t.TempDir(), "whole"), filepath.Join(t.TempDir(), "run")
	train(t, config(whole), ds, Hooks{})
	ctx, cancel := context.WithCancel(t.Context())
	if _, err := Run(ctx, config(run), &interrupting{Engine: engine(ds), cancel: cancel}, ds, Hooks{}); err != nil {
		t.Fatal(err)
	}
	cfg := resumed(t, run)
	cfg.writeFile = func(string, func(io.Writer) error) error { return syscall.ENOSPC }
	if _, err := Run(t.Context(), cfg, engine(ds), ds, Hooks{}); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("error %v", err)
	}
	if n := len(metrics(t, run)); n != 2 {
		t.Fatalf("%d lines of metrics, want those of step 3 and of the epoch", n)
	}
	train(t, resumed(t, run), ds, Hooks{})
	checkSame(t, whole, run)
}

// interrupting cancels at the first prediction.
type interrupting struct {
	*traintest.Engine
	cancel func()
}

func (e *interrupting) Predict(images []float32, n int, probs []float32) error {
	e.cancel()
	return e.Engine.Predict(images, n, probs)
}

// A validation whose disk does not answer keeps no cancelled run from saving and
// ending; its split stays open for as long as something reads it.
func TestInterruptWithinAStuckValidation(t *testing.T) {
	ds := dataset(t, data)
	whole, run := filepath.Join(t.TempDir(), "whole"), filepath.Join(t.TempDir(), "run")
	train(t, config(whole), ds, Hooks{})
	ctx, cancel := context.WithCancel(t.Context())
	letGo, read := make(chan struct{}), make(chan error, 1)
	cfg := config(run)
	cfg.evaluate = func(_ context.Context, _ []model.Engine, _ *records.Dataset, split *records.Split, o eval.Options) (eval.Result, error) {
		o.Background.Go(func() {
			<-letGo
			_, err := split.Row(0, nil)
			read <- err
		})
		cancel()
		return eval.Result{}, ctx.Err()
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s, err := Run(ctx, cfg, engine(ds), ds, Hooks{})
		if err != nil || s.End != EndInterrupted || s.Steps != stepsPerEpoch || s.Epochs != 0 {
			t.Errorf("summary %+v, error %v", s, err)
		}
	}()
	select {
	case <-ended:
	case <-time.After(time.Minute):
		t.Error("it waits for the validation's stream")
	}
	close(letGo)
	if err := <-read; err != nil {
		t.Errorf("the split was closed: %v", err)
	}
	<-ended
	train(t, resumed(t, run), ds, Hooks{})
	checkSame(t, whole, run)
}

func TestResumeOfAFinishedRun(t *testing.T) {
	ds := dataset(t, data)
	run := t.TempDir()
	first := train(t, config(run), ds, Hooks{})
	again := train(t, resumed(t, run), ds, Hooks{Step: func(int) { t.Error("a step was taken") }})
	if !reflect.DeepEqual(first, again) {
		t.Errorf("summary %+v, then %+v", first, again)
	}
	longer := resumed(t, run)
	longer.Limits.Epochs++
	if s := train(t, longer, ds, Hooks{}); s.Steps != allSteps+stepsPerEpoch || s.Epochs != epochs+1 {
		t.Errorf("one epoch more: %+v", s)
	}
}

func TestLearningRateDrops(t *testing.T) {
	ds := dataset(t, data)
	cfg := config(t.TempDir())
	cfg.Settings.Schedule = sgd.Config{Kind: sgd.Step, Base: 0.01, Factor: 0.5, DropAt: []int{1, 2}}
	var said string
	train(t, cfg, ds, Hooks{Message: func(m string) { said += m + "\n" }})
	var rates []float32
	for _, l := range metrics(t, cfg.Run) {
		if l.Event == report.EpochEvent {
			rates = append(rates, l.LR)
		}
	}
	if !slices.Equal(rates, []float32{0.01, 0.005, 0.0025}) || !strings.Contains(said, "learning rate 0.01 -> 0.005\n") {
		t.Errorf("rates %v, messages %q", rates, said)
	}
}

func TestScheduleEndsTheRun(t *testing.T) {
	ds := dataset(t, data)
	cfg := config(t.TempDir())
	cfg.Limits.Epochs = 50
	cfg.Settings.Schedule = sgd.Config{Kind: sgd.Plateau, Base: 1e-20, Factor: 0.5, Patience: 1, MaxDrops: 1, Stop: true}
	if s := train(t, cfg, ds, Hooks{}); s.End != EndSchedule || s.Epochs != 3 {
		t.Errorf("summary %+v; want the end after the first epoch, one drop and one epoch more", s)
	}
}

// A run ends when validations no longer get better, the same when it is resumed.
func TestEarlyStop(t *testing.T) {
	ds := dataset(t, data)
	stopping := func(cfg Config) Config {
		cfg.Limits.Epochs, cfg.Limits.StopAfter = 50, 3
		cfg.Settings.Schedule = sgd.Config{Kind: sgd.Constant, Base: 1e-20}
		return cfg
	}
	whole := filepath.Join(t.TempDir(), "whole")
	s := train(t, stopping(config(whole)), ds, Hooks{})
	if s.End != EndEarly || s.Epochs != 4 || s.Best.Step != stepsPerEpoch {
		t.Errorf("summary %+v; want the end three epochs after the first", s)
	}
	run := filepath.Join(t.TempDir(), "run")
	first := stopping(config(run))
	first.Limits.MaxSteps = 3*stepsPerEpoch - 1
	train(t, first, ds, Hooks{})
	if s := train(t, stopping(resumed(t, run)), ds, Hooks{}); s.End != EndEarly || s.Epochs != 4 {
		t.Errorf("resumed: summary %+v", s)
	}
	checkSame(t, whole, run)
	longer := stopping(resumed(t, run))
	longer.Limits.StopAfter = 5
	if s := train(t, longer, ds, Hooks{}); s.End != EndEarly || s.Epochs != 6 {
		t.Errorf("with more patience: summary %+v", s)
	}
}

func TestWithoutValidation(t *testing.T) {
	d := data
	d.Val = 0
	ds := dataset(t, d)
	cfg := config(t.TempDir())
	if _, err := Run(t.Context(), cfg, engine(ds), ds, Hooks{}); err == nil || !strings.Contains(err.Error(), "a plateau schedule needs a validation split, and "+ds.Dir+" has none: use constant or step") {
		t.Errorf("error %v", err)
	}
	cfg.Settings.Schedule = sgd.Config{Kind: sgd.Constant, Base: 0.01}
	cfg.Limits.StopAfter = 1
	if _, err := Run(t.Context(), cfg, engine(ds), ds, Hooks{}); err == nil || !strings.Contains(err.Error(), "an early stop needs a validation split") {
		t.Errorf("error %v", err)
	}
	cfg.Limits.StopAfter = 0
	s := train(t, cfg, ds, Hooks{})
	if s.Best != nil || s.Last.Val != nil || s.BestCheckpoint != "" || s.Steps != allSteps {
		t.Errorf("summary %+v", s)
	}
}

func TestDivergence(t *testing.T) {
	ds := dataset(t, data)
	for _, loss := range []float64{math.NaN(), math.Inf(1)} {
		cfg := config(t.TempDir())
		eng := engine(ds)
		eng.Poison = func(step uint64, s *model.Score) {
			if step == 6 {
				s.Loss = loss
			}
		}
		_, err := Run(t.Context(), cfg, eng, ds, Hooks{})
		var diverged *DivergedError
		good := filepath.Join(cfg.Run, checkpoint.Folder, "step-00000005.safetensors")
		want := fmt.Sprintf("training diverged at step 6: the loss is %v, with learning rate 0.01; the last good checkpoint is %s; start another run with a lower --lr, from those weights with --init %[2]s", loss, good)
		if !errors.As(err, &diverged) || err.Error() != want {
			t.Errorf("error %v, want %s", err, want)
		}
		if _, err := checkpoint.Read(good); err != nil {
			t.Error(err)
		}
	}
}

// faulty is an engine that knows where its numbers broke down.
type faulty struct{ *traintest.Engine }

func (faulty) Fault() string { return "the output of fc1" }

func TestDivergenceWithItsPlace(t *testing.T) {
	ds := dataset(t, data)
	eng := engine(ds)
	eng.Poison = func(step uint64, s *model.Score) {
		if step == 2 {
			s.Loss = math.NaN()
		}
	}
	_, err := Run(t.Context(), config(t.TempDir()), faulty{eng}, ds, Hooks{})
	if want := "training diverged at step 2: the loss is NaN (values that are not finite are first in the output of fc1), with learning rate 0.01; "; err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("error %v, want %s", err, want)
	}
}

// Weights that have broken down are not saved over good ones.
func TestWeightsThatAreNotFinite(t *testing.T) {
	ds := dataset(t, data)
	cfg := config(t.TempDir())
	cfg.Limits.MaxSteps = 3
	eng := engine(ds)
	_, err := Run(t.Context(), cfg, eng, ds, Hooks{Step: func(step int) {
		if step == 3 {
			st, _ := eng.Snapshot()
			st.Weights[1].Data[2] = float32(math.Inf(-1))
			if err := eng.Restore(st); err != nil {
				t.Error(err)
			}
		}
	}})
	want := "training diverged at step 3: fc1.bias holds values that are not finite, with learning rate 0.01; there is no checkpoint from before; start another run with a lower --lr"
	if err == nil || err.Error() != want {
		t.Errorf("error %v, want %s", err, want)
	}
	if any, _ := checkpoint.Any(cfg.Run); any {
		t.Error("it was saved")
	}
}

func TestAFullDiskEndsTheRunWithTheLastGoodCheckpoint(t *testing.T) {
	ds := dataset(t, data)
	whole, run := t.TempDir(), t.TempDir()
	train(t, config(whole), ds, Hooks{})
	cfg := config(run)
	cfg.writeFile = func(path string, fill func(io.Writer) error) error {
		return atomicfile.Write(path, func(w io.Writer) error {
			if err := fill(w); err != nil || !strings.Contains(path, "00000008") {
				return err
			}
			return &os.PathError{Op: "write", Path: path, Err: syscall.ENOSPC}
		})
	}
	_, err := Run(t.Context(), cfg, engine(ds), ds, Hooks{})
	good := filepath.Join(run, checkpoint.Folder, "step-00000005.safetensors")
	if !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), "step-00000008.safetensors was not written: ") ||
		!strings.Contains(err.Error(), "the last good checkpoint is "+good+": go on from it with --resume") {
		t.Fatalf("error %v", err)
	}
	cfg = resumed(t, run)
	if cfg.Resume.File != good {
		t.Fatalf("the newest checkpoint is %s", cfg.Resume.File)
	}
	train(t, cfg, ds, Hooks{})
	checkSame(t, whole, run)
}

// Metrics that cannot be written end the run, and the error says how to go on.
func TestMetricsThatCannotBeWritten(t *testing.T) {
	ds := dataset(t, data)
	run := t.TempDir()
	first := config(run)
	first.Limits.MaxSteps = 4
	train(t, first, ds, Hooks{})
	tr := &trainer{cfg: resumed(t, run), eng: engine(ds), ds: ds, hooks: Hooks{}.complete(), ranks: collective.Alone{}}
	if err := tr.prepare(); err != nil {
		t.Fatal(err)
	}
	if err := tr.metrics.Close(); err != nil {
		t.Fatal(err)
	}
	_, err := tr.run(t.Context())
	_ = tr.close(t.Context()) // the metrics are closed already
	want := "file already closed; the last good checkpoint is " + filepath.Join(run, checkpoint.Folder, "step-00000004.safetensors") + ": go on from it with --resume when the cause is mended"
	if !errors.Is(err, os.ErrClosed) || !strings.Contains(err.Error(), want) {
		t.Errorf("error %v, want %q in it", err, want)
	}
}

// A damaged record ends the run, what was reached is saved, and once the record is
// mended the run goes on as if nothing had been.
func TestADamagedRecord(t *testing.T) {
	ds := dataset(t, data)
	whole, run := t.TempDir(), t.TempDir()
	train(t, config(whole), ds, Hooks{})
	shard := filepath.Join(ds.Dir, records.ShardName("train", 0, 1))
	flip := func() {
		text, err := os.ReadFile(shard)
		if err != nil {
			t.Fatal(err)
		}
		text[len(text)/2] ^= 4
		if err := os.WriteFile(shard, text, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	flip()
	_, err := Run(t.Context(), config(run), engine(ds), ds, Hooks{})
	var corrupt *records.CorruptError
	if !errors.As(err, &corrupt) || corrupt.File != shard || corrupt.Key == "" || !strings.Contains(err.Error(), "the last good checkpoint is ") {
		t.Fatalf("error %v", err)
	}
	flip()
	train(t, resumed(t, run), ds, Hooks{})
	checkSame(t, whole, run)
}
