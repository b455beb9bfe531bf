package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"alexnet/model"
	"alexnet/tools/cli"
	"alexnet/train/checkpoint"
	"alexnet/train/loop"
	"alexnet/train/sgd"
)

func ptr[T any](v T) *T { return &v }

// Every preset of the package model can be asked for, and comes with its recipe.
func TestPresets(t *testing.T) {
	field, _ := reflect.TypeFor[flags]().FieldByName("Preset")
	dir := makeRecords(t, small)
	var names []string
	for _, p := range model.DescribePresets() {
		names = append(names, p.Name)
		plan, err := (&flags{Records: dir, Preset: &p.Name}).plan(t.Context(), io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		want, err := model.Preset(p.Name, 4)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(plan.net, want) || plan.config.Run != filepath.Join("runs", p.Name) {
			t.Errorf("%s: net %+v in %s", p.Name, plan.net, plan.config.Run)
		}
		r, s := p.Recipe, plan.config.Settings
		got := model.Recipe{Batch: s.Batch, Epochs: plan.config.Limits.Epochs, LearningRate: s.Schedule.Base, Momentum: s.Momentum, WeightDecay: s.WeightDecay,
			Schedule: string(s.Schedule.Kind), DropAt: s.Schedule.DropAt, Factor: s.Schedule.Factor, Color: s.Color, ColorEpochs: s.ColorEpochs, ColorDivisor: s.ColorDivisor, CropGroup: s.CropGroup, InclusiveCrops: s.InclusiveCrops, NoFlip: s.NoFlip}
		if !reflect.DeepEqual(got, r) {
			t.Errorf("%s: settings %+v, the recipe is %+v", p.Name, got, r)
		}
	}
	if got := strings.Join(names, ","); got != field.Tag.Get("enum") {
		t.Errorf("--preset takes %s, there are %s", field.Tag.Get("enum"), got)
	}
}

// Flags over a preset.
func TestFlagsOverAPreset(t *testing.T) {
	f := &flags{Records: makeRecords(t, small), Preset: ptr("caffe"), Crops: ptr("exclusive"), Color: ptr("stddev"), Epochs: ptr(7), NoFlip: ptr(true),
		Schedule: ptr("cosine"), FinalLR: ptr(0.001), WarmupEpochs: ptr(2), NoLRN: true, NoOverlap: true, SingleTower: true, Dropout: ptr(0.), Activation: ptr("tanh")}
	p, err := f.plan(t.Context(), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	s := p.config.Settings
	if want := (sgd.Config{Kind: sgd.Cosine, Base: 0.01, Epochs: 7, Final: 0.001, WarmupEpochs: 2}); s.InclusiveCrops || !s.NoFlip || s.Color != "stddev" || !reflect.DeepEqual(s.Schedule, want) {
		t.Errorf("settings %+v, the schedule should be %+v", s, want)
	}
	kinds := map[model.Kind]int{}
	for _, l := range p.net.Layers {
		kinds[l.Kind]++
		if l.Groups != 0 || l.Kind == model.MaxPool && l.Kernel != 2 {
			t.Errorf("%+v", l)
		}
	}
	if want := map[model.Kind]int{model.Conv: 5, model.Tanh: 7, model.MaxPool: 3, model.FC: 3, model.Softmax: 1}; !reflect.DeepEqual(kinds, want) {
		t.Errorf("layers %v, want %v", kinds, want)
	}
}

// A changed net is trained, goes on as it is, and is not mistaken for another.
func TestTrainOfAChangedNet(t *testing.T) {
	dir, run := makeRecords(t, small), filepath.Join(t.TempDir(), "run")
	args := []string{"--records", dir, "--run", run, "--preset", "alexnet-small", "--batch", "8", "--log-every", "1", "--max-steps", "4", "--epochs", "3",
		"--activation", "tanh", "--no-lrn", "--no-overlap", "--single-tower", "--dropout", "0.5", "--crops", "inclusive",
		"--schedule", "linear", "--lr", "0.009", "--warmup-steps", "2"}
	if status, _, errs := command(t.Context(), args...); status != cli.Done || !strings.Contains(errs, "learning rate 0.009 (linear)") {
		t.Fatalf("status %d: %s", status, errs)
	}
	for _, tc := range []struct {
		flags []string
		want  string
	}{
		{[]string{"--activation", "relu"}, "has other net: layers.relu1.kind: tanh in the checkpoint, relu here"},
		{[]string{"--dropout", "0.25"}, "layers.drop6.rate: 0.5 in the checkpoint, 0.25 here"},
		{[]string{"--dropout", "0"}, "has other net: layers: drop6 drop7 in the checkpoint, nothing here; resume with"},
		{[]string{"--crops", "exclusive"}, "inclusive_crops: true in the checkpoint, nothing here"},
		{[]string{"--crops", "center"}, "center_crops: nothing in the checkpoint, true here"},
		{[]string{"--half-tower"}, "has other net: layers.conv1.out: 32 in the checkpoint, 16 here"},
		{[]string{"--warmup-steps", "3"}, "schedule.warmup_steps: 2 in the checkpoint, 3 here"},
	} {
		status, _, errs := command(t.Context(), append([]string{"--resume", "--run", run}, tc.flags...)...)
		if status != cli.Failed || !strings.Contains(errs, tc.want) {
			t.Errorf("%v: status %d, %s; want %s", tc.flags, status, errs, tc.want)
		}
	}
	// The decay keeps its length, three epochs, when the run is given four.
	status, _, errs := command(t.Context(), "--resume", "--run", run, "--preset", "alexnet-small", "--no-lrn", "--epochs", "4")
	if status != cli.Done {
		t.Fatalf("status %d: %s", status, errs)
	}
	var rates []string
	for _, l := range metrics(t, run) {
		if l.Event == "step" {
			rates = append(rates, fmt.Sprintf("%.4f", l.LR))
		}
	}
	// Two steps of warm-up, seven of decay.
	if got, want := strings.Join(rates, " "), "0.0045 0.0090 0.0090 0.0077 0.0064 0.0051 0.0039 0.0026 0.0013 0.0000 0.0000 0.0000"; got != want {
		t.Errorf("rates %s, want %s", got, want)
	}
	if c, err := loop.ReadConfig(run); err != nil || c.Settings.Schedule.Epochs != 3 || c.Limits.Epochs != 4 {
		t.Errorf("config %+v, error %v", c, err)
	}
}

// Several batches a step, clipping, an average and an early stop, with the real
// engine; interrupted by --max-steps and resumed.
func TestStepsOfSeveralBatches(t *testing.T) {
	dir, run, whole := makeRecords(t, small), filepath.Join(t.TempDir(), "run"), filepath.Join(t.TempDir(), "whole")
	args := func(run string, more ...string) []string {
		return append([]string{"--records", dir, "--run", run, "--preset", "alexnet-small", "--batch", "4", "--log-every", "1", "--epochs", "2",
			"--accumulate", "2", "--clip-norm", "0.3", "--ema", "0.5", "--stop-after", "7"}, more...)
	}
	status, out, errs := command(t.Context(), args(whole)...)
	if status != cli.Done || !strings.Contains(out, "6 steps, 2 epochs; all epochs are done\n") || !strings.Contains(out, "validation of the averaged weights: top-1 ") ||
		!strings.Contains(errs, ", batch 2 times 4, 2 epochs") {
		t.Fatalf("status %d: %s%s", status, out, errs)
	}
	if status, _, errs := command(t.Context(), args(run, "--max-steps", "4")...); status != cli.Done {
		t.Fatalf("status %d: %s", status, errs)
	}
	if status, _, errs := command(t.Context(), "--resume", "--run", run, "--accumulate", "1"); status != cli.Failed || !strings.Contains(errs, "accumulate: 2 in the checkpoint, nothing here") {
		t.Errorf("other flags: status %d, %s", status, errs)
	}
	if status, _, errs := command(t.Context(), "--resume", "--run", run); status != cli.Done {
		t.Fatalf("status %d: %s", status, errs)
	}
	if got, want := metrics(t, run), metrics(t, whole); !reflect.DeepEqual(got, want) {
		t.Errorf("metrics of the resumed run\n%+v\nof the undisturbed one\n%+v", got, want)
	}
	a, _, err := checkpoint.Latest(run)
	if err != nil {
		t.Fatal(err)
	}
	b, _, err := checkpoint.Latest(whole)
	if err != nil || a.Average == nil || !reflect.DeepEqual(a.Average, b.Average) || !reflect.DeepEqual(a.State, b.State) {
		t.Errorf("the resumed run ends with other weights or averages; error %v", err)
	}
}

// LARS with the real engine, as its flags say; interrupted and resumed.
func TestLargeBatches(t *testing.T) {
	dir, run, whole := makeRecords(t, small), filepath.Join(t.TempDir(), "run"), filepath.Join(t.TempDir(), "whole")
	args := func(run string, more ...string) []string {
		return append([]string{"--records", dir, "--run", run, "--preset", "alexnet-small", "--batch", "8", "--log-every", "1", "--epochs", "2",
			"--optimizer", "lars", "--lr", "3", "--warmup-steps", "2", "--schedule", "poly"}, more...)
	}
	status, _, errs := command(t.Context(), args(whole)...)
	if status != cli.Done || !strings.Contains(errs, ", LARS with trust coefficient 0.001, learning rate 3 (poly), seed 1") {
		t.Fatalf("status %d: %s", status, errs)
	}
	if c, err := loop.ReadConfig(whole); err != nil || c.Settings.Optimizer != loop.LARS || c.Settings.TrustCoefficient != 0.001 || c.Settings.Schedule.Power != 2 {
		t.Errorf("config %+v, error %v", c, err)
	}
	if status, _, errs := command(t.Context(), args(run, "--max-steps", "4")...); status != cli.Done {
		t.Fatalf("status %d: %s", status, errs)
	}
	for flag, want := range map[string]string{
		"--optimizer=sgd":           "optimizer: lars in the checkpoint, nothing here",
		"--trust-coefficient=0.002": "trust_coefficient: 0.001 in the checkpoint, 0.002 here",
		"--power=1":                 "schedule.power: 2 in the checkpoint, 1 here",
	} {
		if status, _, errs := command(t.Context(), "--resume", "--run", run, flag); status != cli.Failed || !strings.Contains(errs, want) {
			t.Errorf("%s: status %d, %s; want %s", flag, status, errs, want)
		}
	}
	if status, _, errs := command(t.Context(), "--resume", "--run", run, "--optimizer", "lars"); status != cli.Done {
		t.Fatalf("status %d: %s", status, errs)
	}
	if got, want := metrics(t, run), metrics(t, whole); !reflect.DeepEqual(got, want) {
		t.Errorf("metrics of the resumed run\n%+v\nof the undisturbed one\n%+v", got, want)
	}
}

// A run begins with its own or the averaged weights of another.
func TestInitWithTheAverage(t *testing.T) {
	dir, old := makeRecords(t, small), filepath.Join(t.TempDir(), "old")
	if status, _, errs := command(t.Context(), base(dir, old, "--ema", "0.5", "--max-steps", "3")...); status != cli.Done {
		t.Fatalf("status %d: %s", status, errs)
	}
	c, _, err := checkpoint.Latest(old)
	if err != nil {
		t.Fatal(err)
	}
	for which, want := range map[string][]model.Tensor{"own": c.State.Weights, "average": c.Average} {
		p, err := (&flags{Records: dir, Preset: ptr("alexnet-small"), Init: c.File, InitWeights: &which}).plan(t.Context(), io.Discard)
		if err != nil || !reflect.DeepEqual(p.first, want) {
			t.Errorf("%s: error %v, or other weights", which, err)
		}
		run := filepath.Join(t.TempDir(), which)
		status, _, errs := command(t.Context(), base(dir, run, "--init", c.File, "--init-weights", which, "--max-steps", "1")...)
		if own, err := loop.ReadConfig(run); status != cli.Done || err != nil || string(own.InitWeights) != which ||
			!strings.Contains(errs, "first weights: "+which+" of "+c.File) {
			t.Errorf("%s: status %d, error %v, %+v: %s", which, status, err, own, errs)
		}
		// A run without a checkpoint begins anew with the same weights.
		if err := os.RemoveAll(filepath.Join(run, checkpoint.Folder)); err != nil {
			t.Fatal(err)
		}
		p, err = (&flags{Resume: true, RunDir: run}).plan(t.Context(), io.Discard)
		if err != nil || !reflect.DeepEqual(p.first, want) {
			t.Errorf("%s, begun anew: error %v, or other weights", which, err)
		}
	}
}

// A net for other classes takes all of a run's weights but its classifier's, if it is
// told to, and says what does not fit if not; a run without a checkpoint begins with
// the same weights again.
func TestInitExcept(t *testing.T) {
	other := small
	other.Classes = 6
	old, dir := filepath.Join(t.TempDir(), "old"), makeRecords(t, small)
	if status, _, errs := command(t.Context(), base(makeRecords(t, other), old, "--max-steps", "1")...); status != cli.Done {
		t.Fatalf("status %d: %s", status, errs)
	}
	c, _, err := checkpoint.Latest(old)
	if err != nil {
		t.Fatal(err)
	}
	args := func(run string, more ...string) []string {
		return base(dir, run, append([]string{"--seed", "9", "--init", c.File, "--max-steps", "1"}, more...)...)
	}
	run := filepath.Join(t.TempDir(), "run")
	status, _, errs := command(t.Context(), args(run)...)
	for _, want := range []string{"fc8.weight is [6 256], the net needs [4 256]; fc8.bias is [6], the net needs [4]", "give its classifier new weights with --init-except fc8"} {
		if status != cli.Failed || !strings.Contains(errs, want) {
			t.Errorf("status %d, %s; want %s", status, errs, want)
		}
	}
	if status, _, errs := command(t.Context(), args(run, "--init-except", "fc8,fc9")...); status != cli.Failed || !strings.Contains(errs, `has no layer "fc9"`) {
		t.Errorf("a layer that there is not: status %d, %s", status, errs)
	}
	status, _, errs = command(t.Context(), args(run, "--init-except", "fc8")...)
	if own, err := loop.ReadConfig(run); status != cli.Done || err != nil || !reflect.DeepEqual(own.InitExcept, []string{"fc8"}) ||
		!strings.Contains(errs, "first weights of fc8: drawn from seed 9") {
		t.Fatalf("status %d, error %v, %+v: %s", status, err, own, errs)
	}
	if err := os.RemoveAll(filepath.Join(run, checkpoint.Folder)); err != nil {
		t.Fatal(err)
	}
	p, err := (&flags{Resume: true, RunDir: run}).plan(t.Context(), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	fresh := p.net.Init(9)
	for i, got := range p.first {
		want := c.State.Weights[i]
		if strings.HasPrefix(got.Name, "fc8.") {
			want = fresh[i]
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s is neither that of the run nor drawn from the seed", got.Name)
		}
	}
}

// A rate that is far too high ends the run with step, rate and layer, and the
// checkpoint from before stands.
func TestDivergence(t *testing.T) {
	dir, run := makeRecords(t, small), filepath.Join(t.TempDir(), "run")
	status, _, errs := command(t.Context(), base(dir, run, "--lr", "1e20", "--warmup-steps", "4", "--checkpoint-every", "1")...)
	if status != cli.Failed || !strings.Contains(errs, "training diverged at step ") || !strings.Contains(errs, ", with learning rate ") ||
		!strings.Contains(errs, "values that are not finite") {
		t.Errorf("status %d: %s", status, errs)
	}
	if c, warnings, err := checkpoint.Latest(run); err != nil || len(warnings) > 0 || !strings.Contains(errs, "the last good checkpoint is "+c.File) {
		t.Errorf("the newest checkpoint is %+v, warnings %v, error %v; %s", c, warnings, err, errs)
	}
}

func TestWrongUsageOfPresets(t *testing.T) {
	dir := makeRecords(t, small)
	for _, tc := range []struct {
		args []string
		want string
	}{
		{base(dir, "r", "--preset", "paper"), "--net and --preset: a preset has its own net"},
		{[]string{"--records", dir, "--preset", "resnet"}, `must be one of "paper","as-run-2012"`},
		{base(dir, "r", "--activation", "swish"), `must be one of "relu","tanh"`},
		{base(dir, "r", "--dropout", "1"), "drop6: rate 1 is not in [0, 1)"},
		{base(dir, "r", "--crops", "all"), "--crops"},
		{base(dir, "r", "--single-tower", "--half-tower"), "--single-tower and --half-tower are two nets"},
		{base(dir, "r", "--init-except", "fc8"), "--init-except names layers that do not take the weights of --init"},
		{base(dir, "r", "--color-epochs=-1"), "-1 epochs with shifts of colour: must not be negative"},
		{base(dir, "r", "--crop-group=-1"), "-1 images that share a crop: must lie between"},
		{base(dir, "r", "--color-divisor=-1"), "a divisor of -1 for images with shifted colours: must be"},
		{base(dir, "r", "--accumulate=-1"), "-1 batches a step: must lie between"},
		{base(dir, "r", "--clip-norm=-1"), "clip norm -1: must be"},
		{base(dir, "r", "--ema", "1"), "EMA decay 1: must be"},
		{base(dir, "r", "--optimizer", "lars"), "--optimizer lars needs --lr RATE"},
		{base(dir, "r", "--optimizer", "adam"), `must be one of "sgd","lars"`},
		{base(dir, "r", "--optimizer", "lars", "--lr", "1", "--trust-coefficient", "2"), "trust coefficient 2: must be"},
		{base(dir, "r", "--trust-coefficient", "0.1"), "--trust-coefficient is for --optimizer lars"},
		{base(dir, "r", "--power", "2"), "--power is for --schedule poly, and the schedule is step"},
		{base(dir, "r", "--schedule", "poly", "--power", "0"), "power 0 must be a positive number"},
		{base(dir, "r", "--stop-after=-1"), "stop-after -1: must not be negative"},
		{base(dir, "r", "--final-lr", "0.1"), "--final-lr is for --schedule linear, and the schedule is step"},
		{base(dir, "r", "--schedule", "cosine", "--final-lr", "1"), "the final rate 1 must be at least 0 and less than the first"},
		{base(dir, "r", "--warmup-steps", "2", "--warmup-epochs", "2"), "only one of them can be"},
	} {
		status, out, errs := command(t.Context(), tc.args...)
		if status != cli.Usage || out != "" || !strings.Contains(errs, tc.want) {
			t.Errorf("train %s: status %d, %q; want %q", strings.Join(tc.args, " "), status, errs, tc.want)
		}
	}
}
