package reproduce

import (
	"fmt"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"alexnet/records"
	"alexnet/train/loop"
	"alexnet/train/sgd"
	"alexnet/train/traintest"
)

// dataset makes records and opens them.
func dataset(t *testing.T, d traintest.Data) *records.Dataset {
	t.Helper()
	dir := t.TempDir()
	if err := d.Make(dir); err != nil {
		t.Fatal(err)
	}
	ds, err := records.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return ds
}

// The paper's systems are the paper's nets with the paper's recipe, each net with a seed
// of its own.
func TestJobsOfThePaper(t *testing.T) {
	ds := dataset(t, traintest.Data{Classes: 4, Train: 4, Val: 4, Size: 8})
	fall := dataset(t, traintest.Data{Classes: 9, Train: 9, Size: 8})
	s, err := Find("7cnns*")
	if err != nil {
		t.Fatal(err)
	}
	jobs, err := s.Jobs("out", ds, fall, Options{})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	seeds := map[uint64]int{}
	for _, j := range jobs {
		got = append(got, fmt.Sprintf("%s %s %d classes, %d epochs, %s %g, seed %d, from %q but %v", j.Name(), j.Net.Name, j.Net.Classes, j.Limits.Epochs,
			j.Settings.Schedule.Kind, j.Settings.Schedule.Base, j.Settings.Seed, j.Init, j.Fresh))
		seeds[j.Settings.Seed]++
		if j.Settings.Batch != 128 || j.Settings.Momentum != 0.9 || j.Settings.WeightDecay != 0.0005 || j.Settings.Color != "eigenvalue" {
			t.Errorf("%s: settings %+v", j.Run, j.Settings)
		}
	}
	pre6, pre7 := filepath.Join("out", "pretrained-6"), filepath.Join("out", "pretrained-7")
	want := []string{
		`cnn-1 alexnet 4 classes, 90 epochs, plateau 0.01, seed 1, from "" but []`,
		`cnn-2 alexnet 4 classes, 90 epochs, plateau 0.01, seed 2, from "" but []`,
		`cnn-3 alexnet 4 classes, 90 epochs, plateau 0.01, seed 3, from "" but []`,
		`cnn-4 alexnet 4 classes, 90 epochs, plateau 0.01, seed 4, from "" but []`,
		`cnn-5 alexnet 4 classes, 90 epochs, plateau 0.01, seed 5, from "" but []`,
		`pretrained-6 alexnet-conv6 9 classes, 90 epochs, constant 0.01, seed 6, from "" but []`, // no validation there
		fmt.Sprintf(`finetuned-6 alexnet-conv6 4 classes, 30 epochs, plateau 0.001, seed 6, from %q but [fc9]`, pre6),
		`pretrained-7 alexnet-conv6 9 classes, 90 epochs, constant 0.01, seed 7, from "" but []`,
		fmt.Sprintf(`finetuned-7 alexnet-conv6 4 classes, 30 epochs, plateau 0.001, seed 7, from %q but [fc9]`, pre7),
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("jobs\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	// 1 CNN* is the first of the two.
	one, err := Find("1cnn*")
	if err != nil {
		t.Fatal(err)
	}
	first, err := one.Jobs("out", ds, fall, Options{})
	if err != nil || !reflect.DeepEqual(first, jobs[5:7]) {
		t.Errorf("1 CNN*: %+v, error %v", first, err)
	}
	if _, err := one.Jobs("out", ds, nil, Options{}); err == nil || !strings.Contains(err.Error(), "is pre-trained on other records") {
		t.Errorf("without records to pre-train on: error %v", err)
	}
	if _, err := Find("8cnns"); err == nil || !strings.Contains(err.Error(), "there are 1cnn, 5cnns, 1cnn-star, 7cnns-star") {
		t.Errorf("error %v", err)
	}
}

// Options go where they are meant.
func TestOptions(t *testing.T) {
	ds := dataset(t, traintest.Data{Classes: 4, Train: 4, Val: 4, Size: 8, Grey: true})
	s, err := Find("7cnns-star")
	if err != nil {
		t.Fatal(err)
	}
	jobs, err := s.Jobs("out", ds, ds, Options{Net: "alexnet-small", StarNet: "alexnet-small", Nets: 1, Seed: 11, Epochs: 5, PretrainEpochs: 20, FinetuneEpochs: 2, Batch: 3,
		LR: 0.3, FinetuneLR: 0.04, Precision: loop.BF16, CheckpointEvery: 6, Workers: 2})
	if err != nil {
		t.Fatal(err)
	}
	step := func(base float64, at ...int) sgd.Config {
		return sgd.Config{Kind: sgd.Step, Base: base, Factor: 0.1, DropAt: at}
	}
	for i, want := range []struct {
		name     string
		seed     uint64
		epochs   int
		schedule sgd.Config
	}{
		{"cnn-1", 11, 5, step(0.3, 4)}, {"pretrained-6", 16, 20, step(0.3, 14, 18)}, {"finetuned-6", 16, 2, step(0.04, 1)},
	} {
		j := jobs[i]
		if j.Name() != want.name || j.Settings.Seed != want.seed || j.Limits.Epochs != want.epochs || !reflect.DeepEqual(j.Settings.Schedule, want.schedule) ||
			j.Settings.Batch != 3 || j.Settings.Precision != loop.BF16 || j.Limits.CheckpointEvery != 6 || j.Limits.Workers != 2 || j.Settings.Color != loop.ColorNone {
			t.Errorf("%s: settings %+v, limits %+v; want %+v", j.Run, j.Settings, j.Limits, want)
		}
	}
	if len(jobs) != 3 {
		t.Errorf("%d jobs", len(jobs))
	}
	if _, err := s.Jobs("out", ds, ds, Options{Batch: -1}); err == nil {
		t.Error("a negative batch is taken")
	}
}

func TestScaled(t *testing.T) {
	for _, tc := range []struct {
		from, to int
		at, want []int
	}{
		{10, 10, []int{7, 9}, []int{7, 9}},
		{10, 20, []int{7, 9}, []int{14, 18}},
		{10, 5, []int{7, 9}, []int{4}},
		{10, 4, []int{7, 9}, []int{3}},
		{10, 2, []int{7, 9}, []int{1}},
		{10, 1, []int{7, 9}, nil},
		{91, 9, []int{25, 51, 79}, []int{2, 5, 8}},
	} {
		c := scaled(sgd.Config{Kind: sgd.Step, Base: 1, Factor: 0.5, DropAt: tc.at}, tc.from, tc.to)
		want := sgd.Config{Kind: sgd.Step, Base: 1, Factor: 0.5, DropAt: tc.want}
		if tc.want == nil {
			want = sgd.Config{Kind: sgd.Constant, Base: 1}
		}
		if !reflect.DeepEqual(c, want) {
			t.Errorf("%d of %d epochs: %+v", tc.to, tc.from, c)
		}
		if _, err := sgd.New(c); err != nil {
			t.Error(err)
		}
	}
	if c := (sgd.Config{Kind: sgd.Plateau, Base: 1}); !reflect.DeepEqual(scaled(c, 10, 1), c) {
		t.Error("a plateau has no places to move")
	}
}

// A difference has the mean of all images, and an interval that a paired test has.
func TestDelta(t *testing.T) {
	d := delta([]float64{2, 2, 0, 2, 0}, []float64{2, 0, 0, 0, 2}, []float64{0.6, 0.5}, []float64{0.4, 0.5})
	// Differences of two seeds 0 2 0 2 -2, as shares 0 1 0 1 -1: mean 0.2, variance 0.7; of the seeds 0.2 and 0.
	want := Delta{Mean: 0.2, Interval: [2]float64{0.2 - 0.7334, 0.2 + 0.7334}, Deviation: 0.141421}
	near := func(a, b float64) bool { return a-b < 1e-4 && b-a < 1e-4 }
	if !near(d.Mean, want.Mean) || !near(d.Interval[0], want.Interval[0]) || !near(d.Interval[1], want.Interval[1]) || !near(d.Deviation, want.Deviation) {
		t.Errorf("%+v, want %+v", d, want)
	}
	if d := delta([]float64{1}, []float64{0}, []float64{1}, []float64{0}); d != (Delta{Mean: 1, Interval: [2]float64{1, 1}}) {
		t.Errorf("of one image: %+v", d)
	}
}
