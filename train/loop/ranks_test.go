package loop

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"alexnet/model"
	"alexnet/pipeline"
	"alexnet/records"
	"alexnet/train/checkpoint"
	"alexnet/train/collective"
	"alexnet/train/report"
	"alexnet/train/traintest"
)

// place is a rank before it starts.
type place struct {
	rank  int
	cfg   Config
	eng   model.Engine
	own   *traintest.Engine
	hooks Hooks
	ctx   context.Context
}

// onRanks runs as many ranks as goroutines, each with its own engine of a slice's size,
// as processes would: one that fails ends the others. The engines sum the gradient
// themselves, unless a step has several batches. alter, if not nil, may change what a
// rank starts with.
func onRanks(t *testing.T, world int, cfg Config, ds *records.Dataset, alter func(p *place)) ([]Summary, []error) {
	t.Helper()
	summaries, errs := make([]Summary, world), make([]error, world)
	var wg sync.WaitGroup
	for r, group := range collective.Goroutines(world) {
		p := &place{rank: r, cfg: cfg, own: traintest.NewEngine(traintest.Net(len(ds.Manifest.Classes), 8), seed, sliceOf(cfg.Settings.Batch, world)), ctx: t.Context()}
		p.eng, p.cfg.Ranks = p.own, group
		if world > 1 && cfg.Settings.accumulate() == 1 {
			p.own.Reducer = collective.NewReducer(group)
		}
		if alter != nil {
			alter(p)
		}
		own := open(t, ds.Dir)
		wg.Go(func() {
			summaries[r], errs[r] = Run(p.ctx, p.cfg, p.eng, own, p.hooks)
			if errs[r] != nil {
				group.Abort(1)
			}
		})
	}
	wg.Wait()
	return summaries, errs
}

// trainOn is onRanks where nothing may fail.
func trainOn(t *testing.T, world int, cfg Config, ds *records.Dataset, alter func(p *place)) Summary {
	t.Helper()
	summaries, errs := onRanks(t, world, cfg, ds, alter)
	if err := errors.Join(errs...); err != nil {
		t.Fatalf("%d ranks: %v", world, err)
	}
	for r, s := range summaries {
		if s.End != summaries[0].End || s.Steps != summaries[0].Steps || s.Skipped != summaries[0].Skipped {
			t.Errorf("rank %d ends with %+v, rank 0 with %+v", r, s, summaries[0])
		}
	}
	return summaries[0]
}

// checkAlike fails unless two runs wrote the same metrics and, at the end, the same
// weights, but for the last bits.
func checkAlike(t *testing.T, what, want, got string) {
	t.Helper()
	const tolerance = 1e-5
	near := func(a, b float64) bool { return math.Abs(a-b) <= tolerance*max(1, math.Abs(a)) }
	a, b := metrics(t, want), metrics(t, got)
	if len(a) != len(b) {
		t.Fatalf("%s: %d lines of metrics, want %d", what, len(b), len(a))
	}
	for i, l := range a {
		m := b[i]
		if !near(l.Loss, m.Loss) || (l.Val != nil) != (m.Val != nil) || l.Val != nil && !near(l.Val.Loss, m.Val.Loss) {
			t.Errorf("%s: step %d: loss %v and validation %+v, want %v and %+v", what, l.Step, m.Loss, m.Val, l.Loss, l.Val)
		}
		if l.Event != m.Event || l.Step != m.Step || l.Images != m.Images || l.Skipped != m.Skipped || l.LR != m.LR {
			t.Errorf("%s: line %+v, want %+v", what, m, l)
		}
	}
	first, _, err := checkpoint.Latest(want)
	if err != nil {
		t.Fatal(err)
	}
	second, _, err := checkpoint.Latest(got)
	if err != nil {
		t.Fatal(err)
	}
	lists := [][2][]model.Tensor{{first.State.Weights, second.State.Weights}, {first.State.Velocity, second.State.Velocity}, {first.Average, second.Average}}
	for _, pair := range lists {
		if len(pair[0]) != len(pair[1]) {
			t.Fatalf("%s: %d tensors, want %d", what, len(pair[1]), len(pair[0]))
		}
		for i, w := range pair[0] {
			for j, v := range w.Data {
				if !near(float64(v), float64(pair[1][i].Data[j])) {
					t.Fatalf("%s: %s[%d] is %g, want %g", what, w.Name, j, pair[1][i].Data[j], v)
				}
			}
		}
	}
}

// Ranks together train as one does with the whole batch: the same losses and the same
// weights. The last batch of an epoch, of two images, leaves the third rank none.
func TestRanks(t *testing.T) {
	for _, names := range []string{"", "accumulate clip average", "skip", "block colors", "cosine", "lars", "accumulate lars clip"} {
		t.Run(names, func(t *testing.T) {
			ds := dataset(t, data)
			if strings.Contains(names, "skip") {
				ds = damaged(t)
			}
			fresh := func(run string) Config {
				cfg := variant(config(filepath.Join(t.TempDir(), run)), names)
				if cfg.Limits.LogEvery = 1; cfg.Settings.Accumulate > 1 {
					cfg.Settings.Batch = 3
				}
				return cfg
			}
			whole := fresh("whole")
			trainOn(t, 1, whole, ds, nil)
			for _, world := range []int{2, 3} {
				cfg := fresh(fmt.Sprint("ranks-", world))
				s := trainOn(t, world, cfg, ds, nil)
				if s.End != EndEpochs && s.End != EndSchedule {
					t.Errorf("%d ranks: %+v", world, s)
				}
				checkAlike(t, fmt.Sprint(world, " ranks"), whole.Run, cfg.Run)
				if again := fresh("again"); world == 3 { // the same bits
					trainOn(t, world, again, ds, nil)
					checkSame(t, cfg.Run, again.Run)
				}
			}
		})
	}
}

// Gradients that the loop sums are those that engines sum: of ranks with as many images
// each, the same bits. Clipping finds the same gradient.
func TestRanksWithoutReducer(t *testing.T) {
	ds := dataset(t, data)
	for _, names := range []string{"", "clip"} {
		for _, world := range []int{2, 3} {
			during := variant(config(filepath.Join(t.TempDir(), "during")), names)
			after := variant(config(filepath.Join(t.TempDir(), "after")), names)
			trainOn(t, world, during, ds, nil)
			trainOn(t, world, after, ds, func(p *place) { p.own.Reducer = nil })
			checkAlike(t, fmt.Sprint(world, " ranks ", names), after.Run, during.Run)
			if world == 2 {
				checkSame(t, after.Run, during.Run)
			}
		}
	}
}

// hiding is an engine whose sums take 8 ms in each step, of which it waits for 2.
type hiding struct{ *traintest.Engine }

func (hiding) Summing() (took, waited time.Duration) {
	return 8 * time.Millisecond, 2 * time.Millisecond
}

// The metrics tell what the sums cost, and how much of them is hidden.
func TestSummingIsTold(t *testing.T) {
	ds := dataset(t, data)
	for name, tc := range map[string]struct {
		alter  func(p *place)
		hidden float64
	}{
		"while it computes": {func(p *place) { p.eng = hiding{p.own} }, 0.75},
		"afterwards":        {func(p *place) { p.own.Reducer = nil }, 0},
	} {
		var lines []report.Line
		trainOn(t, 2, config(t.TempDir()), ds, func(p *place) {
			tc.alter(p)
			p.hooks.Metrics = func(l report.Line) { lines = append(lines, l) }
		})
		if len(lines) < epochs {
			t.Fatalf("%s: %d lines", name, len(lines))
		}
		for _, l := range lines {
			if !(l.SummingShare > 0) || math.Abs(l.SummingHidden-tc.hidden) > 1e-9 || l.Timeless().SummingHidden != 0 {
				t.Errorf("%s: step %d: share %g, hidden %g, want %g", name, l.Step, l.SummingShare, l.SummingHidden, tc.hidden)
			}
		}
	}
}

// Only rank 0 speaks, but for records that others have skipped.
func TestRanksSpeak(t *testing.T) {
	var mutex sync.Mutex
	said := make([][]string, 2)
	lines, shown := make([]int, 2), make([]int, 2)
	trainOn(t, 2, skipping(config(t.TempDir())), damaged(t), func(p *place) {
		p.hooks = Hooks{
			Message: func(m string) {
				mutex.Lock()
				defer mutex.Unlock()
				said[p.rank] = append(said[p.rank], m)
			},
			Metrics:  func(report.Line) { lines[p.rank]++ },
			Progress: func(report.Status, bool) { shown[p.rank]++ },
		}
	})
	if lines[0] == 0 || shown[0] == 0 || lines[1] > 0 || shown[1] > 0 {
		t.Errorf("lines of metrics %v, progress %v", lines, shown)
	}
	if text := strings.Join(said[0], "\n"); !strings.Contains(text, "epoch 3 done") {
		t.Errorf("rank 0 said\n%s", text)
	}
	if len(said[0])+len(said[1]) == 0 {
		t.Error("no skipped record was named")
	}
	for _, m := range said[1] {
		if !strings.HasPrefix(m, "warning: skipped") {
			t.Errorf("rank 1 said %q", m)
		}
	}
}

// A run goes on with another number of ranks, with the same images.
func TestRanksResume(t *testing.T) {
	ds := dataset(t, data)
	whole := config(filepath.Join(t.TempDir(), "whole"))
	trainOn(t, 1, whole, ds, nil)
	run := filepath.Join(t.TempDir(), "run")
	for i, world := range []int{2, 1, 3} {
		cfg := config(run)
		if i > 0 {
			cfg = resumed(t, run)
		}
		cfg.Limits.MaxSteps = []int{4, 9, 0}[i]
		trainOn(t, world, cfg, ds, nil)
	}
	checkAlike(t, "2, 1 and 3 ranks", whole.Run, run)
}

// Ctrl-C that reaches one rank ends all in the same step.
func TestRanksInterrupted(t *testing.T) {
	ds := dataset(t, data)
	whole := config(filepath.Join(t.TempDir(), "whole"))
	trainOn(t, 2, whole, ds, nil)
	for _, who := range []int{0, 1} {
		run := filepath.Join(t.TempDir(), "run")
		s := trainOn(t, 2, config(run), ds, func(p *place) {
			ctx, cancel := context.WithCancel(p.ctx)
			t.Cleanup(cancel)
			p.ctx = ctx
			p.hooks.Step = func(step int) {
				if step == 7 && p.rank == who {
					cancel()
				}
			}
		})
		if s.End != EndInterrupted || s.Steps < 7 || s.Steps > 8 {
			t.Errorf("rank %d was interrupted: %+v", who, s)
		}
		trainOn(t, 2, resumed(t, run), ds, nil)
		checkSame(t, whole.Run, run)
	}
}

// A rank 0 that is interrupted while it validates takes the others with it.
func TestRanksInterruptedWithinValidation(t *testing.T) {
	ds, run := dataset(t, data), t.TempDir()
	s := trainOn(t, 2, config(run), ds, func(p *place) {
		ctx, cancel := context.WithCancel(p.ctx)
		t.Cleanup(cancel)
		p.ctx = ctx
		if p.rank == 0 {
			p.eng = &interrupting{Engine: p.own, cancel: cancel}
		}
	})
	if s.End != EndInterrupted || s.Steps != stepsPerEpoch || s.Epochs != 0 {
		t.Errorf("%+v", s)
	}
}

// stumbling is an engine whose Backward fails in a step.
type stumbling struct{ *traintest.Engine }

var errStumbled = errors.New("stumbled")

func (e stumbling) Backward(images []float32, labels []int32, step uint64) (model.Score, error) {
	if step == 6 {
		return model.Score{}, errStumbled
	}
	return e.Engine.Backward(images, labels, step)
}

// torn is a stream that ends with an error.
type torn struct {
	stream
	left int
}

var errTorn = errors.New("torn")

func (s *torn) Next(ctx context.Context) (pipeline.Batch, bool) {
	if s.left--; s.left < 0 {
		return pipeline.Batch{}, false
	}
	return s.stream.Next(ctx)
}

func (s *torn) Err() error { return errTorn }

// What one rank meets ends all, in its own words; the others say which it was.
func TestRanksFail(t *testing.T) {
	errDisk := errors.New("disk full")
	for name, tc := range map[string]struct {
		who   int
		want  error
		saved int // step of the last checkpoint
		alter func(p *place)
	}{
		"engine": {1, errStumbled, 5, func(p *place) { p.eng = stumbling{p.own} }},
		"engine in the middle": {1, errStumbled, 5, func(p *place) {
			p.own.Break = func(step uint64) error {
				if step == 6 {
					return errStumbled
				}
				return nil
			}
		}},
		"data": {1, errTorn, 7, func(p *place) {
			p.cfg.openStream = func(ctx context.Context, ds *records.Dataset, split *records.Split, o pipeline.Options) (stream, error) {
				s, err := openStream(ctx, ds, split, o)
				return &torn{s, 7}, err
			}
		}},
		"data of rank 0": {0, errTorn, 7, func(p *place) {
			p.cfg.openStream = func(ctx context.Context, ds *records.Dataset, split *records.Split, o pipeline.Options) (stream, error) {
				s, err := openStream(ctx, ds, split, o)
				return &torn{s, 7}, err
			}
		}},
		"checkpoint": {0, errDisk, 5, func(p *place) {
			files := 0
			p.cfg.writeFile = func(path string, fill func(io.Writer) error) error {
				if files++; files > 2 {
					return errDisk
				}
				return os.WriteFile(path, filled(t, fill), 0o666)
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			run := t.TempDir()
			_, errs := onRanks(t, 3, config(run), dataset(t, data), func(p *place) {
				if p.rank == tc.who {
					tc.alter(p)
				}
			})
			for r, err := range errs {
				var aborted *collective.AbortedError
				if r == tc.who && !errors.Is(err, tc.want) || r != tc.who && (!errors.As(err, &aborted) || aborted.Rank != tc.who) {
					t.Errorf("rank %d: %v", r, err)
				}
				if err != nil && strings.Contains(err.Error(), "not in step") {
					t.Errorf("rank %d: one met the others where they were not: %v", r, err)
				}
			}
			if c, _, err := checkpoint.Latest(run); err != nil || c.Progress.Step != tc.saved {
				t.Errorf("the last checkpoint is %+v, %v; want step %d", c, err, tc.saved)
			}
		})
	}
}

// filled returns what fill writes.
func filled(t *testing.T, fill func(io.Writer) error) []byte {
	t.Helper()
	var b strings.Builder
	if err := fill(&b); err != nil {
		t.Error(err)
	}
	return []byte(b.String())
}

// A loss of one rank that is not finite is that of all.
func TestRanksDiverge(t *testing.T) {
	_, errs := onRanks(t, 2, config(t.TempDir()), dataset(t, data), func(p *place) {
		p.own.Poison = func(step uint64, s *model.Score) {
			if p.rank == 1 && step == 6 {
				s.Loss = math.NaN()
			}
		}
	})
	for r, err := range errs {
		var diverged *DivergedError
		if !errors.As(err, &diverged) || diverged.Step != 6 {
			t.Errorf("rank %d: %v", r, err)
		}
	}
}

// Ranks that were not started alike, or whose weights have come apart, do not train.
func TestRanksThatDiffer(t *testing.T) {
	for want, alter := range map[string]func(p *place){
		"rank 1 was started with another settings than rank 0": func(p *place) { p.cfg.Settings.Momentum = 0.5 },
		"rank 1 was started with another limits than rank 0":   func(p *place) { p.cfg.Limits.MaxSteps = 3 },
		"rank 1 was started with another engine than rank 0":   func(p *place) { p.own.Reducer = nil },
		"the weights of rank 1 differ from those of rank 0": func(p *place) {
			if err := p.own.Restore(model.State{Weights: p.own.Net().Init(seed + 1)}); err != nil {
				t.Error(err)
			}
		},
		"its gradients to itself: it cannot be one of 2 ranks": func(p *place) { p.eng = struct{ model.Engine }{p.own} },
	} {
		_, errs := onRanks(t, 2, config(t.TempDir()), dataset(t, data), func(p *place) {
			if p.rank == 1 {
				alter(p)
			}
		})
		if errs[1] == nil || !strings.Contains(errs[1].Error(), want) || errs[0] == nil {
			t.Errorf("%v, want %q", errs, want)
		}
	}
	// While it trains.
	_, errs := onRanks(t, 2, config(t.TempDir()), dataset(t, data), func(p *place) {
		p.hooks.Step = func(step int) {
			if st, err := p.own.State(); err == nil && p.rank == 1 && step == 2 {
				st.Weights[0].Data[3]++
			}
		}
	})
	if errs[0] == nil || !strings.Contains(errs[0].Error(), "the weights of rank 1 differ") {
		t.Errorf("weights that came apart: %v", errs)
	}
	cfg := variant(config(t.TempDir()), "accumulate")
	if _, errs := onRanks(t, 2, cfg, dataset(t, data), func(p *place) { p.own.Reducer = collective.NewReducer(p.cfg.Ranks) }); errs[0] == nil || !strings.Contains(errs[0].Error(), "sums the gradient of each batch over the ranks") {
		t.Errorf("several batches a step: %v", errs)
	}
	cfg = config(t.TempDir())
	if _, errs := onRanks(t, 5, cfg, dataset(t, data), nil); errs[0] == nil || !strings.Contains(errs[0].Error(), "batch of 4 images for 5 ranks") {
		t.Errorf("more ranks than images: %v", errs)
	}
}

// Engines that fetch their batches ahead train the same, also where a slice is empty.
func TestRanksStaging(t *testing.T) {
	ds := dataset(t, data)
	plain, staged := config(filepath.Join(t.TempDir(), "plain")), config(filepath.Join(t.TempDir(), "staged"))
	trainOn(t, 3, plain, ds, nil)
	engines := make([]*fetching, 3)
	trainOn(t, 3, staged, ds, func(p *place) {
		engines[p.rank] = &fetching{Engine: p.own, form: model.FormFloat32, ds: ds, memory: map[*byte]bool{}}
		p.eng = engines[p.rank]
	})
	checkSame(t, plain.Run, staged.Run)
	for r, e := range engines {
		if len(e.memory) > 0 || e.staged != 0 {
			t.Errorf("rank %d: %d buffers and %d batches are left", r, len(e.memory), e.staged)
		}
	}
}

// Ranks on one machine share its memory.
func TestRanksShareTheMemory(t *testing.T) {
	cfg := config(t.TempDir())
	cfg.Limits.MaxSteps = 1
	var mutex sync.Mutex
	var beside []int
	cfg.openStream = func(ctx context.Context, ds *records.Dataset, split *records.Split, o pipeline.Options) (stream, error) {
		mutex.Lock()
		defer mutex.Unlock()
		beside = append(beside, o.Beside)
		return openStream(ctx, ds, split, o)
	}
	for _, world := range []int{1, 3} {
		beside, cfg.Run = nil, t.TempDir()
		trainOn(t, world, cfg, dataset(t, data), nil)
		if want := slices.Repeat([]int{world}, world); !slices.Equal(beside, want) {
			t.Errorf("%d ranks: streams beside %v others, want %v", world, beside, want)
		}
	}
}
