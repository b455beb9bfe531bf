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
	out := []float32{s.Rate()}
	for _, e := range errs {
		s.EndEpoch(e)
		out = append(out, s.Rate())
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

// A schedule that goes through JSON after each epoch gives the same rates.
func TestRestoreAtEveryEpoch(t *testing.T) {
	errs := []float64{.91, .905, 1. / 3, .7, 1. / 3, .333, .4, .4, .4, .4, .1}
	for _, config := range []Config{
		{Kind: Constant, Base: 0.01},
		{Kind: Step, Base: 0.01, Factor: 0.3, DropAt: []int{2, 5}},
		{Kind: Plateau, Base: 0.01, Factor: 0.1, Patience: 2, MaxDrops: 2, Stop: true},
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
			if s.Rate() != whole.Rate() || s.Done() != whole.Done() {
				t.Fatalf("%s after epoch %d: rate %v, done %v; undisturbed %v, %v", config.Kind, i, s.Rate(), s.Done(), whole.Rate(), whole.Done())
			}
		}
	}
}

func TestRefused(t *testing.T) {
	for want, config := range map[string]Config{
		"must be a positive number":                         {Kind: Constant},
		"learning rate NaN":                                 {Kind: Constant, Base: math.NaN()},
		`schedule "cosine": must be constant, step or plat`: {Kind: "cosine", Base: 1},
		"factor 1 must lie between 0 and 1":                 {Kind: Step, Base: 1, Factor: 1, DropAt: []int{2}},
		"no epochs given":                                   {Kind: Step, Base: 1, Factor: .1},
		"cannot drop before epoch 0":                        {Kind: Step, Base: 1, Factor: .1, DropAt: []int{3, 0}},
		"patience of 0 epochs":                              {Kind: Plateau, Base: 1, Factor: .1},
		"-1 drops":                                          {Kind: Plateau, Base: 1, Factor: .1, Patience: 1, MaxDrops: -1},
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
	if got := fmt.Sprint(s.Rate()); got != "1" {
		t.Errorf("a refused state changed the rate to %s", got)
	}
}
