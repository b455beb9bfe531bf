package reproduce

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"alexnet/model"
	"alexnet/model/cpu"
	"alexnet/train/checkpoint"
	"alexnet/train/loop"
	"alexnet/train/traintest"
)

// engines are the real ones.
type engines struct{}

func (engines) Train(net *model.Net, weights []model.Tensor, s loop.Settings) (model.Engine, error) {
	return cpu.New(net, model.State{Weights: weights}, cpu.Options{Batch: s.Batch, Threads: 1, Seed: s.Seed})
}

func (engines) Predict(c *checkpoint.Checkpoint, batch int) (model.Engine, error) {
	return cpu.New(c.Net, model.State{Weights: c.State.Weights}, cpu.Options{Batch: batch, Threads: 1})
}

// A fine-tuned net begins with the weights of the pre-trained one's best checkpoint, not
// its last, and a classifier that is drawn from its seed. Its pre-training may be removed
// as soon as it has begun.
func TestFinetuningBeginsWithTheBest(t *testing.T) {
	ds := dataset(t, traintest.Data{Classes: 4, Train: 16, Val: 8, Size: 72, Seed: 1})
	many := dataset(t, traintest.Data{Classes: 6, Train: 16, Val: 12, Size: 72, Seed: 2})
	star, err := Find("1cnn-star")
	if err != nil {
		t.Fatal(err)
	}
	out, o := t.TempDir(), Options{StarNet: "alexnet-small", Epochs: 2, Batch: 8, LR: 1e-6} // too low to change a validation: the first is the best
	ctx, cancel := context.WithCancel(t.Context())
	var begun []Kind
	w := &Work{Engines: engines{}, Begin: func(j *Job, _ int) loop.Hooks {
		if begun = append(begun, j.Kind); j.Kind == Finetuned {
			cancel()
		}
		return loop.Hooks{}
	}}
	_, err = Reproduce(ctx, star, out, ds, many, o, w, Measure{Engines: engines{}})
	var interrupted *InterruptedError
	if !errors.As(err, &interrupted) || interrupted.Step != 0 || !reflect.DeepEqual(begun, []Kind{Pretrained, Finetuned}) {
		t.Fatalf("error %v, begun %v", err, begun)
	}
	pre, fine := filepath.Join(out, "pretrained-6"), filepath.Join(out, "finetuned-6")
	best, _, err := checkpoint.BestOf(pre)
	if err != nil {
		t.Fatal(err)
	}
	last, _, err := checkpoint.Latest(pre)
	if err != nil || last.Progress.Step == best.Progress.Step {
		t.Fatalf("the best is the last, at step %d, so that nothing is shown; error %v", last.Progress.Step, err)
	}
	got, _, err := checkpoint.Latest(fine)
	if err != nil {
		t.Fatal(err)
	}
	fresh := got.Net.Init(6)
	for i, w := range got.State.Weights {
		want := best.State.Weights[i]
		if strings.HasPrefix(w.Name, "fc8.") {
			want = fresh[i]
		}
		if !slices.Equal(w.Data, want.Data) {
			t.Errorf("%s is neither the best net's nor drawn", w.Name)
		}
	}
	if c, err := loop.ReadConfig(fine); err != nil || c.Init != best.File || !reflect.DeepEqual(c.InitExcept, []string{"fc8"}) {
		t.Errorf("config %+v, error %v", c, err)
	}
	if err := os.RemoveAll(pre); err != nil {
		t.Fatal(err)
	}
	begun = nil
	row, err := Reproduce(t.Context(), star, out, ds, many, o, w, Measure{Engines: engines{}})
	if err != nil || !reflect.DeepEqual(begun, []Kind{Finetuned}) {
		t.Fatalf("error %v, begun %v", err, begun)
	}
	if n := row.Here.Averaged; len(n) != 1 || n[0].Pretrained == nil || n[0].PretrainedEpochs != 0 || n[0].Epochs != 1 {
		t.Errorf("the row is of %+v", n)
	}
	rows, err := Rows(filepath.Dir(out))
	if err != nil || len(rows) != 1 || !reflect.DeepEqual(rows[0], row) {
		t.Errorf("rows %+v, error %v; want %+v", rows, err, row)
	}
}

// Damaged files are named.
func TestDamagedRowsAndSummaries(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	write("row-1cnn-val.json", "{")
	if _, err := Rows(dir); err == nil || !strings.Contains(err.Error(), "row-1cnn-val.json is damaged") {
		t.Errorf("error %v", err)
	}
	write("row-1cnn-val.json", `{"system":"nobody's"}`)
	if _, err := Rows(dir); err == nil || !strings.Contains(err.Error(), "row-1cnn-val.json is no row: unknown system") {
		t.Errorf("error %v", err)
	}
	write("row-1cnn-val.json", `{"system":"1cnn","here":{"images":5}}`)
	if _, err := Rows(dir); err == nil || !strings.Contains(err.Error(), "row-1cnn-val.json is damaged: it is of no nets") {
		t.Errorf("error %v", err)
	}
	write(loop.SummaryFile, "?")
	if _, err := readSummary(dir); err == nil || !strings.Contains(err.Error(), loop.SummaryFile+" is damaged") {
		t.Errorf("error %v", err)
	}
}

// Nets are compared after equally many epochs: one that has more, of an earlier
// comparison, is refused.
func TestRunsOfUnequalLength(t *testing.T) {
	jobs := []Job{{Run: filepath.Join(t.TempDir(), "base-1")}, {Run: filepath.Join(t.TempDir(), "tanh-1")}}
	for i, epochs := range []string{"10", "4"} {
		if err := os.Mkdir(jobs[i].Run, 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(jobs[i].Run, loop.SummaryFile), []byte(`{"epochs":`+epochs+`}`), 0o666); err != nil {
			t.Fatal(err)
		}
		jobs[i].Limits.Epochs = 4
	}
	err := equallyLong(jobs)
	if want := jobs[0].Run + " has 10 epochs, more than the 4 that all are to have: compare over 10 epochs, or in another folder"; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("error %v", err)
	}
	if err := equallyLong(jobs[1:]); err != nil {
		t.Error(err)
	}
}

// Where a run's best checkpoint is lost, no other is measured in its place.
func TestBestIsLost(t *testing.T) {
	ds := dataset(t, traintest.Data{Classes: 4, Train: 1, Val: 4, Size: 72, Seed: 1})
	store := checkpoint.Store{Run: filepath.Join(t.TempDir(), "cnn-1"), Keep: 9}
	net := traintest.Net(4, 8)
	for step := range 2 {
		if _, err := store.Save(&checkpoint.Checkpoint{
			Net: net, Classes: checkpoint.Classes(ds.Manifest), Records: ds.Manifest.Digest, Settings: []byte("{}"),
			Progress: checkpoint.Progress{Step: step, Schedule: []byte("{}"), Best: &checkpoint.Best{Step: 0, Top1: .5}},
			State:    model.State{Weights: net.Init(1)},
		}); err != nil {
			t.Fatal(err)
		}
	}
	measure := func() ([]string, error) {
		_, files, err := Measure{Engines: engines{}, Views: 1}.Average(t.Context(), ds, []string{store.Run})
		return files, err
	}
	if files, err := measure(); err != nil || len(files) != 1 || files[0] != store.Path(0) {
		t.Fatalf("measured %v, error %v", files, err)
	}
	if err := os.Truncate(store.Path(0), 100); err != nil {
		t.Fatal(err)
	}
	_, err := measure()
	var damaged *checkpoint.DamagedError
	fine := Job{Run: filepath.Join(t.TempDir(), "finetuned-6"), Init: store.Run, Net: net, Records: ds}
	if _, _, err := (&Work{}).configure(&fine); !errors.As(err, &damaged) || !strings.Contains(err.Error(), "its best checkpoint, of step 0, cannot be read") {
		t.Errorf("the weights of another: error %v", err)
	}
	if want := "measuring the run " + store.Run + ": its best checkpoint, of step 0, cannot be read; remove the folder"; !errors.As(err, &damaged) || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("error %v", err)
	}
}
