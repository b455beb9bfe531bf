package eval

import (
	"errors"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"alexnet/model"
	"alexnet/pipeline"
	"alexnet/records"
	"alexnet/train/traintest"
)

// sized returns an engine of net's kind for another size of crop.
func sized(crop int, seed uint64, batch int) *traintest.Engine {
	n := traintest.Net(data.Classes, crop)
	n.Layers[0].InitStd = 0.05
	return traintest.NewEngine(n, seed, batch)
}

// measure evaluates and keeps the predictions.
func measure(t *testing.T, engines []model.Engine, ds *records.Dataset, split *records.Split, o Options) (*Report, []Prediction) {
	t.Helper()
	var list []Prediction
	o.Predictions = func(p Prediction) error {
		p.Classes, p.Probabilities = slices.Clone(p.Classes), slices.Clone(p.Probabilities)
		list = append(list, p)
		return nil
	}
	r, err := Measure(t.Context(), engines, ds, split, o)
	if err != nil {
		t.Fatal(err)
	}
	return r, list
}

// All that a report says follows from crops that were cut by hand, for nets of
// different sizes too, in one pass that makes each image once.
func TestReport(t *testing.T) {
	ds, split := openVal(t, data)
	for _, views := range []int{1, 10} {
		engines := []model.Engine{net(1, 30), sized(6, 2, 20), net(3, 40)}
		r, predictions := measure(t, engines, ds, split, Options{Views: views, Workers: 2})
		if want := byHand(t, ds, split, engines, views); !same(r.Result, want) {
			t.Errorf("%d views: the average is %+v, by hand %+v", views, r.Result, want)
		}
		if want := int64(2 * views * split.Len()); r.Speed.Made != want || r.Speed.Seconds <= 0 {
			t.Errorf("%d views: speed %+v; want %d images made", views, r.Speed, want)
		}
		for k := range engines {
			if want := byHand(t, ds, split, engines[k:k+1], views); !same(r.Singles[k], want) {
				t.Errorf("%d views: net %d alone is %+v, by hand %+v", views, k, r.Singles[k], want)
			}
		}
		classes, confusion := make([]Result, data.Classes), Confusion{}
		for i, p := range predictions {
			row, err := split.Row(i, nil)
			if err != nil {
				t.Fatal(err)
			}
			probs := probabilities(t, ds, row, engines, views)
			order := make([]int, data.Classes)
			for c := range order {
				order[c] = c
			}
			slices.SortStableFunc(order, func(a, b int) int {
				switch {
				case probs[a] > probs[b]:
					return -1
				case probs[a] < probs[b]:
					return 1
				}
				return 0
			})
			if p.Row != i || p.Label != row.Label || !slices.Equal(p.Classes, order[:5]) {
				t.Errorf("%d views: prediction %d is %+v, want %v of label %d", views, i, p, order[:5], row.Label)
			}
			for k, c := range p.Classes {
				if math.Abs(p.Probabilities[k]-probs[c]) > 1e-12 {
					t.Errorf("%d views: record %d: probability %g of class %d, by hand %g", views, i, p.Probabilities[k], c, probs[c])
				}
			}
			classes[row.Label].count(slices.Index(order, int(row.Label)), probs[row.Label])
			confusion[Pair{int(row.Label), order[0]}]++
		}
		if len(predictions) != split.Len() || !reflect.DeepEqual(r.Confusion, confusion) {
			t.Errorf("%d views: %d predictions, confusion %v, by hand %v", views, len(predictions), r.Confusion, confusion)
		}
		for c := range classes {
			classes[c].finish()
			classes[c].Split, classes[c].Views, classes[c].Nets = "val", views, 3
			if !same(r.Classes[c], classes[c]) {
				t.Errorf("%d views: class %d is %+v, by hand %+v", views, c, r.Classes[c], classes[c])
			}
		}
	}
}

// same compares results but for the last bits of the loss.
func same(a, b Result) bool {
	close := math.Abs(a.Loss-b.Loss) <= 1e-12*math.Abs(b.Loss)
	a.Loss, b.Loss = 0, 0
	return close && a == b
}

// An ensemble of a net with itself says what the net says.
func TestIdenticalNets(t *testing.T) {
	ds, split := openVal(t, data)
	one, alone := measure(t, []model.Engine{net(1, 32)}, ds, split, Options{Views: 10})
	three, together := measure(t, []model.Engine{net(1, 32), net(1, 7), net(1, 10)}, ds, split, Options{Views: 10})
	for i, single := range three.Singles {
		if single != one.Result || one.Singles[0] != one.Result {
			t.Errorf("net %d alone is %+v, want %+v", i, single, one.Result)
		}
	}
	if three.Nets != 3 || !reflect.DeepEqual(three.Confusion, one.Confusion) {
		t.Errorf("%d nets, confusion %v, want that of one, %v", three.Nets, three.Confusion, one.Confusion)
	}
	if three.Nets = 1; !same(three.Result, one.Result) {
		t.Errorf("three times the net gives %+v, once %+v", three.Result, one.Result)
	}
	for i := range alone {
		if !slices.Equal(alone[i].Classes, together[i].Classes) {
			t.Errorf("record %d: %v and %v", i, alone[i].Classes, together[i].Classes)
		}
	}
}

func TestHighest(t *testing.T) {
	for _, tc := range []struct {
		scores []float64
		want   []int
	}{
		{[]float64{.1, .3, .2, .25, .05, .1}, []int{1, 3, 2, 0, 5}},
		{[]float64{.1, .1, .1, .1, .1, .1, .1}, []int{0, 1, 2, 3, 4}}, // the lower index ranks higher
		{[]float64{0, .2, .2, .4, .2}, []int{3, 1, 2, 4, 0}},
		{[]float64{.1, .2, .2, .2, .2, .2, .2}, []int{1, 2, 3, 4, 5}},
		{[]float64{.1, .2, .3, .4, .5, .6, .7}, []int{6, 5, 4, 3, 2}},
		{[]float64{.5, .5}, []int{0, 1}},
		{[]float64{1}, []int{0}},
	} {
		list := make([]int, 0, Guesses)
		got, err := highest(tc.scores, list)
		if err != nil || !slices.Equal(got, tc.want) {
			t.Errorf("highest of %v: %v, error %v; want %v", tc.scores, got, err, tc.want)
		}
		// The label at each place has its rank.
		for rank, label := range got {
			if r, err := rankOf(tc.scores, label); r != rank || err != nil {
				t.Errorf("%v: class %d has rank %d and is number %d of the highest", tc.scores, label, r, rank)
			}
		}
	}
	if _, err := highest([]float64{.5, math.NaN()}, make([]int, 0, 5)); err == nil || !strings.Contains(err.Error(), "class 1 is not a number") {
		t.Errorf("error %v", err)
	}
}

// The values are those of R. G. Newcombe, Statistics in Medicine 17 (1998), table I,
// method 3, and, the last, those of the formula in rational numbers: k = 0 gives
// z²/(n+z²).
func TestWilson(t *testing.T) {
	z2 := 1.959963984540054 * 1.959963984540054
	for _, tc := range []struct {
		k, n      int
		low, high float64
	}{
		{81, 263, .2553, .3662},
		{15, 148, .0624, .1605},
		{0, 20, 0, .1611},
		{1, 29, .0061, .1718},
		{0, 1, 0, z2 / (1 + z2)},
		{1, 1, 1 - z2/(1+z2), 1},
		{50, 50, 50 / (50 + z2), 1},
	} {
		in := Wilson(tc.k, tc.n)
		if math.Abs(in.Low-tc.low) > 5e-5 || math.Abs(in.High-tc.high) > 5e-5 {
			t.Errorf("%d of %d: %v, want %.4f-%.4f", tc.k, tc.n, in, tc.low, tc.high)
		}
		other := Wilson(tc.n-tc.k, tc.n)
		if math.Abs(other.Low-(1-in.High)) > 1e-12 || math.Abs(other.High-(1-in.Low)) > 1e-12 {
			t.Errorf("%d of %d: %v, of the others %v", tc.k, tc.n, in, other)
		}
	}
	if in := Wilson(0, 0); in != (Interval{0, 1}) {
		t.Errorf("of none: %v", in)
	}
	if in := Wilson(0, 50); in.Low != 0 || Wilson(50, 50).High != 1 {
		t.Errorf("of 50: %v", in)
	}
	r := Result{Images: 263, Top1: 263 - 81, Top5: 263}
	if r.Top1Interval() != Wilson(81, 263) || r.Top5Interval() != Wilson(0, 263) {
		t.Errorf("intervals %v and %v are not those of the errors", r.Top1Interval(), r.Top5Interval())
	}
}

func TestConfusion(t *testing.T) {
	c := Confusion{{2, 2}: 9, {2, 0}: 1, {0, 2}: 3, {1, 0}: 3, {0, 1}: 3, {0, 0}: 1}
	cells := []Cell{{Pair{0, 0}, 1}, {Pair{0, 1}, 3}, {Pair{0, 2}, 3}, {Pair{1, 0}, 3}, {Pair{2, 0}, 1}, {Pair{2, 2}, 9}}
	if got := c.Cells(); !slices.Equal(got, cells) {
		t.Errorf("cells %v, want %v", got, cells)
	}
	pairs := []Cell{cells[1], cells[2], cells[3], cells[4]} // no cell of the diagonal; of equals the lower
	for _, n := range []int{0, 1, 3, 4, 100, -1} {
		if got, want := c.Confused(n), pairs[:max(0, min(n, len(pairs)))]; !slices.Equal(got, want) {
			t.Errorf("the %d most confused: %v, want %v", n, got, want)
		}
	}
	if got := (Confusion{}).Cells(); len(got) != 0 {
		t.Errorf("of none: %v", got)
	}
}

// Without labels there are predictions and no result; with some, both.
func TestUnlabelled(t *testing.T) {
	d := data
	d.Unlabelled = true
	ds, split := openVal(t, d)
	r, predictions := measure(t, []model.Engine{net(1, 10), net(2, 10)}, ds, split, Options{})
	if r.Images != 0 || r.Unlabelled != 23 || r.Loss != 0 || len(r.Confusion) != 0 || r.Singles[1].Images != 0 || r.Singles[1].Unlabelled != 23 {
		t.Errorf("report %+v", r)
	}
	labelledDS, labelled := openVal(t, data)
	_, want := measure(t, []model.Engine{net(1, 10), net(2, 10)}, labelledDS, labelled, Options{})
	for i := range want {
		if want[i].Label = -1; !reflect.DeepEqual(predictions[i], want[i]) {
			t.Errorf("record %d: %+v, with labels %+v", i, predictions[i], want[i])
		}
	}
}

// What damage was skipped is counted and named, and the rest measured.
func TestSkip(t *testing.T) {
	ds, split := openVal(t, data)
	damaged := damage(t, ds, split)
	var skipped []int
	o := Options{OnCorrupt: pipeline.Skip, Views: 10, Skipped: func(row int, err error) {
		var corrupt *records.CorruptError
		if !errors.As(err, &corrupt) {
			t.Errorf("row %d: error %v", row, err)
		}
		skipped = append(skipped, row)
	}}
	var done []int
	o.Progress = func(n, _ int) { done = append(done, n) }
	r, predictions := measure(t, []model.Engine{net(1, 70), sized(6, 2, 70)}, ds, split, o)
	if !slices.Equal(skipped, []int{damaged}) || r.Skipped != 1 || r.Singles[0].Skipped != 1 || r.Images != 22 || r.Unlabelled != 0 || len(predictions) != 22 {
		t.Errorf("skipped %v, want %d; %+v, %d predictions", skipped, damaged, r.Result, len(predictions))
	}
	if done[len(done)-1] != 23 {
		t.Errorf("progress %v ends before 23", done)
	}
	for _, p := range predictions {
		if p.Row == damaged {
			t.Errorf("a prediction for the damaged record: %+v", p)
		}
	}
	wholeDS, whole := openVal(t, data)
	_, want := measure(t, []model.Engine{net(1, 70), sized(6, 2, 70)}, wholeDS, whole, Options{Views: 10})
	if want = slices.Delete(want, damaged, damaged+1); !reflect.DeepEqual(predictions, want) {
		t.Errorf("the other records are not predicted as without the damage")
	}
}

// A split of which nothing can be read has no result.
func TestAllSkipped(t *testing.T) {
	ds, split := openVal(t, data)
	if err := split.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(ds.Dir, records.ShardName("val", 0, 1))); err != nil {
		t.Fatal(err)
	}
	split, err := ds.OpenSplitLenient("val")
	if err != nil {
		t.Fatal(err)
	}
	defer split.Close()
	_, err = Measure(t.Context(), []model.Engine{net(1, 8)}, ds, split, Options{OnCorrupt: pipeline.Skip})
	if err == nil || err.Error() != "evaluating val: none of its 23 records could be read" {
		t.Errorf("error %v", err)
	}
}

// An error of who takes the predictions ends the evaluation.
func TestPredictionsFail(t *testing.T) {
	ds, split := openVal(t, data)
	full := errors.New("full")
	n := 0
	_, err := Measure(t.Context(), []model.Engine{net(1, 8)}, ds, split, Options{Predictions: func(Prediction) error {
		if n++; n == 3 {
			return full
		}
		return nil
	}})
	if !errors.Is(err, full) || n != 3 {
		t.Errorf("error %v after %d predictions", err, n)
	}
}
