package reproduce

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"

	"alexnet/model"
	"alexnet/records"
	"alexnet/train/loop"
	"alexnet/train/report"
	"alexnet/train/sgd"
)

// Race is Figure 1 (section 3.1): how many epochs a net with ReLUs, and the same with
// tanh, take to reach a training error, without any regularisation, each with the
// learning rate that is fastest for it. Rates are constant.
//
// Every rate is trained for a few epochs; the two with the lowest error go on.
type Race struct {
	// Out is the folder of the runs, one for each activation and rate.
	Out     string
	Records *records.Dataset
	// Options are those of all runs; Net is the preset, "cifar-4layer-no-lrn" if it is
	// empty. Rates, epochs and options for pre-trained nets have no meaning here.
	Options Options
	// Rates are the learning rates to choose from.
	Rates []float64
	// Search is the number of epochs that every rate is trained for, Epochs the most that
	// those which go on are.
	Search, Epochs int
	// Until is the training error to reach, a share in (0, 1).
	Until float64
}

// finalists is the number of rates of an activation that go on after the search.
const finalists = 2

// PaperRace is what the paper says of its own: CIFAR-10, to a training error of 25 %.
func PaperRace() PaperRatio { return PaperRatio{"CIFAR-10", 0.25, 6} }

// PaperRatio is a ratio of epochs, tanh to ReLU, to a training error as a share.
type PaperRatio struct {
	DataSet string  `json:"data_set"`
	Until   float64 `json:"until"`
	Ratio   float64 `json:"ratio"`
}

// Outcomes is what a race comes to. Errors are shares in [0, 1].
type Outcomes struct {
	Data
	Net          string         `json:"net"`
	Batch        int            `json:"batch"`
	Precision    loop.Precision `json:"precision"`
	Seed         uint64         `json:"seed"`
	Until        float64        `json:"until"`
	Rates        []float64      `json:"rates"`
	SearchEpochs int            `json:"search_epochs"`
	MaxEpochs    int            `json:"max_epochs"`
	ReLU         Runner         `json:"relu"`
	Tanh         Runner         `json:"tanh"`
	// Ratio is that of the epochs, tanh to ReLU, interpolated, and WholeRatio that of
	// whole epochs; 0 if one did not get there. Where only the ReLUs did, MoreThan is what
	// the ratio exceeds.
	Ratio      float64    `json:"ratio,omitempty"`
	WholeRatio float64    `json:"ratio_of_whole_epochs,omitempty"`
	MoreThan   float64    `json:"ratio_is_more_than,omitempty"`
	Paper      PaperRatio `json:"paper"`
}

// Runner is an activation with the rate that counts.
type Runner struct {
	Activation model.Kind `json:"activation"`
	// Rate is the one that gets there in the fewest epochs, of equals the one with the
	// lower error; if none gets there, the one with the lowest last error.
	Rate float64 `json:"rate"`
	// WholeEpochs is the first epoch with no more than the error to reach, and Epochs is
	// where a line from the epoch before meets that error; both are 0 if none has it.
	WholeEpochs int     `json:"whole_epochs"`
	Epochs      float64 `json:"epochs"`
	// Errors are the training errors of its epochs, each the mean over the epoch, as the
	// steps saw it.
	Errors []float64 `json:"training_errors"`
	Tried  []Try     `json:"tried"`
}

// Try is one rate of an activation.
type Try struct {
	Rate     float64   `json:"rate"`
	Run      string    `json:"run"` // name of its folder
	Errors   []float64 `json:"training_errors"`
	WentOn   bool      `json:"went_on,omitempty"`
	Diverged bool      `json:"diverged,omitempty"`
}

// Check returns what cannot be asked for.
func (r Race) Check() error {
	if len(r.Rates) == 0 {
		return errors.New("no learning rates to choose from")
	}
	for i, rate := range r.Rates {
		if !(rate > 0 && rate <= math.MaxFloat32) {
			return fmt.Errorf("learning rate %g: must be a positive number", rate)
		}
		if slices.Contains(r.Rates[:i], rate) {
			return fmt.Errorf("learning rate %g is given twice", rate)
		}
	}
	switch {
	case r.Search < 1:
		return fmt.Errorf("a search of %d epochs: must be at least 1", r.Search)
	case r.Epochs < r.Search:
		return fmt.Errorf("%d epochs at most, and the search alone has %d", r.Epochs, r.Search)
	case !(r.Until > 0 && r.Until < 1):
		return fmt.Errorf("a training error of %g to reach: must lie between 0 and 1", r.Until)
	}
	return nil
}

// Run trains what is not trained yet, and keeps the outcome in a file of the folder of
// the runs. A rate at which the training diverges is out.
func (r Race) Run(ctx context.Context, w *Work) (Outcomes, error) {
	relu, tanh, err := r.plan()
	if err != nil {
		return Outcomes{}, err
	}
	for _, e := range slices.Concat(relu, tanh) {
		if err := e.to(ctx, w, r.Search); err != nil {
			return Outcomes{}, err
		}
	}
	first := &relu[0].job
	o := Outcomes{Data: DataOf(r.Records), Net: first.Net.Name, Batch: first.Settings.Batch, Precision: first.Settings.Precision, Seed: first.Settings.Seed,
		Until: r.Until, Rates: r.Rates, SearchEpochs: r.Search, MaxEpochs: r.Epochs, Paper: PaperRace()}
	if o.ReLU, err = r.race(ctx, w, model.ReLU, relu); err != nil {
		return o, err
	}
	if o.Tanh, err = r.race(ctx, w, model.Tanh, tanh); err != nil {
		return o, err
	}
	switch {
	case o.ReLU.WholeEpochs > 0 && o.Tanh.WholeEpochs > 0:
		o.Ratio = o.Tanh.Epochs / o.ReLU.Epochs
		o.WholeRatio = float64(o.Tanh.WholeEpochs) / float64(o.ReLU.WholeEpochs)
	case o.ReLU.WholeEpochs > 0:
		o.MoreThan = float64(len(o.Tanh.Errors)) / o.ReLU.Epochs
	}
	return o, report.WriteJSON(filepath.Join(r.Out, "figure1.json"), o)
}

// entry is a run of the race.
type entry struct {
	Try
	job Job
}

// plan returns the runs of both activations, one a rate.
func (r Race) plan() (relu, tanh []*entry, err error) {
	if err := r.Check(); err != nil {
		return nil, nil, err
	}
	for _, rate := range r.Rates {
		j, err := r.Options.job(Activation, r.Out, r.Options.Net, "cifar-4layer-no-lrn", r.Records, 0)
		if err != nil {
			return nil, nil, err
		}
		j.Settings = bare(j.Settings, rate)
		j.Net = j.Net.WithDropout(0)
		with := func(k model.Kind) *entry {
			own := j
			own.Net = j.Net.WithActivation(k)
			name := string(k) + "-" + strconv.FormatFloat(rate, 'f', -1, 64)
			own.Run = filepath.Join(r.Out, name)
			return &entry{Try{Rate: rate, Run: name}, own}
		}
		relu, tanh = append(relu, with(model.ReLU)), append(tanh, with(model.Tanh))
	}
	a, b := &relu[0].job, &tanh[0].job
	if reflect.DeepEqual(a.Net, b.Net) {
		return nil, nil, fmt.Errorf("net %s has neither ReLUs nor tanh: there is nothing to compare", a.Net.Name)
	}
	return relu, tanh, errors.Join(a.Net.Validate(), b.Net.Validate(), a.Settings.Check())
}

// bare returns settings without what regularises, and with a constant rate.
func bare(s loop.Settings, rate float64) loop.Settings {
	s.Schedule = sgd.Config{Kind: sgd.Constant, Base: rate}
	s.WeightDecay = 0
	s.CenterCrops, s.InclusiveCrops, s.CropGroup, s.NoFlip = true, false, 0, true
	s.Color, s.ColorEpochs, s.ColorDivisor = loop.ColorNone, 0, 0
	return s
}

// to trains until n epochs are done, and reads their training errors.
func (e *entry) to(ctx context.Context, w *Work, n int) error {
	if e.Diverged || len(e.Errors) >= n {
		return nil
	}
	e.job.Limits.Epochs = n
	done, err := w.has(&e.job, n)
	if err == nil && !done {
		err = w.finish(ctx, &e.job)
	}
	var diverged *loop.DivergedError
	if errors.As(err, &diverged) {
		e.Diverged = true
		w.warn([]error{fmt.Errorf("%s is out of the race: %w", e.job.Run, err)})
	} else if err != nil {
		return err
	}
	e.Errors, err = trainingErrors(e.job.Run, n)
	if err == nil && !e.Diverged && len(e.Errors) < n {
		err = fmt.Errorf("%s has no line of epoch %d, which is done: remove the folder %s, and it is trained again",
			filepath.Join(e.job.Run, loop.MetricsFile), len(e.Errors)+1, e.job.Run)
	}
	return err
}

// has reports whether a run has done n epochs, more of them included. It is an error if
// they are another training's than the job's.
func (w *Work) has(j *Job, n int) (bool, error) {
	cfg, _, err := w.configure(j)
	if err != nil || cfg.Resume == nil || cfg.Resume.Progress.Epoch < n {
		return false, err
	}
	if err := loop.Check(cfg, j.Net, j.Records); err != nil {
		return false, fmt.Errorf("the run %s: %w", j.Run, err)
	}
	return true, nil
}

// trainingErrors returns the training errors of the first n epochs of a run, or of as
// many as there are in its metrics.
func trainingErrors(run string, n int) ([]float64, error) {
	lines, err := report.ReadMetrics(filepath.Join(run, loop.MetricsFile))
	if err != nil {
		return nil, err
	}
	var errs []float64
	for _, l := range lines {
		if l.Event == report.EpochEvent && l.Epoch == len(errs)+1 && len(errs) < n {
			// 1-Top1 alone is off by a rounding where it is to equal a decimal number.
			images := float64(l.Images)
			errs = append(errs, math.Round((1-l.Top1)*images)/images)
		}
	}
	return errs, nil
}

// race lets the best rates go on until one is there: the others need not go further than
// that one did. All entries have been searched.
func (r Race) race(ctx context.Context, w *Work, k model.Kind, all []*entry) (Runner, error) {
	running := ranked(all)
	if len(running) == 0 {
		return Runner{}, fmt.Errorf("%s: the training diverges at every rate of %v: try lower ones", k, r.Rates)
	}
	limit := r.Epochs
	for _, e := range running[:min(finalists, len(running))] {
		e.WentOn = true
		for n := r.Search; ; n++ {
			if err := e.to(ctx, w, n); err != nil {
				return Runner{}, err
			}
			if whole, _ := arrival(e.Errors, r.Until); whole > 0 {
				limit = min(limit, whole)
			}
			if n >= limit || e.Diverged {
				break
			}
		}
	}
	won := winner(all, r.Until)
	out := Runner{Activation: k, Rate: won.Rate, Errors: won.Errors}
	out.WholeEpochs, out.Epochs = arrival(won.Errors, r.Until)
	for _, e := range all {
		out.Tried = append(out.Tried, e.Try)
	}
	return out, nil
}

// ranked returns the entries that have not diverged, those with the lowest last error
// first.
func ranked(all []*entry) []*entry {
	running := slices.DeleteFunc(slices.Clone(all), func(e *entry) bool { return e.Diverged })
	slices.SortStableFunc(running, func(a, b *entry) int { return cmp.Compare(last(a.Errors), last(b.Errors)) })
	return running
}

// winner returns the entry that counts (Runner.Rate); one at least has an error.
func winner(all []*entry, until float64) *entry {
	best, bestWhole := (*entry)(nil), 0
	for _, e := range all {
		switch whole, _ := arrival(e.Errors, until); {
		case whole == 0:
		case best == nil || whole < bestWhole, whole == bestWhole && e.Errors[whole-1] < best.Errors[whole-1]:
			best, bestWhole = e, whole
		}
	}
	if best != nil {
		return best
	}
	if running := ranked(all); len(running) > 0 {
		return running[0]
	}
	return slices.MinFunc(all, func(a, b *entry) int { return cmp.Compare(last(a.Errors), last(b.Errors)) })
}

func last(errs []float64) float64 {
	if len(errs) == 0 {
		return math.Inf(1)
	}
	return errs[len(errs)-1]
}

// arrival returns the first epoch, from 1, with an error of no more than until, and where
// on the line from the epoch before the error is until; 0 if no epoch has it. Before the
// first epoch there is no error to draw a line from, so that the two are equal there.
func arrival(errs []float64, until float64) (whole int, between float64) {
	at := slices.IndexFunc(errs, func(e float64) bool { return e <= until })
	switch at {
	case -1:
		return 0, 0
	case 0:
		return 1, 1
	}
	return at + 1, float64(at) + (errs[at-1]-until)/(errs[at-1]-errs[at])
}
