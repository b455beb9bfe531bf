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
	write(loop.SummaryFile, "?")
	if _, err := readSummary(dir); err == nil || !strings.Contains(err.Error(), loop.SummaryFile+" is damaged") {
		t.Errorf("error %v", err)
	}
}
