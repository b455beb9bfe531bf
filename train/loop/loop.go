// Package loop trains a net: epochs over the training split through the pipeline,
// validation after each, the learning-rate schedule, checkpoints and metrics, as
// section 5 of Krizhevsky, Sutskever and Hinton (2012) describes.
//
// All that is random is a function of the seed and of the position in the run, and
// a checkpoint holds all that is gathered, so that a run that was stopped, or
// killed, and resumed takes exactly the steps that it would have taken. Nor does it
// matter to the images, their crops and their dropout how many ranks share a batch
// (Config.Ranks): only the order of sums differs.
package loop

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync"
	"time"

	"alexnet/augment"
	"alexnet/model"
	"alexnet/pipeline"
	"alexnet/records"
	"alexnet/train/checkpoint"
	"alexnet/train/collective"
	"alexnet/train/eval"
	"alexnet/train/report"
	"alexnet/train/sgd"
)

// Config is a run: where it writes, what it does and where it starts.
type Config struct {
	// Run is the run's folder. It is made if it is not there.
	Run      string
	Settings Settings
	Limits   Limits
	// Address is where the records are found again, if that is more than their Dir: a
	// URL with its parameters. It is only noted.
	Address string
	// Init is the file that the engine's weights came from, InitWeights which weights of
	// it, and InitExcept the layers that have others; they are only noted.
	Init        string
	InitWeights checkpoint.Weights
	InitExcept  []string
	// Resume is the checkpoint to go on from; nil begins with the engine's weights,
	// and then the folder must hold no checkpoints.
	Resume *checkpoint.Checkpoint
	// Ranks are the ranks of the run, as this one sees them; nil means that it is the
	// only one. All are started with the same configuration but for it, and see the same
	// files. Only rank 0 writes.
	Ranks collective.Group

	// writeFile replaces the atomic writing of checkpoints in tests.
	writeFile func(path string, fill func(io.Writer) error) error
	// openStream replaces pipeline.OpenSplit in tests.
	openStream func(context.Context, *records.Dataset, *records.Split, pipeline.Options) (stream, error)
	// evaluate replaces eval.Evaluate in tests.
	evaluate func(context.Context, []model.Engine, *records.Dataset, *records.Split, eval.Options) (eval.Result, error)
}

// Hooks are called as the run goes on, each from the goroutine that called Run. Any
// of them may be nil.
type Hooks struct {
	// Progress gets the state after each step; keep is set when a line of metrics was
	// written too.
	Progress func(s report.Status, keep bool)
	// Metrics gets each line of the metrics file.
	Metrics func(report.Line)
	// Message gets sentences for the user: a finished epoch and what limited it, a
	// lower learning rate, a record that is skipped. Ranks other than 0 say only which
	// records of theirs are skipped.
	Message func(string)
	// Step gets the number of steps done, after each.
	Step func(step int)
}

// End says why a run came to its end.
type End string

// The ends of a run.
const (
	EndEpochs      End = "epochs"      // all epochs are done
	EndMaxSteps    End = "max-steps"   // as many steps as allowed are done
	EndSchedule    End = "schedule"    // the validation error no longer improves
	EndEarly       End = "early-stop"  // Limits.StopAfter epochs have brought nothing better
	EndInterrupted End = "interrupted" // the context was cancelled
)

// Summary is summary.json: how the run stands at its end.
type Summary struct {
	Net        string `json:"net"`
	Parameters int64  `json:"parameters"`
	End        End    `json:"end"`
	Steps      int    `json:"steps"`
	Epochs     int    `json:"epochs"` // complete ones
	// Last is the last line of an epoch in the metrics, nil before the first.
	Last *report.Line `json:"last,omitempty"`
	// Best is the best validation, nil if there was none.
	Best *checkpoint.Best `json:"best,omitempty"`
	// Average is the validation of the averaged weights at the end, nil without
	// Settings.EMA or without validation.
	Average *report.Val `json:"average,omitempty"`
	// Skipped is the number of damaged records that were skipped; a record counts
	// once in each epoch.
	Skipped int `json:"skipped"`
	// Verdict says in a sentence what limited the speed, in the last epoch that
	// was trained on. It is empty before the first step.
	Verdict string `json:"verdict,omitempty"`
	// Checkpoint is the file of the last checkpoint, BestCheckpoint that of the best
	// validation.
	Checkpoint     string `json:"checkpoint"`
	BestCheckpoint string `json:"best_checkpoint,omitempty"`
}

// DivergedError says that the training broke down: the loss or the weights are no
// longer finite numbers.
type DivergedError struct {
	Step       int     // steps done before
	LR         float32 // the learning rate at that time
	Value      string  // what is not finite, with its value
	Checkpoint string  // the last good checkpoint, empty if there is none
}

func (e *DivergedError) Error() string {
	text := fmt.Sprintf("training diverged at step %d: %s, with learning rate %g; ", e.Step, e.Value, e.LR)
	if e.Checkpoint == "" {
		return text + "there is no checkpoint from before; start another run with a lower --lr"
	}
	return text + fmt.Sprintf("the last good checkpoint is %s; start another run with a lower --lr, from those weights with --init %s", e.Checkpoint, e.Checkpoint)
}

// trainer is a run on its way.
type trainer struct {
	cfg      Config
	eng      model.Engine
	ds       *records.Dataset
	hooks    Hooks
	train    *records.Split
	val      *records.Split // nil without validation
	color    *augment.Color
	schedule *sgd.Schedule
	store    checkpoint.Store
	metrics  *report.Metrics // nil but on rank 0
	ranks    collective.Group
	sliced   model.SlicedEngine // nil if this is the only rank
	reduces  bool               // the engine sums the gradient over the ranks
	beside   int                // the ranks on this machine
	stream   stream             // nil until the first batch is needed
	until    int                // the epoch with which the stream ends
	behind   sync.WaitGroup     // streams of cancelled validations that have not ended yet

	p     checkpoint.Progress
	file  string // the last checkpoint, empty before the first
	saved int    // its step

	window, epoch span
	shown         speed // of the window, as last looked at
	looked        time.Time
	holes         holes
	began         time.Time
	steps         int // taken since began

	staging staging
	sum     [][]float32    // of the gradients of a step's batches
	average []model.Tensor // of the weights, nil without Settings.EMA and but on rank 0
	blank   []float32      // an image, for a slice without any
}

// Run trains until the epochs or the steps are done, the schedule asks for the end,
// or the context is cancelled; then it finishes the batch in hand, and with it the
// step if that needs no other. In each case it
// saves a checkpoint and writes the summary. The engine holds the initial weights,
// unless cfg.Resume is given; its seed must be cfg.Settings.Seed, and its batch not
// be smaller than cfg.Slice().
//
// With cfg.Ranks it is called by each rank, and returns in each after the same step. A
// rank whose Run returns an error must end the others with Abort: they wait for it. The
// engines of all ranks sum the gradient themselves (model.ReducingEngine), over the same
// ranks, or none does; none may with several batches a step.
//
// Errors: a run folder with checkpoints but no cfg.Resume; a checkpoint of another
// net, other classes, records or settings (*checkpoint.MismatchError); records that
// do not fit the net; a loss that is not finite (*DivergedError); whatever reading
// records or writing files brings. With pipeline.Skip a damaged training record is
// none of them, unless no record of a full batch is left. When the data or the
// disk fails on the way, the last checkpoint stands.
func Run(ctx context.Context, cfg Config, eng model.Engine, ds *records.Dataset, hooks Hooks) (s Summary, err error) {
	t := &trainer{cfg: cfg, eng: eng, ds: ds, ranks: cfg.ranks(), began: time.Now()}
	t.hooks = hooks.complete()
	if !t.first() {
		t.hooks.Progress, t.hooks.Metrics = Hooks{}.complete().Progress, Hooks{}.complete().Metrics
	}
	defer func() { err = errors.Join(err, t.close(ctx)) }()
	if err := t.prepare(); err != nil {
		return Summary{}, err
	}
	end, err := t.run(ctx)
	t.countHoles()
	if err != nil {
		return Summary{}, err
	}
	s = t.summary(end)
	if end != EndInterrupted {
		if s.Average, err = t.evaluateAverage(ctx); err != nil {
			return Summary{}, err
		}
	}
	if !t.first() {
		return s, nil
	}
	return s, report.WriteJSON(filepath.Join(cfg.Run, SummaryFile), s)
}

// complete replaces missing hooks by ones that do nothing.
func (h Hooks) complete() Hooks {
	if h.Progress == nil {
		h.Progress = func(report.Status, bool) {}
	}
	if h.Metrics == nil {
		h.Metrics = func(report.Line) {}
	}
	if h.Message == nil {
		h.Message = func(string) {}
	}
	if h.Step == nil {
		h.Step = func(int) {}
	}
	return h
}

// Check returns what keeps a run from starting, before an engine is made for it:
// settings that cannot be, records that do not fit the net, a folder that holds
// another run, a checkpoint that is not of this net, these records and settings.
func Check(cfg Config, net *model.Net, ds *records.Dataset) error {
	if err := errors.Join(cfg.Settings.Check(), cfg.Limits.Check(), eval.CheckFit(net, ds)); err != nil {
		return err
	}
	if _, err := cfg.Settings.color(ds.Manifest); err != nil {
		return err
	}
	switch train, ok := ds.Manifest.Splits[TrainSplit]; {
	case !ok:
		return fmt.Errorf("%s has no split %q to train on", ds.Dir, TrainSplit)
	case train.Written == 0:
		return fmt.Errorf("split %q of %s is empty: there is nothing to train on", TrainSplit, ds.Dir)
	case cfg.Settings.Schedule.Kind == sgd.Plateau && !HasValidation(ds.Manifest):
		return fmt.Errorf("a plateau schedule needs a validation split, and %s has none: use constant or step", ds.Dir)
	case cfg.Settings.Batch < cfg.ranks().World():
		return fmt.Errorf("batch of %d images for %d ranks: there must be one for each", cfg.Settings.Batch, cfg.ranks().World())
	case cfg.Limits.StopAfter > 0 && !HasValidation(ds.Manifest):
		return fmt.Errorf("an early stop needs a validation split, and %s has none", ds.Dir)
	}
	if cfg.Resume != nil {
		settings, err := cfg.settled()
		if err != nil {
			return err
		}
		return checkResumed(cfg.Resume, net, ds.Manifest, settings)
	}
	old, err := checkpoint.Any(cfg.Run)
	if err == nil && old {
		err = fmt.Errorf("%s already holds checkpoints: go on with --resume, or give another --run", cfg.Run)
	}
	if err != nil {
		return err
	}
	// That of a run which came to no checkpoint is written over, but nobody else's.
	if _, err := ReadConfig(cfg.Run); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// prepare checks everything, opens the splits and the run's folder, and puts the
// state of the checkpoint in place.
func (t *trainer) prepare() error {
	if err := Check(t.cfg, t.eng.Net(), t.ds); err != nil {
		return err
	}
	if slice := t.cfg.Slice(); slice > t.eng.Batch() {
		return fmt.Errorf("batch of %d images: the engine was made for at most %d", slice, t.eng.Batch())
	}
	if e, ok := t.eng.(model.ReducingEngine); ok {
		t.reduces = e.Reduces()
	}
	if err := errors.Join(t.checkEngine(), t.checkRanks()); err != nil {
		return err
	}
	if err := t.compareStart(); err != nil {
		return err
	}
	t.staging.engine, _ = t.eng.(model.StagingEngine)
	var err error
	if t.beside, err = collective.Beside(t.ranks); err != nil {
		return err
	}
	if t.color, err = t.cfg.Settings.color(t.ds.Manifest); err != nil {
		return err
	}
	if t.schedule, err = sgd.New(t.cfg.Settings.Schedule); err != nil {
		return err
	}
	if err := t.openSplits(); err != nil {
		return err
	}
	if err := t.settle(); err != nil {
		return err
	}
	t.store = checkpoint.Store{Run: t.cfg.Run, Keep: t.cfg.Limits.Keep, WriteFile: t.cfg.writeFile}
	if t.cfg.Resume != nil {
		if err := t.restore(t.cfg.Resume); err != nil {
			return err
		}
		t.cfg.Resume = nil
	}
	if err := t.compareFirst(); err != nil {
		return err
	}
	if t.first() {
		if err := t.startAverage(); err != nil {
			return err
		}
		if err := t.openRun(); err != nil {
			return err
		}
	}
	t.tellLost()
	// First weights and checkpoint are not needed any more. Of what follows little is
	// allocated, so that they would stay in memory for long.
	debug.FreeOSMemory()
	return nil
}

// HasValidation reports whether a data set has images to validate on.
func HasValidation(m *records.Manifest) bool { return m.Splits[ValSplit].Written > 0 }

// restore puts the state of the checkpoint in place.
func (t *trainer) restore(c *checkpoint.Checkpoint) error {
	if c.Progress.StepInEpoch > t.stepsPerEpoch() {
		return &checkpoint.DamagedError{File: c.File, Err: fmt.Errorf("step %d of an epoch of %d steps", c.Progress.StepInEpoch, t.stepsPerEpoch())}
	}
	if err := t.schedule.Restore(c.Progress.Schedule); err != nil {
		return &checkpoint.DamagedError{File: c.File, Err: err}
	}
	if t.cfg.Settings.EMA > 0 && c.Average == nil {
		return &checkpoint.DamagedError{File: c.File, Err: errors.New("it lacks the average of the weights")}
	}
	if err := t.eng.Restore(c.State); err != nil {
		return fmt.Errorf("checkpoint %s: %w", c.File, err)
	}
	if now := t.arithmetic(); now != "" && c.Engine != "" && now != c.Engine {
		t.say(fmt.Sprintf("note: the run goes on with %s, was %s: from here on its numbers differ in the last bits from those of one that was not resumed", now, c.Engine))
	}
	if t.first() {
		t.average = c.Average
	}
	t.p, t.saved, t.file = c.Progress, c.Progress.Step, c.File
	return nil
}

// openRun makes the run's folder and opens its files.
func (t *trainer) openRun() (err error) {
	if err := os.MkdirAll(t.cfg.Run, 0o777); err != nil {
		return fmt.Errorf("the run's folder: %w", err)
	}
	if t.metrics, err = report.OpenMetrics(filepath.Join(t.cfg.Run, MetricsFile), t.kept); err != nil {
		return err
	}
	folder := t.ds.Dir
	switch abs, err := filepath.Abs(folder); {
	case t.cfg.Address != "":
		folder = t.cfg.Address
	case err == nil && !t.ds.Remote(): // a run may be resumed from elsewhere
		folder = abs
	}
	return report.WriteJSON(filepath.Join(t.cfg.Run, ConfigFile), RunConfig{
		Records: folder, Digest: t.ds.Manifest.Digest, Init: t.cfg.Init, InitWeights: t.cfg.InitWeights, InitExcept: t.cfg.InitExcept,
		Settings: t.cfg.Settings, Limits: t.cfg.Limits, Net: t.eng.Net(),
	})
}

// kept reports whether a line of metrics was written before the checkpoint from
// which the run goes on. The line of an epoch comes after its last step's. That of
// the last epoch has the times that the checkpoint leaves out.
func (t *trainer) kept(l report.Line) bool {
	if last := t.p.Last; last != nil && l.Event == report.EpochEvent && l.Step == last.Step {
		t.p.Last = &l
	}
	return l.Step < t.p.Step || l.Step == t.p.Step && (l.Event == report.StepEvent || t.p.StepInEpoch == 0)
}

// run takes steps until there is a reason to end.
func (t *trainer) run(ctx context.Context) (End, error) {
	for {
		stop, err := t.interrupted(ctx)
		if err != nil {
			return "", err
		}
		end := t.end(stop)
		if t.p.StepInEpoch == t.stepsPerEpoch() && end != EndInterrupted {
			if err := t.endEpoch(ctx); err != nil {
				return "", err
			}
			continue
		}
		if end != "" {
			return end, t.saveOnce()
		}
		switch done, err := t.step(ctx); {
		case err != nil:
			return "", err
		case !done:
			continue // cancelled
		}
		if err := t.log(); err != nil {
			return "", err
		}
		if every := t.cfg.Limits.CheckpointEvery; every > 0 && t.p.Step%every == 0 && t.p.StepInEpoch < t.stepsPerEpoch() {
			if err := t.saveOnTheWay(); err != nil {
				return "", err
			}
		}
		t.hooks.Step(t.p.Step)
	}
}

// end returns why the run is to end now, or "".
func (t *trainer) end(interrupted bool) End {
	switch limits := t.cfg.Limits; {
	case interrupted:
		return EndInterrupted
	case t.p.Epoch >= limits.Epochs:
		return EndEpochs
	case t.schedule.Done():
		return EndSchedule
	case limits.StopAfter > 0 && t.p.SinceBest >= limits.StopAfter:
		return EndEarly
	case limits.MaxSteps > 0 && t.p.Step >= limits.MaxSteps:
		return EndMaxSteps
	}
	return ""
}

// endEpoch validates and moves on to the next epoch. When the context is cancelled
// on the way it leaves everything as it was.
func (t *trainer) endEpoch(ctx context.Context) error {
	rate := t.lastRate()
	took := t.speedOf(t.epoch)
	line := t.line(report.EpochEvent, t.p.Totals, took)
	if line.Loader != nil {
		line.Loader.Verdict = took.verdict
	}
	defer t.pause()()
	valError := math.NaN()
	if t.val != nil {
		r, err := t.validate(ctx)
		var data *dataError
		switch {
		case errors.Is(err, errStopped):
			return nil
		case errors.As(err, &data):
			return t.dataFailed(data.err)
		case err != nil:
			return err
		}
		valError = r.Top1Error()
		line.Val = valOf(r)
		if t.p.Best == nil || line.Val.Top1 > t.p.Best.Top1 {
			t.p.Best, t.p.SinceBest = &checkpoint.Best{Step: t.p.Step, Top1: line.Val.Top1}, 0
		} else {
			t.p.SinceBest++
		}
	}
	t.schedule.EndEpoch(valError)
	t.p.Last = &line
	t.p.Epoch++
	t.p.StepInEpoch = 0
	t.p.Totals = model.Score{}
	t.epoch = span{since: took.now}
	if err := t.append(line); err != nil {
		return err
	}
	if err := t.save(); err != nil {
		return err
	}
	t.hooks.Metrics(line)
	t.say(t.epochText(line))
	t.countHoles()
	if line.Loader != nil && line.Loader.Limit != pipeline.LimitConsumer {
		t.say(line.Loader.Verdict)
	}
	if now := t.rate(); now != rate && t.cfg.Settings.Schedule.Drops() && !t.schedule.Done() {
		t.say(fmt.Sprintf("learning rate %g -> %g", rate, now))
	}
	return nil
}

// evaluate measures the engine on the validation split.
func (t *trainer) evaluate(ctx context.Context) (eval.Result, error) {
	evaluate := t.cfg.evaluate
	if evaluate == nil {
		evaluate = eval.Evaluate
	}
	return evaluate(ctx, []model.Engine{t.eng}, t.ds, t.val, eval.Options{Workers: t.cfg.Limits.Workers, Background: &t.behind})
}

// valOf takes from an evaluation what goes into the metrics.
func valOf(r eval.Result) *report.Val {
	return &report.Val{Images: r.Images, Loss: r.Loss, Top1: r.Top1Accuracy(), Top5: r.Top5Accuracy()}
}

// summary describes the run as it stands.
func (t *trainer) summary(end End) Summary {
	net := t.eng.Net()
	s := Summary{Net: net.Name, Parameters: net.ParamCount(), End: end, Steps: t.p.Step, Epochs: t.p.Epoch,
		Last: t.p.Last, Best: t.p.Best, Skipped: t.p.Skipped, Checkpoint: t.file}
	switch {
	case t.epoch.images > 0:
		s.Verdict = t.speedOf(t.epoch).verdict
	case t.p.Last != nil && t.p.Last.Loader != nil:
		s.Verdict = t.p.Last.Loader.Verdict
	}
	if t.p.Best != nil {
		s.BestCheckpoint = t.store.Path(t.p.Best.Step)
	}
	return s
}
