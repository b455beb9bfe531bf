package sgd

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
)

// rates runs a schedule over the given validation errors and returns the rate of
// each epoch, and one more for the epoch after the last.
func rates(t *testing.T, s *Schedule, errs []float64) []float32 {
	t.Helper()
	out := []float32{s.Rate(0, 7)}
	for _, e := range errs {
		s.EndEpoch(e)
		out = append(out, s.Rate(0, 7))
	}
	return out
}

func TestRates(t *testing.T) {
	nan := math.NaN()
	for _, tc := range []struct {
		name   string
		config Config
		errs   []float64
		want   []float32
		done   bool
	}{
		{"constant", Config{Kind: Constant, Base: 0.02}, []float64{.9, .9, .9}, []float32{.02, .02, .02, .02}, false},
		{"step, as the 2012 code dropped", Config{Kind: Step, Base: 0.01, Factor: 0.1, DropAt: []int{3, 1}},
			[]float64{nan, nan, nan, nan}, []float32{.01, .001, .001, .0001, .0001}, false},
		{"plateau drops after patience epochs without a new best", Config{Kind: Plateau, Base: 0.01, Factor: 0.1, Patience: 2, MaxDrops: 3},
			[]float64{.8, .7, .7, .75, .6, .6, .6}, []float32{.01, .01, .01, .01, .001, .001, .001, .0001}, false},
		{"plateau counts from the drop", Config{Kind: Plateau, Base: 1, Factor: 0.5, Patience: 2, MaxDrops: 2},
			[]float64{.5, .5, .5, .5, .5}, []float32{1, 1, 1, .5, .5, .25}, false},
		{"plateau drops no more than it may", Config{Kind: Plateau, Base: 1, Factor: 0.5, Patience: 1, MaxDrops: 1},
			[]float64{.5, .5, .5, .5}, []float32{1, 1, .5, .5, .5}, false},
		{"plateau stops when asked to", Config{Kind: Plateau, Base: 1, Factor: 0.5, Patience: 1, MaxDrops: 1, Stop: true},
			[]float64{.5, .5, .5}, []float32{1, 1, .5, .5}, true},
		{"plateau without validation", Config{Kind: Plateau, Base: 1, Factor: 0.5, Patience: 1, MaxDrops: 1},
			[]float64{nan, .5, .4}, []float32{1, .5, .5, .5}, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s, err := New(tc.config)
			if err != nil {
				t.Fatal(err)
			}
			if got := rates(t, s, tc.errs); !slices.Equal(got, tc.want) {
				t.Errorf("rates %v, want %v", got, tc.want)
			}
			if s.Done() != tc.done {
				t.Errorf("done is %v, want %v", s.Done(), tc.done)
			}
		})
	}
}

// Rates of single steps, computed by hand. Powers of two make most of them exact.
func TestRatesOfSteps(t *testing.T) {
	half := float32(0.5 * math.Sqrt2 / 2)
	for _, tc := range []struct {
		name   string
		config Config
		epochs int
		want   []float32 // four steps an epoch
	}{
		{"linear", Config{Kind: Linear, Base: 1, Epochs: 2}, 3,
			[]float32{1, .875, .75, .625, .5, .375, .25, .125, 0, 0, 0, 0}},
		{"linear to a final rate", Config{Kind: Linear, Base: 1, Final: 0.5, Epochs: 1}, 2,
			[]float32{1, .875, .75, .625, .5, .5, .5, .5}},
		{"poly", Config{Kind: Poly, Base: 1, Power: 2, Epochs: 2}, 3,
			[]float32{1, 49. / 64, 36. / 64, 25. / 64, 16. / 64, 9. / 64, 4. / 64, 1. / 64, 0, 0, 0, 0}},
		{"poly of a square root, warmed up", Config{Kind: Poly, Base: 2, Final: 1, Power: 0.5, Epochs: 2, WarmupEpochs: 1}, 3,
			[]float32{.5, 1, 1.5, 2, 2, float32(1 + math.Sqrt(0.75)), float32(1 + math.Sqrt(0.5)), 1.5, 1, 1, 1, 1}},
		{"cosine", Config{Kind: Cosine, Base: 1, Epochs: 1}, 2,
			[]float32{1, .5 + half, .5, .5 - half, 0, 0, 0, 0}},
		{"cosine over two epochs", Config{Kind: Cosine, Base: 3, Final: 1, Epochs: 2}, 2,
			[]float32{3, float32(2 + math.Cos(math.Pi/8)), float32(2 + math.Cos(math.Pi/4)), float32(2 + math.Cos(3*math.Pi/8)),
				2, float32(2 + math.Cos(5*math.Pi/8)), float32(2 + math.Cos(3*math.Pi/4)), float32(2 + math.Cos(7*math.Pi/8))}},
		{"warm-up of steps, constant", Config{Kind: Constant, Base: 1, WarmupSteps: 5}, 2,
			[]float32{.2, .4, .6, .8, 1, 1, 1, 1}},
		{"warm-up of epochs, then steps down", Config{Kind: Step, Base: 1, Factor: 0.5, DropAt: []int{1}, WarmupEpochs: 2}, 3,
			[]float32{.125, .25, .375, .5, .3125, .375, .4375, .5, .5, .5, .5, .5}},
		{"warm-up, then linear", Config{Kind: Linear, Base: 1, Epochs: 2, WarmupEpochs: 1}, 2,
			[]float32{.25, .5, .75, 1, 1, .75, .5, .25}},
		{"warm-up, then cosine", Config{Kind: Cosine, Base: 2, Epochs: 1, WarmupSteps: 2}, 2,
			[]float32{1, 2, 2, 1, 0, 0, 0, 0}},
		{"warm-up longer than the decay", Config{Kind: Linear, Base: 1, Final: 0.5, Epochs: 1, WarmupSteps: 8}, 3,
			[]float32{.125, .25, .375, .5, .625, .75, .875, 1, .5, .5, .5, .5}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s, err := New(tc.config)
			if err != nil {
				t.Fatal(err)
			}
			var got []float32
			for range tc.epochs {
				for step := range 4 {
					got = append(got, s.Rate(step, 4))
				}
				s.EndEpoch(0.5)
			}
			for i, want := range tc.want {
				if math.Abs(float64(got[i]-want)) > 2e-7 || len(got) != len(tc.want) {
					t.Fatalf("rates %v, want %v", got, tc.want)
				}
			}
		})
	}
}

// A schedule that goes through JSON after each epoch gives the same rates.
func TestRestoreAtEveryEpoch(t *testing.T) {
	errs := []float64{.91, .905, 1. / 3, .7, 1. / 3, .333, .4, .4, .4, .4, .1}
	for _, config := range []Config{
		{Kind: Constant, Base: 0.01},
		{Kind: Step, Base: 0.01, Factor: 0.3, DropAt: []int{2, 5}},
		{Kind: Plateau, Base: 0.01, Factor: 0.1, Patience: 2, MaxDrops: 2, Stop: true},
		{Kind: Plateau, Base: 0.01, Factor: 0.1, Patience: 2, MaxDrops: 2, WarmupSteps: 23},
		{Kind: Linear, Base: 0.01, Epochs: 9, Final: 0.001},
		{Kind: Cosine, Base: 0.01, Epochs: 10, WarmupEpochs: 3},
	} {
		whole, err := New(config)
		if err != nil {
			t.Fatal(err)
		}
		s, _ := New(config)
		for i, e := range errs {
			whole.EndEpoch(e)
			s.EndEpoch(e)
			data, err := s.State()
			if err != nil {
				t.Fatal(err)
			}
			s, _ = New(config)
			if err := s.Restore(data); err != nil {
				t.Fatalf("%s after epoch %d: %v", config.Kind, i, err)
			}
			for step := range 7 {
				if got, want := s.Rate(step, 7), whole.Rate(step, 7); got != want {
					t.Fatalf("%s after epoch %d, step %d: rate %v, undisturbed %v", config.Kind, i, step, got, want)
				}
			}
			if s.Done() != whole.Done() {
				t.Fatalf("%s after epoch %d: done %v; undisturbed %v", config.Kind, i, s.Done(), whole.Done())
			}
		}
	}
}

func TestRefused(t *testing.T) {
	for want, config := range map[string]Config{
		"must be a positive number": {Kind: Constant},
		"learning rate NaN":         {Kind: Constant, Base: math.NaN()},
		`schedule "wave": must be constant, step, plateau, linear, cosine or poly`: {Kind: "wave", Base: 1},
		"factor 1 must lie between 0 and 1":                                        {Kind: Step, Base: 1, Factor: 1, DropAt: []int{2}},
		"no epochs given":                                                          {Kind: Step, Base: 1, Factor: .1},
		"cannot drop before epoch 0":                                               {Kind: Step, Base: 1, Factor: .1, DropAt: []int{3, 0}},
		"patience of 0 epochs":                                                     {Kind: Plateau, Base: 1, Factor: .1},
		"-1 drops":                                                                 {Kind: Plateau, Base: 1, Factor: .1, Patience: 1, MaxDrops: -1},
		"linear schedule over 0 epochs":                                            {Kind: Linear, Base: 1},
		"the final rate 1 must be at least 0 and less than":                        {Kind: Cosine, Base: 1, Epochs: 3, Final: 1},
		"the final rate NaN":                                                       {Kind: Cosine, Base: 1, Epochs: 3, Final: math.NaN()},
		"a warm-up of 3 epochs leaves nothing of 3":                                {Kind: Cosine, Base: 1, Epochs: 3, WarmupEpochs: 3},
		"warm-up of -1 steps":                                                      {Kind: Constant, Base: 1, WarmupSteps: -1},
		"warm-up of 2 steps and of 1 epochs":                                       {Kind: Constant, Base: 1, WarmupSteps: 2, WarmupEpochs: 1},
	} {
		if _, err := New(config); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: error %v, want %q in it", config, err, want)
		}
	}
	s, _ := New(Config{Kind: Plateau, Base: 1, Factor: .1, Patience: 1, MaxDrops: 2})
	for _, bad := range []string{`{"epochs":3,"drops":3}`, `{"epochs":-1}`, `{`, `[]`} {
		if err := s.Restore([]byte(bad)); err == nil {
			t.Errorf("state %s was taken", bad)
		}
	}
	if got := fmt.Sprint(s.Rate(0, 7)); got != "1" {
		t.Errorf("a refused state changed the rate to %s", got)
	}
}
