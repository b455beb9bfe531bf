package eval

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"alexnet/model"
	"alexnet/pipeline"
	"alexnet/records"
	"alexnet/train/traintest"
)

var data = traintest.Data{Classes: 7, Train: 1, Val: 23, Size: 13, Seed: 9}

const crop = 8

func openVal(t *testing.T, d traintest.Data) (*records.Dataset, *records.Split) {
	t.Helper()
	dir := t.TempDir()
	if err := d.Make(dir); err != nil {
		t.Fatal(err)
	}
	ds, err := records.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	split, err := ds.OpenSplit("val")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := split.Close(); err != nil {
			t.Error(err)
		}
	})
	return ds, split
}

// net returns an engine with random weights, large enough that the views differ.
func net(seed uint64, batch int) *traintest.Engine {
	n := traintest.Net(data.Classes, crop)
	n.Layers[0].InitStd = 0.05
	return traintest.NewEngine(n, seed, batch)
}

// places returns where views of a crop are cut, by hand: top, left, mirrored or not.
func places(views, crop int) [][3]int {
	end, middle := data.Size-crop, (data.Size-crop)/2 // the odd pixel at bottom and right
	if views == 1 {
		return [][3]int{{middle, middle, 0}}
	}
	var all [][3]int
	for mirrored := range 2 {
		all = append(all, [3]int{0, 0, mirrored}, [3]int{0, end, mirrored}, [3]int{end, 0, mirrored}, [3]int{end, end, mirrored}, [3]int{middle, middle, mirrored})
	}
	return all
}

// crops cuts and mirrors the views of a record without the pipeline.
func crops(ds *records.Dataset, row records.Row, views, crop int) (images [][]float32) {
	size := data.Size
	for _, v := range places(views, crop) {
		image := make([]float32, 0, 3*crop*crop)
		for c := range 3 {
			for y := range crop {
				for x := range crop {
					if v[2] == 1 {
						x = crop - 1 - x
					}
					at := (c*size+v[0]+y)*size + v[1] + x
					image = append(image, float32(row.U8[at])-ds.Mean.Mean[at])
				}
			}
		}
		images = append(images, image)
	}
	return images
}

// probabilities averages what the engines say of a record over the views, cut by hand.
func probabilities(t *testing.T, ds *records.Dataset, row records.Row, engines []model.Engine, views int) []float64 {
	t.Helper()
	mean := make([]float64, data.Classes)
	for _, e := range engines {
		for _, image := range crops(ds, row, views, e.Net().Input.H) {
			probs := make([]float32, data.Classes)
			if err := e.Predict(image, 1, probs); err != nil {
				t.Fatal(err)
			}
			for c, p := range probs {
				mean[c] += float64(p)
			}
		}
	}
	for c := range mean {
		mean[c] /= float64(len(engines) * views)
	}
	return mean
}

// byHand crops, mirrors and averages without the pipeline.
func byHand(t *testing.T, ds *records.Dataset, split *records.Split, engines []model.Engine, views int) Result {
	t.Helper()
	r := Result{Split: "val", Views: views, Nets: len(engines)}
	loss := 0.0
	for i := range split.Len() {
		row, err := split.Row(i, nil)
		if err != nil {
			t.Fatal(err)
		}
		mean := probabilities(t, ds, row, engines, views)
		above := 0
		for _, p := range mean {
			if p > mean[row.Label] {
				above++
			}
		}
		r.Images++
		if above == 0 {
			r.Top1++
		}
		if above < 5 {
			r.Top5++
		}
		loss -= math.Log(mean[row.Label])
	}
	r.Loss = loss / float64(r.Images)
	return r
}

// The result is that of crops made by hand, whatever the batch, and whether it fits
// the engine's.
func TestViewsAndEnsembles(t *testing.T) {
	ds, split := openVal(t, data)
	for _, tc := range []struct {
		name  string
		views int
		seeds []uint64
	}{
		{"centre, one net", 1, []uint64{1}},
		{"ten views, one net", 10, []uint64{1}},
		{"centre, three nets", 1, []uint64{1, 2, 3}},
		{"ten views, two nets", 10, []uint64{4, 2}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for _, batch := range []int{1, 3, 10, 64} {
				var engines []model.Engine
				for _, seed := range tc.seeds {
					engines = append(engines, net(seed, batch))
				}
				want := byHand(t, ds, split, engines, tc.views)
				got, err := Evaluate(t.Context(), engines, ds, split, Options{Views: tc.views, Workers: 2})
				if err != nil || got != want {
					t.Errorf("batch %d: %+v, error %v; by hand %+v", batch, got, err, want)
				}
			}
		})
	}
}

func TestAnEnsembleOfIdenticalNetsEqualsTheNet(t *testing.T) {
	ds, split := openVal(t, data)
	one, err := Evaluate(t.Context(), []model.Engine{net(1, 32)}, ds, split, Options{Views: 10})
	if err != nil {
		t.Fatal(err)
	}
	two, err := Evaluate(t.Context(), []model.Engine{net(1, 32), net(1, 32)}, ds, split, Options{Views: 10})
	if err != nil {
		t.Fatal(err)
	}
	if two.Nets != 2 {
		t.Errorf("%d nets", two.Nets)
	}
	if two.Nets = 1; two != one {
		t.Errorf("twice the net gives %+v, once %+v", two, one)
	}
	other, err := Evaluate(t.Context(), []model.Engine{net(2, 32)}, ds, split, Options{Views: 10})
	if err != nil || other == one {
		t.Errorf("another net gives the same, %+v (error %v): the test shows nothing", other, err)
	}
}

func TestShares(t *testing.T) {
	r := Result{Images: 8, Top1: 2, Top5: 6}
	if r.Top1Accuracy() != .25 || r.Top1Error() != .75 || r.Top5Accuracy() != .75 || r.Top5Error() != .25 {
		t.Errorf("shares %v %v %v %v", r.Top1Accuracy(), r.Top1Error(), r.Top5Accuracy(), r.Top5Error())
	}
}

func TestRank(t *testing.T) {
	for _, tc := range []struct {
		scores []float64
		label  int
		want   int
	}{
		{[]float64{.1, .7, .2}, 1, 0},
		{[]float64{.1, .7, .2}, 0, 2},
		{[]float64{.5, .5}, 0, 0},
		{[]float64{.5, .5}, 1, 1}, // the lower class ranks first
		{[]float64{0, 0, 0, 1}, 2, 3},
		{[]float64{1}, 0, 0},
	} {
		if got, err := rankOf(tc.scores, tc.label); got != tc.want || err != nil {
			t.Errorf("label %d of %v has rank %d, error %v; want %d", tc.label, tc.scores, got, err, tc.want)
		}
	}
	if _, err := rankOf([]float64{.5, math.NaN()}, 0); err == nil || !strings.Contains(err.Error(), "class 1 is not a number") {
		t.Errorf("error %v", err)
	}
}

// fixed predicts the same for every image.
type fixed struct {
	*traintest.Engine
	probs []float32
}

func (f fixed) Predict(_ []float32, n int, probs []float32) error {
	for i := range n {
		copy(probs[i*len(f.probs):], f.probs)
	}
	return nil
}

func TestTiesZerosAndNaN(t *testing.T) {
	ds, split := openVal(t, data)
	evaluate := func(probs ...float32) (Result, error) {
		return Evaluate(t.Context(), []model.Engine{fixed{net(1, 5), probs}}, ds, split, Options{})
	}
	// Labels go 0, 1, …, 6, 0, …: of 23 four each of 0 and 1, three of the others.
	if r, err := evaluate(1, 1, 1, 1, 1, 1, 1); err != nil || r.Top1 != 4 || r.Top5 != 4+4+3+3+3 || r.Loss != 0 {
		t.Errorf("all equal: %+v, error %v", r, err)
	}
	r, err := evaluate(0, 1, 0, 0, 0, 0, 0)
	if want := -math.Log(math.SmallestNonzeroFloat32) * 19 / 23; err != nil || r.Top1 != 4 || math.Abs(r.Loss-want) > 1e-9 {
		t.Errorf("sure of class 1: %+v, error %v; want loss %v", r, err, want)
	}
	nan := float32(math.NaN())
	if _, err := evaluate(0, 0, nan, 0, 0, 0, 0); err == nil || !strings.Contains(err.Error(), "evaluating val: record 0: the probability of class 2 is not a number: the net's weights have diverged") {
		t.Errorf("NaN: error %v", err)
	}
}

func TestRefused(t *testing.T) {
	ds, split := openVal(t, data)
	unlabelled := data
	unlabelled.Unlabelled = true
	bareDS, bare := openVal(t, unlabelled)
	small := data
	small.Size = 7
	smallDS, smallSplit := openVal(t, small)
	grey := traintest.Net(data.Classes, crop)
	grey.Input.C = 1
	oblong := traintest.Net(data.Classes, crop)
	oblong.Input.H = 4
	engine := func(n *model.Net) model.Engine { return traintest.NewEngine(n, 1, 4) }
	good := net(1, 4)
	for _, tc := range []struct {
		name    string
		engines []model.Engine
		ds      *records.Dataset
		split   *records.Split
		o       Options
		want    string
	}{
		{"no net", nil, ds, split, Options{}, "no net given"},
		{"views", []model.Engine{good}, ds, split, Options{Views: 5}, "5 views: must be 1 (centre) or 10"},
		{"batch", []model.Engine{good}, ds, split, Options{Batch: -1}, "batch of -1 images"},
		{"one of other classes", []model.Engine{good, engine(traintest.Net(8, crop))}, ds, split, Options{}, " has 7 classes, and net linear has 8 outputs"},
		{"other classes", []model.Engine{engine(traintest.Net(8, crop))}, ds, split, Options{}, " has 7 classes, and net linear has 8 outputs"},
		{"channels", []model.Engine{engine(grey)}, ds, split, Options{}, " has images of 3 channels, and net linear takes 1"},
		{"oblong", []model.Engine{engine(oblong)}, ds, split, Options{}, "net linear takes crops of 8x4: only square ones"},
		{"small images", []model.Engine{good}, smallDS, smallSplit, Options{}, " has images of 7x7, too small for the 8x8 crops of net linear: ingest with a larger --size"},
		{"no labels", []model.Engine{good}, bareDS, bare, Options{}, "evaluating val: record 0 has label -1 of 7 classes: only labelled splits"},
	} {
		if _, err := Evaluate(t.Context(), tc.engines, tc.ds, tc.split, tc.o); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: error %v, want %q", tc.name, err, tc.want)
		}
	}
}

// damage alters a byte in the middle of the split's only shard, and returns the row.
func damage(t *testing.T, ds *records.Dataset, split *records.Split) (row int) {
	t.Helper()
	file, err := os.OpenFile(filepath.Join(ds.Dir, records.ShardName("val", 0, 1)), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	stat, err := file.Stat()
	if err != nil {
		t.Fatal(err)
	}
	var b [1]byte
	if _, err := file.ReadAt(b[:], stat.Size()/2); err != nil {
		t.Fatal(err)
	}
	b[0] ^= 4
	if _, err := file.WriteAt(b[:], stat.Size()/2); err != nil {
		t.Fatal(err)
	}
	for row := range split.Len() {
		if _, err := split.Row(row, nil); err != nil {
			return row
		}
	}
	t.Fatal("no row is damaged")
	return -1
}

// A damaged record is never left out unless that is asked for.
func TestDamagedRecord(t *testing.T) {
	ds, split := openVal(t, data)
	row := damage(t, ds, split)
	_, err := Evaluate(t.Context(), []model.Engine{net(1, 8)}, ds, split, Options{})
	var corrupt *records.CorruptError
	if !errors.As(err, &corrupt) || filepath.Base(corrupt.File) != records.ShardName("val", 0, 1) || corrupt.Row != row || !strings.HasPrefix(err.Error(), "evaluating val: no record may be left out of an evaluation: ") {
		t.Errorf("error %v", err)
	}
}

func TestProgressAndCancel(t *testing.T) {
	ds, split := openVal(t, data)
	var seen []string
	_, err := Evaluate(t.Context(), []model.Engine{net(1, 10)}, ds, split, Options{Progress: func(done, total int) {
		seen = append(seen, fmt.Sprintf("%d/%d", done, total))
	}})
	if got := strings.Join(seen, " "); err != nil || got != "10/23 20/23 23/23" {
		t.Errorf("progress %s, error %v", got, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	_, err = Evaluate(ctx, []model.Engine{net(1, 10)}, ds, split, Options{Progress: func(int, int) { cancel() }})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want that of the context", err)
	}
}

// stopping is an engine that cancels in its first call.
type stopping struct {
	*traintest.Engine
	cancel func()
	calls  int
}

func (e *stopping) Predict(images []float32, n int, probs []float32) error {
	e.calls++
	e.cancel()
	return e.Engine.Predict(images, n, probs)
}

// After an interruption no engine is called again, though batches are ready, and a
// batch may take many calls.
func TestCancelledBetweenCalls(t *testing.T) {
	ds, split := openVal(t, data)
	for _, views := range []int{1, 10} {
		for range 20 { // which of a ready batch and the end comes first is chance
			ctx, cancel := context.WithCancel(t.Context())
			e := &stopping{Engine: net(1, 2), cancel: cancel}
			_, err := Evaluate(ctx, []model.Engine{e}, ds, split, Options{Views: views, Batch: 10})
			if !errors.Is(err, context.Canceled) || e.calls != 1 {
				t.Fatalf("%d views: %d calls, error %v", views, e.calls, err)
			}
		}
	}
}

// stuck is a stream whose disk does not answer: nothing comes, and it does not end
// before it is let go.
type stuck struct {
	stream
	ctx   context.Context
	letGo chan struct{}
}

func (s *stuck) Batches() <-chan pipeline.Batch {
	out := make(chan pipeline.Batch)
	context.AfterFunc(s.ctx, func() { close(out) })
	return out
}

func (s *stuck) Err() error { return s.ctx.Err() }

func (s *stuck) Close() error { <-s.letGo; return s.stream.Close() }

// A disk that does not answer keeps no cancelled evaluation, which leaves its stream
// to the group.
func TestCancelledWhileStuck(t *testing.T) {
	ds, split := openVal(t, data)
	ctx, cancel := context.WithCancel(t.Context())
	letGo, ended := make(chan struct{}), make(chan error, 1)
	var behind sync.WaitGroup
	go func() {
		_, err := Evaluate(ctx, []model.Engine{net(1, 2)}, ds, split, Options{Background: &behind,
			open: func(ctx context.Context, ds *records.Dataset, split *records.Split, o pipeline.Options) (stream, error) {
				time.AfterFunc(time.Millisecond, cancel)
				s, err := openStream(ctx, ds, split, o)
				return &stuck{s, ctx, letGo}, err
			}})
		ended <- err
	}()
	select {
	case err := <-ended:
		if !errors.Is(err, context.Canceled) {
			t.Errorf("error %v", err)
		}
	case <-time.After(time.Minute):
		t.Error("it waits for the stream")
	}
	close(letGo)
	behind.Wait()
}
